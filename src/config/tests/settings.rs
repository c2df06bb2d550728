//! Defaults, checks, and what conflicts with a running manager.

use std::path::PathBuf;
use std::time::Duration;

use libp2p::identity::Keypair;
use serde_json::json;

use super::{KEY, KEY_ID, SWARM_KEY, base64_text, config, refused, settings};
use crate::PeerId;
use crate::config::table::Needs;
use crate::config::*;
use crate::error::ErrorKind;

/// An address to begin with.
const PEER: &str =
    "/ip4/192.0.2.1/tcp/4001/p2p/12D3KooWD1siCkkJLqHjU98cMh3RCFkkzdCNY9udzrmnAvgQZucY";

fn listen_texts(settings: &Settings) -> Vec<String> {
    settings.listen.iter().map(ToString::to_string).collect()
}

fn running() -> PeerId {
    crate::parse_peer_id(KEY_ID).unwrap()
}

#[test]
fn defaults_are_as_documented() {
    let defaults = settings(json!({}));
    assert_eq!(defaults.profile, Profile::Lan);
    assert_eq!(defaults.data_dir, None);
    assert_eq!(defaults.agent_version, concat!("peerkit/", env!("CARGO_PKG_VERSION")));
    assert_eq!(defaults.idle_timeout, None);
    assert_eq!(defaults.default_timeout, Duration::from_secs(30));
    assert_eq!(defaults.log, None);
    assert!(!defaults.listen_explicit);
    let limits = defaults.limits;
    assert_eq!((limits.max_connections, limits.max_per_peer, limits.max_pending), (512, 4, 128));
    assert_eq!((limits.max_inbound_per_s, limits.max_peers), (1000, 100_000));
    assert_eq!(settings(json!({"idle_timeout_s": 0})).idle_timeout, None);
    assert_eq!(settings(json!({"log": {}})).log.unwrap().level, LogLevel::Info);
    let relative = settings(json!({"data_dir": "some/dir"})).data_dir.unwrap();
    assert_eq!(relative, std::env::current_dir().unwrap().join("some/dir"));
}

#[test]
fn a_profile_chooses_where_to_listen() {
    let offline = listen_texts(&settings(json!({"profile": "offline"})));
    assert_eq!(offline[..2], ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"]);
    assert!(offline.len() == 2 || offline[2..] == ["/ip6/::1/tcp/0", "/ip6/::1/udp/0/quic-v1"]);
    for profile in ["lan", "internet"] {
        let all = listen_texts(&settings(json!({"profile": profile})));
        assert_eq!(all[..2], ["/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1"]);
        assert!(all.len() == 2 || all[2..] == ["/ip6/::/tcp/0", "/ip6/::/udp/0/quic-v1"]);
    }
    let private = listen_texts(&settings(json!({"swarm_key": SWARM_KEY})));
    assert!(private.iter().all(|address| address.ends_with("/tcp/0")), "{private:?}");
}

#[test]
fn given_listen_addresses_are_checked() {
    let given = settings(json!({"listen": [], "profile": "offline"}));
    assert!(given.listen.is_empty() && given.listen_explicit);
    let public = settings(json!({"listen": ["/ip4/0.0.0.0/tcp/4001"], "profile": "offline"}));
    assert_eq!(listen_texts(&public), ["/ip4/0.0.0.0/tcp/4001"]);

    let with_id = format!("/ip4/127.0.0.1/tcp/0/p2p/{KEY_ID}");
    let many = vec!["/ip4/127.0.0.1/tcp/0"; 33];
    let quic = "/ip4/127.0.0.1/udp/0/quic-v1";
    let ws = "/ip4/127.0.0.1/tcp/0/ws";
    for (value, kind) in [
        (json!({"listen": [""]}), ErrorKind::ConfigInvalid),
        (json!({"listen": ["/ip4/127.0.0.1/tcp/99999"]}), ErrorKind::ConfigInvalid),
        (json!({"listen": ["/dns4/localhost/tcp/0"]}), ErrorKind::ConfigInvalid),
        (json!({"listen": [with_id]}), ErrorKind::ConfigInvalid),
        (json!({"listen": many}), ErrorKind::ConfigInvalid),
        (json!({"listen": [ws]}), ErrorKind::Unsupported),
        (json!({"listen": ["/ip4/127.0.0.1/tcp/0/tls/ws"]}), ErrorKind::Unsupported),
        (json!({"listen": ["/dnsaddr/example.com"]}), ErrorKind::Unsupported),
        (json!({"listen": ["/memory/1"]}), ErrorKind::Unsupported),
        (json!({"listen": [quic], "swarm_key": SWARM_KEY}), ErrorKind::ConfigInvalid),
        (json!({"listen": [ws], "swarm_key": SWARM_KEY}), ErrorKind::ConfigInvalid),
    ] {
        let error = refused(value.clone());
        assert_eq!(error.kind(), kind, "{value}: {error}");
        assert_eq!(error.detail()["key"], "listen");
    }
    let range = refused(json!({"no_announce": ["/ip4/10.0.0.0/ipcidr/8"]}));
    assert_eq!(range.kind(), ErrorKind::Unsupported);
    assert_eq!(refused(json!({"advertise": ["x"]})).kind(), ErrorKind::ConfigInvalid);
    assert_eq!(settings(json!({"advertise": ["/dns4/a.example/tcp/443/wss"]})).advertise.len(), 1);
}

#[test]
fn numbers_out_of_bounds_are_refused_by_their_key() {
    for (value, key) in [
        (json!({"limits": {"max_connections": 0}}), "limits.max_connections"),
        (json!({"limits": {"max_connections": 100_001}}), "limits.max_connections"),
        (json!({"limits": {"max_per_peer": 0}}), "limits.max_per_peer"),
        (json!({"limits": {"max_pending": 0}}), "limits.max_pending"),
        (json!({"limits": {"max_inbound_per_s": 0}}), "limits.max_inbound_per_s"),
        (json!({"limits": {"max_peers": 10_000_001}}), "limits.max_peers"),
        (json!({"limits": {"high_water": 0}}), "limits.high_water"),
        (json!({"limits": {"high_water": 7, "low_water": 8}}), "limits.low_water"),
        (json!({"limits": {"low_water": 100_001}}), "limits.low_water"),
        (json!({"default_timeout_ms": 0}), "default_timeout_ms"),
        (json!({"default_timeout_ms": 3_600_001}), "default_timeout_ms"),
        (json!({"idle_timeout_s": u64::MAX}), "idle_timeout_s"),
        (json!({"agent_version": ""}), "agent_version"),
        (json!({"agent_version": "a\nb"}), "agent_version"),
        (json!({"agent_version": "a".repeat(257)}), "agent_version"),
        (json!({"data_dir": ""}), "data_dir"),
    ] {
        let error = refused(value.clone());
        assert_eq!(error.kind(), ErrorKind::ConfigInvalid, "{value}");
        assert_eq!(error.detail()["key"], json!(key), "{value}");
    }
    settings(json!({"limits": {"max_connections": 100_000, "max_peers": 10_000_000}}));
}

#[test]
fn a_key_whose_feature_is_not_built_is_refused_and_its_off_value_taken() {
    for (value, key) in [
        (json!({"metadata_cache_ttl": 1}), "metadata_cache_ttl"),
        (json!({"pinset_sync_interval": 1}), "pinset_sync_interval"),
    ] {
        let error = refused(value.clone());
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{value}");
        assert_eq!(error.detail()["key"], json!(key), "{value}");
        assert!(error.message().contains(key));
    }
    settings(json!({"metadata_cache_ttl": null}));
}

#[cfg(unix)]
#[test]
fn a_control_socket_needs_a_directory_to_be_found_by() {
    let error = open(&config(json!({"control_socket": true}))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
    assert_eq!(error.detail()["key"], "control_socket");
    assert!(error.hint().unwrap().contains("data_dir"));
}

#[test]
fn what_a_profile_lacks_is_a_warning() {
    let warnings = |value| settings(value).warnings;
    assert!(warnings(json!({"profile": "internet"}))[0].starts_with("profile internet: "));
    assert!(warnings(json!({})).is_empty());
    assert!(warnings(json!({"profile": "offline"})).is_empty());
}

#[test]
fn a_swarm_key_is_read_in_its_standard_format() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("swarm.key");
    std::fs::write(&path, SWARM_KEY.replace('\n', "\r\n")).unwrap();
    let text = settings(json!({"swarm_key": SWARM_KEY})).swarm_key;
    assert_eq!(text.unwrap().bytes()[..4], [0x01, 0x23, 0x45, 0x67]);
    assert_eq!(text, settings(json!({"swarm_key": {"file": path}})).swarm_key);
    let base64 = "/key/swarm/psk/1.0.0/\n/base64/\nASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4mrze8=";
    assert_eq!(text, settings(json!({"swarm_key": base64})).swarm_key);
    for bad in [
        "",
        "0123",
        "/key/swarm/psk/1.0.0/\n/base16/\n0123",
        "/key/swarm/psk/1.0.0/\n/bin/\nx",
        "/key/swarm/psk/2.0.0/\n/base16/\n0123",
        &format!("{SWARM_KEY}more"),
    ] {
        let error = refused(json!({"swarm_key": bad}));
        assert_eq!(
            (error.kind(), &error.detail()["key"]),
            (ErrorKind::ConfigInvalid, &json!("swarm_key"))
        );
    }
    let error = refused(json!({"swarm_key": {"file": "/nowhere/swarm.key"}}));
    assert_eq!(error.detail()["path"], "/nowhere/swarm.key");
}

#[test]
fn a_start_conflicts_only_where_a_named_key_differs() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("link");
    let real = dir.path().join("real");
    std::fs::create_dir(&real).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let base = json!({
        "data_dir": real, "identity": KEY, "profile": "offline", "swarm_key": SWARM_KEY,
        "limits": {"max_peers": 7}, "log": {"level": "warn", "file": real.join("log")},
        "advertise": ["/ip4/8.8.8.8/tcp/1"], "listen": ["/ip4/127.0.0.1/tcp/0"], "idle_timeout_s": 9,
        "discovery": {"mdns": true, "dht": "client", "gossip": true, "gossip_topic": "t", "interval_s": 7},
        "bootstrap": [PEER], "bootstrap_from_ipfs": true, "bootstrap_from_cluster": "http://u:pw@h:1",
        "protocol_prefix": "/mine",
    });
    let ours = settings(base.clone());
    let conflicts = |value| ours.conflicts(&config(value), &running()).unwrap();
    assert!(conflicts(base).is_empty());
    assert!(conflicts(json!({})).is_empty());
    assert!(conflicts(json!({"control_socket": false})).is_empty());
    assert!(
        conflicts(json!({"limits": {"max_connections": 512}, "discovery": {"mdns": true}}))
            .is_empty()
    );
    assert!(conflicts(json!({"bootstrap_from_ipfs": "/ip4/127.0.0.1/tcp/5001"})).is_empty());
    assert!(conflicts(json!({"config_dir": link, "log": {"file": link.join("log")}})).is_empty());
    let other_key = Keypair::generate_ed25519().to_protobuf_encoding().unwrap();
    let all = conflicts(json!({
        "data_dir": "/elsewhere", "identity": base64_text(&other_key), "profile": "lan",
        "swarm_key": SWARM_KEY.replace("0123", "1123"), "listen": [], "advertise": [],
        "no_announce": ["/ip4/1.2.3.4/tcp/1"], "agent_version": "x", "default_timeout_ms": 1,
        "idle_timeout_s": 1, "log": {"level": "info", "file": "/l"},
        "limits": {"max_connections": 1, "max_per_peer": 1, "max_pending": 1, "max_inbound_per_s": 1, "max_peers": 1,
            "low_water": 0, "high_water": 9},
        "discovery": {"mdns": false, "dht": "off", "gossip": false, "gossip_topic": "u", "interval_s": 8},
        "bootstrap": [], "bootstrap_from_ipfs": false, "bootstrap_from_cluster": "http://u:other@h:1",
        "protocol_prefix": "/theirs", "control_socket": true,
        "serve_perf": true, "allow_foreign_data_dir": true,
    }));
    assert_eq!(
        all,
        [
            "advertise",
            "agent_version",
            "allow_foreign_data_dir",
            "bootstrap",
            "bootstrap_from_cluster",
            "bootstrap_from_ipfs",
            "control_socket",
            "data_dir",
            "default_timeout_ms",
            "discovery.dht",
            "discovery.gossip",
            "discovery.gossip_topic",
            "discovery.interval_s",
            "discovery.mdns",
            "identity",
            "idle_timeout_s",
            "limits.high_water",
            "limits.low_water",
            "limits.max_connections",
            "limits.max_inbound_per_s",
            "limits.max_peers",
            "limits.max_pending",
            "limits.max_per_peer",
            "listen",
            "log.file",
            "log.level",
            "no_announce",
            "profile",
            "protocol_prefix",
            "serve_perf",
            "swarm_key",
        ]
    );
    // Each key that a start may name is compared.
    let mut keys: Vec<_> = keys::every_key()
        .filter(|key| key.needs != Needs::Later && key.inside.is_empty())
        .map(|key| key.name)
        .collect();
    keys.sort_unstable();
    assert_eq!(all, keys);
    let bad = Config::new().listen(["x"]);
    assert_eq!(ours.conflicts(&bad, &running()).unwrap_err().kind(), ErrorKind::ConfigInvalid);
    let nowhere = settings(json!({}));
    let asks_for_a_log = config(json!({"log": {}}));
    assert!(ours.conflicts(&asks_for_a_log, &running()).unwrap().is_empty());
    assert_eq!(nowhere.conflicts(&asks_for_a_log, &running()).unwrap(), ["log"]);
    let given = Config::new().data_dir(PathBuf::from("/x"));
    assert_eq!(nowhere.conflicts(&given, &running()).unwrap(), ["data_dir"]);
}
