//! What all calls to the outside share: the HTTP client, reading an answer within a bound, and
//! words for what can go wrong below HTTP.

mod guard;

use std::{sync::Arc, time::Duration};

use reqwest::{Certificate, RequestBuilder, Response, Url, redirect};

use super::SetupError;
use crate::domain::egress::Policy;
use guard::{Guard, Lookup, System};

pub(super) use guard::REFUSED;

/// How TSMS names itself.
const USER_AGENT: &str = concat!("tsms/", env!("CARGO_PKG_VERSION"));

/// How calls go out.
#[derive(Clone)]
pub(super) struct Door {
    /// Which addresses may be called.
    pub(super) policy: Policy,
    /// How names are looked up.
    pub(super) lookup: Arc<dyn Lookup>,
    /// How long a call may take, answer included.
    pub(super) timeout: Duration,
    /// How long to wait for a connection.
    pub(super) connect_timeout: Duration,
    /// Whether certificates are verified.
    pub(super) verify: bool,
    /// Certificates in PEM that are trusted besides those of the machine.
    pub(super) ca: Option<String>,
}

impl Door {
    pub(super) fn new(timeout: Duration, connect_timeout: Duration, policy: Policy) -> Self {
        Self {
            policy,
            lookup: Arc::new(System),
            timeout,
            connect_timeout,
            verify: true,
            ca: None,
        }
    }

    /// A client that calls nothing but permitted addresses, follows no redirect (a redirected POST would lose
    /// its body or its bearer token's meaning), asks no proxy of the environment (it would look names up by
    /// itself), and gives up after the time limit.
    pub(super) fn client(&self) -> Result<Outside, SetupError> {
        let cannot = |error: reqwest::Error| SetupError(format!("HTTP client: {error}"));
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            let installed = rustls::crypto::ring::default_provider().install_default();
            if installed.is_err() {
                tracing::debug!("another part of the process chose the TLS provider meanwhile");
            }
        }
        let extra = match &self.ca {
            Some(pem) => Certificate::from_pem_bundle(pem.as_bytes()).map_err(cannot)?,
            None => Vec::new(),
        };
        let guard = Guard::new(self.policy.clone(), Arc::clone(&self.lookup));
        let settings = || {
            reqwest::Client::builder()
                .user_agent(USER_AGENT)
                .redirect(redirect::Policy::none())
                .no_proxy()
                .dns_resolver(Arc::new(guard.clone()))
                .timeout(self.timeout)
                .connect_timeout(self.connect_timeout)
                .tls_danger_accept_invalid_certs(!self.verify)
        };
        let merged = settings().tls_certs_merge(extra.clone()).build();
        let client = merged.or_else(|error| {
            // A machine without root certificates can still send over plain HTTP to itself.
            tracing::warn!(%error, "no root certificates: only those that are given are trusted");
            settings().tls_certs_only(extra).build().map_err(cannot)
        })?;
        Ok(Outside { client, guard })
    }
}

/// The outside, as far as it may be called; cheap to clone.
#[derive(Clone)]
pub(super) struct Outside {
    client: reqwest::Client,
    guard: Guard,
}

impl Outside {
    /// A POST to be filled and sent, or [`REFUSED`] where the URL names an address that may not be called.
    pub(super) fn post(&self, url: Url) -> Result<RequestBuilder, &'static str> {
        match self.guard.check(&url) {
            Ok(()) => Ok(self.client.post(url)),
            Err(error) => {
                tracing::warn!(%error, "a call was not made");
                Err(REFUSED)
            }
        }
    }
}

/// An `http` or `https` address.
pub(super) fn web_address(text: &str) -> Option<Url> {
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// An answer's body, as far as it may be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    /// There is more than the bound allows.
    pub(super) cut: bool,
}

/// Reads an answer's body up to `limit` bytes.
pub(super) async fn body(answer: &mut Response, limit: usize) -> Result<Body, reqwest::Error> {
    let mut body = Body::default();
    while let Some(chunk) = answer.chunk().await? {
        let room = limit.saturating_sub(body.bytes.len());
        body.bytes.extend(chunk.iter().take(room));
        if chunk.len() > room {
            body.cut = true;
            break;
        }
    }
    Ok(body)
}

/// The fixed word for a call that got no whole answer.
pub(super) fn failure(error: &reqwest::Error) -> &'static str {
    if guard::refused(error) {
        REFUSED
    } else if error.is_timeout() {
        "timeout"
    } else if error.is_connect() {
        "connect"
    } else {
        "network"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_web_addresses_are_called() {
        for good in ["http://127.0.0.1:8090/x", "https://example.com"] {
            assert!(web_address(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "ftp://example.com/",
            "file:///etc/passwd",
            "/path",
            "javascript:alert(1)",
            "http://",
        ] {
            assert!(web_address(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_client_can_be_built_twice() {
        for _ in 0..2 {
            Door::new(Duration::from_secs(1), Duration::from_secs(1), Policy::default())
                .client()
                .unwrap();
        }
    }
}
