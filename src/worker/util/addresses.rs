//! Filters the addresses that remotes give: the one rule for all ways they come by, be it identify, a
//! gossiped record or an answer of the DHT.
//!
//! Pure. Elsewhere is decided whether an address that passes is dialled, and when.

use std::net::IpAddr;
use std::ops::AddAssign;

use multiaddr::Protocol;

use crate::addr::ip_of;
use crate::addr::{Scope, canonical, is_dialable, peer_id_of, scope, without_peer_id};
use crate::{Multiaddr, PeerId};

/// The longest address that is kept.
pub(crate) const MAX_ADDRESS_BYTES: usize = 512;
/// Addresses kept of those received about one peer at once.
pub(crate) const MAX_ADDRESSES: usize = 16;

/// The reason why an address is dropped.
#[derive(Clone, Copy)]
enum Useless {
    TooLong,
    Scope,
    Undialable,
    OtherPeer,
    TooMany,
}

/// The counts of dropped addresses, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub too_long: u64,
    /// Addresses of a smaller scope than the one at which the remote that gave them is seen.
    pub scope: u64,
    /// Addresses of a transport this build doesn't have, or that lead nowhere.
    pub undialable: u64,
    /// Addresses that name another peer than the one they were given for.
    pub other_peer: u64,
    pub too_many: u64,
}

impl Dropped {
    /// Returns the counts by the names they have in statistics.
    pub(crate) fn by_reason(&self) -> [(&'static str, u64); 5] {
        [
            ("too_long", self.too_long),
            ("scope", self.scope),
            ("undialable", self.undialable),
            ("other_peer", self.other_peer),
            ("too_many", self.too_many),
        ]
    }

    fn count(&mut self, why: Useless) {
        *match why {
            Useless::TooLong => &mut self.too_long,
            Useless::Scope => &mut self.scope,
            Useless::Undialable => &mut self.undialable,
            Useless::OtherPeer => &mut self.other_peer,
            Useless::TooMany => &mut self.too_many,
        } += 1;
    }
}

impl AddAssign for Dropped {
    fn add_assign(&mut self, other: Dropped) {
        self.too_long += other.too_long;
        self.scope += other.scope;
        self.undialable += other.undialable;
        self.other_peer += other.other_peer;
        self.too_many += other.too_many;
    }
}

/// Returns those of the addresses given for `peer` that are usable, without its id and each once; and
/// counts the others. None is of a smaller scope than `seen_at`, the address of the remote that gave
/// them, since a remote's loopback or private addresses lead somewhere else from here. With no
/// `seen_at` every scope passes.
pub(crate) fn filter_addresses(
    addresses: impl IntoIterator<Item = Multiaddr>,
    peer: PeerId,
    seen_at: Option<&Multiaddr>,
) -> (Vec<Multiaddr>, Dropped) {
    let least = seen_at.map(least_scope);
    let mut kept = Vec::new();
    let mut dropped = Dropped::default();
    for address in addresses.into_iter().map(canonical) {
        match judge(&address, peer, least) {
            Ok(address) if kept.contains(&address) => {}
            Ok(_) if kept.len() == MAX_ADDRESSES => dropped.count(Useless::TooMany),
            Ok(address) => kept.push(address),
            Err(why) => dropped.count(why),
        }
    }
    (kept, dropped)
}

/// Returns the smallest scope that is believed of a remote seen at an address. One reached by name may
/// be anywhere: of it only public addresses are believed.
pub(crate) fn least_scope(seen_at: &Multiaddr) -> Scope {
    scope(seen_at).min(Scope::Public)
}

fn judge(address: &Multiaddr, peer: PeerId, least: Option<Scope>) -> Result<Multiaddr, Useless> {
    if address.len() > MAX_ADDRESS_BYTES {
        return Err(Useless::TooLong);
    }
    if peer_id_of(address).is_some_and(|named| named != peer) {
        return Err(Useless::OtherPeer);
    }
    if !is_dialable(address) || leads_nowhere(address) {
        return Err(Useless::Undialable);
    }
    if least.is_some_and(|least| scope(address) < least) {
        return Err(Useless::Scope);
    }
    Ok(without_peer_id(address))
}

/// Tells whether an address that can be dialled leads to no single peer: its IP address is none of a
/// machine, or its port is 0.
fn leads_nowhere(address: &Multiaddr) -> bool {
    let no_machine = |ip: IpAddr| {
        let ip = ip.to_canonical();
        let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
        ip.is_unspecified() || ip.is_multicast() || broadcast
    };
    ip_of(address).is_some_and(no_machine)
        || address.iter().any(|part| matches!(part, Protocol::Tcp(0) | Protocol::Udp(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(texts: &[&str]) -> Vec<Multiaddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn kept(texts: &[&str], seen_at: Option<&str>) -> Vec<String> {
        let seen_at = seen_at.map(|text| text.parse().unwrap());
        let (kept, _) = filter_addresses(told(texts), PeerId::random(), seen_at.as_ref());
        kept.iter().map(Multiaddr::to_string).collect()
    }

    const BY_SCOPE: [&str; 5] = [
        "/ip4/127.0.0.1/tcp/1",
        "/ip4/169.254.0.1/tcp/1",
        "/ip4/10.0.0.1/tcp/1",
        "/ip4/8.8.8.8/tcp/1",
        "/dns4/example.com/tcp/1",
    ];

    #[cfg(feature = "dns")]
    #[test]
    fn no_address_reaches_less_far_than_whoever_told_it() {
        let passing = |seen_at| kept(&BY_SCOPE, seen_at).len();
        assert_eq!(passing(None), 5);
        assert_eq!(passing(Some("/ip4/127.0.0.1/tcp/9")), 5);
        assert_eq!(passing(Some("/ip4/169.254.9.9/tcp/9")), 4);
        assert_eq!(passing(Some("/ip4/192.168.9.9/tcp/9")), 3);
        assert_eq!(passing(Some("/ip4/1.1.1.1/tcp/9")), 2);
    }

    #[cfg(feature = "dns")]
    #[test]
    fn of_a_peer_reached_by_name_public_addresses_are_believed() {
        assert_eq!(kept(&BY_SCOPE, Some("/dns4/example.com/tcp/9")), BY_SCOPE[3..]);
        assert_eq!(kept(&BY_SCOPE, Some("/dns/localhost/tcp/9")), BY_SCOPE);
    }

    #[test]
    fn what_leads_nowhere_is_dropped() {
        let texts = [
            "/ip4/0.0.0.0/tcp/1",
            "/ip6/::/udp/1/quic-v1",
            "/ip6/::ffff:0.0.0.0/tcp/1",
            "/ip4/192.0.2.1/tcp/0",
            "/dns4/example.com/udp/0/quic-v1",
            "/ip4/224.0.0.251/udp/5353/quic-v1",
            "/ip4/255.255.255.255/udp/1/quic-v1",
            "/ip6/ff02::fb/udp/5353/quic-v1",
        ];
        let (kept, dropped) = filter_addresses(told(&texts), PeerId::random(), None);
        assert_eq!((kept.len(), dropped.undialable), (0, 8));
    }

    #[test]
    fn an_ipv4_address_in_an_ipv6_one_is_kept_as_itself_and_once() {
        let texts =
            ["/ip6/::ffff:8.8.8.8/tcp/1", "/ip4/8.8.8.8/tcp/1", "/ip6/::ffff:10.0.0.1/tcp/1"];
        assert_eq!(kept(&texts, Some("/ip4/1.1.1.1/tcp/9")), ["/ip4/8.8.8.8/tcp/1"]);
    }

    #[test]
    fn every_reason_is_counted_and_counts_add_up() {
        let peer = PeerId::random();
        let mut addresses = told(&["/ip4/8.8.8.8/tcp/1/ws", "/ip4/10.0.0.1/tcp/1"]);
        addresses.push(format!("/ip4/8.8.8.8/tcp/1/p2p/{}", PeerId::random()).parse().unwrap());
        addresses.push(format!("/ip4/8.8.8.8/tcp/1/p2p/{peer}").parse().unwrap());
        addresses.push(format!("/dns4/{}/tcp/1", "a".repeat(600)).parse().unwrap());
        addresses.extend((1..18).map(|n| format!("/ip4/8.8.8.8/tcp/{n}").parse().unwrap()));
        let seen_at = "/ip4/1.1.1.1/tcp/9".parse().unwrap();
        let (kept, mut dropped) = filter_addresses(addresses, peer, Some(&seen_at));
        assert_eq!(kept.len(), MAX_ADDRESSES);
        assert_eq!(kept[0].to_string(), "/ip4/8.8.8.8/tcp/1");
        dropped += dropped;
        assert!(dropped.by_reason().iter().all(|(_, count)| *count == 2), "{dropped:?}");
    }
}
