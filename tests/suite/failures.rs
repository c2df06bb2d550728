//! A connect that fails says why: the code, and for each address the stage it came to.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::servers::{ClosedPort, SilentServer, closed_udp_port, http_server};
use crate::support::{Peer, attempts, failed, some_peer_id, succeeded};

/// Connects to this one address, which must fail so; returns the failure.
#[track_caller]
fn fails_at(peer: &Peer, timeout_ms: u64, address: &str, code: &str, stage: &str) -> Value {
    let params = json!({ "multiaddr": address });
    let failure = failed(peer.call_within(timeout_ms, "connect_peer", params), code);
    let tried = attempts(&failure);
    assert_eq!(tried.len(), 1, "{failure:#}");
    assert_eq!(tried[0]["stage"], stage, "{failure:#}");
    assert_eq!(tried[0]["address"], address.split("/p2p/").next().unwrap(), "{failure:#}");
    assert!(tried[0]["error"].is_string() && tried[0]["code"].is_string(), "{failure:#}");
    failure
}

#[test]
fn a_refused_connection_is_dial_failed_at_the_transport() {
    let (a, closed) = (Peer::start(), ClosedPort::new());
    let address = format!("{}/p2p/{}", closed.address(), some_peer_id());
    let failure = fails_at(&a, 10_000, &address, "dial_failed", "transport");
    assert!(failure["error"].as_str().unwrap().contains("refused"), "{failure:#}");
    assert_eq!(failure["retryable"], true);
    let event = a.wait_event(Duration::from_secs(5), |event| event["event"] == "dial_failed");
    assert_eq!((&event["code"], &event["source"]), (&json!("dial_failed"), &json!("user")));
}

#[test]
fn a_failed_connect_is_kept_in_the_record() {
    let (a, closed) = (Peer::start(), ClosedPort::new());
    let stranger = some_peer_id();
    a.ok("add_peer", json!({ "peer_id": stranger, "multiaddrs": [closed.address()] }));
    failed(a.call("connect_peer", json!({ "peer_id": stranger })), "dial_failed");
    let record = a.info(&stranger);
    assert_eq!(record["last_error"]["code"], "dial_failed", "{record:#}");
    assert_eq!(record["connection_attempts"], 1);
    assert_eq!(record["successful_connections"], 0);
    assert!(record["last_connection_attempt"].is_f64());
    assert_eq!(record["last_successful_connection"], Value::Null);
}

#[test]
fn a_silent_server_times_out_near_the_deadline_at_security() {
    let (a, silent) = (Peer::start(), SilentServer::new());
    let started = Instant::now();
    let failure = fails_at(&a, 1000, &silent.address(), "dial_timeout", "security");
    let took = started.elapsed();
    assert!((900..2500).contains(&took.as_millis()), "{took:?}");
    let told = attempts(&failure)[0]["duration_ms"].as_f64().unwrap();
    assert!((900.0..1500.0).contains(&told), "{failure:#}");
}

#[test]
fn an_http_server_fails_at_security_long_before_the_deadline() {
    let a = Peer::start();
    let started = Instant::now();
    fails_at(&a, 20_000, &http_server(), "dial_failed", "security");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[test]
fn a_closed_udp_port_is_a_timeout_that_lists_the_address() {
    let a = Peer::start();
    let started = Instant::now();
    fails_at(&a, 1000, &closed_udp_port(), "dial_timeout", "transport");
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[test]
fn another_peer_at_the_address_is_wrong_peer_id() {
    for part in ["tcp", "quic-v1"] {
        let (a, b) = (Peer::start(), Peer::start());
        let address = format!("{}/p2p/{}", b.bare(part), some_peer_id());
        let failure = fails_at(&a, 10_000, &address, "wrong_peer_id", "identity");
        assert!(failure["error"].as_str().unwrap().contains(b.id()), "{failure:#}");
        assert_eq!(attempts(&failure)[0]["code"], "wrong_peer_id");
        // No call asked to connect to that one.
        assert_eq!(a.ok("get_peer_stats", json!({}))["connected_peers"], 0);
    }
}

#[test]
fn one_address_of_the_right_peer_among_wrong_ones_is_enough() {
    let (a, b, c) = (Peer::start(), Peer::start(), Peer::start());
    let closed = ClosedPort::new();
    let known = [c.bare("tcp"), c.bare("quic-v1"), closed.address(), b.bare("tcp")];
    a.ok("add_peer", json!({ "peer_id": b.id(), "multiaddrs": known }));
    let params = json!({ "peer_id": b.id(), "multiaddr": c.bare("tcp") });
    let connected = a.ok("connect_peer", params);
    assert_eq!(
        (&connected["peer_id"], &connected["address"]),
        (&json!(b.id()), &json!(b.bare("tcp")))
    );
    let tried = connected["attempts"].as_array().unwrap();
    assert_eq!(tried[0]["address"], c.bare("tcp"));
    assert_eq!(tried[0]["code"], "wrong_peer_id", "{connected:#}");
    assert_eq!(tried.len(), known.len(), "{connected:#}");
}

#[test]
fn an_address_of_no_transport_is_unsupported() {
    let a = Peer::start();
    for address in
        ["/ip4/127.0.0.1/tcp/1/ws", "/ip4/127.0.0.1/udp/1", "/ip4/127.0.0.1/udp/1/webrtc-direct"]
    {
        fails_at(&a, 10_000, address, "unsupported", "transport");
    }
}

#[test]
fn a_name_that_does_not_resolve_fails_at_resolve() {
    let a = Peer::start();
    let params = json!({ "multiaddr": "/dns4/nonexistent.invalid/tcp/1" });
    let failure = a.call_within(5000, "connect_peer", params);
    // A machine without a name server has to wait for one.
    assert!(
        ["dial_failed", "dial_timeout"].contains(&failure["code"].as_str().unwrap()),
        "{failure:#}"
    );
    assert_eq!(attempts(&failure)[0]["stage"], "resolve", "{failure:#}");
}

#[test]
fn localhost_by_name_connects() {
    let (a, b) = (Peer::start(), Peer::start());
    let address = b.at("tcp").replace("/ip4/127.0.0.1/", "/dns4/localhost/");
    let connected = a.connect(&address);
    assert_eq!(connected["peer_id"], b.id());
}

#[test]
fn a_peer_that_blocks_us_has_not_accepted() {
    let a = Peer::start();
    for listen in ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"] {
        let b = Peer::raw(json!({ "blocks": [a.id()], "identify": "real", "listen": listen }));
        let address = b.status["listen_addrs"][0].as_str().unwrap();
        fails_at(&a, 10_000, address, "dial_failed", "accept");
        assert_eq!(a.info(b.id())["connected"], false);
        assert_eq!(a.info(b.id())["last_disconnect"]["reason"], "remote_closed");
    }
}

#[test]
fn a_peer_that_closes_within_the_grace_period_has_not_accepted() {
    let a = Peer::start();
    let b = Peer::raw(json!({ "identify": "none", "close_after_ms": 100 }));
    fails_at(&a, 10_000, b.status["listen_addrs"][0].as_str().unwrap(), "dial_failed", "accept");
}

#[test]
fn a_peer_without_identify_is_accepted_after_the_grace_period() {
    let a = Peer::start();
    for listen in ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"] {
        let b = Peer::raw(json!({ "identify": "none", "listen": listen }));
        let connected = a.connect(b.status["listen_addrs"][0].as_str().unwrap());
        let took = connected["duration_ms"].as_f64().unwrap();
        assert!((490.0..3000.0).contains(&took), "{connected:#}");
        assert_eq!(a.info(b.id())["agent_version"], Value::Null);
        failed(a.call("ping_peer", json!({ "peer_id": b.id() })), "protocol");
    }
}

#[test]
fn a_peer_whose_identify_hangs_is_accepted_when_patience_or_the_deadline_ends() {
    let a = Peer::start();
    let b = Peer::raw(json!({ "identify": "silent" }));
    let params = json!({ "multiaddr": b.status["listen_addrs"][0] });
    let connected = succeeded(a.call_within(1500, "connect_peer", params));
    let took = connected["duration_ms"].as_f64().unwrap();
    assert!((490.0..3000.0).contains(&took), "{connected:#}");
}

#[test]
fn a_peer_that_shares_no_security_or_no_muxer_fails_at_that_stage() {
    let a = Peer::start();
    let b = Peer::raw(json!({ "muxer": false }));
    let params = json!({ "multiaddr": b.status["listen_addrs"][0] });
    let failure = failed(a.call("connect_peer", params), "dial_failed");
    let stage = &attempts(&failure)[0]["stage"];
    // peerkit offers one muxer and doesn't wait for the answer, so the refusal may come late.
    assert!(stage == "muxer" || stage == "accept", "{failure:#}");
    let b = Peer::raw(json!({ "security": false }));
    fails_at(&a, 10_000, &b.at("tcp"), "dial_failed", "security");
    for security in ["noise", "tls"] {
        let b = Peer::raw(json!({ "security": security, "identify": "real" }));
        a.connect(b.status["listen_addrs"][0].as_str().unwrap());
    }
}

#[test]
fn a_full_node_says_limit_reached_and_stays_connected_to_the_others() {
    let a = Peer::with(json!({ "limits": { "max_connections": 1 } }));
    let (b, c) = (Peer::start(), Peer::start());
    a.connect(&b.at("tcp"));
    let params = json!({ "multiaddr": c.at("tcp") });
    let failure = failed(a.call("connect_peer", params.clone()), "limit_reached");
    assert_eq!(failure["retryable"], true);
    // To the other side, the full node is one that doesn't accept.
    failed(c.call("connect_peer", json!({ "multiaddr": a.at("tcp") })), "dial_failed");
    assert_eq!(a.info(b.id())["connected"], true);
    a.ok("disconnect_peer", json!({ "peer_id": b.id() }));
    a.ok("connect_peer", params);
}

#[test]
fn of_twenty_addresses_sixteen_are_tried_and_the_rest_told_as_skipped() {
    let a = Peer::start();
    let stranger = some_peer_id();
    let closed: Vec<ClosedPort> = (0..20).map(|_| ClosedPort::new()).collect();
    let addresses: Vec<String> = closed.iter().map(ClosedPort::address).collect();
    for some in addresses.chunks(10) {
        a.ok("add_peer", json!({ "peer_id": stranger, "multiaddrs": some }));
    }
    let failure = failed(a.call("connect_peer", json!({ "peer_id": stranger })), "dial_failed");
    let tried = attempts(&failure);
    let at = |stage: &str| tried.iter().filter(|attempt| attempt["stage"] == stage).count();
    assert_eq!((tried.len(), at("transport"), at("skipped")), (20, 16, 4), "{failure:#}");
    let skipped = tried.iter().filter(|attempt| attempt["stage"] == "skipped");
    assert!(skipped.clone().all(|attempt| attempt["code"].is_null()), "{failure:#}");
}

#[test]
fn more_than_sixteen_addresses_in_one_call_are_refused() {
    let a = Peer::start();
    let addresses: Vec<String> = (1..18).map(|port| format!("/ip4/127.0.0.1/tcp/{port}")).collect();
    let params = json!({ "peer_id": some_peer_id(), "multiaddrs": addresses });
    failed(a.call("add_peer", params), "invalid_argument");
    assert_eq!(a.ok("get_peers", json!({}))["total"], 0);
}

#[test]
fn profile_lan_refuses_a_public_address_before_any_packet() {
    let lan = Peer::with(json!({ "profile": "lan" }));
    for address in
        ["/ip4/8.8.8.8/tcp/53", "/ip4/8.8.8.8/udp/53/quic-v1", "/ip6/2001:4860:4860::8888/tcp/53"]
    {
        let started = Instant::now();
        fails_at(&lan, 10_000, address, "blocked", "transport");
        assert!(started.elapsed() < Duration::from_secs(2), "{address}: {:?}", started.elapsed());
    }
    let b = Peer::start();
    lan.connect(&b.at("tcp"));
}

#[test]
fn a_timeout_of_a_millisecond_is_kept() {
    let (a, b, silent) = (Peer::start(), Peer::start(), SilentServer::new());
    let started = Instant::now();
    failed(
        a.call_within(1, "connect_peer", json!({ "multiaddr": silent.address() })),
        "dial_timeout",
    );
    a.connect(&b.at("tcp"));
    b.freeze();
    failed(a.call_within(1, "ping_peer", json!({ "peer_id": b.id() })), "timeout");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn a_timeout_of_zero_waits_for_nothing() {
    let (a, b, silent) = (Peer::start(), Peer::start(), SilentServer::new());
    let at_once = |method, params| a.call("at_once", json!({ "method": method, "params": params }));
    let started = Instant::now();
    failed(at_once("connect_peer", json!({ "multiaddr": silent.address() })), "dial_timeout");
    failed(at_once("find_peer", json!({ "peer_id": some_peer_id() })), "peer_not_found");
    a.connect(&b.at("tcp"));
    succeeded(at_once("connect_peer", json!({ "peer_id": b.id() })));
    succeeded(at_once("discover_peers", json!({})));
    b.freeze();
    failed(at_once("ping_peer", json!({ "peer_id": b.id() })), "timeout");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn a_connect_is_cancelled_by_its_token() {
    let (a, silent) = (Peer::start(), SilentServer::new());
    let params = json!({ "multiaddr": silent.address(), "cancel_token": 7 });
    let call = a.begin(60_000, "connect_peer", params);
    assert!(call.still_waits_after(Duration::from_millis(300)));
    assert_eq!(a.ok("cancel", json!({ "token": 8 }))["reply"]["cancelled"], 0);
    assert_eq!(a.ok("cancel", json!({ "token": 7 }))["reply"]["cancelled"], 1);
    failed(call.reply(), "cancelled");
    assert_eq!(a.ok("cancel", json!({ "token": 7 }))["reply"]["cancelled"], 0);
}

#[test]
fn who_joins_a_dial_is_told_of_its_attempts_at_its_own_deadline() {
    let (a, silent) = (Peer::start(), SilentServer::new());
    let address = format!("{}/p2p/{}", silent.address(), some_peer_id());
    let first = a.begin(60_000, "connect_peer", json!({ "multiaddr": address }));
    assert!(first.still_waits_after(Duration::from_millis(300)));
    let second = a.call_within(1_000, "connect_peer", json!({ "multiaddr": address }));
    let failure = failed(second, "dial_timeout");
    assert_eq!(attempts(&failure).len(), 1, "{failure:#}");
    assert_eq!(attempts(&failure)[0]["stage"], "security", "{failure:#}");
}

#[test]
fn one_of_two_that_wait_for_a_dial_can_give_up() {
    let (a, silent) = (Peer::start(), SilentServer::new());
    let address = format!("{}/p2p/{}", silent.address(), some_peer_id());
    let first = a.begin(60_000, "connect_peer", json!({ "multiaddr": address, "cancel_token": 1 }));
    assert!(first.still_waits_after(Duration::from_millis(300)));
    let second = a.begin(3_000, "connect_peer", json!({ "multiaddr": address }));
    assert!(second.still_waits_after(Duration::from_millis(300)));
    assert_eq!(a.ok("cancel", json!({ "token": 1 }))["reply"]["cancelled"], 1);
    failed(first.reply(), "cancelled");
    assert!(second.still_waits_after(Duration::from_millis(300)), "the other still waits");
    failed(second.reply(), "dial_timeout");
}

#[test]
fn a_caller_with_little_time_does_not_cut_short_one_with_more() {
    let (a, silent) = (Peer::start(), SilentServer::new());
    let address = format!("{}/p2p/{}", silent.address(), some_peer_id());
    let hasty = a.begin(600, "connect_peer", json!({ "multiaddr": address }));
    assert!(hasty.still_waits_after(Duration::from_millis(200)));
    let started = Instant::now();
    let patient = a.begin(2_000, "connect_peer", json!({ "multiaddr": address }));
    failed(hasty.reply(), "dial_timeout");
    failed(patient.reply(), "dial_timeout");
    assert!(started.elapsed() >= Duration::from_millis(1900), "{:?}", started.elapsed());
}

#[test]
fn a_ping_is_cancelled_by_its_token() {
    let (a, b) = (Peer::start(), Peer::start());
    a.connect(&b.at("tcp"));
    b.freeze();
    let call = a.begin(60_000, "ping_peer", json!({ "peer_id": b.id(), "cancel_token": 9 }));
    assert!(call.still_waits_after(Duration::from_millis(300)));
    a.ok("cancel", json!({ "token": 9 }));
    failed(call.reply(), "cancelled");
}

#[test]
fn a_disconnect_does_not_wait_for_a_peer_that_hangs() {
    for part in ["tcp", "quic-v1"] {
        let (a, b) = (Peer::start(), Peer::start());
        a.connect(&b.at(part));
        b.freeze();
        let started = Instant::now();
        a.ok("disconnect_peer", json!({ "peer_id": b.id(), "cancel_token": 3 }));
        assert!(started.elapsed() < Duration::from_secs(5), "{part}: {:?}", started.elapsed());
        assert_eq!(a.info(b.id())["connected"], false);
    }
}

#[test]
fn a_disconnect_ends_a_connect_that_is_under_way() {
    let (a, silent) = (Peer::start(), SilentServer::new());
    let stranger = some_peer_id();
    a.ok("add_peer", json!({ "peer_id": stranger, "multiaddrs": [silent.address()] }));
    let call = a.begin(60_000, "connect_peer", json!({ "peer_id": stranger }));
    assert!(call.still_waits_after(Duration::from_millis(300)));
    let parted = a.ok("disconnect_peer", json!({ "peer_id": stranger }));
    assert_eq!(parted["was_connected"], false);
    failed(call.reply(), "cancelled");
}

#[test]
fn calls_in_flight_when_the_manager_stops_answer_closed() {
    let (a, b, silent) = (Peer::start(), Peer::start(), SilentServer::new());
    a.connect(&b.at("tcp"));
    b.freeze();
    let calls = [
        a.begin(60_000, "connect_peer", json!({ "multiaddr": silent.address() })),
        a.begin(60_000, "ping_peer", json!({ "peer_id": b.id() })),
    ];
    assert!(calls[0].still_waits_after(Duration::from_millis(300)));
    let started = Instant::now();
    a.ok("stop", json!({}));
    for call in calls {
        failed(call.reply(), "closed");
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    failed(a.call("status", json!({})), "invalid_handle");
    failed(a.call("connect_peer", json!({ "peer_id": b.id() })), "invalid_handle");
}

#[test]
fn a_port_that_is_taken_is_listen_failed() {
    let a = Peer::start();
    for part in ["tcp", "quic-v1"] {
        let Err(failure) = Peer::try_with(json!({ "listen": [a.bare(part)] })) else {
            panic!("two peers at {}", a.bare(part));
        };
        failed(failure.clone(), "listen_failed");
        assert!(failure["error"].as_str().unwrap().contains(&a.bare(part)), "{failure:#}");
    }
}
