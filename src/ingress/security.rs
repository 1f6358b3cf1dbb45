//! Security events: seen on any path, logged once a while, counted, and written down behind.

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use axum::extract::FromRequestParts;
use http::request::Parts;

use super::{client_addr::ClientAddr, error::Error, request_id::RequestId};
use crate::{
    domain::{network, time::Timestamp},
    store::NewEvent,
    telemetry::metrics,
};

/// What happened; the word is stable, of metrics and of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// A bearer token of no known form, or of another environment.
    TokenMalformed,
    /// A well-formed token that does not exist.
    TokenUnknown,
    /// A token past its end.
    TokenExpired,
    /// A revoked token.
    TokenRevoked,
    /// A token that was replaced long ago: its family is revoked.
    TokenReuse,
    /// A token from outside of its networks.
    TokenNetwork,
    /// A good token of a terminal or tenant that is switched off.
    TerminalInactive,
    /// A token was to be refreshed though its successor is in use.
    RefreshReplaced,
    /// A wrong serial number or key.
    LoginFailed,
    /// A wrong enrolment code, or one for another serial number.
    EnrolmentFailed,
    /// An enrolment code a second time.
    EnrolmentReuse,
    /// The admin API from outside of `admin.allow`.
    AdminNetwork,
}

impl Kind {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Kind::TokenMalformed => "token_malformed",
            Kind::TokenUnknown => "token_unknown",
            Kind::TokenExpired => "token_expired",
            Kind::TokenRevoked => "token_revoked",
            Kind::TokenReuse => "token_reuse",
            Kind::TokenNetwork => "token_network",
            Kind::TerminalInactive => "terminal_inactive",
            Kind::RefreshReplaced => "refresh_replaced",
            Kind::LoginFailed => "login_failed",
            Kind::EnrolmentFailed => "enrolment_failed",
            Kind::EnrolmentReuse => "enrolment_reuse",
            Kind::AdminNetwork => "admin_network",
        }
    }
}

/// By whom or to whom it happened. Never a text that the client chose: there would be no end of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who {
    /// Whoever sits there; of an IPv6 address the network counts.
    Address(IpAddr),
    Token(i64),
    Family(i64),
    Terminal(i64),
    /// All that found no place.
    Other,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Address(address) => write!(f, "address:{}", network::owner(*address)),
            Who::Token(id) => write!(f, "token:{id}"),
            Who::Family(id) => write!(f, "family:{id}"),
            Who::Terminal(id) => write!(f, "terminal:{id}"),
            Who::Other => f.write_str("other"),
        }
    }
}

/// Where a request came from and what it is called: what an event tells beside its kind.
#[derive(Clone, Debug)]
pub(super) struct Trail {
    pub(super) client: IpAddr,
    pub(super) request_id: RequestId,
}

impl Trail {
    /// `None` where a request did not come through the layers of the ingress.
    pub(super) fn of(parts: &Parts) -> Option<Self> {
        Some(Self {
            client: parts.extensions.get::<ClientAddr>()?.0,
            request_id: parts.extensions.get::<RequestId>()?.clone(),
        })
    }

    pub(super) const fn address(&self) -> Who {
        Who::Address(self.client)
    }

    /// The event as it is written down.
    pub(super) fn event(&self, kind: Kind, who: Who) -> NewEvent {
        let now = Timestamp::now();
        NewEvent {
            kind: kind.word(),
            subject: who.to_string(),
            count: 1,
            first_at: now,
            last_at: now,
            address: self.client.to_string(),
            request_id: self.request_id.to_string(),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Trail {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        Self::of(parts).ok_or(Error::Internal)
    }
}

/// Events that wait to be written down, one for each kind and subject.
pub(super) struct SecurityLog {
    waiting: Mutex<HashMap<(&'static str, String), NewEvent>>,
    capacity: usize,
}

impl SecurityLog {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            capacity,
        }
    }

    /// Notes an event.
    pub(super) fn saw(&self, kind: Kind, who: Who, trail: &Trail) {
        metrics::security_event(kind.word());
        self.put(trail.event(kind, who));
    }

    /// Tells of an event that is in the record already.
    pub(super) fn announce(&self, event: &NewEvent) {
        metrics::security_event(event.kind);
        log(event);
    }

    /// Puts an event with its like. The first of its like is logged; a subject too many counts with others.
    pub(super) fn put(&self, mut event: NewEvent) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let full = waiting.len() >= self.capacity;
        if full && !waiting.contains_key(&(event.kind, event.subject.clone())) {
            event.subject = Who::Other.to_string();
        }
        let key = (event.kind, event.subject.clone());
        match waiting.get_mut(&key) {
            Some(known) => {
                known.count += event.count;
                known.first_at = known.first_at.min(event.first_at);
                if event.last_at >= known.last_at {
                    known.last_at = event.last_at;
                    known.address = event.address;
                    known.request_id = event.request_id;
                }
            }
            None => {
                log(&event);
                waiting.insert(key, event);
            }
        }
    }

    /// Takes out what waits.
    pub(super) fn take(&self) -> Vec<NewEvent> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *waiting).into_values().collect()
    }
}

fn log(event: &NewEvent) {
    let NewEvent {
        kind,
        subject,
        address,
        request_id,
        ..
    } = event;
    tracing::warn!(kind, subject, address, request_id, "security event");
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    fn trail(address: &str) -> Trail {
        Trail {
            client: address.parse().unwrap(),
            request_id: RequestId::of(&HeaderMap::new()),
        }
    }

    #[test]
    fn events_of_one_kind_and_subject_are_one_row() {
        let log = SecurityLog::new(10);
        for _ in 0..3 {
            let trail = trail("192.0.2.1");
            log.saw(Kind::TokenUnknown, trail.address(), &trail);
        }
        // A whole customer network of IPv6 is one subject.
        for address in ["2001:db8::1", "2001:db8::2"] {
            let trail = trail(address);
            log.saw(Kind::TokenUnknown, trail.address(), &trail);
        }
        let mut events = log.take();
        events.sort_by_key(|event| event.subject.clone());
        let counts: Vec<_> = events
            .iter()
            .map(|event| (event.subject.as_str(), event.count))
            .collect();
        assert_eq!(counts, [("address:192.0.2.1", 3), ("address:2001:db8::", 2)]);
        assert_eq!(events[1].address, "2001:db8::2", "the last one's");
        assert!(log.take().is_empty());
    }

    #[test]
    fn a_million_addresses_take_a_bounded_place() {
        let log = SecurityLog::new(4);
        for number in 0..1000_u32 {
            let trail = trail(&std::net::Ipv4Addr::from(number).to_string());
            log.saw(Kind::LoginFailed, trail.address(), &trail);
        }
        let events = log.take();
        assert_eq!(events.len(), 5);
        assert_eq!(events.iter().map(|event| event.count).sum::<i64>(), 1000);
        let other = events.iter().find(|event| event.subject == "other").unwrap();
        assert_eq!(other.count, 996);
    }
}
