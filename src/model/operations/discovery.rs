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

/// Sent by callers.
pub mod params {
    pub use super::{BootstrapFrom, BootstrapPeer, DiscoverPeers, NetworkChange};
}

/// Answered to callers.
pub mod reply {
    pub use super::{
        BootstrapPeers, Discovery, FailedPeer, FromDaemon, NetworkChanged, SourceReport,
    };
}

params! {
    /// Parameters of `discover_peers`.
    DiscoverPeers() {
        /// The number of new peers after which the call ends, 1 to 1000; 100 where not given.
        pub limit: u32 [schemars(range(min = 1, max = 1_000))],
        /// The seconds after which the call ends, where that is sooner than its own deadline.
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
    /// The number of peers whose wait before the next automatic dial, after failed ones, has ended.
    pub waits_forgotten: u64,
    /// The addresses at which this node listens now, each with `/p2p/` and its id at the end.
    pub listen_addrs: Vec<String>,
    /// The number of peers connected when the call ended.
    pub connected_peers: u64,
}

params! {
    /// Parameters of `add_bootstrap_peer` and `remove_bootstrap_peer`.
    BootstrapPeer(
        /// The peer's address with its `/p2p/` part; `/dnsaddr/` may stand without one.
        multiaddr: String = address,
    ) {
        /// Accepted as by every call that waits, but it cancels nothing: the call waits for the disk only, and a
        /// write isn't taken back.
        pub cancel_token: u64,
    }
}

params! {
    /// Parameters of `bootstrap_from_ipfs` and `bootstrap_from_cluster`.
    BootstrapFrom() {
        /// The address of the daemon's API, as a URL (user and password may stand in it) or a multiaddr. Where not
        /// given, the configured one, else the daemon's default on this machine.
        pub api: String = text,
        /// True to connect to the peers it names, to at most 64 of them; true where not given.
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
    /// True while passes run by themselves.
    pub discovery_active: bool,
    /// The seconds between two passes.
    pub interval_s: u64,
    /// The time at which the last pass ended; null before the first has.
    pub last_pass: Option<Timestamp>,
    /// False where the pass is still under way: `discover_peers` had found as many peers as it wanted, or
    /// had no more time.
    pub complete: bool,
    /// A report on each source: bootstrap, mdns, dht, gossip, ipfs, cluster.
    pub sources: BTreeMap<Source, SourceReport>,
    /// The last 20 events, oldest first.
    pub recent_events: Vec<Arc<Event>>,
    /// The bootstrap list.
    pub bootstrap_peers: Vec<String>,
}

/// A report on a source of discovery.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SourceReport {
    /// True if the configuration has it on; of the bootstrap list, if it has an entry.
    pub enabled: bool,
    /// The number of peers it found that the book didn't know, since the last pass began.
    pub found: u64,
    /// The same in all of this run.
    pub total_found: u64,
    /// The number of times it told of a peer, known or not, in all of this run.
    pub heard: u64,
    /// The number of things it told that were refused, by reason, in all of this run.
    pub dropped: BTreeMap<Text, u64>,
    /// The time at which it last found a peer that the book didn't know; null where it never did.
    pub last_found: Option<Timestamp>,
    /// The reason why the last pass found nothing by it; null where it found something.
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
    /// True if this call changed the list.
    pub changed: bool,
}

/// Reply of `bootstrap_from_ipfs` and `bootstrap_from_cluster`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct FromDaemon {
    /// The peers the daemon named, itself among them, that are in the book now. One that has no address which
    /// could be dialled from here, and wasn't known, is left out.
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
    /// The address tried first; null where none is known.
    pub address: Option<Text>,
    /// The code of the failure.
    pub code: ErrorKind,
    /// The failure in words, for a person.
    pub error: String,
}
