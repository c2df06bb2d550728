//! What the operations answer that find peers, content and topics; `reply` gives them out with the others.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::event::Event;
use super::reply::Lookup;
use super::{LastError, PeerRow, Source, Text};
use crate::clock::Timestamp;
use crate::error::ErrorKind;

/// Reply of `add_bootstrap_peer`, `remove_bootstrap_peer` and `list_bootstrap_peers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BootstrapPeers {
    /// The list: those of the configuration, then those of `bootstrap_peers.txt` in its order.
    pub bootstrap_peers: Vec<String>,
    /// Whether this call changed the list.
    pub changed: bool,
}

/// Reply of `bootstrap_from_ipfs` and `bootstrap_from_cluster`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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

/// What a source of discovery has done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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

/// Reply of `discover_peers`, `start_discovery`, `stop_discovery` and `get_discovery`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    pub recent_events: Vec<std::sync::Arc<Event>>,
    /// The bootstrap list.
    pub bootstrap_peers: Vec<String>,
}

/// Reply of `find_peer`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PeerFound {
    /// The peer.
    pub peer_id: Text,
    /// Where it is, by whoever knew.
    pub multiaddrs: Vec<Text>,
    /// Who knew: `dht`, `exchange` for the connected peers, or only the `book`.
    pub found_by: Source,
    /// Who was asked, in order.
    pub lookups: Vec<Lookup>,
}

/// Reply of `provide`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Provided {
    /// The content.
    pub cid: String,
    /// How long telling the DHT took.
    pub duration_ms: f64,
}

/// Reply of `find_providers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Providers {
    /// The content.
    pub cid: String,
    /// Who says to have it.
    pub peers: Vec<Provider>,
}

/// A peer that says to have some content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Provider {
    /// The peer.
    pub peer_id: Text,
    /// Where it is, as far as known.
    pub multiaddrs: Vec<Text>,
}

/// Reply of `publish`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Published {
    /// What tells the message from others, in hexadecimal; as in the `message` events it causes.
    pub message_id: String,
    /// The topic.
    pub topic: String,
}

/// Reply of `subscribe` and `unsubscribe`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Topics {
    /// The topics this node subscribes to now, sorted.
    pub topics: Vec<String>,
    /// Whether this call changed that.
    pub changed: bool,
}
