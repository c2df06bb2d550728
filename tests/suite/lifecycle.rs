//! One manager in a process, however often and by however many threads it is started.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Peer, failed, loopback, succeeded};

/// Counts the entries of `/proc/PID/WHAT`.
fn count(peer: &Peer, what: &str) -> usize {
    fs::read_dir(format!("/proc/{}/{what}", peer.pid())).unwrap().count()
}

#[test]
fn sixty_four_threads_that_start_at_once_get_one_manager() {
    let peer = Peer::start();
    for _ in 0..10 {
        peer.ok("stop", json!({}));
        let params = json!({ "threads": 64, "config": loopback(json!({})) });
        let outcomes = peer.call("start_in_threads", params);
        let outcomes = outcomes.as_array().unwrap();
        let started: Vec<&Value> = outcomes.iter().map(|outcome| &outcome["reply"]).collect();
        assert!(started.iter().all(|got| got[0] == started[0][0]), "{outcomes:#?}");
        let first = started.iter().filter(|got| got[1] == false).count();
        assert_eq!((started.len(), first), (64, 1), "one did the work");
        // This call takes the manager that runs as the one to stop.
        succeeded(peer.call("start", json!({ "config": {} })));
    }
}

#[test]
fn a_hundred_restarts_leak_no_thread_and_no_descriptor() {
    let data_dir = tempfile::TempDir::new().unwrap();
    let config = loopback(json!({ "data_dir": data_dir.path() }));
    let (a, b) = (Peer::with(json!({ "data_dir": data_dir.path() })), Peer::start());
    let restart = |port_of: &Peer| {
        a.connect(&port_of.at("tcp"));
        a.connect(&port_of.at("quic-v1"));
        a.ok("stop", json!({}));
        succeeded(a.call("start", json!({ "config": config })));
    };
    restart(&b);
    let (threads, descriptors) = (count(&a, "task"), count(&a, "fd"));
    for _ in 0..100 {
        restart(&b);
    }
    // The thread that answered the last request may not have ended yet.
    let settled = || count(&a, "task") <= threads && count(&a, "fd") <= descriptors;
    let before = format!("{threads} threads and {descriptors} descriptors");
    crate::support::eventually(Duration::from_secs(5), &before, settled);
}

#[test]
fn an_explicit_port_is_free_again_when_stop_returns() {
    let (a, b) = (Peer::start(), Peer::start());
    let config = loopback(json!({ "listen": [a.bare("tcp"), a.bare("quic-v1")] }));
    for _ in 0..10 {
        b.connect(&a.bare("tcp"));
        a.ok("stop", json!({}));
        b.wait_event(Duration::from_secs(30), |event| event["event"] == "peer_disconnected");
        succeeded(a.call("start", json!({ "config": config })));
    }
}

#[test]
fn a_handle_is_good_for_one_run() {
    let peer = Peer::start();
    let handle = peer.call("handle", json!({}));
    assert_eq!(peer.ok("current", json!({}))["reply"], handle);
    let stopped = peer.ok("stop", json!({}));
    assert_eq!(
        (&stopped["reply"]["state"], &stopped["reply"]["already_stopped"]),
        (&json!("stopped"), &json!(false))
    );
    assert_eq!(peer.ok("stop", json!({}))["reply"]["already_stopped"], true);
    failed(peer.call("current", json!({})), "not_running");
    failed(peer.call("status", json!({})), "invalid_handle");
    succeeded(peer.call("start", json!({ "config": loopback(json!({})) })));
    assert_ne!(peer.call("handle", json!({})), handle);
}

#[test]
fn a_second_start_joins_unless_it_asks_for_something_else() {
    let peer = Peer::start();
    for config in
        [json!({}), json!({ "profile": "offline" }), json!({ "default_timeout_ms": 30_000 })]
    {
        let joined = succeeded(peer.call("start", json!({ "config": config })));
        assert_eq!(joined["peer_id"], peer.id());
    }
    let config = json!({ "profile": "lan", "limits": { "max_peers": 5 } });
    let conflict = failed(peer.call("start", json!({ "config": config })), "config_conflict");
    assert_eq!(conflict["detail"]["keys"], json!(["limits.max_peers", "profile"]));
}

#[test]
fn stop_past_its_deadline_is_a_timeout_and_goes_on() {
    let data_dir = tempfile::TempDir::new().unwrap();
    let (a, b) = (Peer::with(json!({ "data_dir": data_dir.path() })), Peer::start());
    a.connect(&b.at("tcp"));
    b.freeze();
    let started = Instant::now();
    let late = failed(a.call_within(1, "stop", json!({})), "timeout");
    assert_eq!(late["detail"]["state"], "stopping", "{late:#}");
    assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
    let stopped = a.ok("stop", json!({}));
    assert_eq!(stopped["reply"]["state"], "stopped");
    let config = loopback(json!({ "data_dir": data_dir.path() }));
    succeeded(a.call("start", json!({ "config": config })));
    a.info(b.id());
}

#[test]
fn a_start_right_after_a_stop_that_timed_out_waits_for_it() {
    // With a data directory there is something to write, so that no stop ends within a millisecond.
    let data_dir = tempfile::TempDir::new().unwrap();
    let config = json!({ "data_dir": data_dir.path() });
    let (a, b) = (Peer::with(config.clone()), Peer::start());
    a.connect(&b.at("tcp"));
    failed(a.call_within(1, "stop", json!({})), "timeout");
    succeeded(a.call("start", json!({ "config": loopback(config) })));
}

#[cfg(feature = "fault-injection")]
#[test]
fn after_a_panic_of_the_worker_everything_answers_dead_and_a_new_start_works() {
    let data_dir = tempfile::TempDir::new().unwrap();
    let silent = crate::support::servers::SilentServer::new();
    let (a, b) = (Peer::with(json!({ "data_dir": data_dir.path() })), Peer::start());
    a.connect(&b.at("tcp"));
    b.freeze();
    let calls = [
        a.begin(60_000, "connect_peer", json!({ "multiaddr": silent.address() })),
        a.begin(60_000, "ping_peer", json!({ "peer_id": b.id() })),
    ];
    assert!(calls[0].still_waits_after(Duration::from_millis(300)));
    a.ok("inject_panic", json!({}));
    let died = Instant::now();
    for call in calls {
        failed(call.reply(), "dead");
    }
    for (method, params) in [
        ("status", json!({})),
        ("list_peers", json!({})),
        ("connect_peer", json!({ "peer_id": b.id() })),
        ("ping_peer", json!({ "peer_id": b.id() })),
        ("cancel", json!({ "token": 1 })),
        ("current", json!({})),
        ("start", json!({ "config": {} })),
    ] {
        failed(a.call(method, params), "dead");
    }
    let last = a.wait_event(Duration::from_secs(5), |event| event["event"] == "stopped");
    assert_eq!(last["code"], "dead");
    a.ok("stop", json!({}));
    let config = loopback(json!({ "data_dir": data_dir.path() }));
    succeeded(a.call("start", json!({ "config": config })));
    b.thaw();
    a.ok("connect_peer", json!({ "peer_id": b.id() }));
    assert!(died.elapsed() < Duration::from_secs(20), "{:?}", died.elapsed());
}
