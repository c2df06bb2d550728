//! The least that a read can cost: a map behind a parking_lot lock, and serde_json for the very reply
//! that peerkit gave. The structs are flat and typed, so nothing but writing the text is measured.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::RwLock;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::abi::Node;
use crate::stats::Samples;
use crate::{Result, records};

/// Records in the map.
const RECORDS: u64 = 100_000;

#[derive(Serialize, Deserialize)]
struct PeerReply {
    success: bool,
    method: Arc<str>,
    category: Arc<str>,
    peer_info: PeerInfo,
    source: Arc<str>,
}

#[derive(Serialize, Deserialize)]
struct PeerInfo {
    peer_id: Arc<str>,
    multiaddrs: Vec<Arc<str>>,
    connected: bool,
    last_seen: Option<f64>,
    first_seen: Option<f64>,
    protocols: Arc<[Arc<str>]>,
    agent_version: Option<Arc<str>>,
    protocol_version: Option<Arc<str>>,
    cluster_peer: bool,
    connection_attempts: u32,
    successful_connections: u32,
    last_connection_attempt: Option<f64>,
    last_successful_connection: Option<f64>,
    latency_ms: Option<f64>,
    shared_pins: Vec<Value>,
    shared_files: Vec<Value>,
    direction: Option<Arc<str>>,
    transport: Option<Arc<str>>,
    connections: Vec<Connection>,
    policy: Arc<str>,
    tags: HashMap<String, i64>,
    metadata: HashMap<String, Value>,
    sources: Vec<Arc<str>>,
    last_error: Option<Value>,
    next_retry_at: Option<f64>,
    last_disconnect: Option<Value>,
}

#[derive(Serialize, Deserialize)]
struct Connection {
    address: Arc<str>,
    direction: Arc<str>,
    transport: Arc<str>,
    opened_at: f64,
}

#[derive(Serialize, Deserialize)]
struct StatsReply {
    success: bool,
    method: Arc<str>,
    category: Arc<str>,
    stats: Stats,
    total_peers: u64,
    connected_peers: u64,
    discovery_active: bool,
    protocols_supported: Vec<Arc<str>>,
    source: Arc<str>,
}

#[derive(Serialize, Deserialize)]
struct Stats {
    total_peers: u64,
    connected_peers: u64,
    bootstrap_peers: u64,
    discovery_active: bool,
    total_discovered: u64,
    protocols_supported: Vec<Arc<str>>,
    total_files: u64,
    total_pins: u64,
    last_discovery: Option<f64>,
    host_id: Arc<str>,
    uptime_seconds: f64,
    peer_breakdown: Breakdown,
    dropped: HashMap<Arc<str>, u64>,
    traffic: Traffic,
    limits: Limits,
}

#[derive(Serialize, Deserialize)]
struct Breakdown {
    cluster_peers: u64,
    dht_peers: u64,
    gossipsub_peers: u64,
}

#[derive(Serialize, Deserialize)]
struct Traffic {
    bytes_in: u64,
    bytes_out: u64,
}

#[derive(Serialize, Deserialize)]
struct Limits {
    max_connections: u32,
    max_per_peer: u32,
    max_pending: u32,
    max_inbound_per_s: u32,
    max_peers: u32,
    low_water: u32,
    high_water: u32,
}

/// The references beside `get_peer` of `peer` and `get_peer_stats`.
pub struct Reference {
    peers: RwLock<HashMap<String, Arc<PeerReply>>>,
    stats: RwLock<Arc<StatsReply>>,
    peer: String,
}

impl Reference {
    /// Makes it of the replies of a node; fails where they aren't as these structs write them.
    pub fn of(node: &Node, peer: &str) -> Result<Reference> {
        let id = std::ffi::CString::new(peer)?;
        let (info, stats) = (node.get_peer(&id), node.get_peer_stats());
        let mut peers = HashMap::new();
        for n in 0..RECORDS {
            peers.insert(records::peer_id(n), same::<PeerReply>(&info)?);
        }
        peers.insert(peer.to_owned(), same(&info)?);
        Ok(Reference {
            peers: RwLock::new(peers),
            stats: RwLock::new(same(&stats)?),
            peer: peer.to_owned(),
        })
    }

    /// Measures the lock and the look-up alone, and both replies.
    pub fn measure(&self, reads: u64) -> Result<Value> {
        let mut samples = [(); 3].map(|()| Samples::default());
        for _ in 0..reads {
            let started = Instant::now();
            black_box(self.find());
            samples[0].push(started.elapsed());

            let started = Instant::now();
            black_box(serde_json::to_string(&self.find())?);
            samples[1].push(started.elapsed());

            let started = Instant::now();
            let stats = self.stats.read().clone();
            black_box(serde_json::to_string(&stats)?);
            samples[2].push(started.elapsed());
        }
        let [lock, peer, stats] = samples.map(|samples| samples.summary());
        Ok(json!({ "lock": lock, "get_peer": peer, "get_peer_stats": stats }))
    }

    fn find(&self) -> Option<Arc<PeerReply>> {
        self.peers.read().get(&self.peer).cloned()
    }
}

/// Reads a reply and checks that writing it gives the same text; digits apart, since serde_json reads a
/// float to the last but one of them.
fn same<T: Serialize + DeserializeOwned>(reply: &str) -> Result<Arc<T>> {
    let read: T = serde_json::from_str(reply)?;
    let written = serde_json::to_string(&read)?;
    if !without_digits(&written).eq(without_digits(reply)) {
        return Err(format!("the reference isn't the reply:\n{written}\n{reply}").into());
    }
    Ok(Arc::new(read))
}

fn without_digits(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().filter(|character| !character.is_ascii_digit())
}
