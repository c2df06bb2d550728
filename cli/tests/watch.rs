//! `peers --watch`, in a terminal.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::program::{Node, command, eventually};
use crate::support::terminal::Terminal;

#[test]
fn the_table_follows_peers_that_come_and_go_and_the_terminal_is_as_before() {
    let one = Node::start(json!({}));
    let mut other = Node::start(json!({ "agent_version": "other/1" }));
    let terminal = Terminal::run(&one.home.args(&["peers", "--watch"]), 100, 12);
    let screen = terminal.wait("an empty list", |screen| screen.contains("no peers"));
    assert!(!screen.contains("before"), "the screen is its own: {screen}");

    assert_eq!(one.run(&["connect", &other.addresses[0]]).code, 0);
    let end = &other.id.clone()[other.id.len() - 8..];
    let screen = terminal.wait("the peer", |screen| screen.contains("other/1"));
    let row = screen.lines().find(|line| line.contains("other/1")).unwrap();
    assert!(row.starts_with(&format!("…{end}  connected  tcp out")), "{row}");
    assert!(screen.starts_with("1 peer, 1 of these connected"), "{screen}");

    terminal.resize(50, 10);
    let screen = terminal.wait("a smaller table", |screen| {
        screen.contains(end) && screen.lines().all(|line| line.chars().count() <= 50)
    });
    assert_eq!(
        screen.lines().filter(|line| line.contains('…')).count(),
        1,
        "no line wraps: {screen}"
    );
    terminal.resize(100, 12);

    other.kill();
    terminal.wait("the peer gone", |screen| {
        screen.contains(end) && screen.contains("0 of these connected")
    });

    terminal.interrupt();
    let screen = terminal.wait("the end", |screen| screen.contains("code 0"));
    assert!(screen.contains("before") && !screen.contains(end), "the old screen is back: {screen}");
}

#[test]
fn the_terminal_is_as_before_when_the_node_ends() {
    let mut one = Node::start(json!({}));
    let terminal = Terminal::run(&one.home.args(&["peers", "--watch"]), 80, 10);
    terminal.wait("an empty list", |screen| screen.contains("no peers"));
    one.kill();
    let screen = terminal.wait("the end", |screen| screen.contains("code 8"));
    assert!(screen.contains("before") && screen.contains("peerkit: "), "{screen}");
}

#[test]
fn a_script_gets_a_line_whenever_the_list_has_changed_until_it_interrupts() {
    let one = Node::start(json!({}));
    let other = Node::start(json!({}));
    let words = one.home.args(&["peers", "--watch", "--json"]);
    let mut child = command(&words).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(next()["pagination"]["total"], 0);
    assert_eq!(one.run(&["connect", &other.addresses[0]]).code, 0);
    while next()["peers"][0]["connected"] != true {}
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let code = eventually("the end", || child.try_wait().unwrap());
    assert_eq!(code.code(), Some(0));
}
