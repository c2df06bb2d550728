//! `/metrics` in the format that the scraper asks for, read as a strict reader of that format does.

use std::collections::BTreeMap;

use crate::support::http::Server;
use crate::support::process::Running;

const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Reads the text format 0.0.4: the type of each family, and the values by series.
fn read(text: &str) -> (BTreeMap<String, String>, BTreeMap<String, f64>) {
    let (mut families, mut samples) = (BTreeMap::new(), BTreeMap::new());
    let mut helped = None;
    for line in text.lines() {
        if let Some(about) = line.strip_prefix("# ") {
            let words: Vec<_> = about.splitn(3, ' ').collect();
            match *words.as_slice() {
                ["HELP", name, _] => helped = Some(name),
                ["TYPE", name, kind] => {
                    assert_eq!(helped, Some(name), "{line}");
                    assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                    let before = families.insert(name.to_owned(), kind.to_owned());
                    assert_eq!(before, None, "twice: {line}");
                }
                _ => panic!("no such line in this format: {line}"),
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect(line);
        let name = series.split('{').next().unwrap();
        // A sample is of the family named last: its name, or that of a histogram with an ending.
        let (family, kind) = helped.and_then(|name| families.get_key_value(name)).expect(line);
        let endings: &[&str] = match kind.as_str() {
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        assert!(endings.contains(&name.strip_prefix(family.as_str()).expect(line)), "{line}");
        assert_eq!(samples.insert(series.to_owned(), value.parse().expect(line)), None, "{line}");
    }
    (families, samples)
}

#[test]
fn who_does_not_ask_for_openmetrics_reads_every_family_in_the_older_format() {
    let server = Server::start(&[]);
    let peer = Running::node();
    let address = crate::support::http::tcp_address(&peer.first_line);
    let connected =
        server.post("/api/call/connect_peer", &format!(r#"{{"multiaddr": "{address}"}}"#));
    assert_eq!(connected.status, 200, "{connected:?}");
    let open = server.client().with("accept: application/openmetrics-text").get("/metrics").body;
    let (families, samples) = read(&server.get("/metrics").body);
    let of_open = open.lines().filter(|line| line.starts_with("# TYPE ")).count();
    assert!(families.len() == of_open && of_open > 20, "{} of {of_open}", families.len());
    assert_eq!(families["peerkit_events_total"], "counter");
    assert_eq!(families["peerkit_build_info"], "gauge");
    assert_eq!(families["peerkit_uptime_seconds"], "gauge");
    assert_eq!(samples["peerkit_connected_peers"], 1.0);
    assert!(samples["peerkit_events_total"] >= 1.0);
    assert!(samples.keys().any(|series| series.contains("le=\"+Inf\"")));
}

#[test]
fn the_format_is_the_one_that_accept_likes_best() {
    let server = Server::start(&[]);
    for (accept, content_type) in [
        (None, PLAIN),
        (Some("*/*"), PLAIN),
        (Some("text/plain; version=0.0.4"), PLAIN),
        (Some("text/plain;version=0.0.4;q=1,*/*;q=0.1"), PLAIN),
        (Some("application/openmetrics-text;version=1.0.0;q=0.3,text/plain;q=0.7"), PLAIN),
        (Some("application/openmetrics-text"), OPEN),
        (
            Some(
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                 application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,\
                 text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            ),
            OPEN,
        ),
    ] {
        let mut client = server.stranger();
        if let Some(accept) = accept {
            client = client.with(&format!("accept: {accept}"));
        }
        let answer = client.get("/metrics");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some(content_type), "{accept:?}");
        assert_eq!(answer.header("vary"), Some("accept"));
        assert_eq!(answer.body.ends_with("# EOF\n"), content_type == OPEN, "{accept:?}");
    }
}
