//! Peers find one another: by bootstrap, the DHT, gossip, and asking those they know.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Peer, eventually, failed};

fn with_dht(keys: Value) -> Peer {
    let mut config = json!({ "discovery": { "dht": "server", "interval_s": 2 } });
    for (key, value) in keys.as_object().unwrap() {
        config[key] = value.clone();
    }
    Peer::with(config)
}

#[test]
fn three_peers_given_one_bootstrap_address_know_one_another() {
    let a = with_dht(json!({}));
    let b = with_dht(json!({ "bootstrap": [a.at("tcp")] }));
    let c = with_dht(json!({ "bootstrap": [a.at("quic-v1")] }));
    for (knows, known) in [(&b, &c), (&c, &b), (&a, &b), (&a, &c)] {
        eventually(Duration::from_secs(10), "they know one another", || {
            knows.call("get_peer", json!({ "peer_id": known.id() }))["success"] == true
        });
    }
}

#[test]
fn a_peer_is_found_and_connected_by_its_id_alone() {
    let a = with_dht(json!({ "limits": { "low_water": 0 } }));
    let low = json!({ "bootstrap": [a.at("tcp")], "limits": { "low_water": 0 } });
    let (b, c) = (with_dht(low.clone()), with_dht(low));
    a.wait_for("peer_identified", b.id());
    a.wait_for("peer_identified", c.id());
    let found = b.ok("find_peer", json!({ "peer_id": c.id() }));
    assert_eq!(found["found_by"], "dht", "{found:#}");
    let connected = b.ok("connect_peer", json!({ "peer_id": c.id() }));
    assert_eq!(connected["already_connected"], false, "{connected:#}");
    let nobody = failed(
        b.call("find_peer", json!({ "peer_id": crate::support::some_peer_id() })),
        "peer_not_found",
    );
    assert_eq!(nobody["detail"]["lookups"].as_array().unwrap().len(), 2, "{nobody:#}");
}
