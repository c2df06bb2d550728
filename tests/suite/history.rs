//! No remote decides how much of the past others can read: however often it does what makes events, those about
//! a bystander are still there for who subscribes later, and whoever misses some is told. The rule itself
//! is tested beside its code, in `src/events` and `src/worker/connections`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::stream::{Stream, seq};
use crate::support::{Peer, eventually};

/// Events that are kept for a replay.
const KEPT: usize = 4096;
const LONG: Duration = Duration::from_secs(90);

/// A node, a bystander that has connected to it, and the number of the last event about that.
fn node_and_bystander() -> (Peer, Peer, u64) {
    let (node, bystander) = (Peer::start(), Peer::start());
    bystander.connect(&node.at("tcp"));
    node.wait_for("peer_identified", bystander.id());
    let last = node.ok("last_seq", json!({}))["reply"].as_u64().unwrap();
    (node, bystander, last)
}

fn kinds_about(events: &[Value], peer: &Peer) -> Vec<String> {
    let about = events.iter().filter(|event| event["peer_id"] == peer.id());
    about.map(|event| event["event"].as_str().unwrap().to_owned()).collect()
}

/// Checks that all of the bystander's events are to be read from the beginning, and those of its kinds without a loss.
#[track_caller]
fn bystander_is_kept(node: &Peer, bystander: &Peer, before: &[Value]) {
    let mut all = Stream::open(node, json!({ "since": 0 }));
    all.drain();
    let expected = kinds_about(before, bystander);
    assert_eq!(kinds_about(&all.events, bystander), expected);
    let last = node.ok("last_seq", json!({}))["reply"].as_u64().unwrap();
    if all.last() == last {
        assert_eq!(all.events.len() as u64 + all.lagged, last, "every loss is told");
    }
}

fn kept_so_far(node: &Peer) -> Vec<Value> {
    let mut all = Stream::open(node, json!({ "since": 0 }));
    assert_eq!(all.drain().lagged, 0);
    all.events
}

fn metric(node: &Peer, name: &str) -> f64 {
    let text = node.ok("get_metrics", json!({}))["metrics"].as_str().unwrap().to_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

#[test]
fn a_flood_of_identify_pushes_is_some_events_with_the_last_state_in_the_end() {
    // Each is a stream, of which a peer has 4,000 at once.
    const PUSHES: u64 = 3000;
    let (node, bystander, last) = node_and_bystander();
    let before = kept_so_far(&node);
    let flooder = Peer::raw(json!({
        "calls": node.at("tcp"),
        "identify": { "agent": "first" },
        "pushes": { "count": PUSHES, "protocols": 100 },
    }));
    let is_last = |event: &Value| {
        event["event"] == "peer_identified"
            && event["peer_id"] == flooder.id()
            && event["agent_version"] == "last"
    };
    node.wait_event(LONG, is_last);
    bystander.ok("ping_peer", json!({ "peer_id": node.id(), "count": 1 }));
    bystander_is_kept(&node, &bystander, &before);

    let mut since = Stream::open(&node, json!({ "since": last }));
    assert_eq!(since.drain().lagged, 0, "all since then is kept");
    let of_flooder = since
        .events
        .iter()
        .filter(|event| event["peer_id"] == flooder.id() && event["event"] == "peer_identified");
    let of_flooder: Vec<_> = of_flooder.collect();
    let [first, newest] = [of_flooder[0], of_flooder[of_flooder.len() - 1]];
    let took = newest["timestamp"].as_f64().unwrap() - first["timestamp"].as_f64().unwrap();
    // A burst at the beginning, then one a second.
    assert!(of_flooder.len() as f64 <= 6.0 + took, "{} in {took} s", of_flooder.len());
    assert!(is_last(newest), "{newest}");
    let coalesced =
        of_flooder.iter().map(|event| event["coalesced"].as_u64().unwrap()).sum::<u64>();
    // libp2p takes no more than some streams at once, and drops the others.
    assert!(coalesced > PUSHES / 4, "{coalesced}");
    assert!(metric(&node, "peerkit_events_coalesced_total") >= coalesced as f64);
    assert_eq!(node.info(flooder.id())["agent_version"], "last");
}

#[test]
fn several_peers_that_push_what_is_new_to_nobody_make_no_events() {
    const PEERS: usize = 4;
    let (node, _bystander, _) = node_and_bystander();
    let received = || metric(&node, "libp2p_identify_received_total");
    let before = received();
    let same = || {
        Peer::raw(json!({
            "calls": node.at("tcp"),
            "identify": { "agent": "last", "protocols": 1 },
            "pushes": { "count": 0 },
        }))
    };
    let peers: Vec<_> = (0..PEERS).map(|_| same()).collect();
    peers.iter().for_each(|peer| drop(node.wait_for("peer_identified", peer.id())));
    // The node has asked each, and each has pushed.
    eventually(LONG, "all has come", || received() >= before + 2.0 * PEERS as f64);
    let events = node.events_so_far();
    let again = events.iter().filter(|event| event["event"] == "peer_identified");
    assert_eq!(again.count(), 0, "{events:#?}");
}

#[test]
fn peers_that_come_and_go_all_the_time_take_no_other_peers_place() {
    let (node, bystander, last) = node_and_bystander();
    let before = kept_so_far(&node);
    let mut live = Stream::open(&node, json!({}));
    let storm = json!({ "calls": node.at("tcp"), "close_after_ms": 0 });
    let storms = [Peer::raw(storm.clone()), Peer::raw(storm)];
    live.read_to(last + KEPT as u64 + 600);
    drop(storms);
    bystander_is_kept(&node, &bystander, &before);
    let kinds = ["peer_connected", "peer_disconnected"];
    let mut resumed = Stream::open(&node, json!({ "since": last, "kinds": kinds }));
    resumed.drain();
    assert!(resumed.lagged > 0, "who was away is told of what it missed");
    let mut untouched = Stream::open(&node, json!({ "since": 0, "kinds": ["listen_addr"] }));
    assert_eq!(untouched.drain().lagged, 0, "nothing of that kind went");
    assert!(untouched.events.len() >= 2);
    assert_eq!(live.lagged, 0, "who keeps up is told everything");
    assert!(live.events.windows(2).all(|pair| seq(&pair[0]) + 1 == seq(&pair[1])));
}

#[test]
fn large_messages_on_one_topic_leave_other_kinds_and_topics_what_they_had() {
    const MESSAGES: u64 = 150;
    let (node, bystander, _) = node_and_bystander();
    for topic in ["quiet", "loud"] {
        node.ok("subscribe", json!({ "topic": topic }));
    }
    let quiet = json!({ "topic": "quiet", "data_base64": "aGk=" });
    eventually(LONG, "the bystander knows of the topic", || {
        bystander.call("publish", quiet.clone())["success"] == true
    });
    let of_topic = |topic: &'static str| {
        move |event: &Value| event["event"] == "message" && event["topic"] == topic
    };
    node.wait_event(LONG, of_topic("quiet"));
    let before = kept_so_far(&node);
    let loud = Peer::raw(json!({ "identify": "real", "topics": ["loud"] }));
    node.connect(&loud.at("tcp"));
    let flood = json!({ "topic": "loud", "count": MESSAGES, "bytes": 60 * 1024 });
    let flood = loud.begin(120_000, "flood", flood);
    // 4 MiB are kept in all.
    for _ in 0..80 {
        node.wait_event(LONG, of_topic("loud"));
    }
    drop(flood);
    let mut all = Stream::open(&node, json!({ "since": 0 }));
    assert!(all.drain().lagged > 0, "of the loud topic");
    let kept = |topic| all.events.iter().filter(|event| of_topic(topic)(event)).count();
    assert_eq!(kept("quiet"), 1);
    assert!(kept("loud") >= 16);
    bystander_is_kept(&node, &bystander, &before);
}
