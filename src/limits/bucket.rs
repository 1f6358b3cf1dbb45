//! What is limited: buckets, each a class and who is counted in it.

use std::{fmt, net::IpAddr};

use sha2::{Digest, Sha256};

/// A kind of limit. Each has a policy of its own in `[limits.<name>]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Requests of one terminal.
    Terminal,
    /// Requests of all terminals of one tenant.
    Tenant,
    /// Requests of everybody.
    Global,
    /// Tries at the auth endpoints from one address.
    AuthAddress,
    /// Tries at the auth endpoints for one serial number.
    AuthSerial,
    /// Calls of one token to the endpoints that steer breakers and queues.
    Control,
}

impl Class {
    /// Every class.
    pub const ALL: [Class; 6] = [
        Class::Terminal,
        Class::Tenant,
        Class::Global,
        Class::AuthAddress,
        Class::AuthSerial,
        Class::Control,
    ];

    /// The stable name: part of the key, metric label, name of the policy in headers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Class::Terminal => "terminal",
            Class::Tenant => "tenant",
            Class::Global => "global",
            Class::AuthAddress => "auth_address",
            Class::AuthSerial => "auth_serial",
            Class::Control => "control",
        }
    }

    /// Whether its buckets are named by people who are not known yet, who may invent as many as they
    /// like.
    pub(super) const fn is_strange(self) -> bool {
        matches!(self, Class::AuthAddress | Class::AuthSerial)
    }
}

/// What requests are counted in. Made from what the ingress knows of a caller, never from what a
/// caller says of himself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bucket {
    /// Which limit.
    pub class: Class,
    /// Whose, where that is known; else 0.
    pub tenant: i64,
    pub(super) id: u128,
}

impl Bucket {
    /// The requests of a terminal.
    #[must_use]
    pub fn terminal(tenant: i64, terminal: i64) -> Self {
        Self::new(Class::Terminal, tenant, wide(terminal))
    }

    /// The requests of a tenant.
    #[must_use]
    pub fn tenant(tenant: i64) -> Self {
        Self::new(Class::Tenant, tenant, wide(tenant))
    }

    /// All requests.
    #[must_use]
    pub fn global() -> Self {
        Self::new(Class::Global, 0, 0)
    }

    /// Tries at the auth endpoints from `address`. Of an IPv6 address the first 64 bits count: whoever
    /// has one such address has all of them.
    #[must_use]
    pub fn auth_address(address: IpAddr) -> Self {
        Self::new(Class::AuthAddress, 0, network(address))
    }

    /// Tries at the auth endpoints for a serial number, which may be any text.
    #[must_use]
    pub fn auth_serial(serial: &str) -> Self {
        let digest: [u8; 32] = Sha256::digest(serial.as_bytes()).into();
        let (first, _) = digest.split_at(16);
        let id = first.iter().fold(0, |id, byte| id << 8 | u128::from(*byte));
        Self::new(Class::AuthSerial, 0, id)
    }

    /// Calls of a token to the endpoints that steer breakers and queues.
    #[must_use]
    pub fn control(token: i64) -> Self {
        Self::new(Class::Control, 0, wide(token))
    }

    /// The one for all others of a class, when no more can be told apart.
    #[must_use]
    pub fn others(class: Class) -> Self {
        Self::new(class, 0, u128::MAX)
    }

    fn new(class: Class, tenant: i64, id: u128) -> Self {
        Self { class, tenant, id }
    }

    /// Who it is, as a person writes it: a row id, an address, or a part of the digest of a serial
    /// number.
    #[must_use]
    pub fn identifier(&self) -> String {
        match self.class {
            _ if *self == Self::others(self.class) => "others".to_owned(),
            Class::Global => "all".to_owned(),
            Class::AuthAddress => address(self.id),
            Class::AuthSerial => format!("sha256-{:032x}", self.id),
            Class::Terminal | Class::Tenant | Class::Control => self.id.to_string(),
        }
    }
}

/// `{type}:{tenant}:{identifier}`.
impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.class.name(), self.tenant, self.identifier())
    }
}

/// Row ids are never negative.
fn wide(id: i64) -> u128 {
    u128::from(id.unsigned_abs())
}

/// An IPv4 address in the form of IPv6; of a real IPv6 address the network.
fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_ipv6_mapped()),
        IpAddr::V6(address) => u128::from(address) >> 64 << 64,
    }
}

fn address(id: u128) -> String {
    let address = std::net::Ipv6Addr::from(id);
    match IpAddr::from(address).to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("{address}/64"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_read_as_their_keys() {
        let from = |text: &str| Bucket::auth_address(text.parse().unwrap()).to_string();
        assert_eq!(Bucket::terminal(3, 7).to_string(), "terminal:3:7");
        assert_eq!(Bucket::tenant(3).to_string(), "tenant:3:3");
        assert_eq!(Bucket::global().to_string(), "global:0:all");
        assert_eq!(Bucket::control(9).to_string(), "control:0:9");
        assert_eq!(from("192.0.2.1"), "auth_address:0:192.0.2.1");
        assert_eq!(from("::ffff:192.0.2.1"), from("192.0.2.1"));
        assert_eq!(from("2001:db8::1"), "auth_address:0:2001:db8::/64");
        assert_eq!(from("2001:db8::2"), from("2001:db8::1"));
        assert_ne!(from("2001:db8:0:1::1"), from("2001:db8::1"));
        let serial = Bucket::auth_serial("S-1\r\nSET x 1").to_string();
        assert!(serial.starts_with("auth_serial:0:sha256-") && !serial.contains('\r'));
        assert_eq!(Bucket::others(Class::AuthSerial).identifier(), "others");
    }
}
