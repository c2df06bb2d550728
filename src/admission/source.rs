//! The sources of connections: the addresses that one owner has for nothing count as one.

use std::net::{IpAddr, Ipv6Addr};

/// The source of a connection: an IPv4 address or an IPv6 /64. This machine is one, without a share:
/// whoever is on it could do worse than take places.
///
/// ```
/// use std::net::IpAddr;
/// use peerkit::admission::Source;
///
/// let source = |ip: &str| Source::from(ip.parse::<IpAddr>().unwrap());
/// assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
/// assert_eq!(source("2001:db8::1"), source("2001:db8::2"));
/// assert_eq!(source("127.0.0.1"), Source::Local);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// This machine.
    Local,
    /// An IPv4 address.
    V4([u8; 4]),
    /// The first 64 bits of an IPv6 address.
    V6([u16; 4]),
}

/// The network of a source: an IPv4 /24 or an IPv6 /48.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Prefix {
    /// The first 24 bits of an IPv4 address.
    V4([u8; 3]),
    /// The first 48 bits of an IPv6 address.
    V6([u16; 3]),
}

impl From<IpAddr> for Source {
    fn from(ip: IpAddr) -> Source {
        match ip.to_canonical() {
            ip if ip.is_loopback() => Source::Local,
            IpAddr::V4(ip) => Source::V4(ip.octets()),
            IpAddr::V6(ip) => Source::V6(first(ip)),
        }
    }
}

impl From<Option<IpAddr>> for Source {
    /// Takes one without an IP address, as of a pipe, to come from this machine.
    fn from(ip: Option<IpAddr>) -> Source {
        ip.map_or(Source::Local, Source::from)
    }
}

impl Source {
    /// Returns the network it is in; None of this machine.
    #[must_use]
    pub const fn prefix(self) -> Option<Prefix> {
        match self {
            Source::Local => None,
            Source::V4([a, b, c, _]) => Some(Prefix::V4([a, b, c])),
            Source::V6([a, b, c, _]) => Some(Prefix::V6([a, b, c])),
        }
    }
}

fn first(ip: Ipv6Addr) -> [u16; 4] {
    let [a, b, c, d, ..] = ip.segments();
    [a, b, c, d]
}
