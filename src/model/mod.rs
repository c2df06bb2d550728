//! The shapes peerkit answers with. These serde structs *are* the JSON of the C ABI; their JSON
//! Schemas come from the same place. `operations` holds what operations are given and what they answer,
//! `event` what subscriptions deliver; this file holds the peer record they share.
//!
//! Nothing here does anything: the book fills these in, `ops` serialises them.

mod bytes;
pub mod event;
pub(crate) mod given;
pub(crate) mod nesting;
pub(crate) mod once;
mod operations;

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use self::bytes::Data;
pub use self::operations::{params, reply};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind};

/// Shared immutable text; a clone costs a counter. Peer ids, addresses and protocol names are kept as text
/// because turning them into it costs more than all the rest of a reply. It dereferences to `str`, and
/// parameters take it as it is.
pub type Text = Arc<str>;

/// The side that opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The remote dialled us.
    Inbound,
    /// We dialled the remote.
    Outbound,
}

/// The transport of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TransportKind {
    /// TCP with Noise or TLS, and yamux.
    Tcp,
    /// QUIC version 1 (RFC 9000).
    Quic,
    /// Any other.
    Other,
}

/// The way by which a peer, or an address of it, became known. In the event `dial_failed`, the reason for the dial.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Source {
    /// Added or connected by the user.
    User,
    /// The peer book of an earlier run; of a dial, that the auto dialer made it to have more peers connected.
    Book,
    /// Multicast DNS on the local network.
    Mdns,
    /// The Kademlia DHT.
    Dht,
    /// A signed peer record, gossiped on `discovery.gossip_topic`.
    Gossip,
    /// The bootstrap list.
    Bootstrap,
    /// A Kubo daemon, by its API.
    Ipfs,
    /// An ipfs-cluster, by its API.
    Cluster,
    /// The peer itself, which connected to this node.
    Inbound,
    /// The peer itself, by the identify protocol.
    Identify,
    /// A connected peer, asked by the find-peer protocol.
    Exchange,
}

/// The user's wish for a peer. In this version every peer's is `normal`: nothing sets another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Policy {
    /// Stays connected to it.
    Keep,
    /// Nothing special.
    #[default]
    Normal,
    /// Never dials it, but for a call.
    Off,
    /// Refuses it.
    Blocked,
}

/// One live connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// The remote's address as this connection sees it: of an inbound one mostly a port that nobody can dial.
    pub address: Text,
    /// The side that opened it.
    pub direction: Direction,
    /// Its transport.
    pub transport: TransportKind,
    /// The time at which it was established.
    pub opened_at: Timestamp,
}

/// A failure, with its time: the last of a peer, or of a source of discovery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct LastError {
    /// The code of the failure.
    pub code: ErrorKind,
    /// The failure in words, for a person.
    pub message: String,
    /// The time of the failure.
    pub at: Timestamp,
}

impl LastError {
    pub(crate) fn new(error: &Error, at: Timestamp) -> Self {
        LastError { code: error.kind(), message: error.message().to_owned(), at }
    }
}

/// The end of the last connection to a peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct LastDisconnect {
    /// The reason.
    pub reason: event::DisconnectReason,
    /// The time.
    pub at: Timestamp,
}

/// The compact form of a peer: a row of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct PeerRow {
    /// The peer id, base58.
    pub peer_id: Text,
    /// Its addresses, the most useful first, without the `/p2p/` part.
    pub multiaddrs: Vec<Text>,
    /// True while there is a connection.
    pub connected: bool,
    /// The time at which it was last connected, identified, disconnected or discovered; null for one that the
    /// user added and that nobody has heard of since.
    pub last_seen: Option<Timestamp>,
    /// The time at which it became known.
    pub first_seen: Option<Timestamp>,
    /// The protocols it speaks, by its own account, sorted. Untrusted text from the remote.
    pub protocols: Arc<[Text]>,
    /// Its implementation, by its own account. Untrusted text from the remote.
    pub agent_version: Option<Text>,
    /// Its protocol family, by its own account. Untrusted text from the remote.
    pub protocol_version: Option<Text>,
    /// True if an ipfs-cluster has named it as a member.
    pub cluster_peer: bool,
    /// The number of dials to it so far, automatic ones included; of those of a DHT query only the ones that
    /// led to a connection.
    pub connection_attempts: u32,
    /// The number of connections to it so far, whichever side opened them.
    pub successful_connections: u32,
    /// The time at which the last of the dials began.
    pub last_connection_attempt: Option<Timestamp>,
    /// The time at which the last of the connections was established.
    pub last_successful_connection: Option<Timestamp>,
    /// The round trip time last measured, in milliseconds: connected peers are pinged every 15 s.
    pub latency_ms: Option<f64>,
    /// Pins it shares; empty until content sharing is built.
    pub shared_pins: Vec<Value>,
    /// Files it shares; empty until content sharing is built.
    pub shared_files: Vec<Value>,
    /// The side that opened the oldest live connection; null without one.
    pub direction: Option<Direction>,
    /// The transport of the oldest live connection; null without one.
    pub transport: Option<TransportKind>,
}

/// Everything known of a peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct PeerInfo {
    /// The compact form; in JSON its fields stand beside the others.
    #[serde(flatten)]
    pub row: PeerRow,
    /// The live connections, oldest first.
    pub connections: Vec<ConnectionInfo>,
    /// The user's wish for it.
    pub policy: Policy,
    /// The user's tags with their weights; empty until tags are built.
    pub tags: BTreeMap<String, i64>,
    /// The user's own data about the peer; empty until that is built.
    pub metadata: BTreeMap<String, Value>,
    /// The ways by which it became known.
    pub sources: Vec<Source>,
    /// The last failed dial since it was last connected; null where there was none.
    pub last_error: Option<LastError>,
    /// The time before which the peer isn't dialled automatically, after automatic dials to it failed; null where
    /// none did.
    pub next_retry_at: Option<Timestamp>,
    /// The end of the last connection; null where there never was one.
    pub last_disconnect: Option<LastDisconnect>,
}

/// The stages of a dial to one address, in the order in which it goes through them. It is named where it failed.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DialStage {
    /// Resolves a DNS name.
    Resolve,
    /// Reaches the host: TCP's connect, QUIC's handshake.
    Transport,
    /// Negotiates and runs Noise or TLS, over TCP only.
    Security,
    /// Negotiates a stream multiplexer, over TCP only.
    Muxer,
    /// Checks that the remote is the peer that was dialled.
    Identity,
    /// Waits for the remote to accept this node: it closed instead of completing identify.
    Accept,
    /// Wasn't tried: the dial ended, or had its 16 addresses, before this one's turn.
    Skipped,
}

/// One address in a dial, and how far it came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Attempt {
    /// The address.
    pub address: Text,
    /// The way by which the address became known.
    pub source: Source,
    /// The stage at which it failed, or `skipped`; null where it succeeded.
    pub stage: Option<DialStage>,
    /// The code of the failure; null where it succeeded or was skipped.
    pub code: Option<ErrorKind>,
    /// The failure in words, for a person; null where it succeeded or was skipped.
    pub error: Option<String>,
    /// Advice what to do about the failure; null where there is none.
    pub hint: Option<String>,
    /// The time it took, in milliseconds; null where it was skipped.
    pub duration_ms: Option<f64>,
    /// The address with a name that led to this one; left out where none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_from: Option<Text>,
}

impl Attempt {
    /// Returns the address that was known: the one with the name, where a name led to this one.
    pub(crate) fn known_by(&self) -> &Text {
        self.resolved_from.as_ref().unwrap_or(&self.address)
    }
}
