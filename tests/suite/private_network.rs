//! A pre-shared key keeps peers without it out before any handshake.

use serde_json::json;

use crate::support::{Peer, attempts, failed};

fn key(digit: char) -> String {
    format!("/key/swarm/psk/1.0.0/\n/base16/\n{}\n", digit.to_string().repeat(64))
}

fn member(key: &str) -> Peer {
    Peer::with(json!({ "swarm_key": key, "listen": ["/ip4/127.0.0.1/tcp/0"] }))
}

#[test]
fn nodes_of_one_key_connect_and_others_fail_at_security() {
    let (a, b) = (member(&key('a')), member(&key('a')));
    a.connect(&b.at("tcp"));
    a.ok("ping_peer", json!({ "peer_id": b.id() }));
    for outsider in [member(&key('b')), Peer::start()] {
        let params = json!({ "multiaddr": b.at("tcp") });
        let failure = outsider.call_within(1500, "connect_peer", params);
        assert!(
            ["dial_failed", "dial_timeout"].contains(&failure["code"].as_str().unwrap()),
            "{failure:#}"
        );
        assert_eq!(attempts(&failure)[0]["stage"], "security", "{failure:#}");
    }
    assert_eq!(b.ok("get_peer_stats", json!({}))["total_peers"], 1);
}

#[test]
fn quic_beside_a_key_is_config_invalid() {
    let listen = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"];
    let config = json!({ "swarm_key": key('a'), "listen": listen });
    let Err(failure) = Peer::try_with(config) else { panic!("it started") };
    failed(failure, "config_invalid");
}

#[test]
fn quic_is_not_dialled_from_a_private_network() {
    let (a, b) = (member(&key('a')), Peer::start());
    let failure = a.call_within(5000, "connect_peer", json!({ "multiaddr": b.at("quic-v1") }));
    assert_eq!(failure["success"], false);
    assert_eq!(attempts(&failure)[0]["code"], "unsupported", "{failure:#}");
}

#[test]
fn the_key_is_told_nowhere() {
    let secret = "c".repeat(64);
    let a = member(&key('c'));
    for method in ["status", "get_peer_stats", "get_peers_summary"] {
        assert!(!a.ok(method, json!({})).to_string().contains(&secret), "{method}");
    }
    let conflict = a.call("start", json!({ "config": { "swarm_key": key('d') } }));
    let conflict = failed(conflict, "config_conflict");
    assert_eq!(conflict["detail"]["keys"], json!(["swarm_key"]));
    assert!(!conflict.to_string().contains("dddd"), "{conflict:#}");
}
