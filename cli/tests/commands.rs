//! Every command against a node that runs, as a person sees it and as a script does, and every help text: held
//! against files under `tests/snapshots`.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::support::program::{Node, Ran, eventually, run};
use crate::support::snapshot::{assert_snapshot, normalised, shape};

const CID: &str = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";

/// Reads the names of the commands that a help text lists.
fn listed(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = lines.take_while(|line| !line.is_empty());
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.map(|line| line.split_whitespace().next().unwrap().to_owned());
    names.filter(|name| name != "help").collect()
}

fn help(words: &[&str], all: &mut String) {
    let ran = run(&[words, &["--help"]].concat());
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{words:?}");
    // The options and the exit codes of all commands stand once, with the first.
    let text = if words.is_empty() {
        ran.out.clone()
    } else {
        let options = ran.out.split("Options of every command:").next().unwrap_or_default();
        options.trim_end().to_owned() + "\n"
    };
    let _ = write!(all, "$ peerkit {} --help\n{text}\n", words.join(" "));
    for name in listed(&ran.out) {
        help(&[words, &[&name]].concat(), all);
    }
}

#[test]
fn every_command_explains_itself() {
    let mut all = String::new();
    help(&[], &mut all);
    assert_snapshot("help.txt", &all);
    let page = run(&["man"]);
    assert!(page.out.contains(".SH NAME\npeerkit") && page.out.contains("Exit codes"), "{page:?}");
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(run(&["man", dir.path().to_str().unwrap()]).code, 0);
    assert!(dir.path().join("peerkit-bootstrap-from-ipfs.1").exists());
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(run(&["completions", shell]).out.contains("bootstrap"), "{shell}");
    }
}

/// Two nodes that know nothing of each other, and names for what changes from run to run.
struct Stage {
    one: Node,
    other: Node,
}

impl Stage {
    fn set() -> Self {
        let other = Node::start(json!({ "agent_version": "other/1" }));
        Stage { one: Node::start(json!({})), other }
    }

    fn named(&self, text: &str) -> String {
        let home = self.one.home.path().display().to_string();
        let text = text.replace(&home, "HOME");
        let text = text.replace(&self.one.id, "THIS").replace(&self.other.id, "OTHER");
        let text = text.replace(end(&self.other.id), "END");
        normalised(&text)
    }

    /// Runs a command and writes down what it printed.
    fn play(&self, script: &mut String, words: &[&str]) -> Ran {
        let ran = self.one.run(words);
        let _ = writeln!(script, "$ peerkit {}", self.named(&words.join(" ")).trim_end());
        let _ = write!(script, "{}", self.named(&ran.out));
        for line in self.named(&ran.err).lines() {
            let _ = writeln!(script, "! {line}");
        }
        if ran.code != 0 {
            let _ = writeln!(script, "code {}", ran.code);
        }
        script.push('\n');
        ran
    }

    /// Waits until identify has told of the other.
    fn identified(&self) {
        eventually("the other's agent", || {
            self.one.run(&["peers"]).out.contains("other/1").then_some(())
        });
    }
}

/// Cuts an id to what a list shows.
fn end(id: &str) -> &str {
    &id[id.len() - 8..]
}

/// Lists what a person would do, in an order that makes sense. Nobody listens on port 1.
fn commands<'a>(id: &'a str, address: &'a str) -> Vec<Vec<&'a str>> {
    let end = end(id);
    let lines: [&[&str]; 31] = [
        &["status"],
        &["peers"],
        &["connect", address],
        &["connect", id],
        &["peers"],
        &["peers", "--disconnected"],
        &["peers", "--limit", "1", "--offset", "1"],
        &["peer", end],
        &["ping", end, "--count", "2"],
        &["stats"],
        &["summary"],
        &["events", "--kinds", "peer_connected,peer_identified"],
        &["discover", "--timeout", "20s"],
        &["discover", "status"],
        &["find", id],
        &["provide", CID],
        &["providers", CID, "--limit", "2"],
        &["subscribe", "news", "--keep"],
        &["publish", "news", "hello"],
        &["unsubscribe", "news"],
        &["bootstrap", "add", address],
        &["bootstrap", "list"],
        &["bootstrap", "rm", address],
        &["bootstrap", "from-ipfs", "/ip4/127.0.0.1/tcp/1"],
        &["bootstrap", "from-cluster", "http://127.0.0.1:1", "--no-connect"],
        &["disconnect", id],
        &["add", id, "/ip4/127.0.0.1/tcp/1"],
        &["remove", id],
        &["connect", id, "/ip4/127.0.0.1/tcp/1"],
        &["discover", "start"],
        &["discover", "stop"],
    ];
    lines.iter().map(|line| line.to_vec()).collect()
}

#[test]
fn a_person_sees_what_happened() {
    let stage = Stage::set();
    let mut script = String::new();
    for words in commands(&stage.other.id, &stage.other.addresses[0]) {
        if words == ["discover", "start"] || words == ["discover", "stop"] {
            // The first pass may or may not have ended when they answer.
            assert_eq!(stage.one.run(&words).code, 0);
            continue;
        }
        stage.play(&mut script, &words);
        if words[0] == "connect" && words[1].starts_with('/') {
            stage.identified();
        }
    }
    assert_snapshot("session.txt", &script);
}

#[test]
fn a_script_gets_the_reply_of_the_operation_that_the_command_serves() {
    let stage = Stage::set();
    let mut commanded = std::collections::BTreeMap::new();
    for line in stage.one.run(&["call", "--list", "--json"]).out.lines() {
        let operation: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| operation[key].as_str().unwrap().to_owned();
        commanded.insert(text("name"), text("command"));
    }
    let mut shapes = Map::new();
    let mut lines = commands(&stage.other.id, &stage.other.addresses[0]);
    lines.extend([
        vec!["metrics"],
        vec!["call", "get_peers"],
        vec!["call", "search_peers", "{\"query\":\"x\"}"],
        vec!["call", "network_changed"],
        vec!["call", "measure_bandwidth"],
    ]);
    for words in lines {
        let ran = stage.one.run(&[&words[..], &["--json"]].concat());
        if words[0] == "events" {
            let event: Value = serde_json::from_str(ran.out.lines().next().unwrap()).unwrap();
            shapes.insert("events".into(), shape(&event));
            continue;
        }
        let reply = ran.json();
        assert_eq!(reply["success"], ran.code == 0, "{words:?}: {ran:?}");
        let method = reply["method"].as_str().unwrap().to_owned();
        let command = commanded[&method].clone();
        let typed = format!("peerkit {}", words.join(" "));
        assert!(typed.starts_with(&command), "{typed} calls {method}, which is `{command}`");
        let key = format!("{command}{}", if ran.code == 0 { "" } else { " (failed)" });
        let keys: Vec<_> = reply.as_object().unwrap().keys().cloned().collect();
        shapes.entry(key).or_insert_with(|| keys.into());
        if words[0] == "connect" && words[1].starts_with('/') {
            stage.identified();
        }
    }
    let commands: Vec<_> = shapes.keys().map(|key| key.replace(" (failed)", "")).collect();
    for (method, command) in &commanded {
        assert!(commands.contains(command), "no command here is {method}'s: `{command}`");
    }
    assert_snapshot("replies.json", &format!("{:#}\n", Value::Object(shapes)));
}

#[test]
fn a_message_comes_from_one_node_to_another_through_the_commands() {
    let stage = Stage::set();
    assert_eq!(stage.one.run(&["connect", &stage.other.addresses[0]]).code, 0);
    let mut child =
        crate::support::program::command(&stage.one.home.args(&["subscribe", "news", "--json"]))
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
    // A new subscription takes a moment to be heard of; until then there is nobody to publish to.
    eventually("somebody who subscribes", || {
        (stage.other.run_with(&["publish", "news"], b"\xffbytes\n").code == 0).then_some(())
    });
    let mut line = String::new();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&event["topic"], &event["data_base64"]), (&json!("news"), &json!("/2J5dGVzCg==")));
    assert_eq!(event["peer_id"], stage.other.id.as_str());
    // An interrupt ends it, and the subscription with it.
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let left = stage.one.run(&["unsubscribe", "news", "--json"]).json();
    assert_eq!((&left["changed"], &left["topics"]), (&json!(false), &json!([])));
    assert_eq!(stage.other.run(&["publish", "news", "!!", "--base64"]).code, 2);
}
