//! A peer the user disconnected isn't dialled by peerkit until the user connects it, or it comes by
//! itself. Each test makes sure first that peerkit would dial it otherwise.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::servers::ApiServer;
use crate::support::{Peer, eventually};

const SOON: Duration = Duration::from_secs(10);
/// Long enough for several passes, and for the dials that follow a disconnect at once.
const A_WHILE: Duration = Duration::from_millis(2500);

fn eager(data_dir: &Path, bootstrap: &str) -> Value {
    json!({ "data_dir": data_dir, "bootstrap": [bootstrap], "discovery": { "interval_s": 1 } })
}

fn is_connected(peer: &Peer, to: &str) -> bool {
    peer.call("get_peer", json!({ "peer_id": to }))["peer_info"]["connected"] == true
}

#[track_caller]
fn soon_connected(peer: &Peer, to: &str) {
    eventually(SOON, "they are connected", || is_connected(peer, to));
}

#[track_caller]
fn stays_alone(peer: &Peer, without: &str) {
    let before = peer.info(without)["connection_attempts"].clone();
    peer.ok("discover_peers", json!({}));
    std::thread::sleep(A_WHILE);
    peer.ok("discover_peers", json!({}));
    let after = peer.info(without);
    assert_eq!((&after["connected"], &after["connection_attempts"]), (&json!(false), &before));
}

#[test]
fn a_disconnected_peer_is_left_alone_across_kill_9_until_the_user_connects_it() {
    let data_dir = TempDir::new().unwrap();
    let b = Peer::start();
    let keys = eager(data_dir.path(), &b.at("tcp"));
    let a = Peer::with(keys.clone());
    soon_connected(&a, b.id());
    a.ok("disconnect_peer", json!({ "peer_id": b.id() }));
    stays_alone(&a, b.id());
    a.kill();
    let a = Peer::with(keys.clone());
    stays_alone(&a, b.id());

    // Killed right after, it knows that the user has connected the peer again.
    a.ok("connect_peer", json!({ "peer_id": b.id() }));
    a.kill();
    soon_connected(&Peer::with(keys), b.id());
}

#[test]
fn the_reply_of_a_disconnect_means_that_it_is_on_disk() {
    let data_dir = TempDir::new().unwrap();
    let b = Peer::start();
    let keys = eager(data_dir.path(), &b.at("tcp"));
    let a = Peer::with(keys.clone());
    soon_connected(&a, b.id());
    a.ok("disconnect_peer", json!({ "peer_id": b.id() }));
    a.kill();
    stays_alone(&Peer::with(keys), b.id());
}

#[test]
fn a_disconnected_peer_that_comes_by_itself_is_welcome_and_dialled_again() {
    let data_dir = TempDir::new().unwrap();
    let b = Peer::start();
    let a = Peer::with(eager(data_dir.path(), &b.at("tcp")));
    soon_connected(&a, b.id());
    a.ok("disconnect_peer", json!({ "peer_id": b.id() }));
    stays_alone(&a, b.id());
    b.connect(&a.at("tcp"));
    soon_connected(&a, b.id());
    // Now b's user ends it: b holds off, and a doesn't.
    b.ok("disconnect_peer", json!({ "peer_id": a.id() }));
    eventually(SOON, "a has dialled b", || {
        let connections = a.info(b.id())["connections"].clone();
        connections.as_array().unwrap().iter().any(|open| open["direction"] == "outbound")
    });
}

#[test]
fn a_stranger_that_was_disconnected_is_not_dialled_when_others_tell_of_it() {
    let (b, api) = (Peer::start(), ApiServer::start());
    api.kubo(&b, &[]);
    let a = Peer::with(json!({
        "bootstrap_from_ipfs": api.url(), "discovery": { "interval_s": 1 },
    }));
    soon_connected(&a, b.id());
    a.ok("disconnect_peer", json!({ "peer_id": b.id() }));
    stays_alone(&a, b.id());

    let named = a.ok("bootstrap_from_ipfs", json!({}));
    assert_eq!(named["peers"][0]["peer_id"], b.id(), "{named:#}");
    assert_eq!((&named["connected"], &named["failed"]), (&json!([]), &json!([])));
    stays_alone(&a, b.id());

    // Nor by the DHT and gossip, once another peer is there.
    a.ok("find_peer", json!({ "peer_id": b.id() }));
    assert!(!is_connected(&a, b.id()));
    a.ok("connect_peer", json!({ "peer_id": b.id() }));
    assert!(is_connected(&a, b.id()));
}
