//! Tells how far an address reaches: this machine, this network, the Internet. From the text of the
//! address alone; nothing is resolved.
//!
//! The worker asks before it dials what remotes advertise and, by profile, before it accepts a connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use multiaddr::Protocol;

use crate::Multiaddr;

/// The reach of an address, from the nearest to the farthest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Scope {
    /// This machine. The unspecified addresses count as such: dialling 0.0.0.0 reaches ourselves.
    Loopback,
    /// This network segment (169.254/16, fe80::/10).
    LinkLocal,
    /// Beyond the segment, not the Internet: RFC 1918, CGNAT, ULA, and every range that is
    /// reserved, multicast or documentation.
    Private,
    /// The Internet.
    Public,
    /// Unknown until resolved: a DNS name, or an address without an IP part.
    Name,
}

/// Tells how far an address reaches, by its first IP address or name.
pub(crate) fn scope(addr: &Multiaddr) -> Scope {
    let first = addr.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(ip_scope(ip.into())),
        Protocol::Ip6(ip) => Some(ip_scope(ip.into())),
        Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) => {
            Some(name_scope(&name))
        }
        Protocol::Dnsaddr(_) => Some(Scope::Name),
        _ => None,
    });
    first.unwrap_or(Scope::Name)
}

/// Tells whether packets to `ip` are routed on the Internet.
pub(crate) fn is_public_ip(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn ip_scope(ip: IpAddr) -> Scope {
    let ip = ip.to_canonical();
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    if ip.is_loopback() || ip.is_unspecified() {
        Scope::Loopback
    } else if link_local {
        Scope::LinkLocal
    } else if is_public_ip(ip) {
        Scope::Public
    } else {
        Scope::Private
    }
}

/// Tells how far a name reaches. RFC 6761 keeps `localhost` for this machine.
fn name_scope(name: &str) -> Scope {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    if name == "localhost" || name.ends_with(".localhost") { Scope::Loopback } else { Scope::Name }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = match (a, b, c) {
        (0 | 127 | 224.., ..) => true, // this network, loopback, multicast and reserved
        (100, 64..128, _) => true,     // CGNAT
        (192, 0, 0) => true,           // protocol assignments
        (198, 18 | 19, _) => true,     // benchmarks
        _ => ip.is_private() || ip.is_link_local() || ip.is_documentation(),
    };
    !special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    match ip.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_public_v4(embedded(high, low)), // NAT64
        [0x2002, high, low, ..] => is_public_v4(embedded(high, low)),               // 6to4
        [0x2001, 0xdb8, ..] | [0x3fff, 0..0x1000, ..] => false,                     // documentation
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// Returns the IPv4 address in two segments of an IPv6 one.
fn embedded(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}
