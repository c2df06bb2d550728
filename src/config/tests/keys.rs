//! Reading the keys, from JSON and by builder.

use serde_json::{Value, json};

use super::{KEY, SWARM_KEY, config, refused, settings};
use crate::config::keys::every_key;
use crate::config::read::{known_keys, schema_of};
use crate::config::table::Needs;
use crate::config::*;
use crate::error::ErrorKind;

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    for (value, key, nearest) in [
        (json!({"limts": {}}), "limts", json!("limits")),
        (
            json!({"limits": {"max_conections": 1}}),
            "limits.max_conections",
            json!("limits.max_connections"),
        ),
        (json!({"max_peers": 1}), "max_peers", json!("limits.max_peers")),
        (json!({"mdns": true}), "mdns", json!("discovery.mdns")),
        (json!({"dataDir": "/x"}), "dataDir", json!("data_dir")),
        (json!({"configdir": "/x"}), "configdir", json!("config_dir")),
        (json!({"log": {"levl": "info"}}), "log.levl", json!("log.level")),
        (json!({"zebra": null}), "zebra", Value::Null),
    ] {
        let error = refused(value.clone());
        assert_eq!(error.kind(), ErrorKind::ConfigInvalid, "{value}");
        assert_eq!(error.detail()["key"], json!(key), "{value}");
        assert_eq!(error.detail()["nearest"], nearest, "{value}");
        assert!(error.message().starts_with(&format!("unknown key `{key}`")), "{error}");
    }
    let error = refused(json!({"limts": {}}));
    assert_eq!(error.message(), "unknown key `limts`, did you mean `limits`?");
}

#[test]
fn a_huge_unknown_key_costs_nothing() {
    let key = "x".repeat(500_000);
    let error = refused(json!({ key: 1 }));
    assert!(error.message().len() < 200);
}

#[test]
fn a_value_of_the_wrong_type_is_refused_by_its_key() {
    for (value, key) in [
        (json!({"data_dir": 1}), "data_dir"),
        (json!({"identity": 1}), "identity"),
        (json!({"identity": {"path": "x"}}), "identity"),
        (json!({"swarm_key": []}), "swarm_key"),
        (json!({"profile": "wan"}), "profile"),
        (json!({"listen": "/ip4/127.0.0.1/tcp/0"}), "listen"),
        (json!({"listen": [null]}), "listen"),
        (json!({"limits": 5}), "limits"),
        (json!({"limits": [5, 4]}), "limits"),
        (json!({"log": "http://user:pw@host"}), "log"),
        (json!({"limits": {"max_peers": -1}}), "limits.max_peers"),
        (json!({"limits": {"max_peers": 1.5}}), "limits.max_peers"),
        (json!({"limits": {"max_peers": "many"}}), "limits.max_peers"),
        (json!({"limits": {"max_peers": 5_000_000_000_u64}}), "limits.max_peers"),
        (json!({"log": {"level": "loud"}}), "log.level"),
        (json!({"discovery": {"dht": false}}), "discovery.dht"),
        (json!({"bootstrap_from_ipfs": 1}), "bootstrap_from_ipfs"),
        (json!({"idle_timeout_s": true}), "idle_timeout_s"),
        (json!({"config_dir": "/a", "data_dir": "/b"}), "config_dir"),
        (json!({"discovery_interval": 3, "discovery": {"interval_s": 3}}), "discovery_interval"),
        (json!({"discovery_interval": 3, "discovery": 1}), "discovery"),
    ] {
        let error = refused(value.clone());
        assert_eq!(error.kind(), ErrorKind::ConfigInvalid, "{value}");
        assert_eq!(error.detail()["key"], json!(key), "{value}: {error}");
        assert!(error.message().contains(key), "{error}");
    }
}

#[test]
fn an_error_says_what_was_expected_and_shows_little_of_what_was_found() {
    let message = |value: Value| refused(value).message().to_owned();
    for (found, shown) in [(json!("many"), "\"many\""), (json!(-1), "-1"), (json!(0), "0")] {
        assert_eq!(
            message(json!({"limits": {"max_peers": found}})),
            format!(
                "`limits.max_peers`: it must be a whole number from 1 to 10000000, not {shown}"
            ),
        );
    }
    let profile = message(json!({"profile": "wan"}));
    assert_eq!(profile, "`profile`: it must be one of offline, lan, internet, not \"wan\"");
    let dht = message(json!({"discovery": {"dht": false}}));
    assert_eq!(dht, "`discovery.dht`: it must be one of off, client, server, auto, not false");
    let listen = message(json!({"listen": 5}));
    assert_eq!(listen, "`listen`: it must be a list of texts, not a number");
    let item = message(json!({"listen": ["/ip4/127.0.0.1/tcp/0", 7]}));
    assert_eq!(item, "`listen`: at [1], it must be a text, not a number");
    assert_eq!(message(json!({"log": "http://user:pw@host"})), "`log`: it must be an object");
    let long = "x".repeat(500_000);
    for value in [json!({"limits": {"max_peers": long}}), json!({"profile": long})] {
        assert!(message(value).len() < 300);
    }
}

#[test]
fn a_number_may_have_the_form_of_a_float_and_no_value_that_of_a_text() {
    let given = |key: &str, text: &str| {
        let text = match key.split_once('.') {
            None => format!(r#"{{"{key}": {text}}}"#),
            Some((outer, inner)) => format!(r#"{{"{outer}": {{"{inner}": {text}}}}}"#),
        };
        Config::from_json(&text).and_then(|config| Settings::resolve(&config, None))
    };
    let is_number = |key: &str| schema_of(key).unwrap()["type"].to_string().contains("integer");
    let numbers: Vec<_> =
        every_key().filter(|key| key.needs == Needs::Nothing && is_number(key.name)).collect();
    assert!(numbers.len() > 8, "the keys were read");
    for key in numbers {
        for good in ["10.0", "1e1"] {
            given(key.name, good).unwrap_or_else(|error| panic!("{} {good}: {error}", key.name));
        }
        for bad in ["10.5", "1e12", "-1.0", "1e300"] {
            let error = given(key.name, bad).unwrap_err();
            assert_eq!(error.detail()["key"], key.name, "{bad}");
            assert!(error.message().contains("it must be a whole number from"), "{error}");
        }
        let error = given(key.name, "\"10\"").unwrap_err();
        assert_eq!(error.hint(), Some("write it without quotes: 10"), "{}", key.name);
    }
    for key in ["discovery.mdns", "discovery.gossip", "control_socket"] {
        let error = given(key, "\"true\"").unwrap_err();
        assert!(error.message().ends_with("it must be true or false, not \"true\""), "{error}");
        assert_eq!(error.hint(), Some("write it without quotes: true"), "{key}");
    }
    let error = given("limits.max_peers", "\"many\"").unwrap_err();
    assert_eq!(error.hint(), None);
    assert_eq!(settings(json!({"discovery_interval": 5.0})).discovery.interval.as_secs(), 5);
}

#[test]
fn what_is_wrong_first_is_told_first() {
    let read = |text| Config::from_json(text).unwrap_err();
    assert_eq!(read(r#"{"limts": 1, "profile": 1}"#).detail()["key"], "limts");
    assert_eq!(read(r#"{"profile": 1, "limts": 1}"#).detail()["key"], "profile");
}

#[test]
fn what_is_no_json_object_is_refused() {
    for text in ["", "null", "[]", "1", "{", "{}x", "\"\""] {
        assert_eq!(Config::from_json(text).unwrap_err().kind(), ErrorKind::ConfigInvalid, "{text}");
    }
    assert_eq!(Config::from_json(" {} ").unwrap(), Config::new());
}

#[test]
fn null_is_as_good_as_not_given_for_every_key() {
    for key in known_keys() {
        let value = match key.split_once('.') {
            None => json!({ key: null }),
            Some((outer, inner)) => json!({ outer: { inner: null } }),
        };
        let read = settings(value);
        assert_eq!(read.limits, settings(json!({})).limits);
    }
    assert_eq!(
        config(json!({"identity": null, "limits": null, "config_dir": null})),
        Config::new()
    );
}

#[test]
fn builder_and_json_say_the_same() {
    let built = Config::new()
        .data_dir("/var/lib/x")
        .identity(KeySource::file("/k"))
        .profile(Profile::Internet)
        .listen(["/ip4/127.0.0.1/tcp/0"])
        .discovery(Discovery::new().mdns(false).dht(DhtMode::Off))
        .limits(Limits::new().max_peers(7))
        .bootstrap_from_ipfs(true)
        .bootstrap_from_cluster("/dns4/cluster/tcp/9094")
        .log(Log::new().level(LogLevel::Debug).file("/l"))
        .idle_timeout_s(5);
    let read = config(json!({
        "config_dir": "/var/lib/x", "identity": {"file": "/k"}, "profile": "internet",
        "listen": ["/ip4/127.0.0.1/tcp/0"], "discovery": {"mdns": false, "dht": "off"},
        "limits": {"max_peers": 7}, "log": {"level": "debug", "file": "/l"}, "idle_timeout_s": 5,
        "bootstrap_from_ipfs": true, "bootstrap_from_cluster": "/dns4/cluster/tcp/9094",
    }));
    assert_eq!(built, read);
}

#[test]
fn the_json_schema_names_every_key() {
    let schema = serde_json::to_string(&schemars::schema_for!(Config)).unwrap();
    let aliases = ["config_dir", "discovery_interval"];
    for key in known_keys().filter(|key| !aliases.contains(&key.as_str())) {
        let last = key.rsplit('.').next().unwrap();
        assert!(schema.contains(&format!("\"{last}\"")), "{key}");
    }
}

#[test]
fn the_json_schema_tells_the_defaults_and_bounds_in_force() {
    let schema = serde_json::to_value(schemars::schema_for!(Config)).unwrap();
    let said = |object: &str, key: &str| match object {
        "" => schema["properties"][key].clone(),
        _ => schema["$defs"][object]["properties"][key].clone(),
    };
    let defaults = settings(json!({"log": {}}));
    let limits = serde_json::to_value(defaults.limits).unwrap();
    for (object, key, value) in [
        ("", "profile", json!(defaults.profile)),
        ("", "control_socket", json!(defaults.control_socket)),
        ("", "serve_perf", json!(defaults.serve_perf)),
        ("", "protocol_prefix", json!("/peerkit")),
        ("", "idle_timeout_s", json!(0)),
        ("", "default_timeout_ms", json!(defaults.default_timeout.as_millis() as u64)),
        ("Discovery", "gossip_topic", json!(defaults.discovery.gossip_topic)),
        ("Discovery", "interval_s", json!(defaults.discovery.interval.as_secs())),
        ("Log", "level", json!(defaults.log.unwrap().level)),
        ("Limits", "max_connections", limits["max_connections"].clone()),
        ("Limits", "max_per_peer", limits["max_per_peer"].clone()),
        ("Limits", "max_pending", limits["max_pending"].clone()),
        ("Limits", "max_inbound_per_s", limits["max_inbound_per_s"].clone()),
        ("Limits", "low_water", limits["low_water"].clone()),
        ("Limits", "max_peers", limits["max_peers"].clone()),
    ] {
        let said = said(object, key)["description"].as_str().unwrap().replace('_', "");
        let default = format!("Default: {value}");
        assert!(said.contains(&default), "{key}: {default}, but {said}");
    }
    let max_peers = said("Limits", "max_peers");
    assert_eq!(
        (&max_peers["minimum"], &max_peers["maximum"]),
        (&json!(1), &json!(10_000_000)),
        "{max_peers}"
    );
}

#[test]
fn secrets_show_in_no_debug_output_and_no_error() {
    let secret = KEY.trim_end_matches('=');
    let api = "http://someone:hunter2@127.0.0.1:5001";
    let given = Config::new()
        .identity(KEY)
        .swarm_key(SWARM_KEY)
        .bootstrap_from_ipfs(api)
        .bootstrap_from_cluster(api);
    let resolved = Settings::resolve(&given, None).unwrap();
    for shown in [format!("{given:?}"), format!("{resolved:?}")] {
        assert!(!shown.contains("hunter2") && !shown.contains("someone"), "{shown}");
        assert!(!shown.contains(secret) && !shown.contains("0123456789abcdef"), "{shown}");
        assert!(!shown.contains("69, 103"), "{shown}");
        assert!(shown.contains("redacted"));
    }
    for bad in [
        json!({"swarm_key": "0123456789abcdef"}),
        json!({"swarm_key": {"text": "0123456789abcdef"}}),
        json!({"identity": ["0123456789abcdef"]}),
    ] {
        let error = refused(bad);
        assert!(!format!("{error:?} {error}").contains("0123456789abcdef"));
    }
    let bad = KeySource::from("0123456789abcdef");
    let error = open(&Config::new().identity(bad)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Identity);
    assert!(!format!("{error:?} {error}").contains("0123456789abcdef"));
}
