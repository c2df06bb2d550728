//! Finding peers: passes of discovery, the bootstrap list, and the daemons beside this node.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::args::MultiaddrArg;
use crate::clock::Timestamp;
use crate::error::ErrorKind;
use crate::model::event::Event;
use crate::model::{LastError, PeerRow, Source, Text};

/// What callers send.
pub mod params {
    pub use super::{BootstrapFrom, BootstrapPeer, DiscoverPeers, NetworkChange};
}

/// What is answered.
pub mod reply {
    pub use super::{
        BootstrapPeers, Discovery, FailedPeer, FromDaemon, NetworkChanged, SourceReport,
    };
}

params! {
    /// Parameters of `discover_peers`.
    DiscoverPeers() {
        /// Answer once so many new peers are found, 1 to 1000 (100).
        pub limit: u32 [schemars(range(min = 1, max = 1_000))],
        /// Answer after so many seconds, where that is sooner than the call's own deadline.
        pub(crate) timeout: f64 = seconds,
        /// A number of the caller's own, by which `cancel` ends this call.
        pub cancel_token: u64,
    }
}

params! {
    /// Parameters of `network_changed`.
    NetworkChange() {
        /// A number of the caller's own, by which `cancel` ends this call.
        pub cancel_token: u64,
    }
}

/// Reply of `network_changed`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct NetworkChanged {
    /// Peers that had to wait before peerkit would dial them again by itself, and no longer have to.
    pub waits_forgotten: u64,
    /// The addresses this node listens at now, each ending in /p2p/ and its id.
    pub listen_addrs: Vec<String>,
    /// Peers connected when the call ended.
    pub connected_peers: u64,
}

params! {
    /// Parameters of `add_bootstrap_peer` and `remove_bootstrap_peer`.
    BootstrapPeer(
        /// The peer's address with its `/p2p/` part; `/dnsaddr/` may stand without one.
        multiaddr: String = address,
    ) {
        /// Taken as by every call that waits; but a write to the disk, once begun, is not taken back.
        pub cancel_token: u64,
    }
}

params! {
    /// Parameters of `bootstrap_from_ipfs` and `bootstrap_from_cluster`.
    BootstrapFrom() {
        /// Where the daemon's API is, as a URL (user and password may stand in it) or a multiaddr (the
        /// configured one, else the daemon's default on this machine).
        pub api: String = text,
        /// Whether to connect to the peers it names, at most 64 of them (true).
        pub connect: bool,
        /// A number of the caller's own, by which `cancel` ends this call.
        pub cancel_token: u64,
    }
}

/// Reply of `discover_peers`, `start_discovery`, `stop_discovery` and `get_discovery`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Discovery {
    /// The peers the last pass found that the book didn't know.
    pub discovered_peers: Vec<PeerRow>,
    /// Peers found by discovery in all of this run.
    pub total_discovered: u64,
    /// Records in the book.
    pub total_peers: u64,
    /// Whether passes run by themselves.
    pub discovery_active: bool,
    /// Seconds between them.
    pub interval_s: u64,
    /// When the last pass ended.
    pub last_pass: Option<Timestamp>,
    /// False where the pass is still under way: `discover_peers` had found as many peers as it wanted, or
    /// had no more time.
    pub complete: bool,
    /// What each source has done.
    pub sources: BTreeMap<Source, SourceReport>,
    /// The last 20 events, oldest first.
    pub recent_events: Vec<Arc<Event>>,
    /// The bootstrap list.
    pub bootstrap_peers: Vec<String>,
}

/// What a source of discovery has done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SourceReport {
    /// Whether the configuration has it on.
    pub enabled: bool,
    /// Peers the book didn't know, in the last pass.
    pub found: u64,
    /// The same, in all of this run.
    pub total_found: u64,
    /// Times it told of any peer, known or not, in all of this run.
    pub heard: u64,
    /// What it told and was refused, by reason, in all of this run.
    pub dropped: BTreeMap<Text, u64>,
    /// When it last told of a peer the book didn't know.
    pub last_found: Option<Timestamp>,
    /// Why the last pass found nothing by it; null where it did.
    pub note: Option<String>,
    /// Its last failure.
    pub last_error: Option<LastError>,
}

/// Reply of `add_bootstrap_peer`, `remove_bootstrap_peer` and `list_bootstrap_peers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct BootstrapPeers {
    /// The list: those of the configuration, then those of `bootstrap_peers.txt` in its order.
    pub bootstrap_peers: Vec<String>,
    /// Whether this call changed the list.
    pub changed: bool,
}

/// Reply of `bootstrap_from_ipfs` and `bootstrap_from_cluster`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct FromDaemon {
    /// The peers the daemon named, itself among them; all are in the book now.
    pub peers: Vec<PeerRow>,
    /// Those connected when the call ended.
    pub connected: Vec<Text>,
    /// Those that couldn't be connected, and why.
    pub failed: Vec<FailedPeer>,
}

/// A peer that couldn't be connected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct FailedPeer {
    /// The peer.
    pub peer_id: Text,
    /// The address tried first.
    pub address: Option<Text>,
    /// The code of the failure.
    pub code: ErrorKind,
    /// What happened, for a person.
    pub error: String,
}
