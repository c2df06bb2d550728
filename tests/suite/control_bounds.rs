//! Bounds of the owner: whatever a client of the control socket does or leaves undone, the owner serves
//! the others, ends when it's told to, and holds nothing for a client that is gone.

use std::fs;
use std::io::{BufRead, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use peerkit::ErrorKind;
use peerkit::control::Client;
use peerkit::event::{EventBatch, Kind};
use peerkit::params::EventsOptions;
use serde_json::json;

use crate::support::control::{Bare, Owner, SOON, call, keys, ok, sessions};
use crate::support::servers::SilentServer;
use crate::support::{Peer, eventually, failed, loopback, some_peer_id, succeeded};

#[test]
fn an_owner_that_hangs_is_a_timeout() {
    let owner = Owner::start();
    let client = owner.attach();
    let events = client.events(&EventsOptions::new()).unwrap();
    owner.peer.freeze();
    let attached = Client::attach(owner.dir.path(), Duration::from_millis(200));
    assert_eq!(attached.unwrap_err().kind(), ErrorKind::Timeout);
    std::thread::scope(|scope| {
        let called = scope.spawn(|| call(&client, "status", json!({}), Duration::from_millis(1)));
        // The owner has to say at least every second that it's there.
        let silent = events.next(Duration::from_secs(60)).unwrap_err();
        assert_eq!(silent.kind(), ErrorKind::Timeout);
        assert_eq!(called.join().unwrap().unwrap_err().kind(), ErrorKind::Timeout);
    });
    owner.peer.thaw();
    ok(&client, "status", json!({}));
    // Takes up to a second: it says that often that it's there.
    eventually(SOON, "it is heard again", || events.next(SOON / 10).is_ok());
}

#[test]
fn many_threads_share_few_connections() {
    let owner = Owner::start();
    let client = owner.attach();
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| (0..20).for_each(|_| drop(ok(&client, "status", json!({})))));
        }
    });
    eventually(SOON, "few are kept", || sessions(&owner) <= 4);
    drop(client);
    eventually(SOON, "none is left", || sessions(&owner) == 0);
}

#[test]
fn a_request_that_is_wrong_is_answered_and_one_that_is_too_long_is_the_last() {
    let owner = Owner::start();
    let mut bare = Bare::greeted(&owner.socket());
    for wrong in ["", "[]", "{}", r#"{"call":"status","params":7}"#, "\u{feff}{}"] {
        bare.say(wrong);
        failed(bare.hear(), "invalid_argument");
    }
    // The server doesn't wait for the end of a line that is too long.
    let endless = " ".repeat((1 << 20) + 4097);
    bare.0.get_mut().write_all(endless.as_bytes()).unwrap();
    failed(bare.hear(), "invalid_argument");
    assert!(bare.is_over());

    let client = owner.attach();
    let search = |length| {
        let query = json!({ "query": "x".repeat(length) });
        call(&client, "search_peers", query, SOON).unwrap()
    };
    assert_eq!(search(1 << 20)["success"], true);
    let refused = search((1 << 20) + 4096);
    assert_eq!((&refused["code"], &refused["peers"]), (&json!("invalid_argument"), &json!([])));
    ok(&client, "status", json!({}));
}

#[test]
fn the_65th_connection_is_told_that_the_owner_is_busy() {
    let owner = Owner::start();
    let mut served: Vec<Bare> = (0..64).map(|_| Bare::greeted(&owner.socket())).collect();
    let mut late = Bare::connect(&owner.socket());
    assert_eq!(late.hear()["code"], "busy");
    assert!(late.is_over());
    assert_eq!(Client::attach(owner.dir.path(), SOON).unwrap_err().kind(), ErrorKind::Busy);
    served.pop();
    eventually(SOON, "there is room again", || Client::attach(owner.dir.path(), SOON).is_ok());
    for bare in &mut served {
        bare.say(r#"{"call":"status"}"#);
        succeeded(bare.hear());
    }
}

#[test]
fn one_client_has_few_subscriptions() {
    let owner = Owner::start();
    let client = owner.attach();
    let open = || client.clone().events(&EventsOptions::new());
    let mut events: Vec<_> = (0..16).map(|_| open().unwrap()).collect();
    assert_eq!(open().unwrap_err().kind(), ErrorKind::Busy);
    ok(&client, "status", json!({}));
    drop(owner.attach().events(&EventsOptions::new()).unwrap());
    events.pop();
    drop(open().unwrap());
}

/// Returns a call that lasts a minute if nobody ends it.
fn long_call(silent: &SilentServer, token: Option<u64>) -> String {
    let params = json!({ "multiaddr": silent.address(), "cancel_token": token });
    json!({ "call": "connect_peer", "params": params, "timeout_ms": 60_000 }).to_string()
}

#[test]
fn a_client_that_goes_away_takes_its_call_along() {
    let (owner, silent) = (Owner::start(), SilentServer::new());
    let mut bare = Bare::greeted(&owner.socket());
    bare.say(&long_call(&silent, None));
    let _dial = silent.accept();
    assert_eq!(sessions(&owner), 1);
    drop(bare);
    eventually(SOON, "its thread has ended", || sessions(&owner) == 0);
}

#[test]
fn a_client_that_only_has_said_everything_is_answered() {
    let (owner, other) = (Owner::start(), Peer::start());
    let mut bare = Bare::greeted(&owner.socket());
    bare.say(
        &json!({ "call": "connect_peer", "params": { "multiaddr": other.at("tcp") } }).to_string(),
    );
    bare.0.get_ref().shutdown(Shutdown::Write).unwrap();
    succeeded(bare.hear());
    assert!(bare.is_over());
}

#[test]
fn a_token_of_the_clients_own_is_kept() {
    let owner = Owner::start();
    let silent = [SilentServer::new(), SilentServer::new()];
    let [first, mut second] = [0, 1].map(|at| {
        let mut bare = Bare::greeted(&owner.socket());
        bare.say(&long_call(&silent[at], Some(5)));
        bare
    });
    let _dials = silent.each_ref().map(SilentServer::accept);
    drop(first);
    // A token that two calls share isn't one connection's to end.
    second.0.get_ref().set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    assert!(second.0.read_line(&mut String::new()).is_err(), "it still waits");
    second.0.get_ref().set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(owner.attach().cancel(5).unwrap().cancelled, 2, "the first call ends by itself");
    failed(second.hear(), "cancelled");
}

#[test]
fn a_token_that_is_one_calls_alone_ends_it_with_its_client() {
    let (owner, silent) = (Owner::start(), SilentServer::new());
    let mut bare = Bare::greeted(&owner.socket());
    let mut call: serde_json::Value = serde_json::from_str(&long_call(&silent, Some(6))).unwrap();
    call["cancel_on_hangup"] = json!(true);
    bare.say(&call.to_string());
    let _dial = silent.accept();
    drop(bare);
    eventually(SOON, "its thread has ended", || sessions(&owner) == 0);
}

#[test]
fn an_event_reader_that_sleeps_loses_the_oldest_and_holds_up_nobody() {
    let owner = Owner::start();
    let client = owner.attach();
    let sleeper = client.events(&EventsOptions::new().kinds([Kind::PeerDiscovered])).unwrap();
    let host = "x".repeat(60);
    let addresses: Vec<String> = (1..=16)
        .map(|port| format!("/dns4/{host}.{host}.{host}.{host}.example/tcp/{port}"))
        .collect();
    // More than the subscription's 8 MiB and what fits into the socket.
    const PEERS: usize = 3000;
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                for _ in 0..PEERS / 10 {
                    let peer = json!({ "peer_id": some_peer_id(), "multiaddrs": addresses });
                    ok(&client, "add_peer", peer);
                }
            });
        }
    });
    let (mut told, mut lost) = (0, 0);
    while told + lost < PEERS as u64 {
        let EventBatch { events, lagged, .. } = sleeper.next(SOON).unwrap();
        assert!(!events.is_empty(), "{told} told, {lost} lost");
        told += events.len() as u64;
        lost += lagged;
    }
    assert!(told > 0 && lost > 0, "{told} told, {lost} lost");
    assert_eq!(told + lost, PEERS as u64);
}

#[test]
fn a_stop_waits_for_no_client() {
    let (owner, silent) = (Owner::start(), SilentServer::new());
    let client = owner.attach();
    let mut waiting = Bare::greeted(&owner.socket());
    waiting.say(&long_call(&silent, None));
    let _dial = silent.accept();
    // It asks for more than fits into the socket, and reads nothing.
    let mut deaf = Bare::greeted(&owner.socket());
    let status = r#"{"call":"status"}"#;
    deaf.0.get_ref().set_nonblocking(true).unwrap();
    let requests = format!("{status}\n").repeat(1000);
    let full = |deaf: &mut Bare| deaf.0.get_mut().write_all(requests.as_bytes());
    eventually(SOON, "the owner is stuck in a reply", || full(&mut deaf).is_err());
    let _half = UnixStream::connect(owner.socket()).unwrap();
    ok(&client, "status", json!({}));

    let began = Instant::now();
    owner.peer.ok("stop", json!({}));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    failed(waiting.hear(), "closed");
    assert!(waiting.is_over());
    eventually(SOON, "every thread has ended", || sessions(&owner) == 0);
}

#[cfg(feature = "fault-injection")]
#[test]
fn a_node_that_dies_of_a_bug_takes_its_socket_along() {
    let (owner, silent) = (Owner::start(), SilentServer::new());
    let mut waiting = Bare::greeted(&owner.socket());
    waiting.say(&long_call(&silent, None));
    let _dial = silent.accept();
    owner.peer.ok("inject_panic", json!({}));
    failed(waiting.hear(), "dead");
    assert!(waiting.is_over());
    eventually(SOON, "nobody is left", || sessions(&owner) == 0);
    let attached = Client::attach(owner.dir.path(), SOON);
    assert_eq!(attached.unwrap_err().kind(), ErrorKind::NotRunning);
    assert!(!owner.socket().exists());
}

#[test]
fn restarts_with_clients_leak_no_thread_and_no_descriptor() {
    let owner = Owner::start();
    let count =
        |what: &str| fs::read_dir(format!("/proc/{}/{what}", owner.peer.pid())).unwrap().count();
    let restart = || {
        let client = owner.attach();
        let events = client.events(&EventsOptions::new()).unwrap();
        ok(&client, "status", json!({}));
        owner.peer.ok("stop", json!({}));
        succeeded(owner.peer.call("start", json!({ "config": loopback(keys(owner.dir.path())) })));
        drop(events);
    };
    restart();
    let (threads, descriptors) = (count("task"), count("fd"));
    (0..20).for_each(|_| restart());
    let settled = || count("task") <= threads && count("fd") <= descriptors;
    eventually(SOON, "as many as before", settled);
}
