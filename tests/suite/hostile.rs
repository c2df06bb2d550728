//! Bounds on what a remote advertises of itself, which is never more than text.

use serde_json::{Value, json};

use crate::support::Peer;

fn address(peer: &Peer) -> &str {
    peer.status["listen_addrs"][0].as_str().unwrap()
}

#[test]
fn control_and_bidi_characters_of_an_agent_arrive_as_json_text() {
    let agent = "evil\u{0}\u{1b}[31m\n\u{202e}gnp.exe\u{2066}</script>";
    let (a, b) = (Peer::start(), Peer::raw(json!({ "identify": { "agent": agent } })));
    a.connect(address(&b));
    // The reply is read by a JSON parser in `support`, line by line: nothing broke out of it.
    let told = a.info(b.id())["agent_version"].as_str().unwrap().to_owned();
    assert_eq!(told, agent);
    let found = a.ok("search_peers", json!({ "query": "EXE" }));
    assert_eq!(found["total"], 1, "{found:#}");
}

#[test]
fn a_long_agent_is_cut() {
    let (a, b) = (Peer::start(), Peer::raw(json!({ "identify": { "agent_bytes": 3900 } })));
    a.connect(address(&b));
    assert_eq!(a.info(b.id())["agent_version"].as_str().unwrap().len(), 256);
}

#[test]
fn many_protocols_are_cut() {
    let (a, b) = (Peer::start(), Peer::raw(json!({ "identify": { "protocols": 450 } })));
    a.connect(address(&b));
    assert_eq!(a.info(b.id())["protocols"].as_array().unwrap().len(), 256);
}

#[test]
fn a_megabyte_of_identify_is_not_taken_and_harms_nobody() {
    let a = Peer::start();
    for identify in [json!({ "agent_bytes": 1 << 20 }), json!({ "protocols": 10_000 })] {
        let b = Peer::raw(json!({ "identify": identify }));
        // It is accepted after the grace period, as a peer that speaks no identify.
        let connected = a.connect(address(&b));
        assert!(connected["duration_ms"].as_f64().unwrap() >= 490.0, "{connected:#}");
        let record = a.info(b.id());
        assert_eq!((&record["agent_version"], &record["protocols"]), (&Value::Null, &json!([])));
    }
    let c = Peer::start();
    a.connect(&c.at("quic-v1"));
    assert!(a.ok("get_peers", json!({})).to_string().len() < 20_000);
}

#[test]
fn strangers_that_only_connect_are_a_tenth_of_the_book_at_most() {
    let a = Peer::with(json!({ "limits": { "max_peers": 20 } }));
    let own: Vec<String> = (0..10).map(|_| crate::support::some_peer_id()).collect();
    for id in &own {
        a.ok("add_peer", json!({ "peer_id": id }));
    }
    let strangers: Vec<Peer> = (0..5).map(|_| Peer::start()).collect();
    for stranger in &strangers {
        stranger.connect(&a.at("tcp"));
        a.wait_for("peer_identified", stranger.id());
        stranger.ok("disconnect_peer", json!({ "peer_id": a.id() }));
        a.wait_for("peer_disconnected", stranger.id());
    }
    assert_eq!(a.ok("get_peers", json!({}))["total"], 10 + 2);
    for id in &own {
        a.info(id);
    }
}
