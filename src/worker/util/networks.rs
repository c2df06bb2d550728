//! The networks that this machine is on, as far as it can tell by itself: the addresses of its interfaces, and
//! those that packets into the world would leave from, which tell of a route that came while the addresses
//! stayed. Nothing is sent for that.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::interfaces;

/// Addresses for documentation (RFC 5737, RFC 3849): there, only a route into the world leads.
const FAR_4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const FAR_6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
/// The port doesn't matter (discard).
const PORT: u16 = 9;

/// The networks at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Networks {
    addresses: BTreeSet<IpAddr>,
    leaving: [Option<IpAddr>; 2],
}

impl Networks {
    /// Looks which networks there are now. Where a sandbox keeps the interfaces from us, the routes are enough.
    pub(crate) fn now() -> Self {
        let interfaces = interfaces::addresses().unwrap_or_default();
        let addresses = interfaces.into_iter().map(|interface| interface.ip);
        Networks {
            addresses: addresses.filter(|ip| !is_everywhere(ip)).collect(),
            leaving: [FAR_4, FAR_6].map(leaves_from),
        }
    }

    /// Tells whether there is a network that wasn't there before.
    pub(crate) fn has_more_than(&self, before: &Networks) -> bool {
        let leaving = self.leaving.iter().zip(before.leaving);
        let by_address = self.addresses.difference(&before.addresses).next().is_some();
        by_address || leaving.into_iter().any(|(now, before)| now.is_some() && *now != before)
    }
}

/// Tells whether an address says nothing of a network: every container that starts brings a link-local one.
fn is_everywhere(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local(),
    }
}

/// Returns the address that packets to `far` leave from; None without a route there. To connect a socket of UDP
/// is to ask for the route.
fn leaves_from(far: IpAddr) -> Option<IpAddr> {
    let any = match far {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(SocketAddr::new(far, PORT)).ok()?;
    socket.local_addr().ok().map(|local| local.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(addresses: &[[u8; 4]], leaving: Option<[u8; 4]>) -> Networks {
        let addresses = addresses.iter().map(|ip| IpAddr::from(*ip)).collect();
        Networks { addresses, leaving: [leaving.map(IpAddr::from), None] }
    }

    #[test]
    fn an_address_or_a_route_that_came_is_a_network_and_one_that_went_is_none() {
        let (home, vpn) = ([192, 168, 1, 5], [10, 8, 0, 2]);
        let before = networks(&[home], Some(home));
        assert!(!before.has_more_than(&before));
        assert!(networks(&[home, vpn], Some(home)).has_more_than(&before));
        assert!(networks(&[home, vpn], Some(vpn)).has_more_than(&networks(&[home, vpn], None)));
        assert!(!networks(&[], None).has_more_than(&before));
        assert!(before.has_more_than(&networks(&[home], None)), "the route came back");
    }
}
