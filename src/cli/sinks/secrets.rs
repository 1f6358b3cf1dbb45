//! The part of `tsms sinks` about what signs, and about the key that seals.

use tsms::{
    config::Config,
    domain::webhook::Scheme,
    sinks::{self, Keep},
    store::Store,
};

use super::{
    super::{Failure, print},
    tell,
};

pub(super) async fn sign(
    store: &Store,
    config: &Config,
    id: i64,
    scheme: Scheme,
    json: bool,
) -> Result<(), Failure> {
    let (sink, made) = sinks::add_secret(store, config, id, scheme).await?;
    let name = match scheme {
        Scheme::Hmac => "secret",
        Scheme::Ed25519 => "public_key",
    };
    if json {
        let told = serde_json::json!({ "sink": sink.name, "scheme": scheme, name: made.given });
        return print::json(&told);
    }
    tell(&sink, &format!("signed for by {scheme} from now on"), false)?;
    Ok(print::line(format_args!("{name}: {}", made.given))?)
}

pub(super) async fn retire(store: &Store, config: &Config, id: i64, all: bool) -> Result<(), Failure> {
    let keep = if all { Keep::None } else { Keep::Newest };
    let sink = sinks::retire_secrets(store, config, id, keep).await?;
    let word = if all {
        "not signed for any more"
    } else {
        "signed for by its newest secrets alone"
    };
    tell(&sink, word, false)
}

pub(super) async fn reseal(store: &Store, config: &Config) -> Result<(), Failure> {
    let mut count = 0_u64;
    for sink in store.all_sinks(config.forwarding.most_sinks).await? {
        count += u64::from(sinks::reseal(store, config, sink.id).await?);
    }
    Ok(print::line(format_args!(
        "{count} sinks are sealed with the newest key"
    ))?)
}
