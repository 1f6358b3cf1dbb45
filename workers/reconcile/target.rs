//! The sink that is asked, and whose sales it holds.

use std::collections::HashSet;

use super::{super::outbound::Door, Problem};
use crate::{
    config::{Config, ConfigError, SinkKeys},
    domain::{egress::Policy, sink},
    store::{Store, StoreError},
};

/// How a sink is asked, and about which tenants.
pub(super) struct Target {
    pub(super) endpoint: String,
    pub(super) keys: SinkKeys,
    pub(super) door: Door,
    /// The tenant whose sink it is; `None`: those without a sink of their own.
    own: Option<i64>,
    /// Tenants with a sink of their own.
    others: HashSet<i64>,
}

impl Target {
    /// The sink called `name`, in this environment.
    pub(super) async fn of(store: &Store, config: &Config, name: &str) -> Result<Self, Problem> {
        let settings = &config.forwarding;
        let timeout = config.reconcile.timeout_ms.duration();
        let policy = |private| Policy {
            allow: config.egress.allow.clone(),
            private,
        };
        let door = |private| Door::new(timeout, settings.connect_timeout_ms.duration(), policy(private));
        let setup = |error: ConfigError| Problem::Setup(error.to_string());
        let others = with_their_own(store, config).await?;
        if name == sink::DEFAULT {
            return Ok(Self {
                endpoint: settings.endpoint.clone(),
                keys: config.keys_of_settings().map_err(setup)?,
                door: door(settings.allow_private),
                own: None,
                others,
            });
        }
        let row = match store.sink_named(name).await {
            Ok(row) if row.environment == config.auth.environment => row,
            Ok(_) | Err(StoreError::Missing(_)) => return Err(Problem::NoSink),
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            keys: config.keys_of(&row).map_err(setup)?,
            door: Door {
                verify: row.settings.verify_ssl,
                ca: row.settings.ca.clone(),
                ..door(row.settings.allow_private)
            },
            endpoint: row.settings.endpoint,
            own: row.tenant_id,
            others,
        })
    }

    /// Whether the sales of a tenant go there now.
    pub(super) fn holds(&self, tenant_id: i64) -> bool {
        match self.own {
            Some(own) => own == tenant_id,
            None => !self.others.contains(&tenant_id),
        }
    }
}

async fn with_their_own(store: &Store, config: &Config) -> Result<HashSet<i64>, Problem> {
    let all = store.all_sinks(config.forwarding.most_sinks).await?;
    let here = all
        .iter()
        .filter(|row| row.environment == config.auth.environment);
    Ok(here.filter_map(|row| row.tenant_id).collect())
}
