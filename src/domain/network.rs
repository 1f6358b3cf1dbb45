//! IP addresses and the networks they are in: what a list of trusted or allowed networks means.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de};

/// Most networks in one list; each request may be held against all of them.
const MOST_NETWORKS: usize = 64;

/// The part of an IPv6 address that a provider hands to one customer; the rest the customer chooses.
const CUSTOMER_BITS: u32 = 64;

/// An IPv4 address that came in an IPv6 one (`::ffff:192.0.2.1`), as the IPv4 address it is, so that
/// it meets the rules written for it.
#[must_use]
pub fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// What stands for the owner of `address` where owners are counted: an IPv4 address itself, and of an
/// IPv6 address the first 64 bits, for its owner may use all 2⁶⁴ that begin so.
#[must_use]
pub fn owner(address: IpAddr) -> IpAddr {
    match plain(address) {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let kept = u128::MAX << (128 - CUSTOMER_BITS);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & kept))
        }
    }
}

/// A list of networks, written `10.0.0.0/8, 192.0.2.7, fd00::/8`; an address alone is a network of
/// one. The empty list holds nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Whether `address` is in one of them.
    #[must_use]
    pub fn hold(&self, address: IpAddr) -> bool {
        let address = plain(address);
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether no address is in them.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A text is no list of networks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotNetworks {
    /// This piece is none.
    #[error("{0:?} is no network; write 192.0.2.0/24, 2001:db8::/32, or one address")]
    Piece(String),
    /// The address has bits set that the prefix leaves open, so one of the two is a slip.
    #[error("{0} has bits beyond its prefix; write {1} if that network is meant")]
    LooseBits(String, IpNet),
    /// An IPv4 network inside `::ffff:0:0/96`, which no address here ever is in.
    #[error("{0} is written for IPv4 inside IPv6; write the IPv4 network")]
    Mapped(String),
    /// More than fit.
    #[error("{0} networks; at most {MOST_NETWORKS} are possible")]
    TooMany(usize),
}

fn network(text: &str) -> Result<IpNet, NotNetworks> {
    let bad = || NotNetworks::Piece(text.to_owned());
    let network: IpNet = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse().map_err(|_| bad())?,
    };
    if network.addr() != plain(network.addr()) {
        return Err(NotNetworks::Mapped(text.to_owned()));
    }
    if network.trunc() != network {
        return Err(NotNetworks::LooseBits(text.to_owned(), network.trunc()));
    }
    Ok(network)
}

impl FromStr for Networks {
    type Err = NotNetworks;

    fn from_str(text: &str) -> Result<Self, NotNetworks> {
        let pieces = text
            .split(|c: char| c == ',' || c.is_ascii_whitespace())
            .filter(|piece| !piece.is_empty());
        let networks: Vec<IpNet> = pieces.map(network).collect::<Result<_, _>>()?;
        if networks.len() > MOST_NETWORKS {
            return Err(NotNetworks::TooMany(networks.len()));
        }
        Ok(Self(networks))
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, network) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            write!(f, "{separator}{network}")?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Networks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn networks(text: &str) -> Networks {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_in_a_network_by_its_first_bits() {
        let list = networks("10.0.0.0/8, 192.0.2.7\n2001:db8::/32 ::1");
        for inside in [
            "10.0.0.0",
            "10.255.255.255",
            "::ffff:10.1.2.3",
            "192.0.2.7",
            "2001:db8:ffff::1",
            "::1",
        ] {
            assert!(list.hold(ip(inside)), "{inside}");
        }
        for outside in [
            "11.0.0.0",
            "9.255.255.255",
            "192.0.2.8",
            "2001:db9::",
            "::2",
            "::a00:1",
        ] {
            assert!(!list.hold(ip(outside)), "{outside}");
        }
        assert_eq!(
            list.to_string(),
            "10.0.0.0/8, 192.0.2.7/32, 2001:db8::/32, ::1/128"
        );
        assert!(!networks("").hold(ip("127.0.0.1")) && networks(" , ").is_empty());
        assert!(networks("0.0.0.0/0").hold(ip("203.0.113.9")));
    }

    #[test]
    fn a_slip_is_told_and_not_guessed_at() {
        let told = |text: &str| text.parse::<Networks>().unwrap_err().to_string();
        assert!(told("10.0.0.1/8").contains("10.0.0.0/8"));
        assert!(told("10.0.0.0/8, mall.example").contains("mall.example"));
        assert!(told("10.0.0.0/33").contains("10.0.0.0/33"));
        assert!(told("10.0.0/8").contains("10.0.0/8"));
        assert!(told("::ffff:10.0.0.0/104").contains("IPv4"));
        assert!(told(&"10.0.0.0/8 ".repeat(65)).contains("65"));
    }

    #[test]
    fn an_owner_is_an_ipv4_address_or_64_bits_of_an_ipv6_one() {
        assert_eq!(owner(ip("192.0.2.7")), ip("192.0.2.7"));
        assert_eq!(owner(ip("::ffff:192.0.2.7")), ip("192.0.2.7"));
        assert_eq!(owner(ip("2001:db8:1:2:3:4:5:6")), ip("2001:db8:1:2::"));
        assert_ne!(
            owner(ip("2001:db8:1:2:3:4:5:6")),
            owner(ip("2001:db8:1:3:3:4:5:6"))
        );
    }

    proptest! {
        #[test]
        fn any_text_is_a_list_or_refused(text in "\\PC{0,80}|[0-9a-f:./, ]{0,80}") {
            if let Ok(list) = text.parse::<Networks>() {
                prop_assert_eq!(networks(&list.to_string()), list);
            }
        }
    }
}
