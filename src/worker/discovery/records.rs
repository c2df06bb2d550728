//! Peer records: signed records of a peer's addresses, as nodes gossip them about themselves.
//!
//! The bytes are libp2p's signed peer records (RFC 0002 and 0003) under the domain and payload type
//! that go-libp2p and js-libp2p use, not rust-libp2p's older ones of its own. A gossiped record may
//! come from any peer and through any peer, so [`PeerRecords`] bounds how many are checked, takes only
//! signed ones and tells new ones from repeated ones. Pure: the caller has the topic, the connections
//! and the clock.

use std::time::{Duration, Instant};

use libp2p::core::SignedEnvelope;
use libp2p::core::signed_envelope::ReadPayloadError;
use libp2p::identity::{Keypair, SigningError};
use prost::Message;

use crate::addr::Scope;
use crate::admission::TokenBucket;
use crate::worker::util::addresses::{Dropped, MAX_ADDRESS_BYTES, MAX_ADDRESSES, filter_addresses};
use crate::worker::util::lru::Lru;
use crate::worker::util::rate::Rates;
use crate::{Multiaddr, PeerId, Timestamp, addr};

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;

/// The largest envelope with a record that is opened, in bytes.
const MAX_ENVELOPE_BYTES: usize = 8 * 1024;
/// The addresses of our own record together, in bytes: with the largest key there is, its envelope
/// stays below [`MAX_ENVELOPE_BYTES`].
const MAX_ADVERTISED_BYTES: usize = 4 * 1024;

/// Records from one neighbour, a second: each node's come to us through one neighbour, so this
/// lets the records of 1500 nodes, each published every 30 s, pass through a single one.
const NEIGHBOUR_PER_S: u32 = 50;
/// Records from one neighbour at once: as when a thousand nodes begin together.
const NEIGHBOUR_BURST: u32 = 1000;
/// Records from all neighbours, a second. To open one takes 0.04 ms with an Ed25519 key and
/// 0.4 ms with an ECDSA one: at worst a tenth of a core.
const ALL_PER_S: u32 = 200;
/// Records from all neighbours at once.
const ALL_BURST: u32 = 2000;

/// Peers whose last record is remembered.
const MAX_REMEMBERED: usize = 4096;
/// The least time between two records of one peer. Our own should be twice as far apart, since on the
/// way the first may be held up and the second not.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

const DOMAIN: &str = "libp2p-peer-record";
/// The multicodec `libp2p-peer-record`.
const PAYLOAD_TYPE: [u8; 2] = [0x03, 0x01];

// The wire form. libp2p's own `PeerRecord` isn't used: it takes the sequence number from a clock of
// its own, by the second, and refuses a record whole for one address of an unknown protocol.

#[derive(Clone, PartialEq, Message)]
struct PeerRecord {
    #[prost(bytes = "vec", tag = "1")]
    peer_id: Vec<u8>,
    #[prost(uint64, tag = "2")]
    seq: u64,
    #[prost(message, repeated, tag = "3")]
    addresses: Vec<AddressInfo>,
}

#[derive(Clone, PartialEq, Message)]
struct AddressInfo {
    #[prost(bytes = "vec", tag = "1")]
    multiaddr: Vec<u8>,
}

/// Makes and signs our own record: the first of these addresses, as many as others will take. `seq`
/// must be greater than the last one's, see [`next_seq`].
pub(super) fn seal(
    key: &Keypair,
    addresses: impl IntoIterator<Item = Multiaddr>,
    seq: u64,
) -> Result<Vec<u8>, SigningError> {
    let mut room = MAX_ADVERTISED_BYTES;
    let told = addresses.into_iter().map(|address| addr::without_peer_id(&address).to_vec());
    let told = told.filter(|address| {
        let fits = (1..=MAX_ADDRESS_BYTES.min(room)).contains(&address.len());
        room -= if fits { address.len() } else { 0 };
        fits
    });
    let record = PeerRecord {
        peer_id: key.public().to_peer_id().to_bytes(),
        seq,
        addresses: told.take(MAX_ADDRESSES).map(|multiaddr| AddressInfo { multiaddr }).collect(),
    };
    let (domain, kind) = (DOMAIN.to_owned(), PAYLOAD_TYPE.to_vec());
    let envelope = SignedEnvelope::new(key, domain, kind, record.encode_to_vec())?;
    Ok(envelope.into_protobuf_encoding())
}

/// Returns the sequence number after `last`: nanoseconds since 1970 like go-libp2p's, so that it rises
/// over a restart, and where the clock was set back, one more than the last.
pub(super) fn next_seq(last: u64, now: Timestamp) -> u64 {
    let nanos = u64::try_from(now.as_micros()).unwrap_or(0).saturating_mul(1000);
    nanos.max(last.saturating_add(1))
}

/// Opens an envelope and makes sure that the peer itself signed the record in it.
fn open(bytes: &[u8]) -> Result<(PeerId, PeerRecord), Refused> {
    let envelope = SignedEnvelope::from_protobuf_encoding(bytes).map_err(|_| Refused::Malformed)?;
    let read = envelope.payload_and_signing_key(DOMAIN.to_owned(), &PAYLOAD_TYPE);
    let (payload, key) = read.map_err(|error| match error {
        ReadPayloadError::InvalidSignature => Refused::Forged,
        ReadPayloadError::UnexpectedPayloadType { .. } => Refused::Malformed,
    })?;
    let record = PeerRecord::decode(payload).map_err(|_| Refused::Malformed)?;
    let peer = key.to_peer_id();
    if record.peer_id != peer.to_bytes() {
        return Err(Refused::Forged);
    }
    Ok((peer, record))
}

/// A record of a peer that we received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Received {
    pub peer: PeerId,
    pub seq: u64,
    /// The addresses that are usable here, see [`filter_addresses`]; perhaps none.
    pub addresses: Vec<Multiaddr>,
    /// The counts of the others.
    pub dropped: Dropped,
}

impl Received {
    /// Keeps only the addresses of the largest scope, in a record that another peer handed on: a peer that
    /// has public addresses is there, and its private ones lead to another machine from here.
    pub(super) fn believe_farthest(&mut self) {
        let scope = |address: &Multiaddr| addr::scope(address).min(Scope::Public);
        let farthest = self.addresses.iter().map(scope).max();
        let told = self.addresses.len();
        self.addresses.retain(|address| Some(scope(address)) == farthest);
        self.dropped.scope += (told - self.addresses.len()) as u64;
    }
}

/// The reason why a record isn't taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// No signed peer record. A neighbour that hands it on doesn't check what it hands on.
    Malformed,
    /// The signature is wrong, or the record is of another peer than the one that signed it.
    Forged,
    /// Our own record, which came back.
    OwnId,
    /// No newer than the last one of that peer.
    Stale,
    /// Too soon after the last one of that peer, or too many from that neighbour or from all.
    TooMany,
    TooLarge,
}

impl Refused {
    /// Returns the name it is counted by.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Refused::Malformed => "malformed",
            Refused::Forged => "forged",
            Refused::OwnId => "own_id",
            Refused::Stale => "stale",
            Refused::TooMany => "too_many",
            Refused::TooLarge => "too_large",
        }
    }
}

/// The last record of a peer.
struct Last {
    seq: u64,
    at: Instant,
}

/// Decides which records to take. Holds a bounded number of peers, whatever comes.
pub(super) struct PeerRecords {
    local: PeerId,
    neighbours: Rates,
    all: TokenBucket,
    last: Lru<PeerId, Last>,
}

impl PeerRecords {
    pub(super) fn new(local: PeerId) -> Self {
        PeerRecords {
            local,
            neighbours: Rates::new(NEIGHBOUR_PER_S, NEIGHBOUR_BURST),
            all: TokenBucket::new(ALL_PER_S, ALL_BURST),
            last: Lru::new(MAX_REMEMBERED),
        }
    }

    /// Takes a record that the connected peer `from` handed to us, or says why not. `seen_at` is the
    /// address of that peer; addresses of a smaller scope are dropped, whoever signed them.
    pub(super) fn receive(
        &mut self,
        bytes: &[u8],
        from: &PeerId,
        seen_at: &Multiaddr,
        now: Instant,
    ) -> Result<Received, Refused> {
        if bytes.len() > MAX_ENVELOPE_BYTES {
            return Err(Refused::TooLarge);
        }
        // Before the signature is verified: that is what costs.
        self.admit(from, now)?;
        let (peer, record) = open(bytes)?;
        self.note(peer, record.seq, now)?;
        let told = record.addresses.len();
        let read: Vec<Multiaddr> = record
            .addresses
            .into_iter()
            .filter_map(|told| told.multiaddr.try_into().ok())
            .collect();
        let unreadable = told - read.len();
        let (addresses, mut dropped) = filter_addresses(read, peer, Some(seen_at));
        dropped.undialable += unreadable as u64;
        Ok(Received { peer, seq: record.seq, addresses, dropped })
    }

    /// Forgets the rate of a peer that is connected no more.
    pub(super) fn forget(&mut self, from: &PeerId) {
        self.neighbours.forget(from);
    }

    /// Admits one more record of the neighbour, or refuses it. Those it has too many don't count
    /// against the others.
    fn admit(&mut self, from: &PeerId, now: Instant) -> Result<(), Refused> {
        if self.neighbours.take(from, now) && self.all.take(now) {
            Ok(())
        } else {
            Err(Refused::TooMany)
        }
    }

    /// Notes a genuine record, if it is new. However large its sequence number is, it keeps out only
    /// later records of the peer that signed it.
    fn note(&mut self, peer: PeerId, seq: u64, now: Instant) -> Result<(), Refused> {
        if peer == self.local {
            return Err(Refused::OwnId);
        }
        if let Some(last) = self.last.get(&peer) {
            if seq <= last.seq {
                return Err(Refused::Stale);
            }
            if now.duration_since(last.at) < MIN_INTERVAL {
                return Err(Refused::TooMany);
            }
        }
        let last = self.last.touch(peer, || Last { seq, at: now });
        *last = Last { seq, at: now };
        Ok(())
    }
}
