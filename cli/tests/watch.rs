//! `peers --watch`, in a terminal.

use serde_json::json;

use crate::support::program::Node;
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
