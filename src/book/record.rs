//! One peer's record: everything remembered of it, its addresses by usefulness, and the JSON shapes
//! made from it.
//!
//! A record changes only inside the book's state (`state.rs`), by the observations in `observe.rs`;
//! everyone else holds an `Arc<Record>` that stays as it was when it was read.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::clock::Timestamp;
use crate::model::{
    ConnectionInfo, LastDisconnect, LastError, PeerInfo, PeerRow, Policy, Source, Text,
};
use crate::{Multiaddr, PeerId, addr};

/// Addresses kept for one peer; the least useful goes first.
pub(crate) const MAX_ADDRS: usize = 32;
/// Protocols kept for one peer.
pub(crate) const MAX_PROTOCOLS: usize = 256;
/// The failures in a row after which an address without a recent success is forgotten.
const EXPIRE_FAILURES: u32 = 10;
/// A success older than this no longer speaks for an address: 30 days.
const RECENT_SUCCESS_MICROS: i64 = 30 * 24 * 3600 * 1_000_000;
/// An address not advertised for this time is forgotten with its first failure: 30 days.
const FORGOTTEN_MICROS: i64 = RECENT_SUCCESS_MICROS;
/// The failures in a row after which an old success no longer puts an address first.
const DOUBTED_FAILURES: u32 = 3;

/// A set of [`Source`]s.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sources(u16);

impl Sources {
    const ALL: [Source; 10] = [
        Source::User,
        Source::Book,
        Source::Mdns,
        Source::Dht,
        Source::Gossip,
        Source::Bootstrap,
        Source::Ipfs,
        Source::Cluster,
        Source::Inbound,
        Source::Exchange,
    ];

    const fn bit(source: Source) -> u16 {
        1 << source as u16
    }

    /// Adds a source, unless it is identify: that advertises addresses, and its peer was known before.
    pub(crate) fn insert(&mut self, source: Source) {
        if source != Source::Identify {
            self.0 |= Self::bit(source);
        }
    }

    pub(crate) fn remove(&mut self, source: Source) {
        self.0 &= !Self::bit(source);
    }

    pub(crate) fn contains(self, source: Source) -> bool {
        self.0 & Self::bit(source) != 0
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Source> {
        Self::ALL.into_iter().filter(move |source| self.contains(*source))
    }
}

impl FromIterator<Source> for Sources {
    fn from_iter<I: IntoIterator<Item = Source>>(sources: I) -> Self {
        let mut set = Sources::default();
        sources.into_iter().for_each(|source| set.insert(source));
        set
    }
}

/// One address of a peer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AddrEntry {
    /// The multiaddr, without the `/p2p/` part of the peer itself.
    pub(crate) text: Text,
    /// The source by which it became known first; `user` wins over every other.
    pub(crate) source: Source,
    /// The time a connection we opened to it last came about.
    pub(crate) last_success: Option<Timestamp>,
    /// Dials that failed since then.
    pub(crate) failures: u32,
    /// The time it was last advertised to us or used.
    pub(crate) last_seen: Timestamp,
}

impl AddrEntry {
    /// Orders by usefulness: a proven address comes first, then the user's, then by its failures.
    fn order(&self, other: &Self) -> Ordering {
        let rank = |entry: &Self| {
            let proven = entry.last_success.filter(|_| entry.failures < DOUBTED_FAILURES);
            (
                Reverse(proven),
                entry.source != Source::User,
                entry.failures,
                Reverse(entry.last_seen),
            )
        };
        rank(self).cmp(&rank(other)).then_with(|| self.text.cmp(&other.text))
    }

    fn expired(&self, now: Timestamp) -> bool {
        let recent = self.last_success.is_some_and(|at| {
            now.as_micros().saturating_sub(at.as_micros()) <= RECENT_SUCCESS_MICROS
        });
        let heard_of =
            now.as_micros().saturating_sub(self.last_seen.as_micros()) <= FORGOTTEN_MICROS;
        let hopeless = self.failures >= EXPIRE_FAILURES || self.failures > 0 && !heard_of;
        self.source != Source::User && hopeless && !recent
    }
}

/// A live connection under the worker's number for it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LiveConnection {
    pub(crate) key: u64,
    pub(crate) info: ConnectionInfo,
}

/// The data that the user attached to a peer.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct UserData {
    pub(crate) tags: BTreeMap<String, i64>,
    pub(crate) metadata: BTreeMap<String, Value>,
}

/// Everything the book knows of a peer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    pub(crate) id: PeerId,
    /// The id in base58.
    pub(crate) id_text: Text,
    /// The most useful first, at most [`MAX_ADDRS`].
    pub(crate) addrs: Vec<AddrEntry>,
    pub(crate) first_seen: Option<Timestamp>,
    /// Moves on connect, identify, disconnect and discovery; never backwards.
    pub(crate) last_seen: Option<Timestamp>,
    /// Sorted, shared with the records that speak the same.
    pub(crate) protocols: Arc<[Text]>,
    pub(crate) agent_version: Option<Text>,
    pub(crate) protocol_version: Option<Text>,
    pub(crate) connection_attempts: u32,
    pub(crate) successful_connections: u32,
    pub(crate) last_connection_attempt: Option<Timestamp>,
    pub(crate) last_successful_connection: Option<Timestamp>,
    pub(crate) latency_us: Option<u32>,
    pub(crate) sources: Sources,
    pub(crate) policy: Policy,
    pub(crate) cluster_peer: bool,
    /// True once the user disconnected it: it isn't dialled automatically.
    pub(crate) dial_disabled: bool,
    /// Automatic dials that failed since it was last connected; never stored.
    pub(crate) automatic_failures: u32,
    /// True once it has identified itself to us.
    pub(crate) identified: bool,
    /// True if `protocols` has a Kademlia protocol; kept beside them so that no count needs a scan.
    pub(crate) dht: bool,
    /// True if `protocols` has a pubsub protocol.
    pub(crate) gossipsub: bool,
    /// Boxed, like the next ones, because few records have any.
    pub(crate) user_data: Option<Box<UserData>>,
    pub(crate) last_error: Option<Box<LastError>>,
    pub(crate) last_disconnect: Option<Box<LastDisconnect>>,
    pub(crate) next_retry_at: Option<Timestamp>,
    /// Oldest first; never stored.
    pub(crate) connections: Vec<LiveConnection>,
}

impl Record {
    /// Makes a record that knows nothing but the id.
    pub(crate) fn new(id: PeerId) -> Self {
        Record {
            id,
            id_text: id.to_base58().into(),
            addrs: Vec::new(),
            first_seen: None,
            last_seen: None,
            protocols: Arc::default(),
            agent_version: None,
            protocol_version: None,
            connection_attempts: 0,
            successful_connections: 0,
            last_connection_attempt: None,
            last_successful_connection: None,
            latency_us: None,
            sources: Sources::default(),
            policy: Policy::Normal,
            cluster_peer: false,
            dial_disabled: false,
            automatic_failures: 0,
            identified: false,
            dht: false,
            gossipsub: false,
            user_data: None,
            last_error: None,
            last_disconnect: None,
            next_retry_at: None,
            connections: Vec::new(),
        }
    }

    /// Tells whether there is a connection now.
    pub(crate) fn connected(&self) -> bool {
        !self.connections.is_empty()
    }

    /// Tells whether the user said anything about the peer, so that it must not be evicted.
    pub(crate) fn is_protected(&self) -> bool {
        self.sources.contains(Source::User)
            || self.sources.contains(Source::Bootstrap)
            || self.policy != Policy::Normal
            || self.user_data.as_ref().is_some_and(|data| !data.tags.is_empty())
    }

    /// Tells whether all we know is that the peer connected to us: no source advertised it, no address
    /// of it ever worked from here, and the user never disconnected it. Such records are easy to forge,
    /// so one that never identified itself isn't kept.
    pub(crate) fn is_inbound_only(&self) -> bool {
        let known = self.sources.0 & !Sources::bit(Source::Book);
        known == Sources::bit(Source::Inbound)
            && !self.dial_disabled
            && self.addrs.iter().all(|addr| addr.last_success.is_none())
    }

    /// Tells whether the peer is known only by connecting to us or by multicast DNS, and no address of
    /// it ever worked from here: anybody on the network can make up any number of such peers.
    pub(crate) fn is_unverified(&self) -> bool {
        let unproven = Sources::bit(Source::Inbound) | Sources::bit(Source::Mdns);
        let known = self.sources.0 & !Sources::bit(Source::Book);
        known != 0
            && known & !unproven == 0
            && !self.dial_disabled
            && self.addrs.iter().all(|addr| addr.last_success.is_none())
    }

    /// Tells whether the record belongs on disk.
    pub(crate) fn is_storable(&self) -> bool {
        self.identified || !self.is_inbound_only()
    }

    /// Tells whether any of the peer's addresses ever led to it.
    pub(crate) fn was_reached(&self) -> bool {
        self.addrs.iter().any(|addr| addr.last_success.is_some())
    }

    /// Tells whether the peer said that it speaks exactly this protocol.
    pub(crate) fn speaks(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|name| **name == *protocol)
    }

    /// Tells whether the time for an automatic dial has come.
    pub(crate) fn may_retry(&self, now: Timestamp) -> bool {
        self.next_retry_at.is_none_or(|at| at <= now)
    }

    /// Returns the addresses with their sources, the most useful first.
    pub(crate) fn dial_addresses(&self) -> Vec<(Text, Source)> {
        self.addrs.iter().map(|addr| (addr.text.clone(), addr.source)).collect()
    }

    /// Returns the tag's weight, if the peer has the tag.
    pub(crate) fn tag(&self, name: &str) -> Option<i64> {
        self.user_data.as_ref()?.tags.get(name).copied()
    }

    /// Returns the compact form: a row of a list.
    pub(crate) fn row(&self) -> PeerRow {
        let oldest = self.connections.first().map(|live| &live.info);
        PeerRow {
            peer_id: self.id_text.clone(),
            multiaddrs: self.addrs.iter().map(|addr| addr.text.clone()).collect(),
            connected: self.connected(),
            last_seen: self.last_seen,
            first_seen: self.first_seen,
            protocols: self.protocols.clone(),
            agent_version: self.agent_version.clone(),
            protocol_version: self.protocol_version.clone(),
            cluster_peer: self.cluster_peer,
            connection_attempts: self.connection_attempts,
            successful_connections: self.successful_connections,
            last_connection_attempt: self.last_connection_attempt,
            last_successful_connection: self.last_successful_connection,
            latency_ms: self.latency_us.map(|us| f64::from(us) / 1000.0),
            shared_pins: Vec::new(),
            shared_files: Vec::new(),
            direction: oldest.map(|info| info.direction),
            transport: oldest.map(|info| info.transport),
        }
    }

    /// Tells whether the user gave this address. It is marked so only once that is on disk.
    pub(crate) fn has_users(&self, addr: &Multiaddr) -> bool {
        let text = addr.to_string();
        let mut of_user = self.addrs.iter().filter(|known| known.source == Source::User);
        of_user.any(|known| *known.text == *text)
    }

    /// Tells whether the peer is known as a bootstrap peer at this address.
    pub(crate) fn is_listed_at(&self, addr: &Multiaddr) -> bool {
        self.sources.contains(Source::Bootstrap) && self.has_address(addr)
    }

    pub(super) fn has_address(&self, addr: &Multiaddr) -> bool {
        kept_text(addr, &self.id)
            .is_some_and(|text| self.addrs.iter().any(|known| *known.text == *text))
    }

    /// Tells whether the peer advertises the same of itself in both.
    pub(crate) fn tells_the_same(&self, other: &Record) -> bool {
        self.agent_version == other.agent_version && self.protocols == other.protocols
    }

    /// Returns the full form.
    pub(crate) fn info(&self) -> PeerInfo {
        let UserData { tags, metadata } = self.user_data.as_deref().cloned().unwrap_or_default();
        PeerInfo {
            row: self.row(),
            connections: self.connections.iter().map(|live| live.info.clone()).collect(),
            policy: self.policy,
            tags,
            metadata,
            sources: self.sources.iter().collect(),
            last_error: self.last_error.as_deref().cloned(),
            next_retry_at: self.next_retry_at,
            last_disconnect: self.last_disconnect.as_deref().cloned(),
        }
    }

    /// Notes that the peer was seen. A clock set back doesn't make it look forgotten.
    pub(super) fn seen(&mut self, now: Timestamp) {
        self.first_seen = self.first_seen.or(Some(now));
        self.last_seen = self.last_seen.max(Some(now));
    }

    /// Notes addresses advertised by `source`. Those that name another peer are passed over.
    pub(super) fn learn(&mut self, addrs: &[Multiaddr], source: Source, now: Timestamp) {
        // More addresses than this are a flood.
        for addr in addrs.iter().take(2 * MAX_ADDRS) {
            if let Some(text) = kept_text(addr, &self.id) {
                self.entry(&text, source, now);
            }
        }
        self.tidy(now);
    }

    /// Notes that a connection we opened to `address` came about.
    pub(super) fn address_worked(&mut self, address: &str, source: Source, now: Timestamp) {
        let suffix = format!("/p2p/{}", self.id_text);
        let text = address.strip_suffix(suffix.as_str()).unwrap_or(address);
        if !text.is_empty() {
            let entry = self.entry(text, source, now);
            entry.last_success = Some(now);
            entry.failures = 0;
        }
        self.tidy(now);
    }

    /// Notes that dials to these addresses failed.
    pub(super) fn addresses_failed(&mut self, failed: &[Text], now: Timestamp) {
        let suffix = format!("/p2p/{}", self.id_text);
        for address in failed {
            let text = address.strip_suffix(suffix.as_str()).unwrap_or(address);
            if let Some(entry) = self.addrs.iter_mut().find(|addr| &*addr.text == text) {
                entry.failures = entry.failures.saturating_add(1);
            }
        }
        self.tidy(now);
    }

    fn entry(&mut self, text: &str, source: Source, now: Timestamp) -> &mut AddrEntry {
        let known = self.addrs.iter().position(|addr| &*addr.text == text);
        let at = known.unwrap_or_else(|| {
            self.addrs.reserve_exact(1);
            let (last_success, failures) = (None, 0);
            let text = text.into();
            self.addrs.push(AddrEntry { text, source, last_success, failures, last_seen: now });
            self.addrs.len() - 1
        });
        let entry = &mut self.addrs[at];
        entry.last_seen = entry.last_seen.max(now);
        if source == Source::User {
            entry.source = Source::User;
        }
        entry
    }

    /// Forgets hopeless addresses, puts the rest in order and keeps the bound.
    fn tidy(&mut self, now: Timestamp) {
        self.addrs.retain(|addr| !addr.expired(now));
        self.addrs.sort_by(AddrEntry::order);
        while self.addrs.len() > MAX_ADDRS {
            let not_users = self.addrs.iter().rposition(|addr| addr.source != Source::User);
            self.addrs.remove(not_users.unwrap_or(self.addrs.len() - 1));
        }
        if self.addrs.capacity() > self.addrs.len() * 2 {
            self.addrs.shrink_to_fit();
        }
    }
}

/// Returns the address as it is kept, without the peer's own `/p2p/` at its end; None if it ends in
/// another peer's, or if nothing else is left.
fn kept_text(address: &Multiaddr, id: &PeerId) -> Option<String> {
    if addr::peer_id_of(address).is_some_and(|other| other != *id) {
        return None;
    }
    Some(addr::without_peer_id(address).to_string()).filter(|text| !text.is_empty())
}
