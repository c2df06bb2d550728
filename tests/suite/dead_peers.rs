//! A peer that is gone is noticed; one that is only idle is kept.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::Peer;

#[test]
fn frozen_peers_are_noticed_within_a_minute_on_tcp_and_quic() {
    const WITHIN: Duration = Duration::from_secs(60);
    let a = Peer::start();
    let frozen: Vec<Peer> = ["tcp", "quic-v1"]
        .iter()
        .map(|part| {
            let far = Peer::start();
            a.connect(&far.at(part));
            far
        })
        .collect();
    for far in &frozen {
        far.freeze();
    }
    let started = Instant::now();
    for far in &frozen {
        let left = WITHIN.saturating_sub(started.elapsed());
        let gone = a.wait_event(left, |event| {
            event["event"] == "peer_disconnected" && event["peer_id"] == far.id()
        });
        assert_eq!(gone["reason"], "ping_dead", "{gone:#}");
        let record = a.info(far.id());
        assert_eq!(
            (&record["connected"], &record["last_disconnect"]["reason"]),
            (&json!(false), &json!("ping_dead"))
        );
    }
    // Thawed, such a peer is like any other.
    for far in &frozen {
        far.thaw();
        a.ok("connect_peer", json!({ "peer_id": far.id() }));
    }
}

#[test]
fn a_killed_peer_is_noticed_at_once_on_tcp() {
    let (a, b) = (Peer::start(), Peer::start());
    a.connect(&b.at("tcp"));
    b.kill();
    let wanted = |event: &serde_json::Value| event["event"] == "peer_disconnected";
    let gone = a.wait_event(Duration::from_secs(5), wanted);
    assert_eq!(
        (&gone["reason"], &gone["inferred"]),
        (&json!("remote_closed"), &json!(true)),
        "{gone:#}"
    );
}

#[test]
fn a_killed_peer_is_noticed_within_a_minute_on_quic() {
    let (a, b) = (Peer::start(), Peer::start());
    a.connect(&b.at("quic-v1"));
    b.kill();
    let wanted = |event: &serde_json::Value| event["event"] == "peer_disconnected";
    let gone = a.wait_event(Duration::from_secs(60), wanted);
    assert_eq!(gone["reason"], "ping_dead", "{gone:#}");
}

#[test]
fn idle_connections_stay_open() {
    let a = Peer::start();
    let far = [Peer::start(), Peer::start()];
    a.connect(&far[0].at("tcp"));
    a.connect(&far[1].at("quic-v1"));
    // Nothing may happen for longer than libp2p's own ten seconds.
    let until = Instant::now() + Duration::from_secs(16);
    a.events_so_far();
    while Instant::now() < until {
        let batch = a.call_within(1000, "events", json!({}));
        let events = batch["reply"]["events"].as_array().unwrap();
        assert!(events.iter().all(|event| event["event"] != "peer_disconnected"), "{events:#?}");
    }
    for peer in &far {
        assert_eq!(a.info(peer.id())["connections"].as_array().unwrap().len(), 1);
        assert!(a.info(peer.id())["latency_ms"].is_f64(), "the keepalive pings measure, too");
    }
}

#[test]
fn an_idle_timeout_that_was_asked_for_is_kept() {
    let (a, b) = (Peer::with(json!({ "idle_timeout_s": 1 })), Peer::start());
    a.connect(&b.at("tcp"));
    let wanted = |event: &serde_json::Value| event["event"] == "peer_disconnected";
    assert_eq!(a.wait_event(Duration::from_secs(15), wanted)["reason"], "idle");
}
