//! A wall clock that is wrong, set or asleep: waits and memories don't go by it.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::wrong_clock::WrongClock;
use crate::support::{Peer, eventually};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// Time within which a clock that was set is noticed, and what follows from that is done.
const NOTICED: Duration = Duration::from_secs(20);

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// Returns the times of a peer's past that lie in the future.
fn in_the_future(info: &Value) -> Vec<(String, f64)> {
    let keys = ["first_seen", "last_seen", "last_connection_attempt", "last_successful_connection"];
    let mut times: Vec<(String, Value)> =
        keys.iter().map(|key| ((*key).to_owned(), info[key].clone())).collect();
    times.push(("last_error.at".into(), info["last_error"]["at"].clone()));
    times.push(("last_disconnect.at".into(), info["last_disconnect"]["at"].clone()));
    let future = |time: &Value| time.as_f64().filter(|time| *time > now() + 1.0);
    times.into_iter().filter_map(|(key, time)| Some((key, future(&time)?))).collect()
}

/// Starts a peer again where one was, at the same port.
fn again_at(data_dir: &Path, address: &str) -> Peer {
    Peer::with(json!({ "data_dir": data_dir, "listen": [address] }))
}

/// Leaves a peer's identity in a directory; returns its id and an address that nobody listens at now.
fn absent(data_dir: &Path) -> (String, String) {
    let peer = Peer::with(json!({ "data_dir": data_dir, "listen": ["/ip4/127.0.0.1/tcp/0"] }));
    (peer.id().to_owned(), peer.bare("tcp"))
}

/// Waits until dials to a peer have failed.
fn waits(peer: &Peer, id: &str) -> Value {
    eventually(NOTICED, "a dial fails", || peer.info(id)["next_retry_at"].is_number());
    peer.info(id)
}

#[test]
fn a_clock_set_back_leaves_no_wait_and_no_past_in_the_future() {
    let (listed, known, here) =
        (TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap());
    let clock = WrongClock::ahead_by(DAY);
    let [(listed_id, listed_at), (known_id, known_at)] =
        [absent(listed.path()), absent(known.path())];
    let peer = clock.peer(json!({
        "data_dir": here.path(), "bootstrap": [format!("{listed_at}/p2p/{listed_id}")],
        "discovery": { "interval_s": 1 },
    }));
    peer.ok("add_peer", json!({ "peer_id": known_id, "multiaddrs": [known_at] }));
    for id in [&listed_id, &known_id] {
        assert!(waits(&peer, id)["next_retry_at"].as_f64().unwrap() > now() + 23.0 * 3600.0);
    }
    clock.set(0);
    let _back = [again_at(listed.path(), &listed_at), again_at(known.path(), &known_at)];
    for id in [&listed_id, &known_id] {
        eventually(NOTICED, "it is dialled by a clock that is right", || {
            !peer.info(id)["connections"].as_array().unwrap().is_empty()
        });
        assert_eq!(in_the_future(&peer.info(id)), [], "{id}");
    }
    let discovery = peer.ok("get_discovery", json!({}));
    assert!(discovery["last_pass"].as_f64().is_none_or(|at| at <= now() + 1.0), "{discovery:#}");
}

#[test]
fn what_a_run_with_a_wrong_clock_stored_is_put_right_by_the_next() {
    let (there, here) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (id, address) = absent(there.path());
    let config = json!({ "data_dir": here.path(), "discovery": { "interval_s": 1 } });
    let peer = WrongClock::ahead_by(400 * DAY).peer(config.clone());
    peer.ok("start_discovery", json!({}));
    peer.ok("add_peer", json!({ "peer_id": id, "multiaddrs": [address] }));
    assert!(!in_the_future(&waits(&peer, &id)).is_empty());
    peer.ok("stop", json!({}));
    drop(peer);

    let _back = again_at(there.path(), &address);
    let peer = Peer::with(config);
    assert_eq!(in_the_future(&peer.info(&id)), []);
    peer.ok("start_discovery", json!({}));
    eventually(NOTICED, "it is dialled", || {
        !peer.info(&id)["connections"].as_array().unwrap().is_empty()
    });
}

#[test]
fn a_machine_that_starts_with_its_clock_behind_forgets_nothing() {
    let here = TempDir::new().unwrap();
    let config = json!({ "data_dir": here.path() });
    let other = Peer::start();
    let peer = Peer::with(config.clone());
    peer.connect(&other.at("tcp"));
    peer.ok("disconnect_peer", json!({ "peer_id": other.id() }));
    let before = peer.info(other.id());
    peer.ok("stop", json!({}));
    drop(peer);

    // A machine without a battery has 1970, or its last shutdown, until a time server has answered.
    let clock = WrongClock::ahead_by(-20 * 365 * DAY);
    let peer = clock.peer(config);
    let behind = peer.info(other.id());
    assert!(behind["last_seen"].as_f64() < before["last_seen"].as_f64(), "{behind:#}");
    clock.set(0);
    let again = |key: &str| peer.info(other.id())[key] == before[key];
    for key in ["first_seen", "last_seen", "last_successful_connection", "last_disconnect"] {
        eventually(NOTICED, key, || again(key));
    }
}

#[test]
fn a_wake_up_forgets_the_waits_of_before() {
    let there = TempDir::new().unwrap();
    let (id, address) = absent(there.path());
    let clock = WrongClock::ahead_by(0);
    let listed = format!("{address}/p2p/{id}");
    let peer = clock.peer(json!({ "bootstrap": [listed], "discovery": { "interval_s": 3600 } }));
    // The fourth wait is of 30 s, the clock is looked at every 10 s.
    let attempts = || peer.info(&id)["connection_attempts"].as_u64().unwrap();
    eventually(Duration::from_secs(80), "four dials fail", || attempts() >= 4);
    let waiting = waits(&peer, &id)["next_retry_at"].as_f64().unwrap();
    // The dialer has looked since, found nobody to dial, and set its timer for the end of the wait.
    eventually(NOTICED, "a second has gone by", || waiting - now() < 29.0);
    let _back = again_at(there.path(), &address);
    // To a process that slept eight hours the wall clock jumps by so much.
    clock.set(8 * HOUR);
    eventually(Duration::from_secs(15), "it is dialled", || {
        !peer.info(&id)["connections"].as_array().unwrap().is_empty()
    });
    assert!(now() < waiting, "it was dialled only when its wait was over");
}
