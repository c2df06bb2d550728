//! Makes peers of what a daemon says: each once, bounded in number and addresses, and none that can't be
//! dialled. `kubo` and `cluster` bring the entries.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, de};

use crate::addr::{is_dialable, parse_address, parse_peer_id};
use crate::{Multiaddr, PeerId};

/// The most peers taken from one daemon, itself included.
pub(super) const MAX_PEERS: usize = 1000;
/// The most addresses taken for one peer.
pub(super) const MAX_ADDRESSES: usize = 16;
/// The longest address taken, in bytes.
const MAX_ADDRESS_BYTES: usize = 512;
/// The most entries of a list of peers that are looked at. Kubo has one for each connection.
pub(super) const MAX_ENTRIES: usize = 4 * MAX_PEERS;
/// The most addresses in one list that are looked at: beside those that can be dialled, Kubo tells one
/// for each other transport on each interface, and for each relay.
const MAX_ADDRESSES_READ: usize = 8 * MAX_ADDRESSES;

/// A peer that a daemon told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundPeer {
    pub peer_id: PeerId,
    /// Those that this build can dial, without `/p2p/` at their end. May be empty.
    pub addresses: Vec<Multiaddr>,
    /// True for a member of the cluster; an IPFS daemon beside a member isn't.
    pub cluster_member: bool,
}

/// The peers that a daemon told of.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Each peer once; the daemon that was asked comes first.
    pub peers: Vec<FoundPeer>,
    /// Ids and addresses that can't be used or are too many. An address of a transport that this
    /// build lacks, or of a relay, isn't counted.
    pub dropped: u64,
}

/// The addresses in one entry of a reply.
pub(super) type Addresses = Capped<String, MAX_ADDRESSES_READ>;

/// Makes a [`Found`] of entries, in which a peer may occur more than once.
#[derive(Default)]
pub(super) struct Gather {
    pub found: Found,
    index: HashMap<PeerId, usize>,
}

impl Gather {
    /// Takes an entry with an id in text.
    pub(super) fn entry(&mut self, id: &str, addresses: &Addresses, cluster_member: bool) {
        match parse_peer_id(id) {
            Ok(id) => self.peer(id, addresses, cluster_member),
            Err(_) => self.drop(1),
        }
    }

    /// Takes a peer, or what is new of one that was taken before.
    pub(super) fn peer(&mut self, peer_id: PeerId, addresses: &Addresses, cluster_member: bool) {
        let next = self.found.peers.len();
        let at = match self.index.get(&peer_id) {
            Some(&at) => at,
            None if next == MAX_PEERS => return self.drop(1),
            None => {
                self.index.insert(peer_id, next);
                let peer = FoundPeer { peer_id, addresses: Vec::new(), cluster_member };
                self.found.peers.push(peer);
                next
            }
        };
        let peer = &mut self.found.peers[at];
        peer.cluster_member |= cluster_member;
        let bad = addresses.items.iter().filter(|text| !take_address(peer, text)).count();
        self.drop(bad as u64 + addresses.rest);
    }

    /// Counts what can't be used.
    pub(super) fn drop(&mut self, count: u64) {
        self.found.dropped += count;
    }
}

/// Adds an address to a peer's if this build can dial it. False if it has to count as dropped.
fn take_address(peer: &mut FoundPeer, text: &str) -> bool {
    if text.len() > MAX_ADDRESS_BYTES {
        return false;
    }
    let Ok(address) = parse_address(text) else { return false };
    // Also takes out relays: their addresses have a /p2p-circuit in them.
    if !is_dialable(&address.addr) {
        return true;
    }
    if address.peer_id.is_some_and(|id| id != peer.peer_id) {
        return false;
    }
    if peer.addresses.contains(&address.addr) {
        return true;
    }
    let room = peer.addresses.len() < MAX_ADDRESSES;
    if room {
        peer.addresses.push(address.addr);
    }
    room
}

/// A JSON array of which the first `N` elements are kept and the rest only counted, so that a long
/// reply costs little memory. `null` is an empty one: Go writes an empty list so.
pub(super) struct Capped<T, const N: usize> {
    pub items: Vec<T>,
    pub rest: u64,
}

impl<T, const N: usize> Default for Capped<T, N> {
    fn default() -> Self {
        Capped { items: Vec::new(), rest: 0 }
    }
}

impl<T, const N: usize> Capped<T, N> {
    pub(super) fn push(&mut self, item: T) {
        if self.items.len() < N {
            self.items.push(item);
        } else {
            self.rest += 1;
        }
    }
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for Capped<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CappedVisitor(PhantomData))
    }
}

struct CappedVisitor<T, const N: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for CappedVisitor<T, N> {
    type Value = Capped<T, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array or null")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(Capped::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut list = Capped::default();
        while list.items.len() < N {
            match array.next_element()? {
                Some(item) => list.items.push(item),
                None => return Ok(list),
            }
        }
        while array.next_element::<IgnoredAny>()?.is_some() {
            list.rest += 1;
        }
        Ok(list)
    }
}
