//! A clock that is wrong is told as this machine's own fault, and what needs no clock goes on.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::go_peer::GoPeer;
use crate::support::wrong_clock::WrongClock;
use crate::support::{Peer, attempts, eventually, failed};

const MINUTE: i64 = 60;
/// Beyond the hour before its start from which on a go-libp2p peer's certificate is valid.
const BEHIND: i64 = -65 * MINUTE;
const SOON: Duration = Duration::from_secs(10);

/// Returns what the node warns of about its clock.
fn warning(peer: &Peer) -> Option<String> {
    let warnings = peer.ok("status", json!({}))["warnings"].clone();
    let warnings: Vec<String> = serde_json::from_value(warnings).unwrap();
    warnings.into_iter().find(|warning| warning.contains("clock"))
}

/// Makes sure that a text says whose clock is meant, by which times, and blames nobody else.
#[track_caller]
fn tells_of_our_clock(attempt: &Value) {
    let (error, hint) = (attempt["error"].as_str().unwrap(), attempt["hint"].as_str().unwrap());
    assert!(error.contains("this machine's clock") && error.contains(" UTC"), "{attempt:#}");
    assert!(hint.contains("this machine's clock"), "{attempt:#}");
    for blamed in ["remote", "the two sides", "other than libp2p", "private network"] {
        assert!(!error.contains(blamed) && !hint.contains(blamed), "{attempt:#}");
    }
}

#[test]
fn with_a_clock_behind_tcp_goes_on_by_noise_and_quic_says_why_not() {
    let dir = TempDir::new().unwrap();
    let mut go = GoPeer::start(&[]);
    let clock = WrongClock::ahead_by(BEHIND);
    let peer = clock.peer(json!({ "data_dir": dir.path() }));
    assert_eq!(warning(&peer), None, "nothing speaks against the clock yet");

    peer.connect(&go.at("tcp"));
    let told = go.ask(&json!({ "cmd": "peers" }));
    assert_eq!(told["peers"][0]["conns"][0]["security"], "/noise", "{told:#}");
    let warned = warning(&peer).expect("a warning");
    for told in ["this machine's clock is wrong", "not valid before", "in the data directory"] {
        assert!(warned.contains(told), "{told}: {warned}");
    }
    peer.ok("disconnect_peer", json!({ "peer_id": go.id() }));

    let other = GoPeer::start(&[]);
    let failure = peer.call("connect_peer", json!({ "multiaddr": other.at("quic-v1") }));
    let failure = failed(failure, "dial_failed");
    tells_of_our_clock(&failure);
    tells_of_our_clock(&attempts(&failure)[0]);

    // A remote that dials comes by Noise too, for nothing else is offered.
    let connect = json!({ "cmd": "connect", "addr": peer.at("tcp") });
    let answer = go.ask(&connect);
    assert_eq!((&answer["ok"], &answer["conns"][0]["security"]), (&json!(true), &json!("/noise")));

    clock.set(0);
    assert_eq!(warning(&peer), None, "the clock is right");
    peer.connect(&other.at("quic-v1"));
    let mut third = GoPeer::start(&[]);
    peer.connect(&third.at("tcp"));
    let told = third.ask(&json!({ "cmd": "peers" }));
    assert_eq!(told["peers"][0]["conns"][0]["security"], "/tls/1.0.0", "{told:#}");
}

#[test]
fn addresses_that_a_name_leads_to_go_on_by_noise_and_tell_of_the_clock_too() {
    let (mut go, other) = (GoPeer::start(&[]), GoPeer::start(&[]));
    let peer = WrongClock::ahead_by(BEHIND).peer(json!({}));
    // By both IP versions, so that addresses race.
    peer.connect(&go.at("tcp").replace("/ip4/127.0.0.1/", "/dns/localhost/"));
    let told = go.ask(&json!({ "cmd": "peers" }));
    assert_eq!(told["peers"][0]["conns"][0]["security"], "/noise", "{told:#}");
    assert!(warning(&peer).is_some_and(|warned| warned.contains("not valid before")));

    let named = other.at("quic-v1").replace("/ip4/127.0.0.1/", "/dns4/localhost/");
    let failure = peer.call("connect_peer", json!({ "multiaddr": named }));
    let failure = failed(failure, "dial_failed");
    tells_of_our_clock(&failure);
    tells_of_our_clock(&attempts(&failure)[0]);
    assert!(attempts(&failure)[0]["resolved_from"].is_string(), "{failure:#}");
}

#[test]
fn a_peer_that_has_tls_alone_is_not_blamed_for_our_clock() {
    let go = GoPeer::start(&["-security", "tls"]);
    let peer = WrongClock::ahead_by(3 * BEHIND).peer(json!({}));
    let failure = peer.call("connect_peer", json!({ "multiaddr": go.at("tcp") }));
    let failure = failed(failure, "dial_failed");
    tells_of_our_clock(&failure);
    tells_of_our_clock(&attempts(&failure)[0]);
    assert_eq!(attempts(&failure)[0]["stage"], "security");
    assert!(warning(&peer).is_some());
}

#[test]
fn a_peer_whose_certificate_ended_by_a_clock_far_ahead_is_reached_by_noise() {
    // go-libp2p's certificates are valid for a hundred years.
    let mut go = GoPeer::start(&[]);
    let clock = WrongClock::ahead_by(120 * 365 * 24 * 60 * MINUTE);
    let peer = clock.peer(json!({}));
    peer.connect(&go.at("tcp"));
    let told = go.ask(&json!({ "cmd": "peers" }));
    assert_eq!(told["peers"][0]["conns"][0]["security"], "/noise", "{told:#}");
    assert!(warning(&peer).is_some_and(|warned| warned.contains("not valid after")));
}

#[test]
fn whoever_dials_us_shows_that_our_clock_is_wrong_and_comes_by_noise_next_time() {
    for transport in ["quic-v1", "tcp"] {
        let mut go = GoPeer::start(&[]);
        let peer = WrongClock::ahead_by(2 * BEHIND).peer(json!({}));
        let refused = go.ask(&json!({ "cmd": "connect", "addr": peer.at(transport) }));
        assert_eq!(refused["ok"], false, "{refused}");
        eventually(SOON, "it is noticed", || warning(&peer).is_some());
        let again = go.ask(&json!({ "cmd": "connect", "addr": peer.at("tcp") }));
        assert_eq!(
            (&again["ok"], &again["conns"][0]["security"]),
            (&json!(true), &json!("/noise"))
        );
    }
}
