//! Where a load goes: to the ingresses that are ready, as a load balancer sends it.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// The ingresses that take requests at present. A clone is the same.
#[derive(Clone)]
pub(in crate::bench) struct Route(Arc<Inner>);

struct Inner {
    ready: Mutex<Vec<SocketAddr>>,
    turn: AtomicUsize,
}

impl From<SocketAddr> for Route {
    fn from(address: SocketAddr) -> Self {
        Self(Arc::new(Inner {
            ready: Mutex::new(vec![address]),
            turn: AtomicUsize::new(0),
        }))
    }
}

impl Route {
    /// Sends new connections to these from now on. With none of them it stays as it is: somebody must
    /// hear that there is none.
    pub(in crate::bench) fn set(&self, ready: Vec<SocketAddr>) {
        if !ready.is_empty() {
            *self.0.ready.lock().unwrap_or_else(PoisonError::into_inner) = ready;
        }
    }

    /// Where the next connection goes, in turn.
    pub(super) fn next(&self) -> Option<SocketAddr> {
        let ready = self.0.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = self.0.turn.fetch_add(1, Ordering::Relaxed);
        ready.get(turn % ready.len().max(1)).copied()
    }

    /// Whether `address` still takes requests.
    pub(super) fn serves(&self, address: SocketAddr) -> bool {
        let ready = self.0.ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.contains(&address)
    }
}
