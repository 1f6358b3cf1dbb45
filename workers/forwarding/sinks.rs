//! Where the sales of each tenant go: its own sink, or the one for all, or the one of the settings. Sinks are
//! rows that people change while workers run; what is known of them is at most
//! `forwarding.sinks_refresh_ms` old whenever something is sent.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Instant,
};

use tokio::sync::Mutex;

use super::{super::SetupError, webapp::WebApp};
use crate::{
    config::{Config, SinkKeys},
    domain::sink::Sink,
    store::{Store, StoreError},
};

/// The sinks of this environment; cheap to clone, all clones know the same.
#[derive(Clone)]
pub struct Sinks(Arc<Inner>);

struct Inner {
    store: Store,
    config: Arc<Config>,
    /// The sink of the settings, if there is an endpoint.
    default: Option<Arc<WebApp>>,
    known: RwLock<Known>,
    /// Held by whoever reads the rows.
    reading: Mutex<()>,
}

/// What was last read; nothing until the record was read once.
#[derive(Default)]
struct Known {
    routes: Option<Arc<Routes>>,
    epoch: i64,
    at: Option<Instant>,
}

/// The sink of each tenant.
#[derive(Default)]
pub(super) struct Routes {
    own: HashMap<i64, Arc<WebApp>>,
    /// For tenants without one of their own.
    rest: Option<Arc<WebApp>>,
}

impl Routes {
    /// The sink that takes the sales of a tenant, or why nothing of it is sent now.
    pub(super) fn of(&self, tenant_id: i64) -> Result<&Arc<WebApp>, &'static str> {
        let sink = self.own.get(&tenant_id).or(self.rest.as_ref());
        let sink = sink.ok_or("no_sink")?;
        sink.ready().map(|()| sink)
    }

    /// Whether one sink takes everything.
    pub(super) fn is_lone(&self) -> bool {
        self.own.is_empty()
    }

    fn each(&self) -> impl Iterator<Item = &Arc<WebApp>> {
        self.own.values().chain(&self.rest)
    }
}

impl Sinks {
    pub(in super::super) fn new(store: Store, config: Arc<Config>) -> Result<Self, SetupError> {
        let default = WebApp::of_settings(&config)?.map(Arc::new);
        Ok(Self(Arc::new(Inner {
            store,
            config,
            default,
            known: RwLock::default(),
            reading: Mutex::default(),
        })))
    }

    /// Where sales go now. While the record cannot be read, where they went last.
    ///
    /// # Errors
    /// The record was never read and cannot be reached: nobody knows where anything goes.
    pub(super) async fn routes(&self) -> Result<Arc<Routes>, StoreError> {
        let (known, fresh) = self.known();
        let reading = match known {
            Some(known) if fresh => return Ok(known),
            // One reads, the others go on with what was known a moment ago.
            Some(known) => match self.0.reading.try_lock() {
                Ok(reading) => reading,
                Err(_) => return Ok(known),
            },
            None => self.0.reading.lock().await,
        };
        let (known, fresh) = self.known();
        if let Some(known) = known.clone().filter(|_| fresh) {
            return Ok(known);
        }
        let read = self.read().await;
        drop(reading);
        match (read, known) {
            (Ok(routes), _) => Ok(routes),
            (Err(error), Some(known)) => {
                tracing::warn!(%error, "cannot look whether sinks were changed; they stay as they are");
                Ok(known)
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Whether the sales of a tenant still go to `sink`.
    pub(super) async fn still(&self, tenant_id: i64, sink: &Arc<WebApp>) -> bool {
        match self.routes().await {
            Ok(routes) => routes.of(tenant_id).is_ok_and(|now| Arc::ptr_eq(now, sink)),
            Err(_) => false,
        }
    }

    fn known(&self) -> (Option<Arc<Routes>>, bool) {
        let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner);
        let refresh = self.0.config.forwarding.sinks_refresh_ms.duration();
        let fresh = known.at.is_some_and(|at| at.elapsed() < refresh);
        (known.routes.clone(), fresh)
    }

    /// Reads the rows if they changed. The epoch comes first: a change between the two reads is read again.
    async fn read(&self) -> Result<Arc<Routes>, StoreError> {
        let at = Instant::now();
        let epoch = self.0.store.sinks_epoch().await?;
        let before = {
            let mut known = self.0.known.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(routes) = known.routes.clone().filter(|_| known.epoch == epoch) {
                known.at = Some(at);
                return Ok(routes);
            }
            known.routes.clone().unwrap_or_default()
        };
        let routes = Arc::new(match self.rows().await? {
            Some(rows) => self.routed(&before, &rows),
            // With part of them, sales of the others would go where they do not belong.
            None => Routes::default(),
        });
        let mut known = self.0.known.write().unwrap_or_else(PoisonError::into_inner);
        *known = Known {
            routes: Some(Arc::clone(&routes)),
            epoch,
            at: Some(at),
        };
        Ok(routes)
    }

    /// Every row; `None` when there are more than may be.
    async fn rows(&self) -> Result<Option<Vec<Sink>>, StoreError> {
        let most = self.0.config.forwarding.most_sinks;
        let rows = self.0.store.all_sinks(most).await?;
        if rows.len() > most {
            tracing::error!(
                most,
                "there are more sinks than forwarding.most_sinks: nothing is sent"
            );
            return Ok(None);
        }
        Ok(Some(rows))
    }

    fn routed(&self, before: &Routes, rows: &[Sink]) -> Routes {
        let environment = &self.0.config.auth.environment;
        let mut routes = Routes {
            own: HashMap::new(),
            rest: self.0.default.clone(),
        };
        for row in rows.iter().filter(|row| row.environment == *environment) {
            let old = before.each().find(|old| old.name() == row.name);
            let sink = match old {
                Some(old) if old.is(row) => Arc::clone(old),
                old => Arc::new(WebApp::of_row(row, self.keys(row), &self.0.config, old)),
            };
            match row.tenant_id {
                Some(tenant) => {
                    routes.own.insert(tenant, sink);
                }
                None => routes.rest = Some(sink),
            }
        }
        tracing::info!(own = routes.own.len(), "sinks were read");
        routes
    }

    /// The secrets of a sink. One that cannot be opened keeps the sink from being used: without them it
    /// would refuse everything.
    fn keys(&self, row: &Sink) -> Option<SinkKeys> {
        let keys = self.0.config.keys_of(row);
        keys.map_err(|error| {
            tracing::error!(
                sink = row.name,
                %error,
                "the secrets of a sink cannot be opened; its sales wait"
            );
        })
        .ok()
    }
}
