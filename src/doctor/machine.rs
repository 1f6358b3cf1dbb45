//! This machine: its disk and the certificate on it.

use super::Finding;
use crate::{config::Config, domain::time::Timestamp, ingress, telemetry::host};

/// Free space below which it is bad, and very bad, in percent.
const DISK_WARN: u64 = 20;
const DISK_FAIL: u64 = 10;
/// Days before the end of a certificate.
const CERTIFICATE_DAYS: i64 = 14;
const DAY: i64 = 86_400;

pub(super) fn disk(config: &Config) -> Finding {
    let Some((free, size)) = host::disk(&config.fleet.data_dir) else {
        return Finding::warn("disk", "the free space cannot be told", "look at it by hand: df");
    };
    space(free, size)
}

fn space(free: u64, size: u64) -> Finding {
    let percent = free.saturating_mul(100).checked_div(size).unwrap_or(0);
    let found = format!("{percent} % free where fleet.data_dir is");
    let remedy = "carry old logs away, or take a larger disk";
    match percent {
        _ if percent < DISK_FAIL => Finding::fail("disk", found, remedy),
        _ if percent < DISK_WARN => Finding::warn("disk", found, remedy),
        _ => Finding::ok("disk", found),
    }
}

pub(super) fn certificate(config: &Config) -> Finding {
    match ingress::certificate_end(&config.ingress) {
        Ok(None) => Finding::ok("tls", "not used: a proxy on this machine must end TLS"),
        Ok(Some(end)) => expiry(i64::try_from(end).unwrap_or(i64::MAX)),
        Err(error) => Finding::fail(
            "tls",
            error.to_string(),
            "put a certificate and its key there that belong together",
        ),
    }
}

fn expiry(end: i64) -> Finding {
    let days = (end - Timestamp::now().as_micros() / 1_000_000).div_euclid(DAY);
    let found = format!("the certificate has {days} days left");
    if days < 0 {
        Finding::fail("tls", found, "renew it: tills refuse to connect")
    } else if days < CERTIFICATE_DAYS {
        Finding::warn("tls", found, "renew it in place; nothing has to be restarted")
    } else {
        Finding::ok("tls", found)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Verdict, *};

    #[test]
    fn little_space_and_little_time_are_told() {
        assert_eq!(space(50, 100).verdict, Verdict::Ok);
        assert_eq!(space(15, 100).verdict, Verdict::Warn);
        assert_eq!(space(5, 100).verdict, Verdict::Fail);
        assert_eq!(space(0, 0).verdict, Verdict::Fail);
        let now = Timestamp::now().as_micros() / 1_000_000;
        assert_eq!(expiry(now + 30 * DAY).verdict, Verdict::Ok);
        assert_eq!(expiry(now + 3 * DAY).verdict, Verdict::Warn);
        assert_eq!(expiry(now - 1).verdict, Verdict::Fail);
    }
}
