//! Who is at the other end: the address of the peer.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use http::request::Parts;

use super::error::Error;

/// The address of the client, IPv4 in its plain form. Every request has it among its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientAddr(pub(super) IpAddr);

impl<S: Sync> FromRequestParts<S> for ClientAddr {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        parts.extensions.get::<Self>().copied().ok_or(Error::Internal)
    }
}
