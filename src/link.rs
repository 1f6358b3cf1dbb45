//! The connection to a Redis server that everything in a process shares, apart from what blocks. It
//! always comes back.
//!
//! [`ConnectionManager`] of the `redis` crate connects anew after an error of input or output only.
//! Once the server has refused it for another reason, such as a password that was wrong for a moment
//! while it was being changed, it repeats that refusal until the process ends. Here such a manager is
//! put aside for a new one.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use redis::{
    Client, Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, ServerErrorKind, Value,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
};

/// A shared connection. A clone is the same connection.
#[derive(Clone)]
pub struct Link {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    config: ConnectionManagerConfig,
    current: Mutex<Current>,
}

struct Current {
    manager: ConnectionManager,
    /// How many there were before it.
    number: u64,
}

impl Link {
    /// A link that connects when it is first used. Connecting may take `connect`, and each answer
    /// `answer`. Nothing is tried twice by itself: who asks must hear of a failure at once.
    ///
    /// # Errors
    /// When the client's settings cannot be used.
    pub fn new(client: Client, connect: Duration, answer: Duration) -> RedisResult<Self> {
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(connect))
            .set_response_timeout(Some(answer));
        let manager = ConnectionManager::new_lazy_with_config(client.clone(), config.clone())?;
        let current = Mutex::new(Current { manager, number: 0 });
        Ok(Self {
            shared: Arc::new(Shared {
                client,
                config,
                current,
            }),
        })
    }

    fn current(&self) -> (ConnectionManager, u64) {
        let current = self.shared.lock();
        (current.manager.clone(), current.number)
    }

    /// Puts manager `number` aside if what it said may be all that it will ever say.
    fn heard<T>(&self, answer: &RedisResult<T>, number: u64) {
        if !answer.as_ref().is_err_and(may_be_stuck) {
            return;
        }
        let shared = &self.shared;
        let mut current = shared.lock();
        // Another caller may have done it.
        if current.number == number
            && let Ok(manager) =
                ConnectionManager::new_lazy_with_config(shared.client.clone(), shared.config.clone())
        {
            *current = Current {
                manager,
                number: number + 1,
            };
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an error may have come from connecting, and is none after which the manager connects anew.
/// An answer to a command is seldom of these kinds, and then all that it costs is a new connection.
fn may_be_stuck(error: &RedisError) -> bool {
    !matches!(error.kind(), ErrorKind::Io | ErrorKind::Extension)
        && !matches!(error.kind(), ErrorKind::Server(kind) if kind != ServerErrorKind::ResponseError)
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let (mut manager, number) = self.current();
            let answer = manager.send_packed_command(command).await;
            self.heard(&answer, number);
            answer
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let (mut manager, number) = self.current();
            let answer = manager.send_packed_commands(pipeline, offset, count).await;
            self.heard(&answer, number);
            answer
        })
    }

    fn get_db(&self) -> i64 {
        self.shared.client.get_connection_info().redis_settings().db()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_to_connect_is_told_from_what_passes_by_itself() {
        let refused = [
            ErrorKind::AuthenticationFailed,
            ServerErrorKind::ResponseError.into(),
        ];
        let passing = [
            ErrorKind::Io,
            ErrorKind::Extension,
            ServerErrorKind::NoScript.into(),
            ServerErrorKind::BusyLoading.into(),
        ];
        assert!(refused.into_iter().all(|kind| may_be_stuck(&(kind, "x").into())));
        assert!(!passing.into_iter().any(|kind| may_be_stuck(&(kind, "x").into())));
    }
}
