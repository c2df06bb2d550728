//! Remotes that have a node work for nothing lose their connection and are refused for a while, and nobody else
//! is kept waiting.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::support::attacker::{self, Attacker, FAST, Outcome, Pace, Round};
use crate::support::{Peer, eventually};

const SOON: Duration = Duration::from_secs(10);
/// Rounds of calls that the bystander of an attack makes at least.
const ROUNDS: u32 = 20;

fn node() -> Peer {
    Peer::with(json!({ "discovery": { "dht": "server", "gossip": true, "mdns": false } }))
}

fn counted(node: &Peer, what: &str) -> u64 {
    let stats = node.ok("get_peer_stats", json!({}))["stats"].clone();
    stats["dropped"][format!("budget.{what}")].as_u64().unwrap_or(0)
}

/// Runs an attack beside a bystander that connects, asks and parts; returns what came of the attack, and the
/// calls served and refused.
fn beside_a_bystander<T: Send>(node: &Peer, attack: impl FnOnce() -> T + Send) -> (T, [u32; 2]) {
    let bystander = Peer::start();
    let over = AtomicBool::new(false);
    let mut calls = [0, 0];
    let came_of_it = std::thread::scope(|scope| {
        let attack = scope.spawn(|| {
            let came_of_it = attack();
            over.store(true, Ordering::Relaxed);
            came_of_it
        });
        let mut rounds = 0;
        while rounds < ROUNDS || !over.load(Ordering::Relaxed) && !attack.is_finished() {
            let peer = json!({ "peer_id": node.id(), "count": 1 });
            let parted = json!({ "peer_id": node.id() });
            for reply in [
                bystander.call("connect_peer", json!({ "multiaddr": node.at("tcp") })),
                bystander.call("ping_peer", peer),
                bystander.call("disconnect_peer", parted),
            ] {
                calls[usize::from(reply["success"] != true)] += 1;
            }
            rounds += 1;
        }
        attack.join().unwrap()
    });
    assert_ne!(node.info(bystander.id())["last_disconnect"]["reason"], "over_budget");
    (came_of_it, calls)
}

#[track_caller]
fn ended_for(node: &Peer, id: &str, words: &str) {
    let gone = node.wait_for("peer_disconnected", id);
    assert_eq!((&gone["reason"], &gone["inferred"]), (&json!("over_budget"), &json!(false)));
    assert!(gone["error"].as_str().unwrap().contains(words), "{gone:#}");
}

#[test]
fn streams_opened_and_reset_end_the_connection_and_a_bystander_is_served() {
    let node = node();
    let attackers: Vec<Attacker> = (0..6).map(|_| Attacker::new()).collect();
    let (outcomes, calls) = beside_a_bystander(&node, || {
        let flood = |attacker: &Attacker| attacker.frames(&node, attacker::open_and_reset, FAST);
        attackers.iter().map(flood).collect::<Vec<Outcome>>()
    });
    assert_eq!(calls[1], 0, "{calls:?}");
    let ended = |outcome: &Outcome| outcome.closed && outcome.sent < FAST.most;
    assert!(outcomes.iter().all(ended), "{outcomes:?}");
    assert_eq!(counted(&node, "streams"), 6);
    let metrics = node.ok("get_metrics", json!({}))["metrics"].as_str().unwrap().to_owned();
    let line = "peerkit_refused_total{source=\"budget\",reason=\"streams\"} 6";
    assert!(metrics.contains(line), "{metrics}");
}

#[test]
fn who_was_over_a_budget_is_told_so_and_may_not_come_back_at_once() {
    let node = node();
    let attacker = Attacker::new();
    assert!(attacker.frames(&node, attacker::open_and_reset, FAST).closed);
    ended_for(&node, &attacker.id(), "more new streams");
    for again in 1..=3 {
        // A few frames, for which nobody else would be closed.
        let modest = Pace { most: 2, ..FAST };
        assert!(attacker.frames(&node, attacker::open_and_reset, modest).closed);
        eventually(SOON, "it is refused", || counted(&node, "refused") == again);
    }
    assert!(!node.ids(Some("connected")).contains(&attacker.id()));
    assert_eq!(counted(&node, "streams"), 1);
}

#[test]
fn frames_that_open_no_stream_are_counted_too() {
    let attacks: [(&str, Round, u32); 5] = [
        ("streams left open", attacker::open, 500),
        ("pings of yamux", attacker::ping, 500),
        ("window updates", attacker::window_update, 500),
        ("names of protocols", attacker::negotiate, 1),
        ("pings", attacker::ping_protocol, 1),
    ];
    let node = node();
    let (outcomes, calls) = beside_a_bystander(&node, || {
        attacks.map(|(name, round, at_once)| {
            let attacker = Attacker::new();
            let outcome = attacker.frames(&node, round, Pace { at_once, ..FAST });
            (name, outcome, attacker.id())
        })
    });
    assert_eq!(calls[1], 0, "{calls:?}");
    assert!(outcomes.iter().all(|(_, outcome, _)| outcome.closed), "{outcomes:?}");
    assert_eq!(counted(&node, "frames") + counted(&node, "streams"), 5, "{outcomes:?}");
}

#[test]
fn many_peers_that_each_stay_within_their_budget_are_over_that_of_all() {
    let node = node();
    // Each opens fewer streams than one may; sixteen open more than all may.
    let share = Pace { at_once: 100, pause: Duration::from_millis(5), most: 3_900 };
    let attackers: Vec<Attacker> = (0..16).map(|_| Attacker::new()).collect();
    let (closed, calls) = beside_a_bystander(&node, || {
        std::thread::scope(|scope| {
            let flood = |attacker| {
                let node = &node;
                scope.spawn(move || {
                    let attacker: &Attacker = attacker;
                    attacker.frames(node, attacker::open_and_reset, share).closed
                })
            };
            let floods: Vec<_> = attackers.iter().map(flood).collect();
            floods.into_iter().map(|flood| flood.join().unwrap()).filter(|closed| *closed).count()
        })
    });
    assert_eq!(calls[1], 0, "{calls:?}");
    assert!(closed >= 4, "{closed}");
    assert_eq!(counted(&node, "streams"), closed as u64);
}

#[test]
fn streams_over_quic_are_counted() {
    let node = node();
    let attacker = Attacker::new();
    let (outcome, calls) = beside_a_bystander(&node, || attacker.quic_streams(&node, 100_000));
    assert!(outcome.closed && calls[1] == 0, "{outcome:?} {calls:?}");
    ended_for(&node, &attacker.id(), "more new streams");
}

#[test]
fn identify_pushed_again_and_again_ends_the_connection() {
    let node = node();
    let attacker = Attacker::new();
    let (outcome, calls) = beside_a_bystander(&node, || attacker.identify_pushes(&node, 20_000));
    assert!(outcome.closed && calls[1] == 0, "{outcome:?} {calls:?}");
    ended_for(&node, &attacker.id(), "more new streams");
}

#[test]
fn questions_to_the_dht_on_one_long_lived_stream_end_the_connection() {
    let node = node();
    let asker = Peer::raw(json!({ "identify": "real", "kad": { "ask": 100_000 } }));
    let address = asker.status["listen_addrs"][0].as_str().unwrap();
    let ((), calls) = beside_a_bystander(&node, || {
        node.connect(address);
        ended_for(&node, asker.id(), "more questions to the DHT");
    });
    assert_eq!((calls[1], counted(&node, "dht_questions")), (0, 1));
    // A call of the user's may still connect it.
    node.connect(address);
}

#[test]
fn a_busy_peer_is_far_below_every_budget() {
    let node = Peer::with(json!({
        "discovery": { "dht": "server", "mdns": false }, "serve_perf": true,
    }));
    let busy = Peer::with(json!({ "discovery": { "dht": "server", "mdns": false } }));
    for _ in 0..100 {
        busy.connect(&node.at("tcp"));
        busy.ok("disconnect_peer", json!({ "peer_id": node.id() }));
    }
    busy.connect(&node.at("tcp"));
    node.wait_for("peer_identified", busy.id());
    let searches: Vec<_> = (0..100)
        .map(|_| json!({ "peer_id": crate::support::some_peer_id() }))
        .map(|nobody| busy.begin(15_000, "find_peer", nobody))
        .collect();
    busy.ok("measure_bandwidth", json!({ "peer_id": node.id() }));
    busy.ok("ping_peer", json!({ "peer_id": node.id(), "count": 100 }));
    searches.into_iter().for_each(|search| drop(search.reply()));
    let stats = node.ok("get_peer_stats", json!({}))["stats"].clone();
    let over: Vec<_> = stats["dropped"].as_object().unwrap().keys().collect();
    assert!(over.iter().all(|what| !what.starts_with("budget.")), "{over:?}");
}
