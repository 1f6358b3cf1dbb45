//! `tsms terminal enrol` and `tsms terminal key`: how a till gets its token by itself.

use std::time::Duration;

use serde_json::json;
use tsms::domain::time::Timestamp;

use super::{
    Failure, Setup,
    directory::{find_tenant, find_terminal},
    print,
};

/// Shortest key that is taken from a person.
const SHORTEST_KEY: usize = 16;

/// Makes a code with which one till registers itself, and prints it, this once.
pub(super) async fn enrol(
    setup: &Setup,
    tenant: &str,
    serial: &str,
    hours: Option<u32>,
    json: bool,
) -> Result<(), Failure> {
    let store = setup.store().await?;
    let tenant = find_tenant(&store, tenant).await?;
    let usual = setup.config()?.auth.enrolment_ttl_ms.duration();
    let lasts = hours.map_or(usual, |hours| Duration::from_secs(u64::from(hours) * 3600));
    let credentials = setup.credentials(store)?;
    let (code, end): (String, Timestamp) = credentials.enrol(tenant.id, serial, lasts).await?;
    if json {
        return print::json(&json!({
            "enrolment_code": code,
            "tenant_id": tenant.id,
            "serial_number": serial,
            "expires_at": end,
        }));
    }
    Ok(print::line(format_args!(
        "enrolment code for {serial} of {}, good once and until {}, shown this once:\n{code}",
        tenant.code,
        end.to_rfc3339(0)
    ))?)
}

/// Sets the key with which a till of the old kind logs in: the one on standard input, or a new one.
pub(super) async fn key(setup: &Setup, terminal: &str, read: bool, json: bool) -> Result<(), Failure> {
    let store = setup.store().await?;
    let terminal = find_terminal(&store, terminal).await?;
    let given = if read {
        let text = std::io::read_to_string(std::io::stdin().lock())?;
        let text = text.trim_end_matches(['\r', '\n']).to_owned();
        if text.chars().count() < SHORTEST_KEY {
            return Err(Failure::usage(format!(
                "a key has at least {SHORTEST_KEY} characters"
            )));
        }
        Some(text)
    } else {
        None
    };
    let key = setup.credentials(store)?.set_key(&terminal, given).await?;
    let serial = &terminal.serial_number;
    if json {
        return print::json(&json!({ "serial_number": serial, "api_key": key }));
    }
    if read {
        return Ok(print::line(format_args!(
            "terminal {serial} logs in with the key given"
        ))?);
    }
    Ok(print::line(format_args!(
        "key of terminal {serial}, shown this once:\n{key}"
    ))?)
}
