//! The shapes peerkit answers with. These serde structs *are* the JSON of the C ABI; their JSON
//! Schemas come from the same place. `operations` holds what operations are given and what they answer,
//! `event` what subscriptions deliver; this file holds the peer record they share.
//!
//! Nothing here does anything: the book fills these in, `ops` serialises them.

mod bytes;
pub mod event;
pub(crate) mod nesting;
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

/// Shared immutable text. Peer ids, addresses and protocol names are kept as text because turning
/// them into it costs more than all the rest of a reply.
pub type Text = Arc<str>;

/// Which side opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The remote dialled us.
    Inbound,
    /// We dialled the remote.
    Outbound,
}

/// What a connection runs over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TransportKind {
    /// TCP with Noise or TLS, and yamux.
    Tcp,
    /// QUIC version 1 (RFC 9000).
    Quic,
    /// Something else.
    Other,
}

/// How a peer, or an address of it, became known.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Source {
    /// Added or connected by the user.
    User,
    /// The peer book of an earlier run.
    Book,
    /// Multicast DNS on the local network.
    Mdns,
    /// The Kademlia DHT.
    Dht,
    /// A gossiped announcement.
    Gossip,
    /// The bootstrap list.
    Bootstrap,
    /// A Kubo daemon beside us.
    Ipfs,
    /// An ipfs-cluster beside us.
    Cluster,
    /// It connected to us.
    Inbound,
    /// The peer itself told us through identify.
    Identify,
    /// A connected peer told us when asked.
    Exchange,
}

/// What the user wants of a peer. The policies themselves come with a later release.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Policy {
    /// Stay connected to it.
    Keep,
    /// Nothing special.
    #[default]
    Normal,
    /// Never dial it.
    Off,
    /// Refuse it.
    Blocked,
}

/// One live connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// The remote's address as this connection sees it.
    pub address: Text,
    /// Who opened it.
    pub direction: Direction,
    /// What it runs over.
    pub transport: TransportKind,
    /// When it was established.
    pub opened_at: Timestamp,
}

/// The last failure of a peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct LastError {
    /// The code of the failure.
    pub code: ErrorKind,
    /// What happened, for a person.
    pub message: String,
    /// When.
    pub at: Timestamp,
}

impl LastError {
    pub(crate) fn new(error: &Error, at: Timestamp) -> Self {
        LastError { code: error.kind(), message: error.message().to_owned(), at }
    }
}

/// Why the last connection to a peer ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct LastDisconnect {
    /// Why.
    pub reason: event::DisconnectReason,
    /// When.
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
    /// Whether there is a connection now.
    pub connected: bool,
    /// When it was last heard of: connected, identified, disconnected or discovered.
    pub last_seen: Option<Timestamp>,
    /// When it first became known.
    pub first_seen: Option<Timestamp>,
    /// The protocols it speaks, by its own account. Untrusted text from the remote.
    pub protocols: Arc<[Text]>,
    /// Its implementation, by its own account. Untrusted text from the remote.
    pub agent_version: Option<Text>,
    /// Its protocol family, by its own account. Untrusted text from the remote.
    pub protocol_version: Option<Text>,
    /// Whether it is a member of the ipfs-cluster beside us.
    pub cluster_peer: bool,
    /// How many connects were asked for, ever.
    pub connection_attempts: u32,
    /// How many connections came about, ever.
    pub successful_connections: u32,
    /// When the last connect was asked for.
    pub last_connection_attempt: Option<Timestamp>,
    /// When the last connection came about.
    pub last_successful_connection: Option<Timestamp>,
    /// The round trip time last measured, in milliseconds.
    pub latency_ms: Option<f64>,
    /// Pins it shares; empty until content sharing is built.
    pub shared_pins: Vec<Value>,
    /// Files it shares; empty until content sharing is built.
    pub shared_files: Vec<Value>,
    /// Who opened the oldest live connection.
    pub direction: Option<Direction>,
    /// What the oldest live connection runs over.
    pub transport: Option<TransportKind>,
}

/// Everything known of a peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct PeerInfo {
    /// The compact form.
    #[serde(flatten)]
    pub row: PeerRow,
    /// The live connections, oldest first.
    pub connections: Vec<ConnectionInfo>,
    /// What the user wants of it.
    pub policy: Policy,
    /// The user's tags with their weights.
    pub tags: BTreeMap<String, i64>,
    /// The user's own data about the peer.
    pub metadata: BTreeMap<String, Value>,
    /// How it became known.
    pub sources: Vec<Source>,
    /// Its last failure since it was last connected.
    pub last_error: Option<LastError>,
    /// When the manager will dial it again by itself.
    pub next_retry_at: Option<Timestamp>,
    /// How the last connection ended.
    pub last_disconnect: Option<LastDisconnect>,
}

/// The stage at which a dial to one address failed, in the order a dial goes through them.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DialStage {
    /// Looking up a DNS name.
    Resolve,
    /// Reaching the host: TCP's connect, QUIC's handshake.
    Transport,
    /// Agreeing on and running Noise or TLS.
    Security,
    /// Agreeing on a stream multiplexer.
    Muxer,
    /// Checking that the remote is who was asked for.
    Identity,
    /// The remote taking us: it closed instead of completing identify.
    Accept,
    /// Not tried: the dial ended, or had its 16 addresses, before this one's turn.
    Skipped,
}

/// What became of one address in a dial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Attempt {
    /// The address.
    pub address: Text,
    /// How the address was known.
    pub source: Source,
    /// Where it failed, or `skipped`; null where it succeeded.
    pub stage: Option<DialStage>,
    /// Why it failed; null where it succeeded or was skipped.
    pub code: Option<ErrorKind>,
    /// What happened, for a person; null where it succeeded or was skipped.
    pub error: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// How long it took.
    pub duration_ms: Option<f64>,
}
