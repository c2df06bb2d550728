//! A peer the user disconnected isn't dialled automatically until the user connects it, or it connects
//! to us. Each test makes sure first that peerkit would dial it otherwise.

use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use libp2p::identity::Keypair;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::record::record;
use crate::support::servers::ApiServer;
use crate::support::{Peer, eventually, failed, some_peer_id};

/// The topic of announcements where the configuration names no other.
const ANNOUNCEMENTS: &str = "/peerkit/announce/1.0.0";

const SOON: Duration = Duration::from_secs(10);

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
    // Lets the dials be made that follow a disconnect at once, and those of passes that nobody asked for.
    peer.events_so_far();
    for _ in 0..2 {
        peer.wait_event(SOON, |event| event["event"] == "discovery");
    }
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

    // Killed right after the connect, it knows that the user wants the peer again.
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
    // Now b's user ends it: b's automatic dials to a are disabled, and a's to b aren't.
    b.ok("disconnect_peer", json!({ "peer_id": a.id() }));
    eventually(SOON, "a has dialled b", || {
        let connections = a.info(b.id())["connections"].clone();
        connections.as_array().unwrap().iter().any(|open| open["direction"] == "outbound")
    });
}

#[test]
fn a_stranger_that_was_disconnected_is_not_dialled_when_a_daemon_names_it() {
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

    a.ok("connect_peer", json!({ "peer_id": b.id() }));
    assert!(is_connected(&a, b.id()));
}

/// Starts a peer that looks for peers by this source alone, every second.
fn only(source: &str, mode: Value, limits: Value) -> Peer {
    let mut discovery = json!({ "dht": "off", "gossip": false, "mdns": false, "interval_s": 1 });
    discovery[source] = mode;
    Peer::with(json!({ "discovery": discovery, "limits": limits }))
}

/// Starts a peer of the DHT that answers every question with these peers.
fn teller_of(told: &[&Peer]) -> Peer {
    let entry = |peer: &&Peer| json!({ "id": peer.id(), "addrs": [peer.bare("tcp")] });
    let told: Vec<Value> = told.iter().map(entry).collect();
    Peer::raw(json!({ "identify": "real", "kad": { "peers": told } }))
}

#[test]
fn a_disconnected_peer_is_not_dialled_by_the_queries_of_the_dht() {
    let passive = || Peer::raw(json!({ "identify": "real", "kad": {} }));
    let (b, c) = (passive(), passive());
    // The auto dialer dials nobody at a low water of 0: every dial is a query's.
    let a = only("dht", json!("server"), json!({ "low_water": 0 }));
    let first = teller_of(&[&b]);
    a.connect(&first.at("tcp"));
    assert_eq!(a.wait_for("peer_connected", b.id())["direction"], "outbound");
    a.ok("disconnect_peer", json!({ "peer_id": b.id() }));
    a.wait_for("peer_disconnected", b.id());
    let before = a.info(b.id())["connection_attempts"].clone();

    // The second answer names c too, whose connection shows that the answer led to dials.
    let second = teller_of(&[&b, &c]);
    a.connect(&second.at("tcp"));
    a.wait_for("peer_connected", c.id());
    for _ in 0..2 {
        let nobody = json!({ "peer_id": some_peer_id() });
        failed(a.call("find_peer", nobody), "peer_not_found");
        a.ok("discover_peers", json!({}));
    }
    was_left_alone(&a, b.id(), &before);
    a.ok("connect_peer", json!({ "peer_id": b.id() }));
}

#[test]
fn a_disconnected_peer_is_not_dialled_because_it_is_announced_over_gossip() {
    let place = |seed: u8| Peer::raw(json!({ "identify": "real", "seed": seed }));
    let (b, c) = (place(1), place(2));
    let a = only("gossip", json!(true), json!({}));
    let teller = Peer::raw(json!({ "identify": "real", "topics": [ANNOUNCEMENTS] }));
    a.connect(&teller.at("tcp"));
    let announce = |seed: u8, number: u64, place: &Peer| {
        let key = Keypair::ed25519_from_bytes([seed; 32]).unwrap();
        let address = place.bare("tcp").parse().unwrap();
        let record = record(&key, key.public().to_peer_id(), number, &address);
        let data = BASE64_STANDARD.encode(record);
        teller.ok("publish", json!({ "topic": ANNOUNCEMENTS, "data_base64": data }));
    };
    announce(1, 1, &b);
    assert_eq!(a.wait_for("peer_discovered", b.id())["source"], "gossip");
    assert_eq!(a.wait_for("peer_connected", b.id())["direction"], "outbound");
    a.ok("disconnect_peer", json!({ "peer_id": b.id() }));
    a.wait_for("peer_disconnected", b.id());
    let before = a.info(b.id())["connection_attempts"].clone();

    // The peer is announced at another of its addresses, again and again, since one announcement in a
    // second is heeded; then another peer, whose dial shows that the first would be dialled, too.
    let elsewhere = place(1);
    let mut number = 1;
    eventually(SOON, "the other address is known", || {
        number += 1;
        announce(1, number, &elsewhere);
        let known = a.info(b.id())["multiaddrs"].clone();
        known.as_array().unwrap().contains(&json!(elsewhere.bare("tcp")))
    });
    announce(2, 1, &c);
    a.wait_for("peer_connected", c.id());
    a.ok("discover_peers", json!({}));
    was_left_alone(&a, b.id(), &before);
    a.ok("connect_peer", json!({ "peer_id": b.id() }));
}

#[track_caller]
fn was_left_alone(peer: &Peer, without: &str, attempts: &Value) {
    let record = peer.info(without);
    assert_eq!((&record["connected"], &record["connection_attempts"]), (&json!(false), attempts));
    let events = peer.events_so_far();
    let again = |event: &Value| event["event"] == "peer_connected" && event["peer_id"] == without;
    assert!(!events.iter().any(again), "{events:#?}");
}
