//! Peers of the DHT that lie, flood and stay silent: they cost little, and nobody else is kept from being found.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::netns::Switch;
use crate::support::servers::SilentServer;
use crate::support::{Peer, eventually, failed, some_peer_id};

const SOON: Duration = Duration::from_secs(10);
const CID: &str = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKS7QX";

fn with_dht(keys: Value) -> Peer {
    let mut config = json!({
        "discovery": { "dht": "server", "gossip": false, "mdns": false, "interval_s": 2 },
    });
    for (key, value) in keys.as_object().unwrap() {
        config[key] = value.clone();
    }
    Peer::with(config)
}

fn hostile(kad: Value) -> Peer {
    Peer::raw(json!({ "identify": "real", "kad": kad }))
}

fn raw_at(peer: &Peer) -> &str {
    peer.status["listen_addrs"][0].as_str().unwrap()
}

fn rss_kib(peer: &Peer) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", peer.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Returns the number of refusals for this reason.
fn dropped(peer: &Peer, reason: &str) -> u64 {
    let stats = peer.ok("get_peer_stats", json!({}));
    stats["stats"]["dropped"][reason].as_u64().unwrap_or(0)
}

fn one(peer: &str) -> Value {
    json!({ "peer_id": peer })
}

/// Searches for a peer that doesn't exist, which asks everybody there is; returns the time it took.
fn search_for_nobody(peer: &Peer) -> Duration {
    let asked = Instant::now();
    failed(peer.call("find_peer", one(&some_peer_id())), "peer_not_found");
    asked.elapsed()
}

#[test]
fn what_cannot_be_dialled_is_dropped_and_counted() {
    let us = with_dht(json!({}));
    let long = format!("/dns4/{}/tcp/1", "a".repeat(600));
    let told = json!([
        { "id": us.id(), "addrs": ["/ip4/127.0.0.1/tcp/1"] },
        { "id": some_peer_id(), "addrs": [long] },
        { "id": some_peer_id(), "addrs": ["/ip4/10.1.2.3/tcp/1", "/ip4/8.8.8.8/tcp/1"] },
        { "id": some_peer_id(), "addrs": ["/ip4/127.0.0.1/tcp/1/ws", "/ip4/127.0.0.1/tcp/0"] },
        { "id": some_peer_id(), "addrs": [] },
        { "id": some_peer_id(), "addrs": vec!["/ip4/127.0.0.1/tcp/1"; 100] },
        { "id": some_peer_id(), "addrs": (1..40).map(|n| format!("/ip4/127.0.0.1/tcp/{n}")).collect::<Vec<_>>() },
    ]);
    let them = hostile(json!({ "peers": told }));
    us.connect(raw_at(&them));
    us.wait_for("peer_identified", them.id());
    search_for_nobody(&us);
    for reason in ["own_id", "too_long", "scope", "undialable", "no_address", "too_many"] {
        assert!(dropped(&us, &format!("dht.{reason}")) > 0, "{reason}");
    }
    assert_eq!(us.ids(None), [them.id()]);
}

#[test]
fn made_up_peers_fill_neither_the_book_nor_memory_and_hide_nobody() {
    let silent = SilentServer::new();
    let us = with_dht(json!({}));
    let honest: Vec<Peer> = (0..3).map(|_| with_dht(json!({}))).collect();
    let sought = hostile(json!({}));
    for peer in &honest {
        us.connect(&peer.at("tcp"));
        us.wait_for("peer_identified", peer.id());
        peer.ok("stop_discovery", json!({}));
    }
    honest[0].connect(raw_at(&sought));
    honest[0].wait_for("peer_identified", sought.id());
    us.ok("stop_discovery", json!({}));
    // Some advertise peers that let themselves be dialled and say nothing, some more peers than a packet holds.
    let addrs = json!([silent.address(), "/ip4/10.0.0.1/tcp/1"]);
    let liars: Vec<Peer> = [200, 200, 5000]
        .map(|count| hostile(json!({ "made_up": { "count": count, "addrs": addrs } })))
        .into();
    for liar in &liars {
        us.connect(raw_at(liar));
        us.wait_for("peer_identified", liar.id());
    }
    let before = rss_kib(&us);
    let asked = Instant::now();
    let found = us.call("find_peer", one(sought.id()));
    assert_eq!(found["success"], true, "{found:#}");
    eprintln!("found among liars after {:?}: {}", asked.elapsed(), found["lookups"]);
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    let searches: Vec<_> =
        (0..40).map(|_| us.begin(15_000, "find_peer", one(&some_peer_id()))).collect();
    // Other calls are answered meanwhile.
    let pinged = Instant::now();
    us.ok("ping_peer", json!({ "peer_id": honest[1].id(), "count": 1 }));
    eprintln!("a ping took {:?}", pinged.elapsed());
    assert!(pinged.elapsed() < Duration::from_secs(3), "{:?}", pinged.elapsed());
    for search in searches {
        assert_eq!(search.reply()["success"], false);
    }
    let grown = rss_kib(&us).saturating_sub(before);
    eprintln!(
        "{grown} KiB more; dropped {}",
        us.ok("get_peer_stats", json!({}))["stats"]["dropped"]
    );
    assert!(grown < 30 * 1024, "{grown} KiB");
    assert!(us.ids(None).len() <= 8, "{:?}", us.ids(None));
    assert!(dropped(&us, "dht.too_many") > 0 && dropped(&us, "dht.scope") > 0);
}

#[test]
fn floods_of_records_are_bounded_and_leave_room_for_ours() {
    let us = with_dht(json!({}));
    let honest = with_dht(json!({}));
    us.connect(&honest.at("tcp"));
    honest.wait_for("peer_identified", us.id());
    us.wait_for("peer_identified", honest.id());
    us.ok("provide", json!({ "cid": CID }));
    eventually(SOON, "the record is there", || {
        honest.ok("find_providers", json!({ "cid": CID }))["peers"] != json!([])
    });
    let before = rss_kib(&us);
    let floods = [
        hostile(json!({ "provide": 10_000 })),
        hostile(json!({ "provide": 3000, "key_bytes": 8000 })),
        hostile(json!({ "put": 5000 })),
    ];
    for flood in &floods {
        us.connect(raw_at(flood));
    }
    let started = Instant::now();
    eventually(Duration::from_secs(60), "the floods are over", || {
        dropped(&us, "dht.value") >= 5000
            && dropped(&us, "dht.too_long") >= 3000
            && dropped(&us, "dht.store_full") >= 10_000 - 4096
    });
    eprintln!("floods over after {:?}", started.elapsed());
    let grown = rss_kib(&us).saturating_sub(before);
    eprintln!("{grown} KiB more");
    assert!(grown < 30 * 1024, "{grown} KiB");
    let other = json!({ "cid": "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy" });
    us.ok("provide", other.clone());
    eventually(SOON, "what we provide is found", || {
        let found = honest.ok("find_providers", other.clone());
        found["peers"][0]["peer_id"] == us.id()
    });
}

#[test]
fn silent_peers_of_the_dht_hide_nobody() {
    let us = with_dht(json!({}));
    let honest = with_dht(json!({}));
    let sought = hostile(json!({}));
    honest.connect(raw_at(&sought));
    honest.wait_for("peer_identified", sought.id());
    honest.ok("stop_discovery", json!({}));
    us.connect(&honest.at("tcp"));
    us.wait_for("peer_identified", honest.id());
    us.ok("stop_discovery", json!({}));
    let silent: Vec<Peer> = (0..6).map(|_| hostile(json!({ "silent": true }))).collect();
    for peer in &silent {
        us.connect(raw_at(peer));
        us.wait_for("peer_identified", peer.id());
    }
    let asked = Instant::now();
    us.ok("find_peer", one(sought.id()));
    eprintln!("found among the silent after {:?}", asked.elapsed());
    assert!(asked.elapsed() < Duration::from_secs(14), "{:?}", asked.elapsed());
    us.ok("connect_peer", one(sought.id()));
}

#[test]
fn near_addresses_told_by_peers_far_away_are_never_dialled() {
    let Some(switch) = Switch::new() else { return };
    let [ours, theirs] = ["44.0.0.1/24", "44.0.0.2/24"].map(|ip| switch.host(ip));
    let us = ours.peer(json!({
        "profile": "internet", "protocol_prefix": "/peerkit",
        "listen": ["/ip4/44.0.0.1/tcp/4001", "/ip4/127.0.0.1/tcp/4001"],
        "discovery": { "dht": "server", "gossip": false, "mdns": false, "interval_s": 2 },
    }));
    // A peer on our own machine takes part too: it may advertise addresses that others may not.
    let beside = ours.peer(json!({
        "profile": "offline", "listen": ["/ip4/127.0.0.1/tcp/0"], "discovery": { "dht": "server" },
    }));
    beside.connect(&us.at("127.0.0.1"));
    let victim =
        ours.raw(json!({ "listen": "/ip4/127.0.0.1/tcp/0", "identify": "real", "kad": {} }));
    let told = json!([{ "id": victim.id(), "addrs": [
        victim.bare("tcp"), "/ip4/10.0.0.9/tcp/4001", "/ip4/169.254.1.1/tcp/4001",
    ] }]);
    let liar = theirs.raw(json!({
        "listen": "/ip4/44.0.0.2/tcp/4001", "identify": "real", "kad": { "peers": told },
    }));
    us.connect(raw_at(&liar));
    us.wait_for("peer_identified", liar.id());
    us.ok("discover_peers", json!({}));
    failed(us.call("find_peer", one(victim.id())), "peer_not_found");
    assert!(!us.ids(None).contains(&victim.id().to_owned()));
    assert!(dropped(&us, "dht.scope") > 0);
}
