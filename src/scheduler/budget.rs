//! How wide the connections to the database let a queue be. A set of jobs that is worked on holds at
//! most one connection.

use crate::{
    config::Config,
    stage::Stage,
    store::{Staff, Store, StoreError},
};

/// Part of the server's connections that sets of jobs may take, in percent; the ingresses, people and
/// backups need the rest.
pub const PERCENT: u64 = 80;

/// What there is to share out.
#[derive(Clone, Debug)]
pub struct Budget {
    /// Connections of one process.
    pub pool: u64,
    /// Connections that the server takes; SQLite has no server.
    pub server: Option<u64>,
    /// Workers that are alive.
    pub staff: Vec<Staff>,
}

/// A width that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A process has fewer connections than sets.
    #[error("{width} sets in a process would wait for its {pool} connections (database.max_connections)")]
    Pool {
        /// Sets in a process.
        width: u64,
        /// Connections of a process.
        pool: u64,
    },
    /// All workers together would take too much of the server.
    #[error(
        "all workers together would work on {sets} sets at a time, and the database takes {server} connections, \
         of which {PERCENT} % are for workers"
    )]
    Server {
        /// Sets of all workers.
        sets: u64,
        /// Connections that the server takes.
        server: u64,
    },
}

impl Budget {
    /// Asks the server.
    ///
    /// # Errors
    /// The record does not answer.
    pub async fn read(config: &Config, store: &Store, staff: Vec<Staff>) -> Result<Self, StoreError> {
        Ok(Self {
            pool: config.database.max_connections.into(),
            server: store.most_connections().await?,
            staff,
        })
    }

    /// Whether each process of `stage` may work on `width` sets at a time.
    ///
    /// # Errors
    /// It may not.
    pub fn allows(&self, stage: Stage, width: u64) -> Result<(), Refused> {
        if width > self.pool {
            let pool = self.pool;
            return Err(Refused::Pool { width, pool });
        }
        let Some(server) = self.server else { return Ok(()) };
        let (others, processes) = self.others(stage);
        let sets = others.saturating_add(processes.saturating_mul(width));
        if sets.saturating_mul(100) > server.saturating_mul(PERCENT) {
            return Err(Refused::Server { sets, server });
        }
        Ok(())
    }

    /// The widest that each process of `stage` may be; 0 if the others take everything.
    #[must_use]
    pub fn ceiling(&self, stage: Stage) -> u64 {
        let Some(server) = self.server else {
            return self.pool;
        };
        let (others, processes) = self.others(stage);
        let room = (server.saturating_mul(PERCENT) / 100).saturating_sub(others);
        room.checked_div(processes).unwrap_or(u64::MAX).min(self.pool)
    }

    /// Sets of the other stages, and processes of this one.
    fn others(&self, stage: Stage) -> (u64, u64) {
        let name = stage.name();
        let others = self.staff.iter().filter(|staff| staff.queue != name);
        let own = self.staff.iter().find(|staff| staff.queue == name);
        (
            others.map(|staff| staff.concurrency).sum(),
            own.map_or(0, |staff| staff.processes),
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::Load;

    proptest! {
        /// The ceiling is the widest that is allowed, neither more nor less.
        #[test]
        fn the_ceiling_is_the_widest_that_is_allowed(
            pool in 1_u64..64, server in prop::option::of(1_u64..400),
            processes in 0_u64..12, others in 0_u64..300,
        ) {
            let staff = |queue: Stage, processes, concurrency| Staff {
                queue: queue.name().to_owned(), processes, concurrency, load: Load::default(),
            };
            let staff = vec![staff(Stage::Processing, processes, processes), staff(Stage::Audit, 1, others)];
            let budget = Budget { pool, server, staff };
            let ceiling = budget.ceiling(Stage::Processing);
            if ceiling > 0 && processes > 0 {
                prop_assert_eq!(budget.allows(Stage::Processing, ceiling), Ok(()));
            }
            if processes > 0 || ceiling == pool {
                prop_assert!(budget.allows(Stage::Processing, ceiling + 1).is_err());
            }
        }
    }
}
