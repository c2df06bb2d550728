//! Parameters and replies of this node itself: its state, its statistics, its end.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::config::Profile;
use crate::model::Text;
use crate::model::event::Event;

/// Sent by callers.
pub mod params {
    pub use super::NoParams;
}

/// Answered to callers.
pub mod reply {
    pub use super::{
        Cancelled, LimitsInForce, Metrics, PeerBreakdown, Started, State, Stats, StatsReply,
        Status, Stopped, Summary, Traffic,
    };
}

params! {
    /// Parameters of the operations that have none: an empty JSON object.
    NoParams() {}
}

/// The state of a manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// It serves.
    Running,
    /// A stop is under way.
    Stopping,
    /// Stopped.
    Stopped,
    /// It has panicked; only a stop works.
    Dead,
}

/// Reply of `status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Status {
    /// The manager's state.
    pub state: State,
    /// This node's id, base58.
    pub peer_id: Text,
    /// The addresses at which this node listens, each with `/p2p/` and its id at the end.
    pub listen_addrs: Vec<String>,
    /// The library's version.
    pub version: String,
    /// The version of the C ABI.
    pub abi_version: u32,
    /// The seconds since the start.
    pub uptime_seconds: f64,
    /// The data directory; null where nothing is written.
    pub data_dir: Option<String>,
    /// The profile in force.
    pub profile: Profile,
    /// Findings that aren't bad enough for a failure: of the configuration, the files, the disk.
    pub warnings: Vec<String>,
}

/// Reply of `peerkit_start` and `peerkit_current` in C. In Rust they give a
/// [`PeerManager`](crate::PeerManager).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
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
#[non_exhaustive]
pub struct Stopped {
    /// Always `stopped`.
    pub state: State,
    /// True where it had stopped before this call.
    pub already_stopped: bool,
    /// Failures at the end, such as a full disk that didn't take what was observed last.
    pub warnings: Vec<String>,
}

/// Reply of `cancel`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Cancelled {
    /// The number of waiting calls that carried the token; they answer `cancelled`.
    pub cancelled: u32,
}

/// The statistics of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Stats {
    /// Records in the book.
    pub total_peers: u64,
    /// Peers with a live connection.
    pub connected_peers: u64,
    /// Entries of the bootstrap list.
    pub bootstrap_peers: u64,
    /// True while passes of discovery run by themselves.
    pub discovery_active: bool,
    /// Peers found by discovery in this run.
    pub total_discovered: u64,
    /// Protocols the known peers speak, sorted. Untrusted text from remotes; at most 1000.
    pub protocols_supported: Vec<Text>,
    /// Files shared by peers; 0 until content sharing is built.
    pub total_files: u64,
    /// Pins shared by peers; 0 until content sharing is built.
    pub total_pins: u64,
    /// The time at which a peer was last discovered that the book didn't know; null where none was in this run.
    pub last_discovery: Option<Timestamp>,
    /// This node's id.
    pub host_id: Text,
    /// The seconds since the start.
    pub uptime_seconds: f64,
    /// Peers by what they are.
    pub peer_breakdown: PeerBreakdown,
    /// The number of things that remotes sent and that were refused in this run, by source and reason:
    /// `gossip.rate`, `dht.scope` and so on.
    pub dropped: BTreeMap<Text, u64>,
    /// Bytes in and out.
    pub traffic: Traffic,
    /// The limits in force.
    pub limits: LimitsInForce,
}

/// The peers of the book by what they are, for the dashboards of the Python peer manager; one may be of several
/// kinds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct PeerBreakdown {
    /// Members of an ipfs-cluster that was asked.
    pub cluster_peers: u64,
    /// Peers that speak a Kademlia protocol.
    pub dht_peers: u64,
    /// Peers that speak a protocol of gossipsub or floodsub.
    pub gossipsub_peers: u64,
}

/// Bytes over all connections of this run, counted on streams after decryption.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Traffic {
    /// Received.
    pub bytes_in: u64,
    /// Sent.
    pub bytes_out: u64,
}

/// The limits in force: those of the configuration, defaults filled in.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
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

/// Reply of `get_peer_stats`. Four fields stand twice: a dashboard of the Python peer manager reads them
/// beside `stats`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
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
#[non_exhaustive]
pub struct Summary {
    /// Records in the book.
    pub total_peers: u64,
    /// Peers with a live connection.
    pub connected_peers: u64,
    /// Entries of the bootstrap list.
    pub bootstrap_peers: u64,
    /// True while passes of discovery run by themselves.
    pub discovery_active: bool,
    /// The number of known peers that speak each protocol, of the 1000 protocols most spoken. Untrusted text from
    /// remotes.
    pub protocols: BTreeMap<Text, u64>,
    /// The last 20 events, oldest first.
    pub recent_events: Vec<Arc<Event>>,
    /// The statistics.
    pub stats: Stats,
}

/// Reply of `get_metrics`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Metrics {
    /// The text, from its first line to `# EOF`.
    pub metrics: String,
    /// The value of the header `Content-Type` with which an HTTP server sends it.
    pub content_type: String,
}
