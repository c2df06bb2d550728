//! Error texts and hints as a person meets them, all of them side by side: `told.txt` what calls and starts that go
//! wrong say, `texts.txt` every sentence that stands in the source. `PEERKIT_UPDATE=1` writes both anew; whoever adds
//! an error reads it there among its neighbours.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use peerkit::ErrorKind;
use serde_json::{Value, json};

use crate::support::netns::Switch;
use crate::support::servers::ClosedPort;
use crate::support::{Peer, loopback, program};

const ID: &str = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp";

#[track_caller]
fn assert_snapshot(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(name);
    if std::env::var_os("PEERKIT_UPDATE").is_some() {
        fs::write(&path, actual).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    let differs = expected.lines().zip(actual.lines()).find(|(old, new)| old != new);
    assert!(
        expected == actual,
        "{name} is not what peerkit says; first difference: {differs:?}. If that is meant, run with PEERKIT_UPDATE=1"
    );
}

/// Fails over what nobody should have to read: several lines, Rust's own way to show values, blanks at the ends.
#[track_caller]
fn assert_readable(text: &str) {
    assert!(!text.contains(['\n', '\r', '\t']) && text.trim() == text, "{text:?}");
    for foreign in [
        "Name(\"",
        "Some(",
        "Err(",
        "Custom {",
        "Os {",
        "kind: ",
        "invalid type",
        "unknown variant",
    ] {
        assert!(!text.contains(foreign), "{text:?}");
    }
    assert!(!text.ends_with([':', ',', '.']), "something is missing behind it: {text:?}");
}

/// Writes a failure as it is read: code, text, hint, and each attempt.
#[track_caller]
fn told(reply: &Value) -> String {
    assert_eq!(reply["success"], false, "{reply}");
    let mut lines = String::new();
    let mut line = |of: &Value, indent: &str, what: &str| {
        for (name, text) in [(what, &of["error"]), ("hint", &of["hint"])] {
            if let Some(text) = text.as_str() {
                assert_readable(text);
                let _ = writeln!(lines, "{indent}{name}: {text}");
            }
        }
    };
    line(reply, "    ", reply["code"].as_str().unwrap());
    for attempt in reply["detail"]["attempts"].as_array().into_iter().flatten() {
        line(attempt, "        ", attempt["stage"].as_str().unwrap());
    }
    lines
}

/// The calls that go wrong; PORT is one where nothing listens.
fn calls() -> Vec<(&'static str, Value)> {
    let at = |address: &str| json!({ "multiaddr": format!("{address}/p2p/{ID}") });
    let mut calls = Vec::new();
    for address in [
        "/ip4/0.0.0.0/tcp/4001",
        "/ip6/::/udp/4001/quic-v1",
        "/ip4/127.0.0.1/tcp/0",
        "/ip4/127.0.0.1/tcp/PORT",
        "/ip4/127.0.0.1/tcp/PORT/ws",
        "/memory/5",
    ] {
        calls.push(("connect_peer", at(address)));
    }
    for address in
        ["", "hello", "/ip4/1.2.3/tcp/1", "/ip4/1.2.3.4/tcp/99999", "/ip4/1.2.3.4/tcp/1/p2p/QmX"]
    {
        calls.push(("connect_peer", json!({ "multiaddr": address })));
    }
    for id in ["", "abc", "12D3KooW", "1234567890"] {
        calls.push(("get_peer", json!({ "peer_id": id })));
    }
    calls.extend([
        ("connect_peer", json!({})),
        ("connect_peer", json!({ "peer_id": ID })),
        ("connect_peer", json!({ "peer_id": ID, "multiaddr": format!("/ip4/127.0.0.1/tcp/1/p2p/{}", &ID.replace("iDEp", "iDEq")) })),
        ("get_peer", json!({})),
        ("get_peer", json!({ "peer_id": ID })),
        ("ping_peer", json!({ "peer_id": ID })),
        ("ping_peer", json!({ "peer_id": ID, "count": 0 })),
        ("remove_peer", json!({ "peer_id": ID })),
        ("disconnect_peer", json!({ "peer_id": ID })),
        ("add_peer", json!({})),
        ("add_peer", json!({ "peer_id": ID, "multiaddrs": "x" })),
        ("add_peer", json!({ "peer_id": ID, "multiaddrs": ["x"] })),
        ("add_peer", json!({ "peer_id": 5 })),
        ("list_peers", json!({ "limit": 0 })),
        ("list_peers", json!({ "limit": 10.5 })),
        ("list_peers", json!({ "limit": "10" })),
        ("list_peers", json!({ "limit": 5_000_000_000_u64 })),
        ("list_peers", json!({ "offset": -1 })),
        ("list_peers", json!({ "sort": "name" })),
        ("list_peers", json!({ "filter_connected": "true" })),
        ("list_peers", json!({ "cursor": "x" })),
        ("list_peers", json!({ "cursor": "x", "offset": 1 })),
        ("list_peers", json!({ "tag": "x" })),
        ("list_peers", json!({ "limti": 3 })),
        ("list_peers", json!({ "sources": [] })),
        ("get_peers", json!({ "status": "gone" })),
        ("search_peers", json!({})),
        ("discover_peers", json!({ "timeout": -1 })),
        ("discover_peers", json!({ "timeout": "1" })),
        ("find_peer", json!({ "peer_id": "x" })),
        ("provide", json!({})),
        ("provide", json!({ "cid": "x" })),
        ("find_providers", json!({ "cid": "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy" })),
        ("publish", json!({ "topic": "", "data_base64": "" })),
        ("publish", json!({ "topic": "t", "data_base64": "a%" })),
        ("publish", json!({ "topic": "t", "data_base64": "aGk" })),
        ("subscribe", json!({})),
        ("add_bootstrap_peer", json!({ "multiaddr": "x" })),
        ("add_bootstrap_peer", json!({ "multiaddr": "/ip4/192.0.2.1/tcp/1" })),
        ("add_bootstrap_peer", json!({ "multiaddr": "/memory/5" })),
        ("bootstrap_from_ipfs", json!({ "api": "x" })),
        ("bootstrap_from_ipfs", json!({ "api": "http://127.0.0.1:PORT" })),
        ("bootstrap_from_cluster", json!({ "api": "/ip4/127.0.0.1/udp/5" })),
        ("list_peer", json!({})),
        ("make_coffee", json!({})),
    ]);
    calls
}

/// The configurations with which no node starts.
fn starts() -> Vec<Value> {
    vec![
        json!({ "listen": ["x"] }),
        json!({ "listen": "x" }),
        json!({ "listen": [5] }),
        json!({ "listen": ["/dns4/localhost/tcp/0"] }),
        json!({ "listen": ["/ip4/127.0.0.1/tcp/0/ws"] }),
        json!({ "advertise": [format!("/ip4/192.0.2.1/tcp/1/p2p/{ID}")] }),
        json!({ "bootstrap": ["/ip4/192.0.2.1/tcp/1"] }),
        json!({ "bootstrap_from_ipfs": "true" }),
        json!({ "bootstrap_from_cluster": 5 }),
        json!({ "profile": "wan" }),
        json!({ "profil": "lan" }),
        json!({ "coffee": true }),
        json!({ "discovery": { "mdns": "false" } }),
        json!({ "discovery": { "dht": true } }),
        json!({ "discovery": { "gossip_topic": "" } }),
        json!({ "discovery": { "interval_s": 0 } }),
        json!({ "limits": { "max_peers": "5" } }),
        json!({ "limits": { "max_connections": 1.5 } }),
        json!({ "limits": 5 }),
        json!({ "log": { "level": "loud" } }),
        json!({ "log": { "file": "/nowhere/log" } }),
        json!({ "protocol_prefix": "x" }),
        json!({ "agent_version": "" }),
        json!({ "control_socket": true }),
        json!({ "metadata_cache_ttl": 5 }),
        json!({ "identity": "zzz" }),
        json!({ "identity": { "path": "x" } }),
        json!({ "identity": { "file": "/nowhere" } }),
        json!({ "identity": ID }),
        json!({ "swarm_key": "x" }),
        json!({ "swarm_key": { "file": "/nowhere" } }),
        json!({ "data_dir": "/proc/nowhere" }),
        json!({ "data_dir": "/dev/null" }),
    ]
}

#[test]
fn what_goes_wrong_is_told_as_the_snapshot_has_it() {
    let (node, closed) = (Peer::with(json!({ "discovery": { "dht": "off" } })), ClosedPort::new());
    let address = closed.address();
    let port = address.rsplit('/').next().unwrap();
    let mut text = String::from("Kinds, with the hint for the whole kind\n\n");
    for kind in ErrorKind::ALL {
        let _ = writeln!(text, "{kind}: {}", kind.hint().unwrap_or("-"));
    }
    text += "\nCalls\n\n";
    for (method, params) in calls() {
        let shown = params.to_string();
        let params = serde_json::from_str(&shown.replace("PORT", port)).unwrap();
        let reply = told(&node.call(method, params));
        let _ = write!(text, "{method} {shown}\n{}", reply.replace(port, "PORT"));
    }
    text += "\nStarts\n\n";
    for config in starts() {
        let failure = Peer::try_with(config.clone()).err();
        let failure = failure.unwrap_or_else(|| panic!("{config} starts"));
        let told = told(&failure).replace(peerkit::VERSION, "VERSION");
        let _ = write!(text, "{config}\n{told}");
    }
    assert_snapshot("told.txt", &text);
}

#[test]
fn a_name_that_no_server_knows_is_told_as_that() {
    let Some(switch) = Switch::new() else { return };
    let host = switch.host("10.77.0.1/24").with_dns(json!({ "empty.test": {} }));
    let node = host.peer(json!({ "profile": "lan", "listen": [] }));
    for address in ["/dns4/gone.test/tcp/4001", "/dns/gone.test/tcp/4001", "/dnsaddr/gone.test"] {
        let reply =
            node.call("connect_peer", json!({ "multiaddr": format!("{address}/p2p/{ID}") }));
        assert_eq!(reply["code"], "dial_failed", "{reply}");
        let lines = told(&reply);
        assert!(lines.contains("gone.test") && !lines.contains("Query"), "{lines}");
    }
}

/// The first line that a node says which may have only so many files open; None where it comes to say nothing.
fn start_with_descriptors(most: u32, config: &Value) -> Option<Value> {
    let script = format!("ulimit -n {most} && exec \"$0\" peerkit \"$1\"");
    let output = Command::new("sh")
        .args(["-c", &script])
        .arg(program())
        .arg(config.to_string())
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .unwrap();
    let line = output.stdout.split(|byte| *byte == b'\n').next()?;
    serde_json::from_slice(line).ok()
}

#[test]
fn for_a_lack_of_descriptors_no_hint_speaks_of_the_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("data");
    let config = loopback(json!({ "data_dir": data_dir, "control_socket": true, "listen": [] }));
    let mut lacked = 0;
    for most in 4..40 {
        let Some(said) = start_with_descriptors(most, &config) else { continue };
        if said["success"] == true {
            break;
        }
        let lines = told(&said);
        if lines.contains("descriptor") || lines.contains("open files") {
            lacked += 1;
            assert!(
                lines.contains("limit of open files") && !lines.contains("data_dir"),
                "{most}: {lines}"
            );
        }
    }
    assert!(lacked > 3, "such starts were seen: {lacked}");
}

/// Lists the sentences in a file of Rust: string literals of several words, outside comments, attributes and tests.
fn sentences(source: &str) -> Vec<String> {
    let own = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let own = without_inner_tests(own);
    let (mut found, mut rest) = (Vec::new(), own.as_str());
    while let Some(char) = rest.chars().next() {
        if rest.starts_with("//") {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
        } else if let Some(raw) = rest.strip_prefix("r#\"") {
            let (text, after) = raw.split_once("\"#").unwrap_or((raw, ""));
            found.push(text.to_owned());
            rest = after;
        } else if char == '"' {
            let (text, after) = literal(&rest[1..]);
            found.push(text);
            rest = after;
        } else if let Some(after) = quoted_char(rest) {
            rest = after;
        } else {
            rest = &rest[char.len_utf8()..];
        }
    }
    let is_sentence =
        |text: &String| text.split_whitespace().count() > 1 && text.contains(char::is_alphabetic);
    found.into_iter().filter(is_sentence).collect()
}

/// Leaves out the tests of modules inside the file.
fn without_inner_tests(source: &str) -> String {
    let (mut own, mut lines) = (String::new(), source.lines().peekable());
    while let Some(line) = lines.next() {
        let is_tests = |next: &&str| next.trim() == "mod tests {";
        if line.trim() == "#[cfg(test)]" && lines.peek().is_some_and(is_tests) {
            let end = line.replace("#[cfg(test)]", "}");
            lines.by_ref().find(|line| *line == end);
        } else {
            own += line;
            own.push('\n');
        }
    }
    own
}

/// Reads a string literal behind its first quote: its text, and what follows.
fn literal(rest: &str) -> (String, &str) {
    let mut text = String::new();
    let mut chars = rest.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return (text, &rest[at + 1..]),
            '\\' => match chars.next() {
                // A line that goes on: what stands before its first word isn't part of it.
                Some((_, '\n')) => {
                    let behind = chars.as_str();
                    let skipped = behind.len() - behind.trim_start().len();
                    chars.by_ref().take(behind[..skipped].chars().count()).for_each(drop);
                }
                Some((_, escaped)) => text.extend(['\\', escaped]),
                None => {}
            },
            _ => text.push(char),
        }
    }
    (text, "")
}

/// Skips a character between quotes, which may be one itself; a lifetime has none behind it.
fn quoted_char(rest: &str) -> Option<&str> {
    let inside = rest.strip_prefix('\'')?;
    let inside = inside.strip_prefix('\\').unwrap_or(inside);
    let char = inside.chars().next()?;
    inside[char.len_utf8()..].strip_prefix('\'')
}

fn collect(under: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(under).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "tests" {
            collect(&path, files);
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") && name != "testing.rs" {
            files.push(path);
        }
    }
}

/// Holds the words of tables, help and descriptions, which have tests of their own and tell of no failure.
const OTHER_WORDS: [&str; 8] = [
    "cli/src/args",
    "cli/src/show/",
    "cli/src/reference.rs",
    "cli/src/http/openapi/",
    "cli/src/mcp/offer.rs",
    "cli/src/mcp/schema.rs",
    "cli/src/mcp/shorten.rs",
    "cli/src/mcp/tools.rs",
];

#[test]
fn every_sentence_of_the_source_stands_in_the_snapshot_and_shows_no_value_as_rust_does() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    ["src", "cli/src"].into_iter().for_each(|source| collect(&root.join(source), &mut files));
    files.sort();
    let mut text = String::new();
    for file in files {
        let name = file.strip_prefix(root).unwrap().display().to_string();
        let found = sentences(&fs::read_to_string(&file).unwrap());
        if found.is_empty() || OTHER_WORDS.iter().any(|other| name.starts_with(other)) {
            continue;
        }
        let _ = writeln!(text, "{name}");
        for sentence in found {
            assert!(!sentence.contains(":?}"), "{name}: {sentence}");
            let _ = writeln!(text, "    {}", sentence.replace('\n', "\\n"));
        }
    }
    assert!(text.lines().count() > 600, "the source was read");
    assert_snapshot("texts.txt", &text);
}
