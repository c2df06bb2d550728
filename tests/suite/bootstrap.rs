//! The bootstrap list: kept on disk as a person wrote it, dialled at start and whenever peers are few.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::servers::ClosedPort;
use crate::support::{Peer, eventually, failed, some_peer_id};

const SOON: Duration = Duration::from_secs(10);
const FILE: &str = "bootstrap_peers.txt";

fn at(data_dir: &Path) -> Peer {
    Peer::with(json!({ "data_dir": data_dir }))
}

/// Makes a bootstrap address where nobody listens.
fn nowhere() -> (ClosedPort, String, String) {
    let (port, id) = (ClosedPort::new(), some_peer_id());
    let address = format!("{}/p2p/{id}", port.address());
    (port, id, address)
}

fn listed(peer: &Peer) -> Vec<String> {
    let reply = peer.ok("list_bootstrap_peers", json!({}));
    serde_json::from_value(reply["bootstrap_peers"].clone()).unwrap()
}

#[track_caller]
fn add(peer: &Peer, address: &str) -> Value {
    peer.ok("add_bootstrap_peer", json!({ "multiaddr": address }))
}

#[track_caller]
fn remove(peer: &Peer, address: &str) -> Value {
    peer.ok("remove_bootstrap_peer", json!({ "multiaddr": address }))
}

fn is_connected(peer: &Peer, to: &str) -> bool {
    peer.call("get_peer", json!({ "peer_id": to }))["peer_info"]["connected"] == true
}

#[track_caller]
fn soon_connected(peer: &Peer, to: &str) {
    eventually(SOON, "they are connected", || is_connected(peer, to));
}

#[test]
fn the_list_is_added_to_listed_and_taken_from() {
    let a = Peer::start();
    let ((_, x, at_x), (_, _, at_y)) = (nowhere(), nowhere());
    assert_eq!(a.ok("list_bootstrap_peers", json!({}))["bootstrap_peers"], json!([]));

    let added = add(&a, &at_x);
    assert_eq!(added["bootstrap_peers"], json!([at_x]));
    assert_eq!(added["changed"], true);
    assert_eq!(a.info(&x)["sources"], json!(["bootstrap"]));
    let found = a.wait_for("peer_discovered", &x);
    assert_eq!(found["source"], "bootstrap", "{found:#}");

    // The same address with another form of the id isn't another entry.
    let legacy = at_x.replace("/p2p/", "/ipfs/");
    let again = add(&a, &legacy);
    assert_eq!((&again["changed"], &again["bootstrap_peers"]), (&json!(false), &json!([at_x])));

    assert_eq!(add(&a, &at_y)["bootstrap_peers"], json!([at_x, at_y]));
    let stats = a.ok("get_peer_stats", json!({}));
    assert_eq!(stats["stats"]["bootstrap_peers"], 2, "{stats:#}");
    assert_eq!(a.ok("get_peers_summary", json!({}))["bootstrap_peers"], 2);

    let removed = remove(&a, &legacy);
    assert_eq!((&removed["changed"], &removed["bootstrap_peers"]), (&json!(true), &json!([at_y])));
    assert_eq!(remove(&a, &at_x)["changed"], false);
    assert_eq!(a.info(&x)["sources"], json!([]));
}

#[test]
fn acknowledged_changes_of_the_list_survive_kill_9() {
    let data_dir = TempDir::new().unwrap();
    let file = data_dir.path().join(FILE);
    at(data_dir.path()).kill();
    let [x, y, z] = [(); 3].map(|()| nowhere().2);
    fs::write(&file, format!("# ours\n\n{x}   # the old one\n# not now: {z}\n")).unwrap();

    let a = at(data_dir.path());
    assert_eq!(listed(&a), std::slice::from_ref(&x));
    add(&a, &y);
    a.kill();
    let text = format!("# ours\n\n{x}   # the old one\n# not now: {z}\n{y}\n");
    assert_eq!(fs::read_to_string(&file).unwrap(), text);

    let a = at(data_dir.path());
    assert_eq!(listed(&a), [x.clone(), y.clone()]);
    remove(&a, &x);
    a.kill();
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("# ours\n\n# not now: {z}\n{y}\n"));
    assert_eq!(listed(&at(data_dir.path())), [y]);
}

#[test]
fn a_file_edited_by_hand_is_honoured_and_its_bad_lines_are_told_of_and_kept() {
    let data_dir = TempDir::new().unwrap();
    let file = data_dir.path().join(FILE);
    at(data_dir.path()).ok("stop", json!({}));
    let [x, y, z] = [(); 3].map(|()| nowhere().2);
    let bad = "/ip4/192.0.2.1/tcp/1\nnonsense\n";
    fs::write(&file, format!("{bad}{x}\n{x}\n")).unwrap();

    let a = at(data_dir.path());
    assert_eq!(listed(&a), std::slice::from_ref(&x));
    let warnings = a.ok("status", json!({}))["warnings"].clone();
    let warnings: Vec<String> = serde_json::from_value(warnings).unwrap();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    for (warning, line) in warnings.iter().zip(["line 1 ", "line 2 "]) {
        assert!(warning.contains(FILE) && warning.contains(line), "{warning}");
    }

    // The file is edited while the node runs: the next change keeps that.
    fs::write(&file, format!("{bad}{x}\n{y}\n")).unwrap();
    assert_eq!(add(&a, &z)["bootstrap_peers"], json!([x, y, z]));
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("{bad}{x}\n{y}\n{z}\n"));
}

#[test]
fn what_is_no_address_to_begin_with_is_refused() {
    let a = Peer::start();
    let id = some_peer_id();
    for (address, code) in [
        ("nonsense".to_owned(), "invalid_multiaddr"),
        (String::new(), "invalid_multiaddr"),
        ("/ip4/127.0.0.1/tcp/1".to_owned(), "invalid_argument"),
        (a.at("tcp"), "self_dial"),
        (format!("/ip4/127.0.0.1/tcp/1/ws/p2p/{id}"), "unsupported"),
        (format!("/ip4/127.0.0.1/udp/1/webrtc-direct/p2p/{id}"), "unsupported"),
        (format!("/p2p/{id}"), "invalid_multiaddr"),
    ] {
        let refused = a.call("add_bootstrap_peer", json!({ "multiaddr": address }));
        let refused = failed(refused, code);
        assert_eq!(refused["bootstrap_peers"], json!([]), "{refused:#}");
    }
    failed(a.call("add_bootstrap_peer", json!({})), "invalid_argument");
    failed(a.call("remove_bootstrap_peer", json!({ "multiaddr": "x" })), "invalid_multiaddr");
    assert_eq!(a.ok("get_peer_stats", json!({}))["discovery_active"], false);
    // A name that may stand for several peers needs no id.
    add(&a, "/dnsaddr/bootstrap.invalid");
}

#[test]
fn an_entry_of_the_configuration_cannot_be_removed_and_stands_in_no_file() {
    let data_dir = TempDir::new().unwrap();
    let ((_, _, x), (_, _, y)) = (nowhere(), nowhere());
    let a = Peer::with(json!({ "data_dir": data_dir.path(), "bootstrap": [x] }));
    let refused = a.call("remove_bootstrap_peer", json!({ "multiaddr": x }));
    let refused = failed(refused, "invalid_argument");
    assert!(refused["hint"].as_str().unwrap().contains("bootstrap"), "{refused:#}");
    assert_eq!(add(&a, &x)["changed"], false);
    add(&a, &y);
    assert_eq!(listed(&a), [x, y.clone()]);
    assert_eq!(fs::read_to_string(data_dir.path().join(FILE)).unwrap(), format!("{y}\n"));
}

#[test]
fn a_bootstrap_peer_is_dialled_at_start_and_again_when_it_is_back() {
    let home = TempDir::new().unwrap();
    let b = at(home.path());
    let a = Peer::with(json!({ "bootstrap": [b.at("tcp")] }));
    soon_connected(&a, b.id());
    let (id, place) = (b.id().to_owned(), b.bare("tcp"));
    drop(b);
    a.wait_for("peer_disconnected", &id);
    let failed = a.wait_for("dial_failed", &id);
    assert_eq!(failed["source"], "bootstrap", "{failed:#}");
    let _b = Peer::with(json!({ "data_dir": home.path(), "listen": [place] }));
    soon_connected(&a, &id);
    assert_eq!(a.info(&id)["next_retry_at"], Value::Null);
}

#[test]
fn a_bootstrap_peer_is_dialled_at_every_address_listed_for_it() {
    let (b, closed) = (Peer::start(), ClosedPort::new());
    let dead = format!("{}/p2p/{}", closed.address(), b.id());
    let limits = json!({ "low_water": 0 });
    let a = Peer::with(json!({ "bootstrap": [dead, b.at("tcp")], "limits": limits }));
    soon_connected(&a, b.id());
    assert_eq!(a.info(b.id())["connection_attempts"], 1);
}

#[test]
fn the_time_between_dials_grows_and_a_new_run_begins_at_once() {
    let data_dir = TempDir::new().unwrap();
    let (_port, id, address) = nowhere();
    // Without peers to look for, only passes dial; the next is an hour away.
    let keys = json!({
        "data_dir": data_dir.path(), "bootstrap": [address],
        "discovery": { "interval_s": 3600 }, "limits": { "low_water": 0 },
    });
    let a = Peer::with(keys.clone());
    let mut waits: Vec<f64> = Vec::new();
    for attempt in 1..=12 {
        // A requested pass doesn't wait for the peer's turn.
        if attempt > 1 {
            a.ok("discover_peers", json!({}));
        }
        let failed = || {
            let info = a.info(&id);
            let there = info["connection_attempts"] == attempt && info["next_retry_at"].is_number();
            there.then_some(info)
        };
        eventually(SOON, "the dial has failed", || failed().is_some());
        let info = failed().unwrap();
        assert_eq!(info["last_error"]["code"], "dial_failed", "{info:#}");
        let [next, at] = [&info["next_retry_at"], &info["last_error"]["at"]];
        waits.push(next.as_f64().unwrap() - at.as_f64().unwrap());
    }
    let expected =
        [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 1280.0, 2560.0, 3600.0, 3600.0];
    for (wait, expected) in waits.iter().zip(expected) {
        assert!((wait - expected).abs() < 1.0, "{waits:?}");
    }
    let events = a.events_so_far();
    let failures = events.iter().filter(|event| event["event"] == "dial_failed");
    let failures: Vec<_> = failures.collect();
    assert!(failures.len() >= 11 && failures.iter().all(|event| event["source"] == "bootstrap"));
    a.ok("stop", json!({}));
    drop(a);
    let a = Peer::with(keys);
    eventually(SOON, "it is dialled", || a.info(&id)["connection_attempts"] == 13);
}

#[test]
fn a_peer_that_is_only_listed_is_not_heard_of_anew_in_each_pass() {
    let (_port, id, address) = nowhere();
    let a = Peer::with(json!({ "bootstrap": [address], "discovery": { "interval_s": 1 } }));
    eventually(SOON, "it was dialled", || a.info(&id)["next_retry_at"].is_number());
    let before = a.info(&id);
    a.ok("discover_peers", json!({}));
    let after = a.info(&id);
    assert_ne!(after["connection_attempts"], before["connection_attempts"]);
    assert_eq!(after["last_seen"], before["last_seen"]);
}

#[test]
fn with_enough_peers_the_list_is_left_alone() {
    let crowd: Vec<Peer> = (0..4).map(|_| Peer::start()).collect();
    let a = Peer::with(json!({ "limits": { "low_water": 0 }, "discovery": { "interval_s": 1 } }));
    for peer in &crowd {
        a.connect(&peer.at("tcp"));
    }
    let (_port, id, address) = nowhere();
    add(&a, &address);
    for _ in 0..3 {
        a.wait_event(SOON, |event| event["event"] == "discovery");
    }
    assert_eq!(a.info(&id)["connection_attempts"], 0);
    a.ok("disconnect_peer", json!({ "peer_id": crowd[0].id() }));
    a.wait_for("dial_failed", &id);
}

/// Fills a book of two records; tells whether the second of two new peers found room.
fn has_room_for_two(a: &Peer) -> bool {
    a.ok("add_peer", json!({ "peer_id": some_peer_id() }));
    a.call("add_peer", json!({ "peer_id": some_peer_id() }))["success"] == true
}

#[test]
fn a_listed_peer_is_never_evicted_and_one_taken_off_the_list_is_like_any_other() {
    let keys = json!({ "limits": { "max_peers": 2 } });
    let (_port, id, address) = nowhere();
    let a = Peer::with(keys.clone());
    add(&a, &address);
    assert!(!has_room_for_two(&a));
    a.info(&id);

    let a = Peer::with(keys);
    add(&a, &address);
    remove(&a, &address);
    assert!(has_room_for_two(&a));
    failed(a.call("get_peer", json!({ "peer_id": id })), "peer_not_found");
}

#[test]
fn an_entry_deleted_by_hand_protects_nobody_after_the_restart() {
    let data_dir = TempDir::new().unwrap();
    let keys = json!({ "data_dir": data_dir.path(), "limits": { "max_peers": 2 } });
    let (_port, id, address) = nowhere();
    let a = Peer::with(keys.clone());
    add(&a, &address);
    a.ok("stop", json!({}));
    drop(a);
    fs::write(data_dir.path().join(FILE), "").unwrap();
    let a = Peer::with(keys);
    eventually(SOON, "it is off the list", || a.info(&id)["sources"] == json!(["book"]));
    assert!(has_room_for_two(&a));
}

#[test]
fn what_the_profile_forbids_is_not_dialled_and_told_of() {
    let address = format!("/ip4/8.8.8.8/tcp/4001/p2p/{}", some_peer_id());
    let a = Peer::with(json!({ "bootstrap": [address] }));
    let reply = a.ok("discover_peers", json!({}));
    let note = || a.ok("discover_peers", json!({}))["sources"]["bootstrap"]["note"].clone();
    assert!(note().as_str().unwrap().contains("profile"), "{reply:#}");
    let tried = a.events_so_far().iter().any(|event| event["event"] == "dial_failed");
    assert!(!tried);
}

#[test]
fn ones_own_address_on_the_list_is_a_warning() {
    let data_dir = TempDir::new().unwrap();
    let a = at(data_dir.path());
    let own = a.at("tcp");
    a.ok("stop", json!({}));
    drop(a);
    fs::write(data_dir.path().join(FILE), own).unwrap();
    let a = at(data_dir.path());
    let warnings = a.status["warnings"].to_string();
    assert!(warnings.contains("this node itself"), "{warnings}");
    a.ok("discover_peers", json!({}));
    assert_eq!(a.ok("get_peers", json!({}))["total"], 0);
}
