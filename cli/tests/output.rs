//! The program's manner of speaking: exit codes, pipes, what remotes made up, ids that are short.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::process::Home;
use crate::support::program::{Node, command, eventually, run};

const STRANGER: &str = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp";

#[test]
fn each_kind_of_failure_has_its_exit_code() {
    let node = Node::start(json!({}));
    let home = Home::new();
    let nobody = |words: &[&str]| run(&home.args(words));
    let cases: [(i32, &[&str]); 9] = [
        (2, &["peers", "--limit", "0"]),
        (2, &["peer", "nonsense/"]),
        (2, &["call", "list_peer"]),
        (2, &["call", "list_peers", "{\"limti\": 3}"]),
        (3, &["peer", STRANGER]),
        (3, &["peer", "nosuchpeer"]),
        (4, &["connect", &node.addresses[0]]),
        (4, &["connect", "/ip4/127.0.0.1/tcp/1"]),
        (0, &["peers"]),
    ];
    for (code, words) in cases {
        let ran = node.run(words);
        assert_eq!(ran.code, code, "{words:?}: {ran:?}");
        // The answer of `call` is JSON, of success or failure.
        let (said, silent) =
            if words[0] == "call" { (&ran.out, &ran.err) } else { (&ran.err, &ran.out) };
        assert!(code == 0 || silent.is_empty() && !said.is_empty(), "{words:?}: {ran:?}");
    }
    for words in [&["status"][..], &["discover", "start"], &["events"], &["unsubscribe", "x"]] {
        let ran = nobody(words);
        assert_eq!(ran.code, 8, "{words:?}: {ran:?}");
        assert!(ran.err.contains("`peerkit run`"), "it says what to do: {ran:?}");
    }
    assert_eq!(nobody(&["call", "nope"]).code, 2);
    assert_eq!(nobody(&["peers"]).code, 0, "what is on disk needs no node");
    std::fs::write(home.path().join("config.json"), "{\"profil\": 1}").unwrap();
    assert_eq!(nobody(&["peers"]).code, 7);
}

#[test]
fn a_failure_is_a_line_of_json_where_json_is_asked_for() {
    let home = Home::new();
    let failure = run(&home.args(&["status", "--json"])).json();
    assert_eq!((&failure["method"], &failure["code"]), (&json!("status"), &json!("not_running")));
    let failure = run(&home.args(&["peer", "nosuchpeer", "--json"])).json();
    assert_eq!(failure["method"], "get_peer");
    let ran = run(&home.args(&["connect", "/ip4/127.0.0.1/tcp/1", "--json"]));
    assert_eq!((ran.code, &ran.json()["detail"]["attempts"][0]["stage"]), (4, &json!("transport")));
}

#[test]
fn a_failure_says_which_command_helps() {
    let node = Node::start(json!({}));
    let connect = json!({ "peer_id": STRANGER }).to_string();
    let hints: [(&[&str], &str); 4] = [
        (&["peer", STRANGER], "`peerkit add` or `peerkit connect` with an address"),
        (&["connect", STRANGER], "give an address after the peer id"),
        (&["call", "connect_peer", &connect], "give an address after the peer id"),
        (&["ping", STRANGER], "connect first: `peerkit connect`"),
    ];
    for (words, hint) in hints {
        if words[0] == "ping" {
            assert_eq!(node.run(&["add", STRANGER, "/ip4/127.0.0.1/tcp/1"]).code, 0);
        }
        let person = node.run(words);
        assert!((person.err + &person.out).contains(hint), "{words:?}: {hint}");
        let script = node.run(&[words, &["--json"]].concat()).json();
        assert!(script["hint"].as_str().unwrap().contains(hint), "{script:#}");
    }
    let nobody = run(&Home::new().args(&["status", "--json"])).json();
    assert_eq!(nobody["hint"], "`peerkit run` or `peerkit serve` starts a node");
}

#[test]
fn a_reader_that_goes_away_ends_a_command_in_silence() {
    let node = Node::start(json!({}));
    for words in [
        &["call", "--list"][..],
        &["stats"],
        &["man"],
        &["completions", "bash"],
        &["peers", "--json"],
    ] {
        let mut child = command(&node.home.args(words))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{words:?}");
    }
    // One that follows notices at the next event.
    let mut child = command(&node.home.args(&["events", "--follow", "--since", "0", "--json"]))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert!(line.contains("listen_addr"), "{line}");
    drop(reader);
    let output = eventually("the end", || {
        node.run(&["connect", "/ip4/127.0.0.1/tcp/1"]);
        child.try_wait().unwrap()
    });
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!((output.code(), told.as_str()), (Some(0), ""));
    // A disk that is full is told of.
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = command(&node.home.args(&["stats"])).stdout(full).stderr(Stdio::piped()).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("can't be written"));
}

#[test]
fn what_a_remote_calls_itself_cannot_play_with_the_terminal() {
    let node = Node::start(json!({}));
    let evil =
        Node::start(json!({ "agent_version": "kubo\u{202e}0.1\u{200b}\u{2066}/x\u{e0067}" }));
    assert_eq!(node.run(&["connect", &evil.addresses[0]]).code, 0);
    let shown = "kubo\\u{202e}0.1\\u{200b}\\u{2066}/x\\u{e0067}";
    eventually("the agent", || node.run(&["peers"]).out.contains(shown).then_some(()));
    for words in [&["peers"][..], &["peer", &evil.id], &["events"], &["summary"]] {
        let out = node.run(words).out;
        assert!(out.contains(shown), "{words:?}: {out}");
        assert!(out.chars().all(|c| c.is_ascii() || c == '…'), "{words:?}: {out}");
    }
    for words in [&["peers", "--json"][..], &["peer", &evil.id, "--json"], &["call", "get_peers"]] {
        let ran = node.run(words);
        assert!(ran.out.is_ascii(), "{ran:?}");
        let value: Value = ran.json();
        let row =
            if value["peer_info"].is_null() { &value["peers"][0] } else { &value["peer_info"] };
        assert_eq!(row["agent_version"], "kubo\u{202e}0.1\u{200b}\u{2066}/x\u{e0067}");
    }
}

#[test]
fn the_end_of_an_id_is_enough_where_it_is_one_peers() {
    let node = Node::start(json!({}));
    let ids =
        [STRANGER.to_owned(), "12D3KooWSCufgHzV4fCwRijfH2k3abrpAJxTKxEvN1FDuRXA2U9x".to_owned()];
    for id in &ids {
        let ran = node.run(&["add", id, "/ip4/127.0.0.1/tcp/1"]);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    for end in ["c6iDEp", "…vnc6iDEp", "...vnc6iDEp"] {
        let peer = node.run(&["peer", end, "--json"]).json();
        assert_eq!(peer["peer_info"]["peer_id"], ids[0].as_str(), "{end}");
    }
    // Of another case, too short, and from the middle.
    for end in ["C6IDEP", "6iDEp", "J3hJwQBoa"] {
        assert_ne!(node.run(&["peer", end]).code, 0, "{end}");
    }
    // Somebody who can choose an id's end isn't taken for another: nobody is chosen where two fit.
    let alike = [
        "QmToJbSqzCcob5bNWv9LnXTJCW9G1TjgNh1Z6fdiVUobvD",
        "QmToJbSqzCcob5bNWv9LnXTJCW9G1TjgNh1ZDfdiVUobvD",
    ];
    for id in alike {
        assert_eq!(node.run(&["add", id, "/ip4/127.0.0.1/tcp/1"]).code, 0);
    }
    let ran = node.run(&["remove", "fdiVUobvD"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(alike.iter().all(|id| ran.err.contains(id)), "both are listed: {ran:?}");
    assert_eq!(node.run(&["remove", "Z6fdiVUobvD"]).code, 0);
    assert_eq!(node.run(&["peer", "fdiVUobvD", "--json"]).json()["peer_info"]["peer_id"], alike[1]);
}
