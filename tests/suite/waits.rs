//! Waits after failed dials end with what caused them, and are short while nobody is connected.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redb::ReadableTable;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::netns::{Host, Switch};
use crate::support::{Peer, eventually, some_peer_id};

/// Time within which a change of the network is noticed and what follows from it is done; far below the wait.
const NOTICED: Duration = Duration::from_secs(15);
const WAIT_S: f64 = 3000.0;

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// Returns a configuration that keeps a book there and finds nobody by itself.
fn lan(data_dir: &Path, listen: &str) -> Value {
    json!({ "profile": "lan", "listen": [listen], "data_dir": data_dir, "discovery": {
        "mdns": false, "dht": "off", "gossip": false, "interval_s": 3600,
    }})
}

/// Leaves a book that knows a peer whose dials have failed for hours.
fn leave_a_book(data_dir: &Path, id: &str, address: &str) {
    let peer = Peer::with(json!({ "data_dir": data_dir }));
    peer.ok("add_peer", json!({ "peer_id": id, "multiaddrs": [address] }));
    peer.ok("stop", json!({}));
    drop(peer);
    let database = redb::Database::open(data_dir.join("book.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    let peers = redb::TableDefinition::<&[u8], &[u8]>::new("peers");
    let key = id.parse::<libp2p::PeerId>().unwrap().to_bytes();
    {
        let mut table = transaction.open_table(peers).unwrap();
        let row = table.get(key.as_slice()).unwrap().unwrap().value().to_vec();
        let mut record: Value = serde_json::from_slice(&row).unwrap();
        record["next_retry_at"] = json!(now() + WAIT_S);
        table.insert(key.as_slice(), record.to_string().as_bytes()).unwrap();
    }
    transaction.commit().unwrap();
}

fn waits_for(peer: &Peer, id: &str) -> Option<f64> {
    Some(peer.info(id)["next_retry_at"].as_f64()? - now())
}

fn is_connected(peer: &Peer, id: &str) -> bool {
    peer.info(id)["connected"] == true
}

/// Starts a peer there that is connected to somebody, and still waits for another peer.
fn waiting(host: &Host, data_dir: &Path, listen: &str, (somebody, id): (&Peer, &str)) -> Peer {
    let peer = host.peer(lan(data_dir, listen));
    // Without a source of peers it doesn't begin by itself.
    peer.ok("start_discovery", json!({}));
    peer.connect(&somebody.at("tcp"));
    let wait = waits_for(&peer, id);
    assert!(wait.is_some_and(|wait| wait > WAIT_S - 100.0), "{wait:?}");
    peer
}

fn quiet(host: &Host) -> Peer {
    let dir = TempDir::new().unwrap();
    let mut config = lan(dir.path(), &format!("/ip4/{}/tcp/0", host.ip()));
    config.as_object_mut().unwrap().remove("data_dir");
    host.peer(config)
}

#[test]
fn a_network_that_comes_lets_its_peers_be_dialled_at_once() {
    let (Some(near), Some(far)) = (Switch::new(), Switch::new()) else { return };
    let [host, neighbour] = ["10.77.0.1/24", "10.77.0.2/24"].map(|ip| near.host(ip));
    let there = far.host("10.78.0.2/24");
    let (somebody, other) = (quiet(&neighbour), quiet(&there));
    let dir = TempDir::new().unwrap();
    leave_a_book(dir.path(), other.id(), &other.bare("tcp"));
    let listen = "/ip4/0.0.0.0/tcp/0";
    let peer = waiting(&host, dir.path(), listen, (&somebody, other.id()));
    host.plug(&far, "eth1", "10.78.0.1/24");
    eventually(NOTICED, "the peer there is dialled", || is_connected(&peer, other.id()));
}

#[test]
fn a_route_that_comes_lets_peers_be_dialled_though_no_address_changed() {
    let Some(switch) = Switch::new() else { return };
    let [host, neighbour, there] =
        ["10.77.0.1/24", "10.77.0.2/24", "10.99.0.2/24"].map(|ip| switch.host(ip));
    let (somebody, other) = (quiet(&neighbour), quiet(&there));
    host.ip_commands("route del default\n");
    let dir = TempDir::new().unwrap();
    leave_a_book(dir.path(), other.id(), &other.bare("tcp"));
    let listen = "/ip4/10.77.0.1/tcp/0";
    let peer = waiting(&host, dir.path(), listen, (&somebody, other.id()));
    host.ip_commands("route replace default dev eth0\n");
    eventually(NOTICED, "the peer behind it is dialled", || is_connected(&peer, other.id()));
}

#[test]
fn who_is_connected_to_nobody_waits_for_half_a_minute_at_most() {
    let (dir, id) = (TempDir::new().unwrap(), some_peer_id());
    leave_a_book(dir.path(), &id, "/ip4/127.0.0.1/tcp/1");
    let peer = Peer::with(json!({ "data_dir": dir.path() }));
    peer.ok("start_discovery", json!({}));
    assert!(waits_for(&peer, &id).is_some_and(|wait| wait > WAIT_S - 100.0));
    let soon = || waits_for(&peer, &id).is_none_or(|wait| wait < 30.0);
    eventually(NOTICED, "it waits no longer", soon);
    let attempts = peer.info(&id)["connection_attempts"].clone();
    eventually(Duration::from_secs(35), "it is dialled", || {
        peer.info(&id)["connection_attempts"] != attempts
    });
}
