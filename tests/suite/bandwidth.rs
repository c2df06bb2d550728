//! `measure_bandwidth` and the server it asks: what is measured, by whom a node lets itself be measured, and
//! the bounds that a server holds to.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Peer, Pending, eventually, failed, some_peer_id, succeeded};

const MIB: u64 = 1 << 20;
/// The most that a server takes, and gives, in one run.
const MAX_BYTES: u64 = 256 * MIB;
/// Runs that a server serves at once.
const MAX_SERVED: usize = 4;
const SOON: Duration = Duration::from_secs(20);

fn server() -> Peer {
    Peer::with(json!({ "serve_perf": true }))
}

/// A client by the specification alone, connected to the node.
fn stranger(node: &Peer) -> Peer {
    let stranger = Peer::raw(json!({ "identify": "real", "perf": {} }));
    node.connect(stranger.status["listen_addrs"][0].as_str().unwrap());
    stranger
}

/// Has a stranger make a run; returns how many bytes came back, and whether the stream ended well.
#[track_caller]
fn run(stranger: &Peer, node: &Peer, download: u64, upload: u64) -> (u64, bool) {
    let params = json!({ "peer_id": node.id(), "download": download, "upload": upload });
    let reply = stranger.ok("perf", params);
    (reply["came"].as_u64().unwrap(), reply["well"] == true)
}

/// Returns the bytes that a node has received and sent.
fn traffic(node: &Peer) -> (u64, u64) {
    let stats = node.ok("get_peer_stats", json!({}))["stats"].clone();
    let bytes = |way: &str| stats["traffic"][way].as_u64().unwrap();
    (bytes("bytes_in"), bytes("bytes_out"))
}

fn measure(peer: &Peer, upload: u64, download: u64) -> Value {
    json!({ "peer_id": peer.id(), "upload_bytes": upload, "download_bytes": download })
}

#[test]
fn bytes_go_both_ways_and_the_measured_time_is_theirs() {
    for part in ["tcp", "quic-v1"] {
        let (a, b) = (Peer::start(), server());
        a.connect(&b.at(part));
        let before = traffic(&b);
        let reply = a.ok("measure_bandwidth", measure(&b, 3 * MIB, 5 * MIB));
        let after = traffic(&b);
        assert_eq!(reply["peer_id"], b.id());
        for (way, bytes) in [("upload", 3 * MIB), ("download", 5 * MIB)] {
            let measured = &reply[way];
            let number = |key: &str| measured[key].as_f64().unwrap();
            assert_eq!(measured["bytes"], bytes, "{reply:#}");
            assert_eq!(measured["transport"], part.trim_end_matches("-v1"), "{reply:#}");
            let by_time = bytes as f64 / (number("duration_ms") / 1e3);
            assert!((number("bytes_per_s") / by_time - 1.0).abs() < 1e-6, "{reply:#}");
        }
        let (came, went) = (after.0 - before.0, after.1 - before.1);
        assert!((3 * MIB..4 * MIB).contains(&came), "{came} came");
        assert!((5 * MIB..6 * MIB).contains(&went), "{went} went");

        let up = a.ok("measure_bandwidth", measure(&b, 1, 0));
        assert_eq!((&up["upload"]["bytes"], &up["download"]), (&json!(1), &Value::Null));
        let down = a.ok("measure_bandwidth", measure(&b, 0, 1));
        assert_eq!((&down["upload"], &down["download"]["bytes"]), (&Value::Null, &json!(1)));
    }
}

#[test]
fn a_node_serves_nobody_unless_it_is_told_to() {
    let (a, b) = (Peer::start(), server());
    a.connect(&b.at("tcp"));
    b.wait_for("peer_identified", a.id());
    let serves = |of: &Peer, at: &Peer| {
        at.info(of.id())["protocols"].as_array().unwrap().contains(&json!("/perf/1.0.0"))
    };
    assert_eq!((serves(&b, &a), serves(&a, &b)), (true, false));
    let refused = failed(b.call("measure_bandwidth", measure(&a, 1, 1)), "protocol");
    assert!(refused["hint"].as_str().unwrap().contains("serve_perf"), "{refused:#}");
    a.ok("measure_bandwidth", measure(&b, 1, 1));
    let stranger = stranger(&a);
    assert_eq!(run(&stranger, &a, 1, 0), (0, false));
}

#[test]
fn what_cannot_be_measured_says_why() {
    let (a, b, known) = (Peer::start(), Peer::start(), some_peer_id());
    a.ok("add_peer", json!({ "peer_id": known }));
    let method = "measure_bandwidth";
    failed(a.call(method, json!({ "peer_id": known })), "not_connected");
    failed(a.call(method, json!({ "peer_id": some_peer_id() })), "peer_not_found");
    failed(a.call(method, json!({})), "invalid_argument");
    failed(a.call(method, measure(&b, 0, 0)), "invalid_argument");
    failed(a.call(method, measure(&b, MAX_BYTES + 1, 0)), "invalid_argument");
    failed(a.call(method, measure(&b, 0, u64::MAX)), "invalid_argument");
    let cheat = Peer::raw(json!({ "identify": "real", "perf": { "short": 1 } }));
    a.connect(cheat.status["listen_addrs"][0].as_str().unwrap());
    let short = failed(a.call(method, measure(&cheat, 10, 10)), "protocol");
    assert!(short["error"].as_str().unwrap().contains("9 bytes came of 10"), "{short:#}");
}

#[test]
fn a_server_gives_no_client_more_than_its_bounds() {
    let node = server();
    let stranger = stranger(&node);
    assert_eq!(run(&stranger, &node, MIB, MIB), (MIB, true));
    let before = traffic(&node).1;
    assert_eq!(run(&stranger, &node, MAX_BYTES + 1, 0).0, 0);
    assert_eq!(run(&stranger, &node, u64::MAX, 0).0, 0);
    assert!(traffic(&node).1 - before < MIB, "it sent nothing of it");
    // It takes no more than it said, either: the stream breaks under who goes on.
    assert_eq!(run(&stranger, &node, 1, 2 * MAX_BYTES), (0, false));
    assert_eq!(run(&stranger, &node, 1, 0), (1, true));
}

#[test]
fn a_server_has_few_places_and_gives_them_to_the_next() {
    let node = server();
    let (greedy, other) = (stranger(&node), stranger(&node));
    let take_a_place = || {
        greedy.ok("perf", json!({ "peer_id": node.id(), "download": 1, "hold": true }));
    };
    (1..MAX_SERVED).for_each(|_| take_a_place());
    // The other may have had the last place just when it was asked for.
    eventually(SOON, "every place is taken", || {
        take_a_place();
        run(&other, &node, 1, 0).0 == 0
    });
    assert_eq!(run(&other, &node, 1, 0).0, 0);
    greedy.kill();
    eventually(SOON, "a place is free", || run(&other, &node, 1, 0) == (1, true));
    // Runs one after the other don't use up a server's places.
    for _ in 0..2 * MAX_SERVED {
        assert_eq!(run(&other, &node, 1, 0), (1, true));
    }
}

/// Begins a measurement that takes everything a server gives, and freezes the server on the way.
fn under_way(a: &Peer, b: &Peer, timeout_ms: u64) -> Pending {
    let before = traffic(a).1;
    let mut params = measure(b, MAX_BYTES, MAX_BYTES);
    params["cancel_token"] = json!(9);
    let call = a.begin(timeout_ms, "measure_bandwidth", params);
    eventually(SOON, "it is under way", || traffic(a).1 - before > MIB);
    b.freeze();
    call
}

#[test]
fn a_measurement_ends_with_its_call_and_so_do_its_bytes() {
    let (a, b) = (Peer::start(), server());
    a.connect(&b.at("tcp"));
    for (timeout_ms, code) in [(60_000, "cancelled"), (2000, "timeout")] {
        let call = under_way(&a, &b, timeout_ms);
        if code == "cancelled" {
            failed(a.call("measure_bandwidth", measure(&b, 1, 1)), "busy");
            assert_eq!(a.ok("cancel", json!({ "token": 9 }))["reply"]["cancelled"], 1);
        }
        failed(call.reply(), code);
        b.thaw();
        // An answer on the connection comes behind all that was sent before.
        let ping = || a.ok("ping_peer", json!({ "peer_id": b.id(), "count": 1 }));
        ping();
        let came = traffic(&b).0;
        ping();
        assert!(traffic(&b).0 - came < MIB, "nothing more comes");
    }
    let (came, _) = traffic(&b);
    assert!(came < MAX_BYTES, "{came} bytes came of two runs");
    succeeded(a.call("measure_bandwidth", measure(&b, MIB, MIB)));
}

#[test]
fn a_measurement_fails_with_its_connection() {
    let (a, b) = (Peer::start(), server());
    a.connect(&b.at("tcp"));
    let call = under_way(&a, &b, 60_000);
    b.kill();
    failed(call.reply(), "not_connected");
}
