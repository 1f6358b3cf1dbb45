//! Settings of how clients reach the ingress that are more than a number.

use serde::Deserialize;

use crate::domain::network::Networks;

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[serde(rename = "1.2")]
    V12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V13,
}

/// The header in which proxies tell where a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyHeader {
    /// `X-Forwarded-For`: addresses, each proxy appends one.
    XForwardedFor,
    /// `Forwarded` of RFC 7239.
    Forwarded,
}

/// `[admin]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// Networks from which the routes under `/api/v1/admin` may be used.
    pub allow: Networks,
}
