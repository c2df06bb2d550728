//! A node learns from others whether it can be reached, and learns anew when its network changes.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::Peer;
use crate::support::netns::Switch;

/// AutoNAT's client looks for something to test every 5 s.
const TESTED: Duration = Duration::from_secs(40);

#[track_caller]
fn external(peer: &Peer, ip: &str, active: bool) {
    let prefix = format!("/ip4/{ip}/");
    peer.wait_event(TESTED, |event: &Value| {
        let address = event["address"].as_str().unwrap_or_default();
        event["event"] == "external_addr"
            && event["active"] == active
            && address.starts_with(&prefix)
    });
}

#[test]
fn what_was_confirmed_on_one_network_is_taken_back_on_another_and_confirmed_there() {
    let Some(switch) = Switch::new() else { return };
    // 11.0.0.0/24 counts as the Internet here and leads nowhere.
    let (home, beside) = (switch.host("11.0.0.1/24"), switch.host("11.0.0.2/24"));
    let server = beside.raw(json!({
        "listen": "/ip4/11.0.0.2/tcp/4001", "identify": "real", "autonat": true,
    }));
    let peer = home.peer(json!({
        "profile": "internet", "discovery": { "dht": "auto", "gossip": false },
    }));
    peer.connect(&server.at("tcp"));
    external(&peer, "11.0.0.1", true);

    home.set_ip("11.0.0.9/24");
    external(&peer, "11.0.0.1", false);
    peer.ok("disconnect_peer", json!({ "peer_id": server.id() }));
    peer.connect(&server.at("tcp"));
    external(&peer, "11.0.0.9", true);
}
