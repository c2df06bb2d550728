//! What a build answers that is without some feature of the crate, whichever that is: each promise is held by every
//! build, and scripts/features runs some. `tests/suite` says what the features do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use parking_lot::Mutex;
use peerkit::params::ConnectPeer;
use peerkit::{Config, Error, ErrorKind, PeerManager, ops};
use serde_json::{Map, Value, json};

/// One manager is all that a process has.
static MANAGER: Mutex<()> = Mutex::new(());

const PEER: &str = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";

/// The features that operations, keys and addresses need.
const FEATURES: &[(&str, bool)] = &[
    ("dht", cfg!(feature = "dht")),
    ("gossip", cfg!(feature = "gossip")),
    ("mdns", cfg!(feature = "mdns")),
    ("daemons", cfg!(feature = "daemons")),
    ("metrics", cfg!(feature = "metrics")),
    ("control", cfg!(feature = "control") && cfg!(unix)),
    ("log", cfg!(feature = "log")),
    ("quic", cfg!(feature = "quic")),
    ("dns", cfg!(feature = "dns")),
];

fn is_built(feature: &str) -> bool {
    FEATURES.iter().find(|(name, _)| *name == feature).expect("a feature of the crate").1
}

/// On loopback, so that nobody else is concerned.
fn config(more: Value) -> Config {
    let mut config = json!({ "profile": "offline", "listen": ["/ip4/127.0.0.1/tcp/0"] });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Config::from_json(&config.to_string()).unwrap()
}

fn start(config: Value) -> Result<PeerManager, Error> {
    PeerManager::start(&self::config(config), Duration::from_secs(20))
}

fn says_without(error: &Error, feature: &str) {
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    let words = format!("built without the feature `{feature}`");
    assert!(error.message().contains(&words), "{error}");
    assert_eq!(error.detail()["feature"], feature);
}

#[test]
fn a_key_that_needs_a_missing_feature_is_unsupported_and_its_off_value_taken() {
    let _alone = MANAGER.lock();
    let dir = tempfile::tempdir().unwrap();
    let socket = json!({ "control_socket": true, "data_dir": dir.path() });
    for (asks, key, feature) in [
        (json!({ "discovery": { "dht": "client" } }), "discovery.dht", "dht"),
        (json!({ "discovery": { "gossip": true } }), "discovery.gossip", "gossip"),
        (json!({ "discovery": { "gossip_topic": "t" } }), "discovery.gossip_topic", "gossip"),
        (json!({ "discovery": { "mdns": true } }), "discovery.mdns", "mdns"),
        (json!({ "bootstrap_from_ipfs": true }), "bootstrap_from_ipfs", "daemons"),
        (
            json!({ "bootstrap_from_cluster": "http://[::1]:1" }),
            "bootstrap_from_cluster",
            "daemons",
        ),
        (socket, "control_socket", "control"),
        (json!({ "log": { "file": dir.path().join("log") } }), "log", "log"),
        (json!({ "listen": ["/ip4/127.0.0.1/udp/0/quic-v1"] }), "listen", "quic"),
        (json!({ "bootstrap": [format!("/dns4/localhost/tcp/1/p2p/{PEER}")] }), "bootstrap", "dns"),
        (
            json!({ "bootstrap": [format!("/ip4/127.0.0.1/udp/1/quic-v1/p2p/{PEER}")] }),
            "bootstrap",
            "quic",
        ),
    ] {
        match start(asks.clone()) {
            Ok(manager) => {
                assert!(is_built(feature), "{asks}");
                manager.stop(None).unwrap();
            }
            Err(error) => {
                assert!(!is_built(feature), "{asks}: {error}");
                says_without(&error, feature);
                assert_eq!(error.detail()["key"], key);
            }
        }
    }
    let nothing = json!({
        "discovery": { "dht": "off", "gossip": false, "mdns": false },
        "bootstrap_from_ipfs": false, "bootstrap_from_cluster": "", "control_socket": false, "log": null,
    });
    start(nothing).unwrap().stop(None).unwrap();
}

#[test]
fn a_profile_has_on_what_the_build_has() {
    let _alone = MANAGER.lock();
    for (profile, sources) in [
        ("lan", &["mdns", "dht", "gossip"][..]),
        ("internet", &["dht", "gossip"]),
        ("offline", &[]),
    ] {
        let manager = start(json!({ "profile": profile })).unwrap();
        let reports = json!(manager.get_discovery().unwrap().sources);
        for source in ["mdns", "dht", "gossip"] {
            let on = sources.contains(&source) && is_built(source);
            assert_eq!(reports[source]["enabled"], on, "{profile}: {reports}");
        }
        manager.stop(None).unwrap();
    }
    let manager =
        PeerManager::start(&Config::from_json(r#"{"profile":"offline"}"#).unwrap(), None).unwrap();
    let at = manager.status().unwrap().listen_addrs;
    assert!(at.iter().any(|address| address.contains("/tcp/")), "{at:?}");
    assert_eq!(at.iter().any(|address| address.contains("/quic-v1/")), is_built("quic"), "{at:?}");
    manager.stop(None).unwrap();
}

#[test]
fn an_operation_that_needs_a_missing_feature_is_unsupported() {
    let _alone = MANAGER.lock();
    let manager = start(json!({})).unwrap();
    let mut needing = Vec::new();
    for operation in ops::catalogue() {
        let Some(feature) = operation.feature() else { continue };
        needing.push((operation.name, feature));
        let reply: Value =
            serde_json::from_str(&operation.call(&manager, Map::new(), None)).unwrap();
        if is_built(feature) {
            assert_ne!(reply["code"], "unsupported", "{reply}");
            continue;
        }
        assert_eq!(
            (&reply["success"], &reply["code"]),
            (&json!(false), &json!("unsupported")),
            "{reply}"
        );
        assert_eq!(reply["detail"]["feature"], feature, "{reply}");
        let words = format!("built without the feature `{feature}`");
        assert!(reply["error"].as_str().unwrap().contains(&words), "{reply}");
    }
    let told = [
        ("bootstrap_from_ipfs", "daemons"),
        ("bootstrap_from_cluster", "daemons"),
        ("provide", "dht"),
        ("find_providers", "dht"),
        ("publish", "gossip"),
        ("subscribe", "gossip"),
        ("unsubscribe", "gossip"),
        ("get_metrics", "metrics"),
    ];
    assert_eq!(needing, told);
    manager.stop(None).unwrap();
}

#[test]
fn an_address_that_needs_a_missing_feature_is_unsupported_and_the_others_are_dialled() {
    let _alone = MANAGER.lock();
    let manager = start(json!({})).unwrap();
    for (address, feature) in [
        ("/ip4/127.0.0.1/udp/1/quic-v1", "quic"),
        ("/dns4/localhost/tcp/1", "dns"),
        ("/dnsaddr/localhost", "dns"),
    ] {
        let error =
            manager.connect_peer(ConnectPeer::at(address), Duration::from_secs(2)).unwrap_err();
        let attempt = &error.detail()["attempts"][0];
        assert_eq!(attempt["code"] == "unsupported", !is_built(feature), "{error}: {attempt}");
        if !is_built(feature) {
            let words = format!("peerkit was built without the feature `{feature}`");
            assert_eq!(attempt["error"], words);
        }
    }
    let tcp = ConnectPeer::at("/ip4/127.0.0.1/tcp/1");
    let error = manager.connect_peer(tcp, Duration::from_secs(5)).unwrap_err();
    assert_eq!(
        (error.kind(), &error.detail()["attempts"][0]["stage"]),
        (ErrorKind::DialFailed, &json!("transport"))
    );
    manager.stop(None).unwrap();
}

/// A program of somebody else's mustn't offer the C ABI to whoever loads it, nor a second copy of it.
#[cfg(target_os = "linux")]
#[test]
fn a_rust_library_exports_the_c_functions_only_with_capi() {
    let this = std::env::current_exe().unwrap();
    let library = this.ancestors().nth(2).unwrap().join("examples/librust_cdylib.so");
    assert!(library.exists(), "{}: build the example rust_cdylib", library.display());
    let symbols = std::process::Command::new("nm")
        .args(["--dynamic", "--defined-only"])
        .arg(library)
        .output()
        .unwrap();
    assert!(symbols.status.success());
    let symbols = String::from_utf8(symbols.stdout).unwrap();
    let with_capi = cfg!(feature = "capi");
    let own = format!(" T this_one_is_built_{}_capi", if with_capi { "with" } else { "without" });
    assert!(symbols.contains(&own), "build the example rust_cdylib with these features: {symbols}");
    assert_eq!(symbols.contains(" T peerkit_connect_peer"), cfg!(feature = "capi"), "{symbols}");
    assert_eq!(symbols.contains("peerkit_"), cfg!(feature = "capi"), "{symbols}");
}
