//! Announcements reach everyone and forgeries no one; messages reach all subscribers; and no neighbour
//! gets more than its share of a node.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use libp2p::PeerId;
use libp2p::identity::Keypair;
use serde_json::{Value, json};

use crate::support::record::record;
use crate::support::{Peer, eventually, failed, succeeded};

/// The topic of announcements, where the configuration names no other.
const ANNOUNCEMENTS: &str = "/peerkit/announce/1.0.0";
const SOON: Duration = Duration::from_secs(20);

/// Starts a peer that announces itself and makes no automatic dials.
fn announcing() -> Peer {
    Peer::with(json!({
        "discovery": { "gossip": true, "dht": "off", "mdns": false, "interval_s": 2 },
        "limits": { "low_water": 0 },
    }))
}

/// Starts a peer that subscribes to a topic; no automatic dial is made by it or to it.
fn subscriber(topic: &str) -> Peer {
    let peer = Peer::start();
    peer.ok("subscribe", json!({ "topic": topic }));
    peer
}

fn raw(topics: &[&str]) -> Peer {
    Peer::raw(json!({ "identify": "real", "topics": topics }))
}

fn base64(data: impl AsRef<[u8]>) -> String {
    BASE64_STANDARD.encode(data)
}

/// Publishes, once a subscriber is known; returns the message's id.
fn publish(peer: &Peer, topic: &str, data: impl AsRef<[u8]>) -> String {
    let message = json!({ "topic": topic, "data_base64": base64(data) });
    let mut sent = Value::Null;
    eventually(SOON, "somebody subscribes", || {
        sent = peer.call("publish", message.clone());
        sent["code"] != "not_connected" && sent["code"] != "busy"
    });
    succeeded(sent)["message_id"].as_str().unwrap().to_owned()
}

fn wait_message(peer: &Peer, message_id: &str) -> Value {
    peer.wait_event(SOON, |event| event["event"] == "message" && event["message_id"] == message_id)
}

fn dropped(peer: &Peer, what: &str) -> u64 {
    let stats = peer.ok("get_peer_stats", json!({}));
    stats["stats"]["dropped"][what].as_u64().unwrap_or(0)
}

/// Returns the most memory it has had in use, in MiB.
fn memory(peer: &Peer) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", peer.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
fn announcements_of_ten_nodes_reach_all() {
    let peers: Vec<Peer> = (0..10).map(|_| announcing()).collect();
    for pair in peers.windows(2) {
        pair[0].connect(&pair[1].at("tcp"));
    }
    for (at, peer) in peers.iter().enumerate() {
        for (far, other) in peers.iter().enumerate() {
            if at.abs_diff(far) > 1 {
                let told = peer.wait_for("peer_discovered", other.id());
                assert_eq!(told["source"], "gossip", "{told:#}");
                let told = told["multiaddrs"].as_array().unwrap();
                for transport in ["tcp", "quic-v1"] {
                    assert!(told.contains(&json!(other.bare(transport))), "{told:#?}");
                }
                assert_eq!(peer.info(other.id())["connected"], false);
            }
        }
    }
    let connected = peers[0].ok("connect_peer", json!({ "peer_id": peers[9].id() }));
    assert_eq!(connected["already_connected"], false, "{connected:#}");
    assert_eq!(connected["attempts"][0]["source"], "gossip", "{connected:#}");
    let report = peers[0].ok("get_discovery", json!({}))["sources"]["gossip"].clone();
    assert_eq!(report["total_found"], 8, "{report:#}");
    assert!(report["heard"].as_u64() >= Some(9), "{report:#}");
}

#[test]
fn a_forged_announcement_is_refused() {
    let (a, b) = (announcing(), announcing());
    let liar = raw(&[ANNOUNCEMENTS]);
    a.connect(&liar.at("tcp"));
    let say = |data: &[u8]| {
        liar.ok("publish", json!({ "topic": ANNOUNCEMENTS, "data_base64": base64(data) }))
    };
    let address = "/ip4/127.0.0.1/tcp/4001".parse().unwrap();
    let own_id = a.id().parse::<PeerId>().unwrap();
    let (honest, forger) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
    let (honest_id, victim) = (honest.public().to_peer_id(), PeerId::random());

    let good = record(&honest, honest_id, 7, &address);
    say(&good);
    a.wait_for("peer_discovered", &honest_id.to_string());
    let overheard = || {
        let heard = liar.ok("heard", json!({}))["messages"].clone();
        heard.as_array().unwrap().first().map(|first| first["data_base64"].clone())
    };
    eventually(SOON, "a announces itself", || overheard().is_some());

    let mut broken = good.clone();
    *broken.last_mut().unwrap() ^= 1;
    let own = BASE64_STANDARD.decode(overheard().unwrap().as_str().unwrap()).unwrap();
    let (old, large) = (record(&honest, honest_id, 6, &address), vec![0; 9 * 1024]);
    let another = record(&forger, victim, 1, &address);
    let ours = record(&forger, own_id, u64::MAX, &address);
    for (data, reason, count) in [
        (&b"garbage"[..], "gossip.malformed", 1),
        (&[], "gossip.malformed", 2),
        (&another, "gossip.forged", 1),
        (&ours, "gossip.forged", 2),
        (&broken, "gossip.forged", 3),
        (&own, "gossip.own_id", 1),
        (&good, "gossip.stale", 1),
        (&old, "gossip.stale", 2),
        (&large, "gossip.too_large", 1),
    ] {
        say(data);
        eventually(SOON, reason, || dropped(&a, reason) == count);
    }
    let huge = vec![0; 100 * 1024];
    say(&huge);
    eventually(SOON, "pubsub.too_large", || dropped(&a, "pubsub.too_large") == 1);

    // The liar may still hand on what is true, and announcements of others are received.
    b.connect(&a.at("tcp"));
    let true_one = Keypair::generate_ed25519();
    say(&record(&true_one, true_one.public().to_peer_id(), 1, &address));
    b.wait_for("peer_discovered", &true_one.public().to_peer_id().to_string());
    let known = a.ok("get_peers", json!({}))["peers"].clone();
    let mut known: Vec<_> =
        known.as_array().unwrap().iter().map(|peer| peer["peer_id"].as_str().unwrap()).collect();
    let true_id = true_one.public().to_peer_id().to_string();
    let honest_id = honest_id.to_string();
    let mut expected = vec![b.id(), liar.id(), &honest_id, &true_id];
    known.sort_unstable();
    expected.sort_unstable();
    assert_eq!(known, expected, "nobody else entered the book");
}

#[test]
fn a_flooding_neighbour_is_limited_and_seen_in_the_stats() {
    let (a, b) = (announcing(), announcing());
    let flooder = raw(&[ANNOUNCEMENTS, "news"]);
    a.ok("subscribe", json!({ "topic": "news" }));
    b.connect(&a.at("tcp"));
    a.connect(&flooder.at("tcp"));
    a.wait_for("peer_identified", b.id());
    let before = memory(&a);
    let flood = |flood: Value| flooder.begin(120_000, "flood", flood);
    let records = json!({ "topic": ANNOUNCEMENTS, "count": 20_000, "records": true });
    let records = flood(records);
    eventually(SOON, "too many announcements", || dropped(&a, "gossip.too_many") > 0);
    let small = flood(json!({ "topic": "news", "count": 20_000, "bytes": 100 }));
    let large = flood(json!({ "topic": "news", "count": 20_000, "bytes": 60 * 1024 }));
    eventually(SOON, "too many messages", || dropped(&a, "pubsub.rate") > 0);

    // Everything goes on amidst it.
    let c = announcing();
    let started = Instant::now();
    c.connect(&b.at("tcp"));
    let heard = a.wait_for("peer_discovered", c.id());
    assert_eq!(heard["source"], "gossip", "{heard:#}");
    for number in 0..20 {
        let id = publish(&b, "news", format!("from b, {number}"));
        wait_message(&a, &id);
        let asked = Instant::now();
        succeeded(a.call_within(5000, "ping_peer", json!({ "peer_id": b.id(), "count": 1 })));
        let took = asked.elapsed();
        assert!(took < Duration::from_secs(2), "a call took {took:?}");
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    eventually(SOON, "thousands are refused", || dropped(&a, "pubsub.rate") > 2000);
    for flood in [records, small, large] {
        assert!(flood.still_waits_after(Duration::ZERO), "it went on all the while");
    }
    assert!(memory(&a) < before + 60, "{before} MiB became {}", memory(&a));
    let known = a.ok("get_peers", json!({ "limit": 1 }))["total"].as_u64().unwrap();
    assert!(known < 4000, "{known} peers");
}

#[test]
fn messages_reach_subscribers_through_a_third() {
    let topic = "news/\u{1F4F0} \"today\"\n\u{202e}";
    let (a, middle, b) = (Peer::start(), subscriber(topic), Peer::start());
    a.connect(&middle.at("tcp"));
    b.connect(&middle.at("quic-v1"));
    let none = json!({ "topic": "nobody's", "data_base64": "aGVsbG8=" });
    failed(a.call("publish", none), "not_connected");

    let topics = b.ok("subscribe", json!({ "topic": topic }));
    assert_eq!((&topics["topics"], &topics["changed"]), (&json!([topic]), &json!(true)));
    let topics = b.ok("subscribe", json!({ "topic": topic }));
    assert_eq!((&topics["topics"], &topics["changed"]), (&json!([topic]), &json!(false)));
    let id = publish(&a, topic, "hello");
    // The id is the author and eight bytes more, as in other implementations.
    let author = a.id().parse::<PeerId>().unwrap().to_bytes();
    let author: String = author.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(id.starts_with(&author) && id.len() == author.len() + 16, "{id}");
    for peer in [&middle, &b] {
        let message = wait_message(peer, &id);
        assert_eq!(
            (&message["topic"], &message["peer_id"], &message["data_base64"]),
            (&json!(topic), &json!(a.id()), &json!(base64("hello"))),
            "{message:#}"
        );
    }
    let large: Vec<u8> = (0..60 * 1024u32).map(|n| ((n * 31) >> 3) as u8).collect();
    // Many in a row arrive in one read.
    let ids: Vec<String> = (0..20).map(|_| publish(&a, topic, &large)).collect();
    for id in &ids {
        assert_eq!(wait_message(&b, id)["data_base64"], base64(&large));
    }
    let ended = b.ok("unsubscribe", json!({ "topic": topic }));
    assert_eq!((&ended["topics"], &ended["changed"]), (&json!([]), &json!(true)));
    assert_eq!(b.ok("unsubscribe", json!({ "topic": topic }))["changed"], false);
    b.ok("subscribe", json!({ "topic": "sequel" }));
    let unheard = publish(&a, topic, "after the end");
    wait_message(&middle, &unheard);
    middle.ok("subscribe", json!({ "topic": "sequel" }));
    let sequel = publish(&middle, "sequel", "on the same way, later");
    wait_message(&b, &sequel);
    for peer in [&a, &b] {
        let messages = peer.events_so_far();
        assert!(messages.iter().all(|event| event["event"] != "message"), "{messages:#?}");
    }
}

#[test]
fn what_cannot_be_published_or_subscribed_to_is_refused() {
    let (a, b) = (Peer::start(), subscriber("news"));
    a.connect(&b.at("tcp"));
    publish(&a, "news", vec![0; 60 * 1024]);
    for (method, params) in [
        ("publish", json!({ "topic": "news", "data_base64": base64(vec![0; 60 * 1024 + 1]) })),
        ("publish", json!({ "topic": "news", "data_base64": "no base64" })),
        ("publish", json!({ "topic": "news" })),
        ("publish", json!({ "data_base64": "aGVsbG8=" })),
        ("publish", json!({ "topic": ANNOUNCEMENTS, "data_base64": "aGVsbG8=" })),
        ("subscribe", json!({ "topic": "" })),
        ("subscribe", json!({ "topic": "x".repeat(257) })),
        ("subscribe", json!({ "topic": ANNOUNCEMENTS })),
        ("unsubscribe", json!({ "topic": ANNOUNCEMENTS })),
    ] {
        failed(a.call(method, params), "invalid_argument");
    }
}

#[test]
fn a_hundred_topics_of_the_greatest_length_are_all_heard_of() {
    let (a, b) = (announcing(), announcing());
    let topics: Vec<String> = (0..100).map(|n| format!("{n:0>256}")).collect();
    for topic in &topics {
        a.ok("subscribe", json!({ "topic": topic }));
    }
    failed(a.call("subscribe", json!({ "topic": "one more" })), "limit_reached");
    assert_eq!(a.ok("subscribe", json!({ "topic": topics[0] }))["topics"], json!(topics));
    // The topics are advertised in one message, as the connection opens.
    b.connect(&a.at("tcp"));
    for topic in &topics {
        let id = publish(&b, topic, "hello");
        assert_eq!(wait_message(&a, &id)["topic"], json!(topic));
    }
}

#[test]
fn messages_that_nobody_reads_take_bounded_memory_and_are_counted() {
    const MESSAGES: u64 = 170;
    let (a, b) = (Peer::start(), subscriber("news"));
    a.connect(&b.at("tcp"));
    b.wait_for("peer_identified", a.id());
    let before = memory(&b);
    let data = vec![0; 60 * 1024];
    for _ in 0..MESSAGES - 1 {
        publish(&a, "news", &data);
    }
    // Memory of the queue (8 MiB), of the history (4), and of gossipsub.
    let mut last = String::new();
    eventually(SOON, "the last one comes", || {
        last = publish(&a, "news", "the last");
        let recent = b.ok("get_peers_summary", json!({}))["recent_events"].clone();
        recent.as_array().unwrap().iter().any(|event| event["message_id"] == json!(last))
    });
    let grown = memory(&b).saturating_sub(before);
    assert!(grown < 60, "{grown} MiB");
    let mut got = 0;
    let mut lagged = 0;
    loop {
        let batch = succeeded(b.call_within(0, "events", json!({})))["reply"].clone();
        let events = batch["events"].as_array().unwrap();
        if events.is_empty() {
            break;
        }
        lagged += batch["lagged"].as_u64().unwrap();
        let large =
            |event: &&Value| event["data_base64"].as_str().is_some_and(|data| data.len() > 1000);
        got += events.iter().filter(large).count() as u64;
    }
    let refused = dropped(&b, "pubsub.rate");
    assert!(lagged > 0, "8 MiB hold fewer than {MESSAGES}");
    assert!(got + lagged + refused >= MESSAGES - 1, "{got} read, {lagged} lost, {refused} refused");
}

#[test]
fn announcements_alone_keep_no_connection_but_messages_do() {
    let patient = || {
        Peer::with(json!({
            "discovery": { "gossip": true, "dht": "off", "mdns": false },
            "idle_timeout_s": 2,
        }))
    };
    let [a, b, c] = [patient(), patient(), patient()];
    for peer in [&a, &b] {
        peer.ok("subscribe", json!({ "topic": "news" }));
    }
    a.connect(&b.at("tcp"));
    c.connect(&b.at("quic-v1"));
    let gone = c.wait_for("peer_disconnected", b.id());
    assert_eq!(gone["reason"], "idle", "{gone:#}");
    // Once a later connection has ended as idle, a's would be gone too, if it were idle.
    assert_eq!(c.connect(&b.at("tcp"))["already_connected"], false);
    c.wait_for("peer_disconnected", b.id());
    assert_eq!(a.info(b.id())["connected"], true);
    a.ok("unsubscribe", json!({ "topic": "news" }));
    assert_eq!(a.wait_for("peer_disconnected", b.id())["reason"], "idle");
    // A known peer, even an announced one, isn't dialled only to be idle again.
    a.wait_for("peer_discovered", c.id());
    for (peer, times) in [(&a, 1), (&c, 2)] {
        let events = peer.events_so_far();
        let connected = events.iter().filter(|event| event["event"] == "peer_connected").count();
        assert_eq!(connected, times, "{events:#?}");
    }
}
