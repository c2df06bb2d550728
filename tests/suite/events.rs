//! A subscription delivers everything, in order, once; or the number of the events lost. The wake-up
//! and the history are tested beside their code, in `src/events`; that the stream is true to the
//! connected set, in `events_churn`.

use std::collections::HashSet;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::stream::{Stream, seq};
use crate::support::{Peer, failed, loopback, program, some_peer_id, succeeded};

/// Events a subscription holds for its reader.
const CAPACITY: u64 = 4096;

fn batch(peer: &Peer) -> Value {
    succeeded(peer.call_within(0, "events", json!({})))["reply"].clone()
}

fn seqs(batch: &Value) -> Vec<u64> {
    let events = batch["events"].as_array().unwrap();
    events.iter().map(seq).collect()
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

#[test]
fn a_stream_of_some_kinds_has_those_and_the_end() {
    let (a, b) = (Peer::start(), Peer::start());
    let kinds = ["peer_connected", "peer_disconnected"];
    let mut filtered = Stream::open(&a, json!({ "kinds": kinds }));
    for part in ["tcp", "quic-v1"] {
        a.connect(&b.at(part));
        a.ok("disconnect_peer", json!({ "peer_id": b.id() }));
    }
    let mut late = Stream::open(&a, json!({ "since": 0, "kinds": kinds }));
    let mut all = Stream::open(&a, json!({ "since": 0 }));
    a.ok("stop", json!({}));
    for stream in [&mut filtered, &mut late, &mut all] {
        assert_eq!(stream.drain().lagged, 0);
        assert!(stream.ended);
    }
    all.events.retain(|event| {
        let kind = event["event"].as_str().unwrap();
        kinds.contains(&kind) || kind == "stopped"
    });
    assert_eq!(all.events.len(), 5);
    assert_eq!(all.events, late.events);
    assert_eq!(all.events, filtered.events);
}

#[test]
fn options_that_make_no_sense_are_refused_and_say_why() {
    let peer = Peer::start();
    for _ in 0..50 {
        peer.ok("add_peer", json!({ "peer_id": some_peer_id() }));
    }
    let number = Stream::open(&peer, json!({})).last_seq;
    assert!(number >= 50);
    peer.ok("stop", json!({}));
    succeeded(peer.call("start", json!({ "config": loopback(json!({})) })));
    let of_another_run =
        failed(peer.call("open_events", json!({ "since": number })), "invalid_argument");
    let last_seq = of_another_run["detail"]["last_seq"].as_u64().unwrap();
    assert_eq!(last_seq, Stream::open(&peer, json!({ "since": last_seq })).last_seq);
    let unknown = peer.call("open_events", json!({ "kinds": ["dial_faild"] }));
    assert_eq!(failed(unknown, "invalid_argument")["detail"]["nearest"], "dial_failed");
    failed(peer.call("open_events", json!({ "kinds": [] })), "invalid_argument");
}

/// Returns the memory that the process holds, in KiB.
fn rss_kib(peer: &Peer) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", peer.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn readers_that_never_read_cost_bounded_memory_and_hurt_nobody() {
    const READERS: u64 = 1000;
    // Memory for the pointers of the queues that fill up, the history, and the allocator's reserve.
    const QUEUES_KIB: u64 = READERS * CAPACITY * 8 / 1024 + 16 * 1024;
    const FULL_KIB: u64 = 8 * 1024;
    // A subscription takes a descriptor.
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 4096; exec \"$0\" \"$@\""]).arg(program());
    let hub = Peer::spawn(command.arg("peerkit").arg(loopback(json!({})).to_string())).unwrap();
    let mut never_read: Vec<Stream<'_>> =
        (0..READERS).map(|_| Stream::open(&hub, json!({}))).collect();
    let mut reader = Stream::open(&hub, json!({ "since": 0 }));
    let before = rss_kib(&hub);

    // Peers that connect and disconnect as fast as they can.
    let storm = json!({ "calls": hub.at("tcp"), "close_after_ms": 0 });
    let storms = [Peer::raw(storm.clone()), Peer::raw(storm)];
    reader.read_to(CAPACITY + CAPACITY / 8);
    let full = rss_kib(&hub);
    reader.read_to(2 * CAPACITY);
    let later = rss_kib(&hub);
    drop(storms);
    println!("{before} KiB before, {full} KiB with full queues, {later} KiB later");
    assert!(full.saturating_sub(before) < QUEUES_KIB, "{before} KiB became {full} KiB");
    assert!(later.saturating_sub(full) < FULL_KIB, "{full} KiB became {later} KiB");

    hub.ok("stop", json!({}));
    while !reader.ended {
        reader.read(20_000);
    }
    assert_eq!((reader.lagged, reader.events.len() as u64), (0, reader.last()), "got everything");
    for stream in never_read.iter_mut().step_by(READERS as usize / 3) {
        stream.drain();
        let after = reader.last() - stream.last_seq;
        assert_eq!((stream.lagged, stream.events.len() as u64), (after - CAPACITY, CAPACITY));
        assert_eq!(stream.events[..], reader.events[reader.events.len() - CAPACITY as usize..]);
    }
}
