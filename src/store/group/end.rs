//! The end of a group, for everybody who waits for it.

use std::{
    io,
    sync::{Arc, OnceLock},
};

use tokio::sync::Notify;

/// How the commit of a group ended.
#[derive(Default)]
pub(super) struct End {
    result: OnceLock<Result<(), Arc<str>>>,
    told: Notify,
}

impl End {
    pub(super) fn set(&self, result: Result<(), Arc<str>>) {
        // Set once: whoever ends a group takes it out of the state.
        if self.result.set(result).is_ok() {
            self.told.notify_waiters();
        }
    }

    pub(super) async fn wait(&self) -> Result<(), sqlx::Error> {
        loop {
            let told = self.told.notified();
            if let Some(result) = self.result.get() {
                return result.clone().map_err(|reason| broken(&reason));
            }
            told.await;
        }
    }
}

fn broken(reason: &str) -> sqlx::Error {
    sqlx::Error::Io(io::Error::other(format!("the commit failed: {reason}")))
}
