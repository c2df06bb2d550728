//! The keys that say how peers are found: defaults, checks, and that no password shows.

use std::time::Duration;

use serde_json::{Value, json};

use super::{refused, settings};
use crate::config::DhtMode;
use crate::error::ErrorKind;

const PEER: &str =
    "/ip4/192.0.2.1/tcp/4001/p2p/12D3KooWD1siCkkJLqHjU98cMh3RCFkkzdCNY9udzrmnAvgQZucY";

#[test]
fn a_profile_chooses_how_peers_are_found() {
    let of = |value: Value| settings(value).discovery;
    let sources = |value: Value| {
        let discovery = of(value);
        (discovery.mdns, discovery.dht, discovery.gossip)
    };
    assert_eq!(sources(json!({"profile": "offline"})), (false, DhtMode::Off, false));
    assert_eq!(sources(json!({})), (true, DhtMode::Server, true));
    assert_eq!(sources(json!({"profile": "internet"})), (false, DhtMode::Auto, true));
    let given = json!({"discovery": {"mdns": false, "dht": "off"}});
    assert_eq!(sources(given), (false, DhtMode::Off, true));

    let lan = of(json!({}));
    assert_eq!(lan.interval, Duration::from_secs(30));
    assert_eq!(lan.gossip_topic, "/peerkit/announce/1.0.0");
    assert_eq!(lan.dht_protocol, "/peerkit/kad/1.0.0");
    assert_eq!(lan.find_peer_protocol, "/peerkit/find-peer/1.0.0");
    assert!(lan.bootstrap.is_empty() && lan.ipfs.is_none() && lan.cluster.is_none());
    assert_eq!(of(json!({"discovery_interval": 5})).interval, Duration::from_secs(5));
    assert_eq!(of(json!({"profile": "internet"})).dht_protocol, "/ipfs/kad/1.0.0");
}

#[test]
fn a_prefix_stands_in_front_of_our_own_protocols() {
    let ours = settings(json!({"profile": "internet", "protocol_prefix": "/a/b"})).discovery;
    assert_eq!(ours.dht_protocol, "/a/b/kad/1.0.0");
    assert_eq!(ours.find_peer_protocol, "/a/b/find-peer/1.0.0");
    assert_eq!(ours.gossip_topic, "/a/b/announce/1.0.0");
    let own_topic = json!({"protocol_prefix": "/a", "discovery": {"gossip_topic": "news"}});
    assert_eq!(settings(own_topic).discovery.gossip_topic, "news");
}

#[test]
fn what_cannot_be_used_is_refused_by_its_key() {
    let many = vec![PEER; 257];
    let no_id = "/ip4/192.0.2.1/tcp/4001";
    let ws = PEER.replace("/p2p", "/ws/p2p");
    for (value, key) in [
        (json!({"protocol_prefix": ""}), "protocol_prefix"),
        (json!({"protocol_prefix": "a"}), "protocol_prefix"),
        (json!({"protocol_prefix": "/"}), "protocol_prefix"),
        (json!({"protocol_prefix": "/a/"}), "protocol_prefix"),
        (json!({"protocol_prefix": "/a b"}), "protocol_prefix"),
        (json!({"protocol_prefix": format!("/{}", "a".repeat(128))}), "protocol_prefix"),
        (json!({"discovery": {"gossip_topic": ""}}), "discovery.gossip_topic"),
        (json!({"discovery": {"gossip_topic": "a\nb"}}), "discovery.gossip_topic"),
        (json!({"discovery": {"gossip_topic": "a".repeat(129)}}), "discovery.gossip_topic"),
        (json!({"discovery": {"interval_s": 0}}), "discovery.interval_s"),
        (json!({"discovery_interval": 86_401}), "discovery.interval_s"),
        (json!({"bootstrap": ["nonsense"]}), "bootstrap"),
        (json!({"bootstrap": [no_id]}), "bootstrap"),
        (json!({"bootstrap": [ws]}), "bootstrap"),
        (json!({"bootstrap": many}), "bootstrap"),
        (json!({"bootstrap_from_ipfs": "localhost:5001"}), "bootstrap_from_ipfs"),
        (json!({"bootstrap_from_cluster": "/ip4/127.0.0.1/udp/1"}), "bootstrap_from_cluster"),
    ] {
        let error = refused(value.clone());
        assert_eq!(error.kind(), ErrorKind::ConfigInvalid, "{value}: {error}");
        assert_eq!(error.detail()["key"], json!(key), "{value}");
        assert!(error.message().contains(key), "{error}");
    }
    assert_eq!(refused(json!({"bootstrap": [no_id]})).detail()["multiaddr"], json!(no_id));
    let dnsaddr = json!({"bootstrap": ["/dnsaddr/bootstrap.libp2p.io", PEER]});
    assert_eq!(settings(dnsaddr).discovery.bootstrap.len(), 2);
}

#[test]
fn a_daemon_is_off_at_its_default_place_or_where_it_is_said_to_be() {
    let ipfs = |value: Value| {
        let api = settings(json!({ "bootstrap_from_ipfs": value })).discovery.ipfs;
        api.map(|api| api.to_string())
    };
    for off in [json!(false), json!(null), json!("")] {
        assert_eq!(ipfs(off), None);
    }
    assert_eq!(ipfs(json!(true)).unwrap(), "http://127.0.0.1:5001");
    assert_eq!(ipfs(json!("/ip4/10.0.0.9/tcp/5001")).unwrap(), "http://10.0.0.9:5001");
    assert_eq!(ipfs(json!("https://u:p@ipfs.example")).unwrap(), "https://ipfs.example:443");
    let cluster = settings(json!({"bootstrap_from_cluster": true})).discovery.cluster;
    assert_eq!(cluster.unwrap().to_string(), "http://127.0.0.1:9094");
}

#[test]
fn no_error_about_an_api_shows_its_password() {
    for bad in [
        "http://someone:hunter2@host/path",
        "http://someone:hunter2@host:0",
        "http://someone:hunter2@ho st",
        "ftp://someone:hunter2@host",
        "someone:hunter2@host",
        "http://someone:hunter2%@host",
        "/ip4/127.0.0.1/tcp/5001/hunter2",
    ] {
        for key in ["bootstrap_from_ipfs", "bootstrap_from_cluster"] {
            let error = refused(json!({ key: bad }));
            assert_eq!(error.kind(), ErrorKind::ConfigInvalid, "{bad}");
            let shown = format!("{error} {error:?} {:?} {:?}", error.detail(), error.hint());
            assert!(!shown.contains("hunter2") && !shown.contains("someone"), "{shown}");
        }
    }
}

#[test]
fn low_water_and_high_water_each_stand_alone() {
    let limits = |value: Value| {
        let limits = settings(json!({ "limits": value })).limits;
        (limits.low_water, limits.high_water)
    };
    assert_eq!(limits(json!({})), (32, 384));
    assert_eq!(limits(json!({"max_connections": 8})), (6, 6));
    assert_eq!(limits(json!({"high_water": 3})), (3, 3));
    assert_eq!(limits(json!({"low_water": 0})), (0, 384));
    // A second start may name what the first filled in from other keys.
    assert_eq!(limits(json!({"low_water": 500})), (500, 500));
    assert_eq!(limits(json!({"low_water": 1, "high_water": 3})), (1, 3));
}
