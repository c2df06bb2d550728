//! A lack of threads, for a moment or for good, is an error of what needed one. The node lives on, and says for how
//! long it lasts. `cli/tests/shortage.rs` has the program.

use std::process::Command;

use peerkit::ErrorKind;
use peerkit::control::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::control::{SOON, keys};
use crate::support::servers::ApiServer;
use crate::support::shortage::Shortage;
use crate::support::{Peer, failed, loopback, program, succeeded};

/// All but the thread on which the test's peer reads requests: it makes one for each.
const OTHERS: &str = "others";

fn start(shortage: &Shortage, asked_by: &str, config: Value) -> Peer {
    let mut command = Command::new(program());
    command.arg("peerkit").arg(loopback(config).to_string());
    Peer::spawn(shortage.of(&mut command).env("PEERKIT_TEST_ASKED_BY", asked_by)).unwrap()
}

fn warns(peer: &Peer) -> bool {
    let status = peer.ok("status", json!({}));
    let warnings = status["warnings"].as_array().unwrap().iter();
    warnings.filter(|warning| warning.as_str().unwrap().contains("threads")).count() == 1
}

#[test]
fn a_daemon_that_is_asked_for_without_a_thread_is_an_error_and_the_next_call_asks_it() {
    let (kubo, api, shortage) = (Peer::start(), ApiServer::start(), Shortage::new());
    api.kubo(&kubo, &[]);
    let node = start(&shortage, OTHERS, json!({}));
    let ask = json!({ "api": api.url(), "connect": false });
    shortage.begin();
    for method in ["bootstrap_from_ipfs", "bootstrap_from_cluster"] {
        let failure = failed(node.call(method, ask.clone()), "limit_reached");
        assert_eq!(failure["retryable"], true, "{failure}");
        assert!(warns(&node));
    }
    shortage.end();
    assert!(!warns(&node));
    let reply = node.ok("bootstrap_from_ipfs", ask);
    assert_eq!(reply["peers"][0]["peer_id"], kubo.id(), "{reply:#}");
}

#[test]
fn a_daemon_that_is_asked_unasked_without_a_thread_is_noted_and_the_next_pass_asks_it() {
    let (kubo, api, shortage) = (Peer::start(), ApiServer::start(), Shortage::new());
    api.kubo(&kubo, &[]);
    let node = start(&shortage, OTHERS, json!({ "bootstrap_from_ipfs": api.url() }));
    node.wait_for("peer_discovered", kubo.id());
    shortage.begin();
    let discovery = node.ok("discover_peers", json!({}));
    assert_eq!(
        discovery["sources"]["ipfs"]["last_error"]["code"], "limit_reached",
        "{discovery:#}"
    );
    shortage.end();
    node.ok("remove_peer", json!({ "peer_id": kubo.id() }));
    node.ok("discover_peers", json!({}));
    node.wait_for("peer_discovered", kubo.id());
}

#[test]
fn a_daemons_name_is_not_looked_up_without_a_thread() {
    let (kubo, api, shortage) = (Peer::start(), ApiServer::start(), Shortage::new());
    api.kubo(&kubo, &[]);
    let node = start(&shortage, "peerkit-daemon", json!({}));
    let by = |api: &str| json!({ "api": api, "connect": false });
    let named = by(&api.url().replace("127.0.0.1", "localhost"));
    shortage.begin();
    failed(node.call("bootstrap_from_ipfs", named.clone()), "limit_reached");
    // An address needs no looking up.
    node.ok("bootstrap_from_ipfs", by(&api.url()));
    shortage.end();
    node.ok("bootstrap_from_ipfs", named);
}

#[test]
fn whichever_thread_a_start_lacks_it_fails_for_that_or_does_without() {
    let (kubo, api, shortage) = (Peer::start(), ApiServer::start(), Shortage::new());
    api.kubo(&kubo, &[]);
    let mut refused = 0;
    for nth in 1..=9 {
        let dir = TempDir::new().unwrap();
        let mut config = keys(dir.path());
        config["bootstrap_from_ipfs"] = api.url().into();
        let mut command = Command::new(program());
        command.arg("peerkit").arg(loopback(config).to_string());
        // The threads on which the test's peer answers are its own affair.
        command.env("PEERKIT_TEST_SPARE_MAIN", "1");
        match Peer::spawn(shortage.of_nth(&mut command, nth)) {
            Err(failure) => {
                failed(failure, "limit_reached");
                refused += 1;
            }
            Ok(node) => {
                node.ok("discover_peers", json!({}));
                node.connect(&kubo.at("tcp"));
                node.ok("ping_peer", json!({ "peer_id": kubo.id(), "count": 1 }));
            }
        }
    }
    // The run's own, the control socket's, the store's, and libp2p's timers, which are tried first.
    assert_eq!(refused, 5);
}

#[test]
fn who_attaches_while_the_owner_has_no_thread_is_told_so() {
    let (shortage, dir) = (Shortage::new(), TempDir::new().unwrap());
    let node = start(&shortage, "peerkit-control", keys(dir.path()));
    let before = Client::attach(dir.path(), SOON).unwrap();
    shortage.begin();
    let refused = Client::attach(dir.path(), SOON).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::LimitReached, "{refused:?}");
    assert!(refused.message().contains("thread"), "{refused}");
    let params = serde_json::Map::new();
    let reply = before.call("status", params, SOON).unwrap();
    succeeded(serde_json::from_str(&reply).unwrap());
    shortage.end();
    assert_eq!(Client::attach(dir.path(), SOON).unwrap().pid(), node.pid());
}

/// Sets how many files a process may have open from now on.
fn limit_descriptors(peer: &Peer, most: usize) {
    let limit = format!("--nofile={most}:");
    let pid = peer.pid().to_string();
    let set = Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap();
    assert!(set.success());
}

#[test]
fn a_lack_of_descriptors_is_a_warning_for_as_long_as_it_lasts() {
    let (node, other) = (Peer::start(), Peer::start());
    let warned = || {
        let status = node.ok("status", json!({}));
        status["warnings"].to_string().contains("no file descriptor left")
    };
    assert!(!warned());
    limit_descriptors(&node, 1);
    assert!(warned());
    failed(node.call("connect_peer", json!({ "multiaddr": other.at("tcp") })), "limit_reached");
    limit_descriptors(&node, 512);
    assert!(!warned());
    node.connect(&other.at("tcp"));
}
