//! Which addresses calls to the outside may reach. An address that others name (a callback, a sink) must not
//! lead into the private network, to this machine, or to the metadata service of a cloud.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

use super::network::Networks;

/// What kind of address it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Anybody's.
    Public,
    /// Of a private network or of this machine.
    Private,
    /// No web application's: metadata, link-local, multicast, unspecified, reserved, or a form that hides an
    /// address which is not public.
    Never,
}

/// Which addresses may be called.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// These, whatever they are.
    pub allow: Networks,
    /// Those of private networks and of this machine.
    pub private: bool,
}

impl Policy {
    /// Whether `address` may be called.
    #[must_use]
    pub fn permits(&self, address: IpAddr) -> bool {
        self.allow.hold(address)
            || match reach(address) {
                Reach::Public => true,
                Reach::Private => self.private,
                Reach::Never => false,
            }
    }
}

/// Metadata services of clouds that no other line catches; the usual one, 169.254.169.254, is link-local.
const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16)];
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// `(network, bits)` in which there is no web application (RFC 6890 and its registry).
const NEVER_V4: [(Ipv4Addr, u8); 10] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];
const PRIVATE_V4: [(Ipv4Addr, u8); 5] = [
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
];
/// Of the global unicast addresses, `2000::/3`, those that are for protocols and documentation.
const NEVER_V6: [(Ipv6Addr, u8); 3] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// What kind of address `address` is.
#[must_use]
pub fn reach(address: IpAddr) -> Reach {
    match address.to_canonical() {
        IpAddr::V4(address) => of_v4(address),
        IpAddr::V6(address) => of_v6(address),
    }
}

fn of_v4(address: Ipv4Addr) -> Reach {
    let within = |list: &[(Ipv4Addr, u8)]| {
        list.iter().any(|(network, bits)| {
            Ipv4Net::new(*network, *bits).is_ok_and(|network| network.contains(&address))
        })
    };
    if METADATA_V4.contains(&address) || within(&NEVER_V4) {
        Reach::Never
    } else if within(&PRIVATE_V4) {
        Reach::Private
    } else {
        Reach::Public
    }
}

fn of_v6(address: Ipv6Addr) -> Reach {
    let within =
        |network: Ipv6Addr, bits| Ipv6Net::new(network, bits).is_ok_and(|network| network.contains(&address));
    let parts = address.segments();
    let inner = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    // A translator sends it on to the IPv4 address inside; only a public one is meant.
    let through = |inner| match of_v4(inner) {
        Reach::Public => Reach::Public,
        Reach::Private | Reach::Never => Reach::Never,
    };
    match parts {
        _ if METADATA_V6.contains(&address) => Reach::Never,
        _ if address.is_loopback() || within(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7) => Reach::Private,
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => through(inner(high, low)),
        [0x2002, high, low, ..] => through(inner(high, low)),
        _ if NEVER_V6.iter().any(|(network, bits)| within(*network, *bits)) => Reach::Never,
        [first, ..] if first & 0xe000 == 0x2000 => Reach::Public,
        _ => Reach::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn every_form_of_an_address_is_seen_through() {
        for public in [
            "8.8.8.8",
            "172.32.0.1",
            "192.169.0.1",
            "100.63.255.255",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ] {
            assert_eq!(reach(ip(public)), Reach::Public, "{public}");
        }
        for private in [
            "127.0.0.1",
            "127.255.255.254",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "::1",
            "fd12:3456::1",
            "fc00::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
        ] {
            assert_eq!(reach(ip(private)), Reach::Private, "{private}");
        }
        for never in [
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::7f00:1",
            "::ffff:169.254.169.254",
            "::ffff:0:127.0.0.1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "fd00:ec2::254",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::808:808",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2001:0:808:808::1",
            "2001:db8::1",
            "100::1",
            "4000::1",
        ] {
            assert_eq!(reach(ip(never)), Reach::Never, "{never}");
        }
    }

    #[test]
    fn a_policy_lets_through_what_is_named_and_nothing_else() {
        let strict = Policy::default();
        let private = Policy {
            private: true,
            ..Policy::default()
        };
        let named = Policy {
            allow: "127.0.0.1, 169.254.169.254".parse().unwrap(),
            private: false,
        };
        let permits = |policy: &Policy| {
            ["8.8.8.8", "127.0.0.1", "127.0.0.2", "169.254.169.254"].map(|text| policy.permits(ip(text)))
        };
        assert_eq!(permits(&strict), [true, false, false, false]);
        assert_eq!(permits(&private), [true, true, true, false]);
        assert_eq!(permits(&named), [true, true, false, true]);
        assert!(named.permits(ip("::ffff:127.0.0.1")) && !named.permits(ip("64:ff9b::7f00:1")));
    }
}
