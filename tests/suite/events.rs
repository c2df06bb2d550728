//! What a subscription delivers: everything, in order, once; or the number of what was lost.
//! The wake-up alone is tested beside its code, in `src/events.rs`.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Peer, failed, some_peer_id, succeeded};

/// Events a subscription holds for its reader.
const CAPACITY: u64 = 4096;

fn batch(peer: &Peer) -> Value {
    succeeded(peer.call_within(0, "events", json!({})))["reply"].clone()
}

fn seqs(batch: &Value) -> Vec<u64> {
    let events = batch["events"].as_array().unwrap();
    events.iter().map(|event| event["seq"].as_u64().unwrap()).collect()
}

#[test]
fn a_slow_reader_loses_the_oldest_and_is_told_how_many() {
    const LOST: u64 = 300;
    let peer = Peer::start();
    let before =
        peer.ok("get_peers_summary", json!({}))["recent_events"].as_array().unwrap().len() as u64;
    let calls: Vec<_> = (0..CAPACITY + LOST)
        .map(|_| {
            let call = peer.begin(20_000, "add_peer", json!({ "peer_id": some_peer_id() }));
            succeeded(call.reply());
        })
        .collect();
    let first = batch(&peer);
    assert_eq!(first["lagged"], LOST);
    let mut got = seqs(&first);
    assert_eq!(got.len(), 64, "a batch has at most 64");
    loop {
        let next = batch(&peer);
        let more = seqs(&next);
        assert_eq!(next["lagged"], 0, "told once");
        if more.is_empty() {
            break;
        }
        got.extend(more);
    }
    let last = before + calls.len() as u64;
    assert_eq!(got, (last - CAPACITY + 1..=last).collect::<Vec<_>>(), "the newest, in order");
}

#[test]
fn after_a_stop_what_is_queued_comes_first_then_stopped_then_closed() {
    let peer = Peer::start();
    let added: Vec<String> = (0..100).map(|_| some_peer_id()).collect();
    for id in &added {
        peer.ok("add_peer", json!({ "peer_id": id }));
    }
    peer.ok("stop", json!({}));
    let (first, second) = (batch(&peer), batch(&peer));
    let events: Vec<&Value> =
        [&first, &second].iter().flat_map(|batch| batch["events"].as_array().unwrap()).collect();
    assert_eq!(events.len(), added.len() + 1);
    for (event, id) in events.iter().zip(&added) {
        assert_eq!((&event["event"], &event["peer_id"]), (&json!("peer_discovered"), &json!(id)));
    }
    let last = events[added.len()];
    assert_eq!(
        (&last["event"], &last["code"], &last["peer_id"]),
        (&json!("stopped"), &json!("closed"), &Value::Null)
    );
    for _ in 0..2 {
        failed(peer.call_within(5000, "events", json!({})), "closed");
    }
}

#[test]
fn a_reader_that_waits_is_woken_by_an_event_and_by_the_stop() {
    let peer = Peer::start();
    let waiting = peer.begin(60_000, "events", json!({}));
    assert!(waiting.still_waits_after(Duration::from_millis(200)));
    let id = some_peer_id();
    peer.ok("add_peer", json!({ "peer_id": id }));
    assert_eq!(succeeded(waiting.reply())["reply"]["events"][0]["peer_id"], id);
    let waiting = peer.begin(60_000, "events", json!({}));
    assert!(waiting.still_waits_after(Duration::from_millis(200)));
    peer.ok("stop", json!({}));
    assert_eq!(succeeded(waiting.reply())["reply"]["events"][0]["event"], "stopped");
}

#[test]
fn two_readers_of_one_subscription_get_each_event_once() {
    const EVENTS: usize = 2000;
    let peer = Peer::start();
    let read_all = || {
        let mut got = Vec::new();
        loop {
            let batch = peer.call_within(10_000, "events", json!({}));
            if batch["code"] == "closed" {
                return got;
            }
            got.extend(seqs(&succeeded(batch)["reply"]));
        }
    };
    let got = std::thread::scope(|scope| {
        let readers = [scope.spawn(read_all), scope.spawn(read_all)];
        for _ in 0..EVENTS {
            peer.ok("add_peer", json!({ "peer_id": some_peer_id() }));
        }
        peer.ok("stop", json!({}));
        readers.map(|reader| reader.join().unwrap())
    });
    assert!(got.iter().all(|of_one| of_one.is_sorted()), "each reader sees the order");
    let all: Vec<u64> = got.concat();
    assert_eq!(all.len(), EVENTS + 1, "none lost, none twice");
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
}
