//! Checks which connections are closed where there are more than `high_water`: those that no call here
//! requested, and of them the youngest. A connection is spared for a while after it was opened (20 s,
//! as with Kubo).

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::servers::ApiServer;
use crate::support::visitor::Visitor;
use crate::support::{GRACE, Peer, eventually};

const SOON: Duration = Duration::from_secs(10);

fn trimming(low_water: u32, high_water: u32, keys: Value) -> Peer {
    let limits = json!({ "low_water": low_water, "high_water": high_water });
    let mut config = json!({ "limits": limits });
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    Peer::with_grace(config)
}

/// Lets visitors come, one after the other.
fn come(node: &Peer, visitors: &[Visitor]) {
    for visitor in visitors {
        visitor.open(node).unwrap();
    }
}

/// Waits until no connection that is there by now is spared any longer.
fn grace_is_over(since: Instant) {
    std::thread::sleep((GRACE + Duration::from_millis(100)).saturating_sub(since.elapsed()));
}

/// Waits until the node has trimmed this peer, and checks its event and its record.
#[track_caller]
fn is_trimmed(node: &Peer, id: &str) -> Value {
    let gone = node.wait_for("peer_disconnected", id);
    assert_eq!(
        (&gone["reason"], &gone["inferred"]),
        (&json!("trimmed"), &json!(false)),
        "{gone:#}"
    );
    let record = node.info(id);
    assert_eq!(record["connected"], false, "{record:#}");
    assert_eq!(record["last_disconnect"]["reason"], "trimmed", "{record:#}");
    gone
}

#[track_caller]
fn are_connected(node: &Peer, expected: &[&str]) {
    let mut connected = node.ids(Some("connected"));
    let mut expected: Vec<_> = expected.iter().map(|id| (*id).to_owned()).collect();
    connected.sort();
    expected.sort();
    assert_eq!(connected, expected);
}

#[test]
fn strangers_who_came_last_are_trimmed_down_to_low_water_and_whoever_was_asked_for_stays() {
    let (listed, wanted, named, api) =
        (Peer::start(), Peer::start(), Peer::start(), ApiServer::start());
    api.kubo(&named, &[]);
    let node = trimming(6, 7, json!({ "bootstrap": [listed.at("tcp")] }));
    let (friend, last) = (Visitor::new(), Visitor::new());
    let strangers = [Visitor::new(), Visitor::new(), Visitor::new()];
    node.wait_for("peer_connected", listed.id());
    node.connect(&wanted.at("tcp"));
    come(&node, &strangers);
    // A peer that no user named is connected: it goes before the user's, and after the inbound ones.
    node.ok("bootstrap_from_ipfs", json!({ "api": api.url() }));
    assert_eq!(node.wait_for("peer_connected", named.id())["direction"], "outbound");
    friend.open(&node).unwrap();
    node.ok("add_peer", json!({ "peer_id": friend.id() }));
    let youngest = Instant::now();
    assert_eq!(node.ids(Some("connected")).len(), 7, "as many as may be");
    grace_is_over(youngest);
    assert_eq!(node.ids(Some("connected")).len(), 7, "time alone trims nobody");

    // This makes two too many. The friend came later than they did, and is protected; the last one is
    // within its grace.
    last.open(&node).unwrap();
    for stranger in &strangers[1..] {
        is_trimmed(&node, stranger.id());
        eventually(SOON, "it's closed", || stranger.connections() == 0);
    }
    let stay = [listed.id(), named.id(), wanted.id(), friend.id(), strangers[0].id(), last.id()];
    are_connected(&node, &stay);
    for peer in [&listed, &named, &wanted] {
        node.ok("ping_peer", json!({ "peer_id": peer.id(), "count": 1 }));
    }
    for visitor in [&friend, &strangers[0], &last] {
        assert_eq!(visitor.connections(), 1);
    }
}

#[test]
fn a_further_connection_to_a_known_peer_counts_and_trims_too() {
    let node = trimming(2, 4, json!({}));
    let friend = Visitor::new();
    let strangers = [Visitor::new(), Visitor::new(), Visitor::new()];
    node.ok("add_peer", json!({ "peer_id": friend.id() }));
    friend.open(&node).unwrap();
    come(&node, &strangers);
    grace_is_over(Instant::now());
    // This makes it five, by a second connection of the same peer.
    friend.open(&node).unwrap();
    for stranger in &strangers {
        is_trimmed(&node, stranger.id());
    }
    are_connected(&node, &[friend.id()]);
    assert_eq!(friend.connections(), 2, "both of them stay");
}

#[test]
fn whoever_has_only_just_come_is_spared_until_its_grace_period_is_over() {
    let node = trimming(1, 2, json!({}));
    let strangers = [Visitor::new(), Visitor::new(), Visitor::new()];
    come(&node, &strangers);
    assert_eq!(node.ids(Some("connected")).len(), 3, "over high_water, and nobody may go yet");
    let within = GRACE + SOON;
    let gone = node.wait_event(within, |event| event["event"] == "peer_disconnected");
    let id = gone["peer_id"].as_str().unwrap();
    assert_eq!(gone["reason"], "trimmed", "{gone:#}");
    let came = node.wait_for("peer_connected", id);
    let [came, gone] = [came, gone].map(|event| event["timestamp"].as_f64().unwrap());
    let stayed = gone - came;
    assert!(stayed >= GRACE.as_secs_f64() - 0.1, "it was spared for {stayed} s only");
    assert!(node.ids(Some("connected")).len() <= 2);
}
