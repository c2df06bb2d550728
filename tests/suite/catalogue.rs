//! The catalogue's facts about an operation beside its shapes: whether it takes something away, and
//! whether calling it again changes anything. Tools tell agents so before they call. And what its schema
//! allows, which the operation then takes.

use std::collections::BTreeSet;
use std::time::Duration;

use peerkit::ops;
use serde_json::{Value, json};

use crate::support::servers::{ApiServer, ClosedPort};
use crate::support::{Peer, eventually, some_peer_id};

const CID: &str = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";

/// Returns everything of a node that calls can give it or take from it.
fn state(node: &Peer) -> BTreeSet<String> {
    let mut state = BTreeSet::new();
    for row in node.ok("get_peers", json!({}))["peers"].as_array().unwrap() {
        state.insert(format!("knows {}", row["peer_id"]));
        if row["connected"] == true {
            state.insert(format!("is connected to {}", row["peer_id"]));
        }
    }
    for address in node.ok("list_bootstrap_peers", json!({}))["bootstrap_peers"].as_array().unwrap()
    {
        state.insert(format!("lists {address}"));
    }
    // Only these calls tell the topics; this one changes none.
    for topic in node.ok("unsubscribe", json!({ "topic": "none" }))["topics"].as_array().unwrap() {
        state.insert(format!("subscribes to {topic}"));
    }
    if node.ok("get_discovery", json!({}))["discovery_active"] == true {
        state.insert("discovers".to_owned());
    }
    state
}

#[test]
fn only_what_is_destructive_takes_away_and_what_is_idempotent_can_be_repeated() {
    let sources = json!({ "dht": "server", "gossip": true, "interval_s": 3600 });
    let config = json!({ "discovery": sources, "limits": { "low_water": 0 }, "serve_perf": true });
    let (a, b, closed) = (Peer::with(config.clone()), Peer::with(config), ClosedPort::new());
    let (stranger, other) = (some_peer_id(), some_peer_id());
    let dead = format!("{}/p2p/{other}", closed.address());
    let api = ApiServer::start();
    api.kubo(&b, &[]);
    api.cluster(&[&b]);
    let topic = json!({ "topic": "t" });
    b.ok("subscribe", topic.clone());
    // The calls are in an order in which each finds something to do; those that take away come last.
    let calls = [
        ("add_peer", json!({ "peer_id": stranger, "multiaddrs": [closed.address()] })),
        ("connect_peer", json!({ "multiaddr": b.at("tcp") })),
        ("ping_peer", json!({ "peer_id": b.id() })),
        ("measure_bandwidth", json!({ "peer_id": b.id() })),
        ("bootstrap_from_ipfs", json!({ "api": api.url() })),
        ("bootstrap_from_cluster", json!({ "api": api.url() })),
        ("add_bootstrap_peer", json!({ "multiaddr": dead })),
        ("provide", json!({ "cid": CID })),
        ("find_providers", json!({ "cid": CID })),
        ("find_peer", json!({ "peer_id": b.id() })),
        ("subscribe", topic.clone()),
        ("publish", json!({ "topic": "t", "data_base64": "aGk=" })),
        ("discover_peers", json!({})),
        ("unsubscribe", topic),
        ("remove_bootstrap_peer", json!({ "multiaddr": dead })),
        ("disconnect_peer", json!({ "peer_id": b.id() })),
        ("remove_peer", json!({ "peer_id": stranger })),
        ("stop_discovery", json!({})),
        ("start_discovery", json!({})),
        ("network_changed", json!({})),
    ];
    for (method, params) in &calls {
        let operation = ops::find(method).unwrap();
        let before = state(&a);
        // The DHT and the topic's neighbours take a moment to be known.
        eventually(Duration::from_secs(10), method, || {
            a.call(method, params.clone())["success"] == true
        });
        let after = state(&a);
        let gone: Vec<_> = before.difference(&after).collect();
        assert_eq!(!gone.is_empty(), operation.destructive, "{method} took away {gone:?}");
        if operation.idempotent {
            a.call(method, params.clone());
            assert_eq!(state(&a), after, "{method} again");
        }
    }
    let called: BTreeSet<_> = calls.iter().map(|(method, _)| *method).collect();
    for operation in ops::catalogue() {
        let acts = operation.effect == ops::Effect::Acts;
        assert_eq!(
            called.contains(operation.name),
            acts,
            "{} belongs to the calls",
            operation.name
        );
        let harmless = operation.idempotent && !operation.destructive && !operation.open_world;
        assert!(acts || harmless, "{} only reads", operation.name);
    }
}

/// Lists the parameters of operations whose schema names this type.
fn parameters_of_type(kind: &str) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for operation in ops::catalogue() {
        let schema = operation.params_schema();
        let properties = schema.as_value()["properties"].as_object().cloned().unwrap_or_default();
        for (name, schema) in properties {
            if schema["type"].to_string().contains(&format!("\"{kind}\"")) {
                found.push((operation.name, name));
            }
        }
    }
    found
}

#[test]
fn a_float_that_is_a_whole_number_is_taken_wherever_the_schema_asks_for_an_integer() {
    let node = Peer::start();
    let integers = parameters_of_type("integer");
    assert!(integers.len() > 20, "the catalogue was read: {integers:?}");
    for (method, name) in integers {
        let call = |text: &str| {
            let params: Value = serde_json::from_str(&format!("{{\"{name}\": {text}}}")).unwrap();
            node.call(method, params)
        };
        for good in ["10.0", "1e1"] {
            let reply = call(good);
            // Without the rest of what it needs a call may fail, but not over this.
            assert_ne!(reply["detail"]["key"], *name, "{method} {name} {good}: {reply}");
        }
        for bad in ["10.5", "-1.0", "1e300", "\"10\"", "true"] {
            let reply = call(bad);
            assert_eq!(reply["code"], "invalid_argument", "{method} {name} {bad}: {reply}");
            assert!(reply["error"].as_str().unwrap().contains(&format!("`{name}`")), "{reply}");
        }
        assert_eq!(call("\"10\"")["hint"], "write it without quotes: 10");
    }
    let page = node.ok("list_peers", json!({ "limit": 10.0, "offset": 0.0 }));
    assert_eq!(page["pagination"]["limit"], 10, "{page}");
    for (method, name) in parameters_of_type("boolean") {
        let reply = node.call(method, json!({ name.clone(): "true" }));
        assert!(reply["error"].as_str().unwrap().contains(&format!("`{name}`")), "{reply}");
        assert_eq!(reply["hint"], "write it without quotes: true", "{method} {name}");
    }
}
