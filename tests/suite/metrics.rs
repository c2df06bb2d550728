//! Metrics for monitoring systems: text by the rules of OpenMetrics 1.0, with the true numbers in it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;

use crate::support::{Peer, eventually};

/// Values by name and labels, as the text has them.
type Samples = BTreeMap<String, f64>;

/// Reads an exposition, and refuses what a strict reader would.
#[track_caller]
fn read(text: &str) -> Samples {
    let body = text.strip_suffix("# EOF\n").expect("it ends in # EOF and a new line");
    let (mut families, mut samples) = (BTreeSet::new(), Samples::new());
    let (mut family, mut kind) = (String::new(), String::new());
    for line in body.lines() {
        let words: Vec<_> = line.splitn(4, ' ').collect();
        match *words.as_slice() {
            ["#", "HELP", name, help] => {
                assert!(is_name(name) && !help.is_empty(), "{line}");
                assert!(families.insert(name.to_owned()), "twice, or not in one piece: {line}");
                (family, kind) = (name.to_owned(), String::new());
            }
            ["#", "TYPE", name, what] => {
                assert!(name == family && kind.is_empty(), "{line}");
                assert!(["counter", "gauge", "histogram", "info"].contains(&what), "{line}");
                kind = what.to_owned();
            }
            ["#", "UNIT", name, unit] => {
                assert!(name == family && name.ends_with(&format!("_{unit}")), "{line}");
            }
            _ => {
                let (series, value) = line.rsplit_once(' ').expect(line);
                let name = series.split('{').next().unwrap();
                let suffix = name.strip_prefix(&family).expect(line);
                let suffixes: &[&str] = match kind.as_str() {
                    "counter" => &["_total"],
                    "gauge" => &[""],
                    "info" => &["_info"],
                    _ => &["_bucket", "_sum", "_count"],
                };
                assert!(suffixes.contains(&suffix) && is_name(name), "{line}");
                check_labels(&series[name.len()..]);
                let value: f64 = value.parse().expect(line);
                assert!(value.is_finite() && (kind == "gauge" || value >= 0.0), "{line}");
                assert_eq!(samples.insert(series.to_owned(), value), None, "{line}");
            }
        }
    }
    check_histograms(&samples);
    samples
}

fn is_name(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit())
}

/// Checks labels: they are `{name="value",...}`, each name once. No value of ours holds a quote or a comma.
#[track_caller]
fn check_labels(labels: &str) {
    if labels.is_empty() {
        return;
    }
    let inside = labels.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).expect(labels);
    let mut names = BTreeSet::new();
    for label in inside.split(',') {
        let (name, value) = label.split_once('=').expect(labels);
        let value = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).expect(labels);
        assert!(is_name(name) && names.insert(name) && !value.contains(['"', '\\']), "{labels}");
    }
}

/// Checks that the last bucket of a histogram is all of it.
#[track_caller]
fn check_histograms(samples: &Samples) {
    for (series, count) in samples.iter().filter(|(series, _)| series.contains("le=\"+Inf\"")) {
        let of = series.replace("_bucket{", "_count{").replace("le=\"+Inf\"", "");
        let of = of.replace("{,", "{").replace(",}", "}").replace("{}", "");
        assert_eq!(samples.get(&of), Some(count), "{series}");
    }
}

#[test]
fn metrics_are_openmetrics_text_with_the_numbers_of_the_other_calls() {
    let config = json!({ "discovery": { "dht": "server", "gossip": true, "interval_s": 3600 } });
    let (a, b) = (Peer::with(config.clone()), Peer::with(config));
    let reply = a.ok("get_metrics", json!({}));
    assert_eq!(reply["content_type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let before = read(reply["metrics"].as_str().unwrap());
    assert_eq!(before["peerkit_build_info{version=\"0.1.0\"}"], 1.0);
    assert_eq!(before["peerkit_connected_peers"], 0.0);
    let listening = before.iter().filter(|(name, _)| name.contains("swarm_new_listen_addr_total"));
    let listening: f64 = listening.map(|(_, count)| count).sum();
    assert_eq!((listening, before["peerkit_listen_addresses"]), (2.0, 2.0), "{before:#?}");

    a.connect(&b.at("tcp"));
    a.ok("ping_peer", json!({ "peer_id": b.id(), "count": 5 }));
    b.ok("subscribe", json!({ "topic": "t" }));
    a.ok("subscribe", json!({ "topic": "t" }));
    eventually(Duration::from_secs(10), "b publishes to a", || {
        b.call("publish", json!({ "topic": "t", "data_base64": "aGk=" }))["success"] == true
    });
    a.wait_for("message", b.id());
    a.ok("discover_peers", json!({}));

    let text = a.ok("get_metrics", json!({}))["metrics"].as_str().unwrap().to_owned();
    let stats = a.ok("get_peer_stats", json!({}))["stats"].clone();
    assert!(!text.contains(b.id()), "{text}");
    let after = read(&text);
    assert_eq!(after["peerkit_peers"], stats["total_peers"].as_f64().unwrap());
    assert_eq!(after["peerkit_connected_peers"], 1.0);
    let connections = after.iter().filter(|(name, _)| name.starts_with("peerkit_connections{"));
    assert_eq!(connections.map(|(_, open)| open).sum::<f64>(), 1.0, "{text}");
    assert_eq!(after["peerkit_connections{direction=\"outbound\",transport=\"tcp\"}"], 1.0);
    let sent = "peerkit_traffic_bytes_total{direction=\"out\"}";
    assert!(
        after[sent] > before[sent]
            && after[sent] <= stats["traffic"]["bytes_out"].as_f64().unwrap()
    );
    for at_least_once in [
        "libp2p_swarm_dial_attempt_total",
        "libp2p_identify_received_total",
        "libp2p_gossipsub_messages_total",
        "libp2p_kad_query_result_num_requests_count{type=\"GetClosestPeers\"}",
        "peerkit_events_total",
        "peerkit_discovery_heard_total{source=\"gossip\"}",
    ] {
        assert!(after.get(at_least_once) >= Some(&1.0), "{at_least_once} in {text}");
    }
    assert!(after["libp2p_ping_rtt_seconds_count"] >= 5.0);

    a.ok("disconnect_peer", json!({ "peer_id": b.id() }));
    let gone = read(a.ok("get_metrics", json!({}))["metrics"].as_str().unwrap());
    assert_eq!(gone["peerkit_connections{direction=\"outbound\",transport=\"tcp\"}"], 0.0);
}
