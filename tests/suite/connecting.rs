//! Peers connect, are listed, answer pings and part, over TCP and over QUIC.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Peer, attempts, failed, some_peer_id, succeeded};

const BOTH: [(&str, &str); 2] = [("tcp", "tcp"), ("quic-v1", "quic")];

#[test]
fn peers_connect_are_listed_answer_pings_and_part_over_tcp_and_quic() {
    for (part, transport) in BOTH {
        let (a, b) = (Peer::start(), Peer::start());

        let connected = a.connect(&b.at(part));
        assert_eq!(connected["peer_id"], b.id());
        assert_eq!(connected["address"], b.bare(part));
        assert_eq!(connected["transport"], transport);
        assert_eq!(connected["already_connected"], false);
        assert_eq!(connected["error"], Value::Null);
        assert!(connected["duration_ms"].as_f64().unwrap() > 0.0);
        let tried = connected["attempts"].as_array().unwrap();
        assert_eq!(tried.len(), 1, "{connected:#}");
        assert_eq!(tried[0]["address"], b.bare(part));
        assert_eq!((&tried[0]["stage"], &tried[0]["code"]), (&Value::Null, &Value::Null));

        let row = &a.ok("list_peers", json!({ "filter_connected": true }))["peers"][0];
        assert_eq!(row["peer_id"], b.id());
        assert_eq!(row["direction"], "outbound");
        assert_eq!(row["transport"], transport);
        assert!(row["protocols"].as_array().unwrap().contains(&json!("/ipfs/ping/1.0.0")));
        assert!(row["agent_version"].as_str().unwrap().starts_with("peerkit/"));
        assert_eq!(
            (&row["connection_attempts"], &row["successful_connections"]),
            (&json!(1), &json!(1))
        );
        b.wait_for("peer_identified", a.id());
        let far_side = b.info(a.id());
        assert_eq!(far_side["direction"], "inbound");
        assert_eq!(far_side["transport"], transport);
        assert_eq!(far_side["connection_attempts"], 0, "it only answered");
        assert!(far_side["sources"].as_array().unwrap().contains(&json!("inbound")));

        let pinged = a.ok("ping_peer", json!({ "peer_id": b.id(), "count": 5 }));
        assert_eq!((&pinged["sent"], &pinged["received"]), (&json!(5), &json!(5)));
        let times: Vec<f64> =
            pinged["rtts_ms"].as_array().unwrap().iter().map(|rtt| rtt.as_f64().unwrap()).collect();
        assert!(times.iter().all(|rtt| (0.0..2000.0).contains(rtt)), "{times:?}");
        let latency = a.info(b.id())["latency_ms"].as_f64().unwrap();
        assert!((latency - times[4]).abs() < 0.001, "{latency} of {times:?}");

        let stats = a.ok("get_peer_stats", json!({}));
        for place in [&stats, &stats["stats"]] {
            assert_eq!((&place["total_peers"], &place["connected_peers"]), (&json!(1), &json!(1)));
        }
        assert_eq!(stats["stats"]["host_id"], a.id());
        assert!(stats["stats"]["traffic"]["bytes_in"].as_u64().unwrap() > 5 * 32);
        let summary = a.ok("get_peers_summary", json!({}));
        assert_eq!(summary["protocols"]["/ipfs/ping/1.0.0"], 1);
        let kinds = summary["recent_events"].as_array().unwrap().iter().map(|e| e["event"].clone());
        assert!(kinds.collect::<Vec<_>>().contains(&json!("peer_connected")), "{summary:#}");

        let parted = a.ok("disconnect_peer", json!({ "peer_id": b.id() }));
        assert_eq!((&parted["was_connected"], &parted["error"]), (&json!(true), &Value::Null));
        assert_eq!(a.wait_for("peer_disconnected", b.id())["reason"], "local_request");
        assert_eq!(b.wait_for("peer_disconnected", a.id())["reason"], "remote_closed");
        let record = a.info(b.id());
        assert_eq!((&record["connected"], &record["connections"]), (&json!(false), &json!([])));
        assert_eq!(record["last_disconnect"]["reason"], "local_request");
        let again = a.ok("disconnect_peer", json!({ "peer_id": b.id() }));
        assert_eq!(again["was_connected"], false);
    }
}

#[test]
fn events_tell_the_life_of_a_connection_in_order_and_without_gaps() {
    let (a, b) = (Peer::start(), Peer::start());
    a.connect(&b.at("tcp"));
    a.ok("disconnect_peer", json!({ "peer_id": b.id() }));
    let last = a.wait_for("peer_disconnected", b.id());
    let mut events = a.events_so_far();
    events.push(last);
    events.sort_by_key(|event| event["seq"].as_u64());
    let kinds: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        ["peer_discovered", "peer_connected", "peer_identified", "peer_disconnected"]
    );
    let seqs: Vec<u64> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1), "{seqs:?}");
    assert!(events.windows(2).all(|p| p[0]["timestamp"].as_f64() <= p[1]["timestamp"].as_f64()));
    let connected = &events[1];
    assert_eq!(connected["direction"], "outbound");
    assert_eq!(connected["transport"], "tcp");
    assert_eq!(connected["address"], b.bare("tcp"));
}

#[test]
fn a_connected_peer_is_not_dialled_again() {
    let (a, b) = (Peer::start(), Peer::start());
    a.connect(&b.at("tcp"));
    // Connects by the id, by the same address, by another address of the same peer, by that without an id.
    for params in [
        json!({ "peer_id": b.id() }),
        json!({ "multiaddr": b.at("tcp") }),
        json!({ "multiaddr": b.at("quic-v1") }),
        json!({ "multiaddr": b.bare("tcp") }),
    ] {
        let again = a.ok("connect_peer", params);
        assert_eq!(again["already_connected"], true, "{again:#}");
        assert_eq!(again["attempts"], json!([]), "{again:#}");
        assert_eq!(again["address"], b.bare("tcp"));
    }
    let record = a.info(b.id());
    assert_eq!(record["connections"].as_array().unwrap().len(), 1);
    assert_eq!(record["successful_connections"], 1);
    // The far side has seen one connection only, too.
    assert_eq!(b.info(a.id())["successful_connections"], 1);
}

#[test]
fn a_bare_second_address_of_a_connected_peer_leaves_one_connection() {
    let (a, b) = (Peer::start(), Peer::start());
    a.connect(&b.at("tcp"));
    // The peer behind this address is known only once it was dialled.
    let again = a.connect(&b.bare("quic-v1"));
    assert_eq!(again["already_connected"], true);
    assert_eq!(again["peer_id"], b.id());
    let one_left = || a.info(b.id())["connections"].as_array().unwrap().len() == 1;
    crate::support::eventually(Duration::from_secs(5), "one connection", one_left);
    assert_eq!(a.info(b.id())["connected"], true);
    a.ok("ping_peer", json!({ "peer_id": b.id() }));
    let events = a.events_so_far();
    let of = |kind| events.iter().filter(|event| event["event"] == kind).count();
    assert_eq!((of("peer_connected"), of("peer_disconnected")), (1, 0), "{events:#?}");
}

#[test]
fn a_bare_address_is_trusted_and_its_id_learnt() {
    for (part, _) in BOTH {
        let (a, b) = (Peer::start(), Peer::start());
        let connected = a.connect(&b.bare(part));
        assert_eq!(connected["peer_id"], b.id());
        let record = a.info(b.id());
        assert_eq!(record["multiaddrs"][0], b.bare(part));
        assert!(record["sources"].as_array().unwrap().contains(&json!("user")));
        assert_eq!(
            (&record["connection_attempts"], &record["successful_connections"]),
            (&json!(1), &json!(1))
        );
    }
}

#[test]
fn an_id_alone_uses_the_book() {
    let (a, b) = (Peer::start(), Peer::start());
    let added = a.ok("add_peer", json!({ "multiaddrs": [b.at("quic-v1")] }));
    assert_eq!(added["peer_info"]["peer_id"], b.id());
    assert_eq!(a.wait_for("peer_discovered", b.id())["source"], "user");
    let connected = a.ok("connect_peer", json!({ "peer_id": b.id() }));
    assert_eq!(connected["transport"], "quic");
    assert_eq!(connected["attempts"][0]["source"], "user");
}

#[test]
fn the_given_address_is_tried_before_the_known_ones() {
    for (given, transport) in BOTH {
        let (a, b) = (Peer::start(), Peer::start());
        a.ok("add_peer", json!({ "multiaddrs": [b.at("tcp"), b.at("quic-v1")] }));
        let params = json!({ "peer_id": b.id(), "multiaddr": b.bare(given) });
        let connected = a.ok("connect_peer", params);
        assert_eq!(connected["transport"], transport, "{connected:#}");
        assert_eq!(connected["attempts"][0]["address"], b.bare(given), "{connected:#}");
    }
}

#[test]
fn a_dead_given_address_does_not_keep_the_known_ones_from_being_tried() {
    let (a, b) = (Peer::start(), Peer::start());
    let silent = crate::support::servers::SilentServer::new();
    a.ok("add_peer", json!({ "multiaddrs": [b.at("tcp")] }));
    let params = json!({ "peer_id": b.id(), "multiaddr": silent.address() });
    let connected = a.ok("connect_peer", params);
    assert_eq!(connected["address"], b.bare("tcp"));
    assert!(connected["duration_ms"].as_f64().unwrap() < 5000.0, "{connected:#}");
    // The address that failed didn't get its good name from the success of the other.
    assert_eq!(a.info(b.id())["multiaddrs"][0], b.bare("tcp"));
}

#[test]
fn concurrent_connects_to_one_peer_join_one_dial() {
    let (a, b) = (Peer::start(), Peer::start());
    let connect = |_| a.begin(10_000, "connect_peer", json!({ "multiaddr": b.at("tcp") }));
    let pending: Vec<_> = (0..16).map(connect).collect();
    let replies: Vec<Value> = pending.into_iter().map(|call| succeeded(call.reply())).collect();
    assert!(replies.iter().all(|reply| reply["peer_id"] == b.id()));
    let record = a.info(b.id());
    assert_eq!(record["successful_connections"], 1, "{record:#}");
    assert_eq!(b.info(a.id())["successful_connections"], 1);
}

#[test]
fn concurrent_connects_to_one_bare_address_join_one_dial() {
    let (a, b) = (Peer::start(), Peer::start());
    let connect = |_| a.begin(10_000, "connect_peer", json!({ "multiaddr": b.bare("quic-v1") }));
    let pending: Vec<_> = (0..16).map(connect).collect();
    for call in pending {
        assert_eq!(succeeded(call.reply())["peer_id"], b.id());
    }
    assert_eq!(a.info(b.id())["connections"].as_array().unwrap().len(), 1);
}

#[test]
fn simultaneous_connects_from_both_sides_both_succeed() {
    for (part, _) in BOTH {
        for _ in 0..5 {
            let (a, b) = (Peer::start(), Peer::start());
            let there = a.begin(10_000, "connect_peer", json!({ "multiaddr": b.at(part) }));
            let back = b.begin(10_000, "connect_peer", json!({ "multiaddr": a.at(part) }));
            succeeded(there.reply());
            succeeded(back.reply());
            for (here, far) in [(&a, &b), (&b, &a)] {
                assert_eq!(here.info(far.id())["connected"], true);
                here.ok("ping_peer", json!({ "peer_id": far.id(), "count": 1 }));
                let connected: Vec<Value> = here.events_so_far();
                let first = connected.iter().filter(|event| event["event"] == "peer_connected");
                assert_eq!(first.count(), 1, "{connected:#?}");
            }
        }
    }
}

#[test]
fn a_removed_peer_is_disconnected_and_forgotten() {
    let (a, b) = (Peer::start(), Peer::start());
    a.connect(&b.at("tcp"));
    let removed = a.ok("remove_peer", json!({ "peer_id": b.id() }));
    assert_eq!((&removed["peer_id"], &removed["removed"]), (&json!(b.id()), &json!(true)));
    a.wait_for("peer_disconnected", b.id());
    failed(a.call("get_peer", json!({ "peer_id": b.id() })), "peer_not_found");
    failed(a.call("remove_peer", json!({ "peer_id": b.id() })), "peer_not_found");
    failed(a.call("connect_peer", json!({ "peer_id": b.id() })), "no_addresses");
    assert_eq!(a.ok("get_peers", json!({}))["total"], 0);
}

#[test]
fn every_form_of_a_peer_id_names_the_same_peer() {
    let (a, b) = (Peer::start(), Peer::start());
    a.connect(&b.at("tcp"));
    let id: peerkit::PeerId = b.id().parse().unwrap();
    let cid = [&[1, 0x72][..], &id.to_bytes()].concat();
    let forms = [
        multibase::encode(multibase::Base::Base32Lower, &cid),
        multibase::encode(multibase::Base::Base36Lower, &cid),
        format!("/p2p/{id}"),
        format!("/ipfs/{id}"),
        b.at("tcp"),
    ];
    for form in forms {
        for method in ["get_peer", "ping_peer", "connect_peer"] {
            let reply = a.ok(method, json!({ "peer_id": form }));
            let named = reply.get("peer_id").unwrap_or(&reply["peer_info"]["peer_id"]);
            assert_eq!(*named, b.id(), "{method} {form}");
        }
    }
}

#[test]
fn what_a_call_must_be_told_is_checked_before_anything_is_dialled() {
    let (a, b) = (Peer::start(), Peer::start());
    let stranger = some_peer_id();
    let own = a.at("tcp");
    for (method, params, code) in [
        ("connect_peer", json!({}), "invalid_argument"),
        (
            "connect_peer",
            json!({ "peer_id": stranger, "multiaddr": b.at("tcp") }),
            "invalid_argument",
        ),
        ("connect_peer", json!({ "peer_id": a.id() }), "self_dial"),
        ("connect_peer", json!({ "multiaddr": own }), "self_dial"),
        ("connect_peer", json!({ "multiaddr": a.bare("tcp") }), "self_dial"),
        ("connect_peer", json!({ "peer_id": stranger }), "no_addresses"),
        ("connect_peer", json!({ "peer_id": "11" }), "invalid_peer_id"),
        ("connect_peer", json!({ "peer_id": "" }), "invalid_peer_id"),
        ("connect_peer", json!({ "multiaddr": "" }), "invalid_multiaddr"),
        ("connect_peer", json!({ "multiaddr": "/ip4/127.0.0.1/tcp/99999" }), "invalid_multiaddr"),
        ("connect_peer", json!({ "multiaddr": b.at("tcp"), "timeout": 1 }), "invalid_argument"),
        ("disconnect_peer", json!({ "peer_id": stranger }), "peer_not_found"),
        ("disconnect_peer", json!({}), "invalid_argument"),
        ("ping_peer", json!({ "peer_id": stranger }), "peer_not_found"),
        ("add_peer", json!({}), "invalid_argument"),
        (
            "add_peer",
            json!({ "peer_id": stranger, "multiaddrs": [b.at("tcp")] }),
            "invalid_argument",
        ),
        ("add_peer", json!({ "multiaddrs": [own] }), "self_dial"),
        ("get_peer", json!({ "peer_id": stranger }), "peer_not_found"),
        ("remove_peer", json!({ "peer_id": stranger }), "peer_not_found"),
        ("list_peers", json!({ "limit": 0 }), "invalid_argument"),
        ("list_peers", json!({ "limit": 501 }), "invalid_argument"),
        ("list_peers", json!({ "offset": -1 }), "invalid_argument"),
        ("list_peers", json!({ "offset": 1.5 }), "invalid_argument"),
        ("list_peers", json!({ "cursor": "x" }), "invalid_argument"),
        ("list_peers", json!({ "limti": 5 }), "invalid_argument"),
        ("get_peers", json!({ "limit": 10001 }), "invalid_argument"),
        ("search_peers", json!({}), "invalid_argument"),
        ("list_pears", json!({}), "unknown_method"),
    ] {
        let reply = a.call(method, params.clone());
        assert_eq!(reply["code"], code, "{method} {params}: {reply:#}");
    }
    assert_eq!(a.events_so_far(), Vec::<Value>::new(), "nothing was dialled");
    let past_the_end = a.ok("list_peers", json!({ "offset": 1_000_000 }));
    assert_eq!(
        (&past_the_end["peers"], &past_the_end["pagination"]["has_more"]),
        (&json!([]), &json!(false))
    );
    a.ok("add_peer", json!({ "peer_id": stranger }));
    failed(a.call("ping_peer", json!({ "peer_id": stranger })), "not_connected");
    let refused = failed(a.call("connect_peer", json!({ "peer_id": stranger })), "no_addresses");
    assert!(attempts(&refused).is_empty());
}
