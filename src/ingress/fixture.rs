//! What the tests of the ingress share.

use std::time::Duration;

use crate::config;

/// How long a test waits for an event that must come.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// All settings as delivered, whatever the environment says.
pub(super) fn config() -> config::Config {
    let defaults = include_str!("../../config/default.toml");
    ::config::Config::builder()
        .add_source(::config::File::from_str(defaults, ::config::FileFormat::Toml))
        .build()
        .unwrap()
        .try_deserialize()
        .unwrap()
}

/// `[ingress]` as delivered.
pub(super) fn settings() -> config::Ingress {
    config().ingress
}

pub(super) fn millis(count: u64) -> config::Millis {
    serde_json::from_value(count.into()).unwrap()
}

/// Waits for an event, but not for ever.
pub(super) async fn soon<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, event)
        .await
        .expect("the event came")
}
