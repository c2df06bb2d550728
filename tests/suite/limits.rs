//! Checks the limits on connections: a connection beyond a limit is turned away, those within it are
//! served as ever, and a place that becomes free is the next one's. `trimming` has the connections that
//! are closed again where there are too many.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::servers::SilentServer;
use crate::support::visitor::{Visitor, is_shut, knock};
use crate::support::{Peer, eventually, failed, some_peer_id};

const SOON: Duration = Duration::from_secs(10);

fn limited(limits: Value) -> Peer {
    Peer::with(json!({ "limits": limits }))
}

/// Checks that a peer that was turned away has left no trace.
#[track_caller]
fn knows_nothing_of(node: &Peer, id: &str) {
    failed(node.call("get_peer", json!({ "peer_id": id })), "peer_not_found");
    let events = node.events_so_far();
    assert!(events.iter().all(|event| event["peer_id"] != id), "{events:#?}");
}

#[track_caller]
fn is_served(node: &Peer, peer: &str) {
    node.ok("ping_peer", json!({ "peer_id": peer, "count": 1 }));
}

fn shut(sockets: &[TcpStream]) -> usize {
    sockets.iter().filter(|socket| is_shut(socket)).count()
}

/// Reads how many inbound connections the node let begin, and how many it turned away before.
fn begun_and_denied(node: &Peer) -> (f64, f64) {
    let text = node.ok("get_metrics", json!({}))["metrics"].as_str().unwrap().to_owned();
    let sum = |name: &str, label: &str| {
        let series = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
        series.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    };
    let denied = sum("libp2p_swarm_connections_incoming_error_total", "Denied");
    (sum("libp2p_swarm_connections_incoming_total", ""), denied)
}

#[test]
fn sockets_that_stay_silent_make_room_for_others_and_have_ten_seconds_at_most() {
    const MAX_PENDING: usize = 4;
    let node = limited(json!({ "max_pending": MAX_PENDING }));
    let (inside, outside, visitor) = (Peer::start(), Peer::start(), Visitor::new());
    inside.connect(&node.at("tcp"));
    let mut silent: Vec<_> = (0..MAX_PENDING).map(|_| knock(&node)).collect();
    silent.push(knock(&node));
    eventually(SOON, "the longest in its handshake makes room", || is_shut(&silent[0]));
    assert_eq!(shut(&silent), 1, "and nobody else does");
    visitor.open(&node).unwrap();
    eventually(SOON, "the next makes room", || is_shut(&silent[1]));
    outside.connect(&node.at("quic-v1"));
    is_served(&node, inside.id());
    node.connect(&outside.at("tcp"));

    // Those that nobody needed the place of have ten seconds, or less where places are few.
    let left = Duration::from_secs(15);
    eventually(left, "nobody is waited for longer", || shut(&silent) == silent.len());
    let again: Vec<_> = (0..MAX_PENDING).map(|_| knock(&node)).collect();
    is_served(&node, inside.id());
    assert_eq!(shut(&again), 0, "there are as many places as before");
}

#[test]
fn calls_that_dial_at_once_are_limited_by_max_pending_and_keep_nobody_out() {
    let node = limited(json!({ "max_pending": 2 }));
    let (far, visitor) = (Peer::start(), Visitor::new());
    let silent = [SilentServer::new(), SilentServer::new()];
    let calls = [0, 1].map(|nth| {
        let address = format!("{}/p2p/{}", silent[nth].address(), some_peer_id());
        let params = json!({ "multiaddr": address, "cancel_token": nth + 1 });
        node.begin(60_000, "connect_peer", params)
    });
    let _dials = silent.each_ref().map(SilentServer::accept);
    let third = json!({ "multiaddr": far.at("tcp") });
    let refused = failed(node.call("connect_peer", third.clone()), "limit_reached");
    assert!(refused["error"].as_str().unwrap().contains("limits.max_pending"), "{refused:#}");
    assert_eq!(refused["retryable"], true, "{refused:#}");
    visitor.open(&node).unwrap();

    assert_eq!(node.ok("cancel", json!({ "token": 1 }))["reply"]["cancelled"], 1);
    let has_room = || node.call("connect_peer", third.clone())["success"] == true;
    eventually(SOON, "there is room", has_room);
    let [ended, goes_on] = calls;
    failed(ended.reply(), "cancelled");
    assert!(goes_on.still_waits_after(Duration::ZERO));
}

#[test]
fn a_cancelled_call_gives_its_place_back_also_where_it_dialled_an_address_alone() {
    let node = limited(json!({ "max_pending": 1 }));
    let (far, silent) = (Peer::start(), SilentServer::new());
    let params = json!({ "multiaddr": silent.address(), "cancel_token": 1 });
    let call = node.begin(60_000, "connect_peer", params);
    let _dial = silent.accept();
    assert_eq!(node.ok("cancel", json!({ "token": 1 }))["reply"]["cancelled"], 1);
    failed(call.reply(), "cancelled");
    let connect = json!({ "multiaddr": far.at("tcp") });
    let has_room = || node.call("connect_peer", connect.clone())["success"] == true;
    eventually(SOON, "there is room", has_room);
}

#[test]
fn one_identity_has_max_per_peer_connections_and_takes_no_others_place() {
    let node = limited(json!({ "max_per_peer": 2 }));
    let (greedy, other) = (Visitor::new(), Peer::start());
    let first = greedy.open(&node).unwrap();
    greedy.open(&node).unwrap();
    for _ in 0..3 {
        greedy.open(&node).unwrap_err();
    }
    let open = || node.info(greedy.id())["connections"].as_array().unwrap().len();
    assert_eq!((open(), greedy.connections()), (2, 2), "those it has stay");
    other.connect(&node.at("tcp"));
    is_served(&node, other.id());

    greedy.close(first);
    greedy.open_soon(&node);
    assert_eq!((open(), greedy.connections()), (2, 2));
    greedy.open(&node).unwrap_err();
    // Subscribers learn of the peer, not of each of its connections.
    let events = node.events_so_far();
    let of_it = events.iter().filter(|event| event["peer_id"] == greedy.id());
    let kinds: Vec<_> = of_it.map(|event| event["event"].as_str().unwrap()).collect();
    let came = kinds.iter().filter(|kind| **kind == "peer_connected").count();
    let went = kinds.iter().filter(|kind| **kind == "peer_disconnected").count();
    assert_eq!((came, went), (1, 0), "{kinds:?}");
}

#[test]
fn a_rush_gets_in_at_max_inbound_per_s_and_keeps_nobody_from_being_served() {
    const PER_SECOND: u32 = 5;
    const RUSH: usize = 60;
    let node = limited(json!({ "max_inbound_per_s": PER_SECOND }));
    let (inside, far, visitor) = (Peer::start(), Peer::start(), Visitor::new());
    inside.connect(&node.at("tcp"));
    let before = begun_and_denied(&node);
    let began = Instant::now();
    let rush: Vec<_> = (0..RUSH).map(|_| knock(&node)).collect();
    let (mut begun, mut denied) = (0.0, 0.0);
    eventually(SOON, "everybody was looked at", || {
        let now = begun_and_denied(&node);
        (begun, denied) = (now.0 - before.0, now.1 - before.1);
        begun + denied >= RUSH as f64
    });
    let took = began.elapsed().as_secs_f64();
    // The peer inside has taken one place of that second, so one less than the limit may begin.
    let most = f64::from(PER_SECOND) * (1.0 + took);
    let least = f64::from(PER_SECOND - 1);
    assert!((least..=most).contains(&begun), "{begun} of {RUSH} in {took} s");
    eventually(SOON, "the others are turned away", || shut(&rush) as f64 >= denied);
    is_served(&node, inside.id());
    node.connect(&far.at("tcp"));
    // The next place is free within a fifth of a second, since the rush is over.
    visitor.open_soon(&node);
}

#[test]
fn a_full_node_serves_who_is_in_and_takes_the_next_when_one_leaves() {
    let node = limited(json!({ "max_connections": 3, "high_water": 3 }));
    let (dialled, came) = (Peer::start(), Peer::start());
    let (inside, outside) = (Visitor::new(), Visitor::new());
    node.connect(&dialled.at("tcp"));
    came.connect(&node.at("quic-v1"));
    let connection = inside.open(&node).unwrap();
    for _ in 0..3 {
        outside.open(&node).unwrap_err();
    }
    // The limit counts connections, not peers: one more of a connected peer is one too many.
    inside.open(&node).unwrap_err();
    knows_nothing_of(&node, outside.id());
    for peer in [&dialled, &came] {
        is_served(&node, peer.id());
    }
    assert_eq!(inside.connections(), 1);
    inside.close(connection);
    outside.open_soon(&node);
    inside.open(&node).unwrap_err();
    assert_eq!(node.ok("get_peer_stats", json!({}))["connected_peers"], 3);
}
