//! What operations answer, one struct for each; the envelope around them is made in `ops`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::event::Event;
pub use super::found::*;
use super::{Attempt, PeerInfo, PeerRow, Source, Text, TransportKind};
use crate::clock::Timestamp;

/// Where a manager is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Serving.
    Running,
    /// A stop is under way.
    Stopping,
    /// Stopped.
    Stopped,
    /// The worker panicked; only stop works.
    Dead,
}

/// Reply of `status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// Where the manager is in its life.
    pub state: State,
    /// This node's id, base58.
    pub peer_id: Text,
    /// Where this node listens, each ending in `/p2p/` and its id.
    pub listen_addrs: Vec<String>,
    /// The library's version.
    pub version: String,
    /// The version of the C ABI.
    pub abi_version: u32,
    /// Seconds since start.
    pub uptime_seconds: f64,
    /// The data directory; null where nothing is written.
    pub data_dir: Option<String>,
    /// The profile in force.
    pub profile: crate::config::Profile,
    /// What isn't wrong enough to fail but worth knowing.
    pub warnings: Vec<String>,
}

/// Reply of `start` and `current`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Started {
    /// The run's handle, as in the out-parameter.
    pub handle: u64,
    /// True where the manager ran before this call.
    pub already_running: bool,
    /// The rest, as `status` gives it.
    #[serde(flatten)]
    pub status: Status,
}

/// Reply of `stop`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stopped {
    /// `stopped`.
    pub state: State,
    /// True where it had stopped before this call.
    pub already_stopped: bool,
    /// What went wrong at the end, such as a full disk that didn't take what was observed last.
    pub warnings: Vec<String>,
}

/// Reply of `cancel`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cancelled {
    /// How many waiting calls carried the token and were told to end.
    pub cancelled: u32,
}

/// Reply of `events_open`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventsOpened {
    /// The subscription's handle, as in the out-parameter.
    pub events_handle: u64,
    /// The number of the last event before this call; what happens from now on comes after it.
    pub last_seq: u64,
}

/// Reply of `events_close`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventsClosed {
    /// True where it had been closed before this call.
    pub already_closed: bool,
}

/// Reply of `get_peers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Peers {
    /// The peers, most recently heard of first.
    pub peers: Vec<PeerRow>,
    /// How many match, all told.
    pub total: u64,
    /// Whether there are more than `peers` holds.
    pub truncated: bool,
}

/// Reply of `search_peers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SearchResult {
    /// The matches, most recently heard of first.
    #[serde(flatten)]
    pub found: Peers,
    /// The text searched for.
    pub query: String,
}

/// Where a page stands in its list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pagination {
    /// How many peers match, all told.
    pub total: u64,
    /// The page size asked for.
    pub limit: u32,
    /// The index of the page's first peer.
    pub offset: u64,
    /// Whether a further page exists.
    pub has_more: bool,
    /// What to pass as `cursor` for the next page; null on the last.
    pub next_cursor: Option<String>,
}

/// Reply of `list_peers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PeerPage {
    /// The page.
    pub peers: Vec<PeerRow>,
    /// Where it stands.
    pub pagination: Pagination,
}

/// Reply of `get_peer` and `add_peer`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PeerReply {
    /// Everything known of the peer.
    pub peer_info: PeerInfo,
}

/// Reply of `connect_peer`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Connected {
    /// The peer connected to.
    pub peer_id: Text,
    /// What happened, for a person.
    pub message: String,
    /// The remote's address.
    pub address: Text,
    /// What the connection runs over.
    pub transport: TransportKind,
    /// True where the connection was there before this call.
    pub already_connected: bool,
    /// How long the call took.
    pub duration_ms: f64,
    /// What became of each address; empty where nothing was dialled.
    pub attempts: Vec<Attempt>,
    /// Who was asked for addresses, in order; empty where none were needed.
    pub lookups: Vec<Lookup>,
}

/// Somebody was asked where a peer is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Lookup {
    /// Who: `book`, `dht`, or `exchange` for the connected peers.
    pub source: Source,
    /// How many addresses came of it that weren't known before.
    pub found: u32,
    /// How long it took.
    pub duration_ms: f64,
    /// Why nothing came of it.
    pub error: Option<String>,
}

/// Reply of `disconnect_peer`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Disconnected {
    /// The peer.
    pub peer_id: Text,
    /// What happened, for a person.
    pub message: String,
    /// Whether there was a connection to close.
    pub was_connected: bool,
}

/// Reply of `ping_peer`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pinged {
    /// The peer.
    pub peer_id: Text,
    /// Round trip times of the answered pings, in order, in milliseconds.
    pub rtts_ms: Vec<f64>,
    /// How many were sent.
    pub sent: u32,
    /// How many were answered.
    pub received: u32,
}

/// Reply of `remove_peer`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Removed {
    /// The peer.
    pub peer_id: Text,
    /// True; an unknown peer is `peer_not_found`.
    pub removed: bool,
}

/// How the peers of the book became known, for the existing dashboards.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PeerBreakdown {
    /// Members of the ipfs-cluster beside us.
    pub cluster_peers: u64,
    /// Peers that speak a Kademlia protocol.
    pub dht_peers: u64,
    /// Peers that speak a gossipsub protocol.
    pub gossipsub_peers: u64,
}

/// Bytes over all connections of this run, counted on streams after decryption.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Traffic {
    /// Received.
    pub bytes_in: u64,
    /// Sent.
    pub bytes_out: u64,
}

/// The limits in force.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LimitsInForce {
    /// Established connections, all told.
    pub max_connections: u32,
    /// Established connections to one peer.
    pub max_per_peer: u32,
    /// Connections being established, in each direction.
    pub max_pending: u32,
    /// Inbound connections accepted in a second.
    pub max_inbound_per_s: u32,
    /// Records in the book.
    pub max_peers: u32,
    /// Peers that discovery tries to be connected to, and what trimming leaves.
    pub low_water: u32,
    /// Connections above which the least useful are closed.
    pub high_water: u32,
}

/// The statistics of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stats {
    /// Records in the book.
    pub total_peers: u64,
    /// Peers with a live connection.
    pub connected_peers: u64,
    /// Entries of the bootstrap list.
    pub bootstrap_peers: u64,
    /// Whether discovery runs.
    pub discovery_active: bool,
    /// Peers found by discovery in this run.
    pub total_discovered: u64,
    /// Protocols the known peers speak, sorted. Untrusted text from remotes; at most 1000.
    pub protocols_supported: Vec<Text>,
    /// Files shared by peers; 0 until content sharing is built.
    pub total_files: u64,
    /// Pins shared by peers; 0 until content sharing is built.
    pub total_pins: u64,
    /// When a peer was last discovered.
    pub last_discovery: Option<Timestamp>,
    /// This node's id.
    pub host_id: Text,
    /// Seconds since start.
    pub uptime_seconds: f64,
    /// Peers by what they are.
    pub peer_breakdown: PeerBreakdown,
    /// What remotes sent and was refused in this run, by where it came from and why: `gossip.rate`,
    /// `dht.scope` and so on.
    pub dropped: BTreeMap<Text, u64>,
    /// Bytes in and out.
    pub traffic: Traffic,
    /// The limits in force.
    pub limits: LimitsInForce,
}

/// Reply of `get_peer_stats`. Four fields stand twice: one of the existing dashboards reads them
/// beside `stats`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StatsReply {
    /// The statistics.
    pub stats: Stats,
    /// As in `stats`.
    pub total_peers: u64,
    /// As in `stats`.
    pub connected_peers: u64,
    /// As in `stats`.
    pub discovery_active: bool,
    /// As in `stats`.
    pub protocols_supported: Vec<Text>,
}

/// Reply of `get_peers_summary`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// Records in the book.
    pub total_peers: u64,
    /// Peers with a live connection.
    pub connected_peers: u64,
    /// Entries of the bootstrap list.
    pub bootstrap_peers: u64,
    /// Whether discovery runs.
    pub discovery_active: bool,
    /// How many known peers speak each protocol; the 1000 most spoken.
    pub protocols: BTreeMap<Text, u64>,
    /// The last 20 events, oldest first.
    pub recent_events: Vec<std::sync::Arc<Event>>,
    /// The statistics.
    pub stats: Stats,
}

/// Reply of `get_metrics`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Metrics {
    /// The text, from its first line to `# EOF`.
    pub metrics: String,
    /// What an HTTP server says of it in `Content-Type`.
    pub content_type: String,
}
