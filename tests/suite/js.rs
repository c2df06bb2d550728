//! Peers of js-libp2p: they and we connect, and all that other tests ask of them works among themselves.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::netns::Switch;
use crate::support::{Peer, eventually};

/// The time in which news passes between two js peers, with no call that waits for it.
const SOON: Duration = Duration::from_secs(10);

/// Returns the ids of these peers.
fn ids(peers: &Value) -> Vec<&str> {
    peers.as_array().unwrap().iter().map(|peer| peer["peer_id"].as_str().unwrap()).collect()
}

/// Tells whether what was found has the peer's address, with or without its id; js-libp2p may tell it twice.
fn knows_where(found: &Value, peer: &Peer) -> bool {
    let mut told = found["addrs"].as_array().unwrap().iter();
    told.any(|address| {
        [peer.bare("tcp"), peer.at("tcp")].contains(&address.as_str().unwrap().to_owned())
    })
}

fn routes_to(js: &Peer, peer: &Peer) -> bool {
    let known = js.ok("routing_table", json!({}))["peers"].clone();
    known.as_array().unwrap().contains(&json!(peer.id()))
}

#[test]
fn a_js_peer_is_dialled_and_identified_over_tcp_and_noise() {
    let (us, js) = (Peer::start(), Peer::js(json!({ "agent": "js/1" })));
    us.connect(&js.at("tcp"));
    let identified = us.wait_for("peer_identified", js.id());
    assert_eq!(identified["agent_version"], "js/1", "{identified:#}");
    let seen = us.info(js.id());
    assert_eq!((&seen["transport"], &seen["direction"]), (&json!("tcp"), &json!("outbound")));
    for protocol in ["/ipfs/id/1.0.0", "/peerkit/kad/1.0.0", "/meshsub/1.2.0"] {
        assert!(seen["protocols"].as_array().unwrap().contains(&json!(protocol)), "{seen:#}");
    }
    us.ok("ping_peer", json!({ "peer_id": js.id() }));
}

#[test]
fn a_js_peer_dials_us() {
    let (us, js) = (Peer::start(), Peer::js(json!({})));
    js.connect(&us.at("tcp"));
    us.wait_for("peer_identified", js.id());
    assert_eq!(us.info(js.id())["direction"], "inbound");
    let peers = js.ok("peers", json!({}))["peers"].clone();
    assert_eq!(ids(&peers), [us.id()]);
    assert!(peers[0]["agent_version"].as_str().unwrap().starts_with("peerkit/"), "{peers:#}");
    assert_eq!(peers[0]["connections"][0]["direction"], "outbound");
}

#[test]
fn a_js_peer_runs_on_a_host_of_a_switch() {
    let Some(switch) = Switch::new() else { return };
    let [ours, theirs] = ["10.77.0.1/24", "10.77.0.2/24"].map(|ip| switch.host(ip));
    let us = ours.peer(json!({ "profile": "lan", "listen": ["/ip4/10.77.0.1/tcp/0"] }));
    let js = theirs.js(json!({ "listen": ["/ip4/10.77.0.2/tcp/0"] }));
    us.connect(&js.at("tcp"));
    us.wait_for("peer_identified", js.id());
}

#[test]
fn js_peers_find_each_other_and_their_content_through_a_third() {
    let [middle, a, b] = Peer::several_js([json!({}), json!({}), json!({})]);
    for peer in [&a, &b] {
        assert_eq!(peer.ok("dht_mode", json!({}))["mode"], "server");
        peer.connect(&middle.at("tcp"));
    }
    eventually(SOON, "the one in the middle knows both", || {
        routes_to(&middle, &a) && routes_to(&middle, &b)
    });
    eventually(SOON, "both know the one in the middle", || {
        routes_to(&a, &middle) && routes_to(&b, &middle)
    });

    let found = a.ok("find_peer", json!({ "peer_id": b.id() }))["peer"].clone();
    assert_eq!(found["peer_id"], b.id());
    assert!(knows_where(&found, &b), "{found:#}");

    let content = json!({ "cid": "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy" });
    assert!(!a.ok("provide", content.clone())["told"].as_array().unwrap().is_empty());
    let providers = b.ok("find_providers", content)["providers"].clone();
    assert_eq!(ids(&providers), [a.id()]);
    assert!(knows_where(&providers[0], &a), "{providers:#}");

    let closest = a.ok("get_closest_peers", json!({ "peer_id": middle.id() }))["peers"].clone();
    assert!(ids(&closest).contains(&middle.id()), "{closest:#}");
}

#[test]
fn js_peers_hear_what_the_other_publishes() {
    let [a, b] = Peer::several_js([json!({}), json!({})]);
    a.connect(&b.at("tcp"));
    let topic = json!({ "topic": "news" });
    b.ok("subscribe", topic.clone());
    eventually(SOON, "a learns of the subscription", || {
        a.ok("subscribers", topic.clone())["peers"] == json!([b.id()])
    });
    let sent = a.ok("publish", json!({ "topic": "news", "data_base64": "aGVsbG8=" }));
    assert_eq!(sent["recipients"], json!([b.id()]));
    let heard = json!([{ "topic": "news", "from": a.id(), "data_base64": "aGVsbG8=" }]);
    eventually(SOON, "b hears it", || b.ok("messages", json!({}))["messages"] == heard);
}

#[test]
fn messages_go_both_ways_between_a_js_peer_and_us() {
    let (us, js) = (Peer::start(), Peer::js(json!({})));
    let topic = json!({ "topic": "news" });
    us.ok("subscribe", topic.clone());
    js.ok("subscribe", topic.clone());
    us.connect(&js.at("tcp"));

    let ours = json!({ "topic": "news", "data_base64": "b3Vycw==" });
    let mut sent = Value::Null;
    eventually(SOON, "we learn of the subscription", || {
        sent = us.call("publish", ours.clone());
        sent["success"] == true
    });
    let heard = json!([{ "topic": "news", "from": us.id(), "data_base64": "b3Vycw==" }]);
    eventually(SOON, "js hears us", || js.ok("messages", json!({}))["messages"] == heard);

    eventually(SOON, "js learns of the subscription", || {
        js.ok("subscribers", topic.clone())["peers"] == json!([us.id()])
    });
    js.ok("publish", json!({ "topic": "news", "data_base64": "dGhlaXJz" }));
    let message = us.wait_for("message", js.id());
    assert_eq!(
        (&message["topic"], &message["data_base64"]),
        (&json!("news"), &json!("dGhlaXJz")),
        "{message:#}"
    );
    // Many large messages, as fast as they go; each arrives once.
    let large = "x".repeat(80_000);
    for number in 0..30 {
        let data = format!("{number:0>4}{large}");
        us.ok("publish", json!({ "topic": "news", "data_base64": data }));
    }
    eventually(SOON, "js hears all of it", || {
        js.ok("messages", json!({}))["messages"].as_array().unwrap().len() == 31
    });
    for number in 0..30 {
        let data = format!("{number:0>4}{large}");
        js.ok("publish", json!({ "topic": "news", "data_base64": data }));
        let message = us.wait_for("message", js.id());
        assert_eq!(message["data_base64"].as_str().unwrap()[..4], data[..4]);
    }
}

/// Starts one of us in the DHT of the js peers, which runs no passes any more.
fn of_the_dht() -> Peer {
    let discovery = json!({ "dht": "server", "gossip": false, "mdns": false });
    let peer = Peer::with(json!({ "discovery": discovery }));
    peer.ok("stop_discovery", json!({}));
    peer
}

const CIDV0: &str = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKS7QX";
/// The same content as CIDv1.
const CIDV1: &str = "bafybeie5nqv6kd3qnfjupgvz34woh3oksc3iau6abmyajn7qvtf47orj2q";

#[test]
fn js_peers_find_one_another_us_and_content_through_us() {
    let [a, b] = Peer::several_js([json!({}), json!({})]);
    let (middle, ours) = (of_the_dht(), of_the_dht());
    for js in [&a, &b] {
        js.connect(&middle.at("tcp"));
        middle.wait_for("peer_identified", js.id());
        eventually(SOON, "js has us in its table", || routes_to(js, &middle));
    }
    ours.connect(&middle.at("tcp"));
    middle.wait_for("peer_identified", ours.id());
    ours.wait_for("peer_identified", middle.id());

    for sought in [&b, &ours] {
        let found = a.ok("find_peer", json!({ "peer_id": sought.id() }))["peer"].clone();
        assert_eq!(found["peer_id"], sought.id());
        assert!(knows_where(&found, sought), "{found:#}");
    }
    let closest = a.ok("get_closest_peers", json!({ "peer_id": ours.id() }))["peers"].clone();
    assert!(ids(&closest).contains(&ours.id()), "{closest:#}");

    ours.ok("provide", json!({ "cid": CIDV0 }));
    let mut providers = Value::Null;
    eventually(SOON, "js finds what we provide", || {
        providers = b.ok("find_providers", json!({ "cid": CIDV1 }))["providers"].clone();
        ids(&providers) == [ours.id()]
    });
    assert!(knows_where(&providers[0], &ours), "{providers:#}");
}

#[test]
fn we_find_js_peers_and_their_content_through_one_of_us_and_through_one_of_them() {
    let [sought, theirs] = Peer::several_js([json!({}), json!({})]);
    let (ours, asker) = (of_the_dht(), of_the_dht());
    for middle in [&ours, &theirs] {
        sought.connect(&middle.at("tcp"));
    }
    ours.wait_for("peer_identified", sought.id());
    eventually(SOON, "they know each other", || {
        routes_to(&theirs, &sought) && routes_to(&sought, &theirs) && routes_to(&sought, &ours)
    });
    let content = json!({ "cid": CIDV1 });
    assert!(!sought.ok("provide", content)["told"].as_array().unwrap().is_empty());

    for middle in [&ours, &theirs] {
        asker.connect(&middle.at("tcp"));
        asker.wait_for("peer_identified", middle.id());
        let found = asker.ok("find_peer", json!({ "peer_id": sought.id() }));
        assert_eq!(found["found_by"], "dht", "{found:#}");
        assert!(found["multiaddrs"].as_array().unwrap().contains(&json!(sought.bare("tcp"))));
        let mut providers = Value::Null;
        eventually(SOON, "we find what js provides", || {
            providers = asker.ok("find_providers", json!({ "cid": CIDV0 }))["peers"].clone();
            ids(&providers) == [sought.id()]
        });
        let known = providers[0]["multiaddrs"].as_array().unwrap();
        assert!(known.contains(&json!(sought.bare("tcp"))), "{providers:#}");
        asker.ok("disconnect_peer", json!({ "peer_id": middle.id() }));
    }
}

#[test]
fn a_client_is_in_no_js_table_and_a_js_client_in_none_of_ours() {
    let [server, client] = Peer::several_js([json!({}), json!({ "client_mode": true })]);
    let ours = of_the_dht();
    let our_client = Peer::with(json!({ "discovery": { "dht": "client" } }));
    ours.connect(&server.at("tcp"));
    our_client.connect(&server.at("tcp"));
    our_client.wait_for("peer_identified", server.id());
    eventually(SOON, "the server is in the table", || routes_to(&server, &ours));
    assert!(!routes_to(&server, &our_client));
    let found = our_client.ok("find_peer", json!({ "peer_id": ours.id() }));
    assert_eq!(found["found_by"], "dht", "{found:#}");

    client.connect(&ours.at("tcp"));
    ours.wait_for("peer_identified", client.id());
    let found = our_client.ok("find_peer", json!({ "peer_id": client.id() }));
    assert_ne!(found["found_by"], "dht", "{found:#}");
}
