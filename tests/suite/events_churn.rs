//! The stream of events is true to the connected set: a program that replays it has that set, exactly,
//! at every moment of a run in which peers come, go, die and come back.
//!
//! A run is recorded: one subscription from the beginning is read throughout, and in between the peers
//! that `get_peers` shows as connected are noted with the number of the last event. `PEERKIT_SEED`
//! repeats the choices of a run, `PEERKIT_CHURN_SECONDS` makes it longer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::dice::Dice;
use crate::support::stream::{Stream, seq};
use crate::support::{PLENTY, Peer, eventually};

const PEERS: u64 = 4;
/// The deadline of a call in the churn. One that fails is churn too.
const CALL_MS: u64 = 2000;
/// Events that are kept for a replay.
const KEPT: u64 = 4096;

type Connected = BTreeSet<String>;

/// Applies an event to the connected set, as a program would that follows the stream. Checks that
/// each peer's events make sense one after the other.
fn follow(connected: &mut Connected, event: &Value) {
    let peer = || event["peer_id"].as_str().unwrap().to_owned();
    match event["event"].as_str().unwrap() {
        "peer_connected" => assert!(connected.insert(peer()), "connected twice: {event}"),
        "peer_disconnected" => assert!(connected.remove(&peer()), "wasn't connected: {event}"),
        "peer_identified" => assert!(connected.contains(&peer()), "isn't connected: {event}"),
        _ => {}
    }
}

fn last_seq(peer: &Peer) -> u64 {
    peer.ok("last_seq", json!({}))["reply"].as_u64().unwrap()
}

/// Returns the connected set, and the last event at that moment; None where something happened meanwhile.
fn observe(hub: &Hub) -> Option<(u64, Connected)> {
    // A removal takes the record a moment before a connection that was made meanwhile is closed.
    let _none_is_removed = hub.removing.lock().unwrap();
    let before = last_seq(&hub.peer);
    let reply = hub.peer.ok("get_peers", json!({ "status": "connected" }));
    // The worker notes a connection and publishes it in one turn. Once it answers, everything the reply
    // shows is published.
    hub.peer.ok("cancel", json!({ "token": 0 }));
    let peers = reply["peers"].as_array().unwrap().iter();
    let connected = peers.map(|row| row["peer_id"].as_str().unwrap().to_owned()).collect();
    (last_seq(&hub.peer) == before).then_some((before, connected))
}

struct Hub {
    peer: Peer,
    removing: Mutex<()>,
}

/// A peer that comes and goes, always at the same place with the same identity.
struct Guest<'a> {
    hub: &'a Hub,
    peer: Option<Peer>,
    config: Value,
    id: String,
    at: [String; 2],
    dice: Dice,
    _dir: tempfile::TempDir,
}

impl<'a> Guest<'a> {
    fn new(hub: &'a Hub, seed: u64) -> Self {
        let dir = tempfile::TempDir::new().unwrap();
        let peer = Peer::with(json!({ "data_dir": dir.path() }));
        let listen = [peer.bare("tcp"), peer.bare("quic-v1")];
        Guest {
            hub,
            config: json!({ "data_dir": dir.path(), "listen": listen }),
            id: peer.id().to_owned(),
            at: [peer.at("tcp"), peer.at("quic-v1")],
            peer: Some(peer),
            dice: Dice(seed),
            _dir: dir,
        }
    }

    fn come_and_go(&mut self, over: &AtomicBool) {
        while !over.load(Ordering::Relaxed) {
            self.once();
        }
    }

    fn once(&mut self) {
        let hub = &self.hub.peer;
        let way = self.dice.below(2) as usize;
        let call = |peer: &Peer, method: &str, params: Value| {
            peer.call_within(CALL_MS, method, params);
        };
        let (to_us, to_hub) = (&self.at[way], hub.at(["tcp", "quic-v1"][way]));
        let Some(peer) = &self.peer else {
            // The port may be another socket's for a moment; then the peer stays away for this time.
            self.peer = Peer::try_with(self.config.clone()).ok();
            return;
        };
        match self.dice.below(20) {
            0..=3 => call(hub, "connect_peer", json!({ "multiaddr": to_us })),
            4..=7 => call(peer, "connect_peer", json!({ "multiaddr": to_hub })),
            8..=10 => {
                let both = [
                    hub.begin(CALL_MS, "connect_peer", json!({ "multiaddr": to_us })),
                    peer.begin(CALL_MS, "connect_peer", json!({ "multiaddr": to_hub })),
                ];
                both.into_iter().for_each(|call| drop(call.reply()));
            }
            11..=13 => call(hub, "disconnect_peer", json!({ "peer_id": self.id })),
            14..=15 => call(peer, "disconnect_peer", json!({ "peer_id": hub.id() })),
            16 => {
                let _one_at_a_time = self.hub.removing.lock().unwrap();
                call(hub, "remove_peer", json!({ "peer_id": self.id }));
            }
            17 => {
                // The peer dies in the middle of whatever this starts.
                drop(hub.begin(CALL_MS, "connect_peer", json!({ "multiaddr": to_us })));
                self.peer = None;
            }
            18 => {
                call(peer, "stop", json!({}));
                self.peer = None;
            }
            _ => self.peer = None,
        }
    }
}

/// Ends the churn, also where a check fails.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The observations of a run.
struct Recording<'a> {
    /// Every event from the first on.
    events: Vec<Value>,
    /// The connected sets, each with the last event before it.
    observed: Vec<(u64, Connected)>,
    /// Subscriptions opened in the middle, with the number each began after.
    joined: Vec<(u64, Stream<'a>)>,
}

/// Lets the peers come and go; reads, observes, and joins in the middle, until the time is over.
fn record(hub: &Hub, seed: u64, run: Duration) -> Recording<'_> {
    let over = AtomicBool::new(false);
    let mut whole = Stream::open(&hub.peer, json!({ "since": 0 }));
    let (mut observed, mut joined) = (Vec::new(), Vec::new());
    let mut guests: Vec<_> = (0..PEERS).map(|n| Guest::new(hub, seed ^ (n << 32))).collect();
    std::thread::scope(|scope| {
        let ending = Ending(&over);
        let visits = guests.iter_mut().map(|guest| scope.spawn(|| guest.come_and_go(&over)));
        let visits: Vec<_> = visits.collect();
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                whole.read(100);
            }
        });
        let mut dice = Dice(!seed);
        let until = Instant::now() + run;
        while Instant::now() < until {
            observed.extend(observe(hub));
            if joined.len() < 100 {
                let since = dice.below(last_seq(&hub.peer) + 1);
                joined.push((since, Stream::open(&hub.peer, json!({ "since": since }))));
            }
        }
        drop(ending);
        visits.into_iter().for_each(|visit| visit.join().unwrap());
    });
    eventually(Duration::from_secs(20), "a quiet moment", || {
        let quiet = observe(hub);
        observed.extend(quiet.clone());
        quiet.is_some()
    });
    drop(guests);
    hub.peer.ok("stop", json!({}));
    while !whole.ended {
        whole.read(PLENTY);
    }
    assert_eq!((whole.lagged, whole.events.len() as u64), (0, whole.last()), "everything came");
    Recording { events: whole.events, observed, joined }
}

#[test]
fn replaying_the_stream_rebuilds_the_connected_set_exactly_under_churn() {
    let seconds = std::env::var("PEERKIT_CHURN_SECONDS").ok().and_then(|text| text.parse().ok());
    let seed = Dice::seed();
    let hub = Hub { peer: Peer::start(), removing: Mutex::new(()) };
    let Recording { events, observed, joined } =
        record(&hub, seed, Duration::from_secs(seconds.unwrap_or(6)));

    let mut connected = Connected::new();
    let mut after: BTreeMap<u64, Vec<&Connected>> = BTreeMap::new();
    observed.iter().for_each(|(seq, seen)| after.entry(*seq).or_default().push(seen));
    for event in &events {
        follow(&mut connected, event);
        for seen in after.remove(&seq(event)).into_iter().flatten() {
            assert_eq!(&connected, seen, "after {event}, PEERKIT_SEED={seed}");
        }
    }
    assert!(after.is_empty(), "no such events: {after:?}");
    assert_eq!(events.last().unwrap()["event"], "stopped");
    assert!(connected.is_empty(), "still connected after the end: {connected:?}");

    let kinds = ["peer_connected", "peer_disconnected"];
    let [came, went] =
        kinds.map(|kind| events.iter().filter(|event| event["event"] == kind).count());
    let busy = observed.iter().filter(|(_, connected)| !connected.is_empty()).count();
    println!(
        "{} events: {came} came, {went} went; observed {} times, {busy} with peers",
        events.len(),
        observed.len()
    );
    assert!(came >= 20 && busy >= 10, "that was no churn");

    for (since, mut stream) in joined {
        stream.drain();
        let after = events.len() as u64 - since;
        assert_eq!(stream.lagged + stream.events.len() as u64, after, "since {since}");
        assert!(stream.events.len() as u64 >= after.min(KEPT), "since {since}: {}", stream.lagged);
        assert_eq!(
            stream.events[..],
            events[events.len() - stream.events.len()..],
            "since {since}"
        );
    }
}
