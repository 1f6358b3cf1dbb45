//! Who is at the other end: the address of the peer or, where the peer is one of our own proxies, the
//! last address that a proxy of ours has seen.
//!
//! A client may write what it likes into a header, so a header is believed only as far as our own
//! proxies wrote it: from the right, each hop vouches for the one before it while it is itself
//! trusted. Only the one header that the proxies are known to write is read; the other kind would
//! pass through them untouched.

use std::net::{IpAddr, SocketAddr};

use axum::extract::FromRequestParts;
use http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};

use super::error::Error;
use crate::{
    config::{Ingress, ProxyHeader},
    domain::network::{self, Networks},
};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Most hops that are followed back; nobody has a longer chain of proxies of their own.
const MOST_HOPS: usize = 16;

/// The address of the client, IPv4 in its plain form. Every request has it among its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientAddr(pub(super) IpAddr);

impl<S: Sync> FromRequestParts<S> for ClientAddr {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        parts.extensions.get::<Self>().copied().ok_or(Error::Internal)
    }
}

/// The proxies that are ours, and the header they write.
#[derive(Clone, Debug)]
pub(super) struct Proxies {
    trusted: Networks,
    header: ProxyHeader,
}

impl Proxies {
    pub(super) fn new(settings: &Ingress) -> Self {
        Self {
            trusted: settings.trusted_proxies.clone(),
            header: settings.proxy_header,
        }
    }

    /// Whether `peer` is one of them.
    pub(super) fn are_ours(&self, peer: IpAddr) -> bool {
        self.trusted.hold(peer)
    }

    /// The client behind `peer`.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddr {
        let peer = network::plain(peer);
        if !self.trusted.hold(peer) {
            return ClientAddr(peer);
        }
        match self.header {
            ProxyHeader::XForwardedFor => {
                let hops = pieces(headers, &X_FORWARDED_FOR).map(address);
                self.last_untrusted(peer, hops)
            }
            ProxyHeader::Forwarded => {
                let hops = pieces(headers, &header::FORWARDED).map(node);
                self.last_untrusted(peer, hops)
            }
        }
    }

    /// Follows `hops` (the last first) back from `peer`. A hop that is no address ends the walk: what
    /// stands before it was vouched for by nobody.
    fn last_untrusted(&self, peer: IpAddr, hops: impl Iterator<Item = Option<IpAddr>>) -> ClientAddr {
        let mut client = peer;
        for hop in hops.take(MOST_HOPS) {
            let Some(hop) = hop else { break };
            client = hop;
            if !self.trusted.hold(hop) {
                break;
            }
        }
        ClientAddr(client)
    }
}

/// The elements of a list header, the last one first, over all its lines. Split by bytes: what a
/// client wrote at the left must not spoil what a proxy of ours appended at the right.
fn pieces<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> + use<'a> {
    let lines: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    let split = |line: &'a [u8]| line.rsplit(|byte| *byte == b',');
    lines
        .into_iter()
        .rev()
        .flat_map(split)
        .map(|piece| std::str::from_utf8(piece).unwrap_or_default().trim())
}

/// An address with or without a port: `192.0.2.7`, `192.0.2.7:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let address = text
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|whole| whole.ip()))
        .ok()
        .or_else(bracketed)?;
    Some(network::plain(address))
}

/// The address in `for=` of one element of `Forwarded` (RFC 7239). No address holds a comma or a
/// semicolon, so an element whose quotes hold one says nothing to us.
fn node(element: &str) -> Option<IpAddr> {
    let mut found = None;
    for pair in element.split(';') {
        let (name, value) = pair.split_once('=')?;
        if name.trim().eq_ignore_ascii_case("for") {
            if found.is_some() {
                return None;
            }
            let value = value.trim();
            let bare = match value.strip_prefix('"') {
                Some(open) => open.strip_suffix('"')?,
                None => value,
            };
            found = Some(address(bare)?);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn proxies(trusted: &str, header: ProxyHeader) -> Proxies {
        Proxies {
            trusted: trusted.parse().unwrap(),
            header,
        }
    }

    fn headers(name: &'static str, lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        headers
    }

    fn by_x(trusted: &str, peer: &str, lines: &[&str]) -> String {
        let headers = headers("x-forwarded-for", lines);
        let proxies = proxies(trusted, ProxyHeader::XForwardedFor);
        proxies.client(peer.parse().unwrap(), &headers).0.to_string()
    }

    fn by_forwarded(line: &str) -> String {
        let headers = headers("forwarded", &[line]);
        let proxies = proxies("10.0.0.0/8", ProxyHeader::Forwarded);
        proxies.client([10, 0, 0, 1].into(), &headers).0.to_string()
    }

    #[test]
    fn a_stranger_is_taken_at_its_address_whatever_it_writes() {
        for trusted in ["", "10.0.0.0/8"] {
            assert_eq!(by_x(trusted, "203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
            assert_eq!(by_x(trusted, "::ffff:203.0.113.9", &["10.0.0.1"]), "203.0.113.9");
        }
    }

    #[test]
    fn behind_our_proxies_the_last_address_they_saw_counts() {
        let seen = |lines: &[&str]| by_x("10.0.0.0/8, fd00::/8", "10.0.0.1", lines);
        assert_eq!(seen(&["198.51.100.1"]), "198.51.100.1");
        assert_eq!(seen(&["198.51.100.1, 10.0.0.2, fd00::3"]), "198.51.100.1");
        assert_eq!(seen(&["198.51.100.1", "10.0.0.2"]), "198.51.100.1");
        assert_eq!(seen(&["198.51.100.1:4711"]), "198.51.100.1");
        assert_eq!(seen(&["[2001:db8::7]:80"]), "2001:db8::7");
        assert_eq!(seen(&["[2001:db8::7]"]), "2001:db8::7");
        assert_eq!(seen(&["2001:db8::7"]), "2001:db8::7");
        assert_eq!(seen(&["::ffff:198.51.100.1"]), "198.51.100.1");
        // A client of our own network, and a proxy that says nothing.
        assert_eq!(seen(&["10.9.9.9"]), "10.9.9.9");
        assert_eq!(seen(&[]), "10.0.0.1");
    }

    #[test]
    fn what_a_client_wrote_itself_is_not_reached() {
        let seen = |lines: &[&str]| by_x("10.0.0.0/8", "10.0.0.1", lines);
        // The client wrote 127.0.0.1 and even a proxy of ours; our proxy appended where it came from.
        assert_eq!(seen(&["127.0.0.1, 10.0.0.7, 198.51.100.1"]), "198.51.100.1");
        assert_eq!(seen(&["127.0.0.1", "10.0.0.7, 198.51.100.1"]), "198.51.100.1");
        // Garbage ends the walk at the hop that wrote it.
        for garbage in [
            "unknown",
            "",
            "_hidden",
            "1.2.3",
            "198.51.100.1 x",
            "999.1.1.1",
            "é",
        ] {
            assert_eq!(
                seen(&[&format!("127.0.0.1, {garbage}, 10.0.0.2")]),
                "10.0.0.2",
                "{garbage}"
            );
        }
        let forwarded = headers("forwarded", &["for=127.0.0.1"]);
        let proxies = proxies("10.0.0.0/8", ProxyHeader::XForwardedFor);
        let client = proxies.client([10, 0, 0, 1].into(), &forwarded);
        assert_eq!(
            client.0.to_string(),
            "10.0.0.1",
            "the proxies do not write this header"
        );
    }

    #[test]
    fn a_chain_without_an_end_is_followed_only_so_far() {
        let long = (0..1000)
            .map(|n| format!("10.{}.{}.1", n / 250, n % 250))
            .collect::<Vec<_>>()
            .join(", ");
        assert_eq!(by_x("10.0.0.0/8", "10.0.0.1", &[&long]), "10.3.234.1");
    }

    #[test]
    fn the_standard_header_is_read_by_its_own_grammar() {
        assert_eq!(by_forwarded("for=198.51.100.1"), "198.51.100.1");
        assert_eq!(
            by_forwarded("for=127.0.0.1, For=\"198.51.100.1:80\";proto=https;by=10.0.0.1"),
            "198.51.100.1"
        );
        assert_eq!(by_forwarded("proto=http;for=\"[2001:db8::7]:80\""), "2001:db8::7");
        assert_eq!(by_forwarded("for=198.51.100.1, for=10.0.0.2"), "198.51.100.1");
        for nothing in [
            "for=unknown",
            "for=_x",
            "proto=https",
            "for=\"198.51.100.1",
            "for=198.51.100.1;for=127.0.0.1",
            "for=127.0.0.1, for=\"a,b\"",
            "",
        ] {
            assert_eq!(by_forwarded(nothing), "10.0.0.1", "{nothing}");
        }
    }

    proptest! {
        /// The client is the peer unless a proxy of ours vouches for more, whatever stands in the header.
        #[test]
        fn any_header_leaves_a_stranger_where_it_is(line in proptest::collection::vec(32_u8..127, 0..200)) {
            let line = String::from_utf8(line).unwrap();
            prop_assert_eq!(by_x("10.0.0.0/8", "203.0.113.9", &[&line]), "203.0.113.9");
            let spoofed = format!("{line}, 198.51.100.1");
            prop_assert_eq!(by_x("10.0.0.0/8", "10.0.0.1", &[&spoofed]), "198.51.100.1");
            let spoofed = format!("{line}, for=198.51.100.1");
            prop_assert_eq!(by_forwarded(&spoofed), "198.51.100.1");
        }
    }
}
