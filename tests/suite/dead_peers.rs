//! A peer that is gone is noticed; one that is only idle is kept.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::Peer;

#[test]
fn frozen_and_killed_peers_are_noticed_within_a_minute_on_tcp_and_quic_and_idle_ones_kept() {
    const WITHIN: Duration = Duration::from_secs(60);
    let a = Peer::start();
    let far = |transport: &str| {
        let far = Peer::start();
        a.connect(&far.at(transport));
        far
    };
    let idle = ["tcp", "quic-v1"].map(far);
    let frozen = ["tcp", "quic-v1"].map(far);
    // Says nothing at its end, unlike a peer on TCP, whose system closes for it.
    let killed = far("quic-v1");
    frozen.iter().for_each(Peer::freeze);
    killed.kill();
    let started = Instant::now();
    for far in frozen.iter().chain([&killed]) {
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

    // Nothing happened to those for longer than libp2p's own ten seconds.
    let left = Duration::from_secs(16).saturating_sub(started.elapsed());
    std::thread::sleep(left);
    let events = a.events_so_far();
    for peer in &idle {
        let gone =
            |event: &&Value| event["event"] == "peer_disconnected" && event["peer_id"] == peer.id();
        assert_eq!(events.iter().find(gone), None);
        assert_eq!(a.info(peer.id())["connections"].as_array().unwrap().len(), 1);
        assert!(a.info(peer.id())["latency_ms"].is_f64(), "the keepalive pings measure, too");
    }
}

#[test]
fn a_killed_peer_is_noticed_at_once_on_tcp() {
    let (a, b) = (Peer::start(), Peer::start());
    a.connect(&b.at("tcp"));
    b.kill();
    let wanted = |event: &Value| event["event"] == "peer_disconnected";
    let gone = a.wait_event(Duration::from_secs(5), wanted);
    assert_eq!(
        (&gone["reason"], &gone["inferred"]),
        (&json!("remote_closed"), &json!(true)),
        "{gone:#}"
    );
}

#[test]
fn an_idle_timeout_that_was_asked_for_is_kept() {
    let (a, b) = (Peer::with(json!({ "idle_timeout_s": 1 })), Peer::start());
    a.connect(&b.at("tcp"));
    let wanted = |event: &Value| event["event"] == "peer_disconnected";
    assert_eq!(a.wait_event(Duration::from_secs(15), wanted)["reason"], "idle");
}
