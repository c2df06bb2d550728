//! A lack of threads is told to whoever needed one: a start fails for it, a request is refused, and the rest goes on.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::http::{Server, wait_for};
use crate::support::process::{Home, PEERKIT};
use crate::support::shortage::Shortage;
use crate::support::threads::{listed, names, of_process};

/// The exit code of `limit_reached`.
const LIMIT_REACHED: Option<i32> = Some(6);
/// More threads than any of the commands makes at its start.
const THREADS: std::ops::RangeInclusive<usize> = 1..=20;

#[test]
fn a_request_without_a_thread_is_refused_and_those_that_have_one_are_served() {
    let shortage = Shortage::new();
    let server = Server::by(shortage.of(&mut Command::new(PEERKIT)), Home::new(), &[]);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("/ip4/127.0.0.1/tcp/{}", silent.local_addr().unwrap().port());
    let connect = json!({ "multiaddr": address }).to_string();
    let target = "/api/call/connect_peer?timeout_ms=60000";
    shortage.begin();
    // The two threads that were made at the start are still there.
    server.get("/api/peers/list").with_status(200);
    let mut waiting: Vec<_> = (0..2).map(|_| server.client()).collect();
    for client in &mut waiting {
        client.ask("POST", target, &connect);
    }
    let _dialled = silent.accept().unwrap();
    wait_for("both to wait", || server.get("/api/peers/list").status == 503);
    for read in ["/api/peers/list", "/metrics", "/api/events"] {
        let answer = server.get(read);
        assert_eq!(answer.refused(503), "limit_reached", "{read}");
        assert_eq!(answer.json()["retryable"], true);
    }
    assert_eq!(server.post("/api/call/discover_peers", "").refused(503), "limit_reached");
    assert_eq!(server.get("/healthz").status, 503);
    // Cancels its call, for which there is no thread either.
    drop(waiting.pop());
    wait_for("the call's end", || server.get("/api/peers/list").status == 200);
    assert_eq!(server.get("/api/events").refused(503), "limit_reached");
    shortage.end();
    server.client().events("/api/events").await_named("opened");
}

#[test]
fn the_threads_of_a_server_are_those_of_the_page() {
    let server = Server::start(&[]);
    let [node, program] = ["thread", "thread of the program"].map(listed);
    assert!(program.iter().all(|row| !row.last.is_empty()), "it says what each does");
    let page: BTreeSet<String> = names(&node).union(&names(&program)).cloned().collect();
    let mut stream = server.client().events("/api/events");
    stream.await_named("opened");
    let is_new = |name: &String| !page.contains(name);
    for _ in 0..20 {
        server.get("/api/peers/list").with_status(200);
        server.post("/api/call/discover_peers", "");
        let threads = of_process(server.pid());
        let unlisted: Vec<_> = threads.iter().filter(|name| is_new(name)).collect();
        assert!(unlisted.is_empty(), "{unlisted:?}");
        for expected in ["events", "call", "keeper", "signals", "tokio-rt-worker", "peerkit"] {
            assert!(threads.contains(expected), "{expected} of {threads:?}");
        }
    }
}

/// Runs a command once for each thread that it may lack, and checks that it ends in good order.
fn each_start(command: &[&str], ends_well: impl Fn(usize, &Output)) {
    let shortage = Shortage::new();
    for nth in THREADS {
        let home = Home::new();
        let mut peerkit = Command::new("timeout");
        // It lives until the signal: the thread that is lacking may be one that is missed later.
        peerkit
            .args(["--preserve-status", "--signal=INT", "--kill-after=20", "2", PEERKIT])
            .args(home.args(command));
        let output = shortage.of_nth(&mut peerkit, nth).stdin(Stdio::null()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        // A lack of a thread of tokio's right after the trial is a panic, which is caught.
        let caught = told.contains("OS can't spawn worker thread");
        assert!(caught || !told.contains("panicked at cli"), "{nth}: {told}");
        assert!(
            [Some(0), LIMIT_REACHED].contains(&output.status.code()),
            "{nth}: {}\n{told}",
            output.status
        );
        ends_well(nth, &output);
    }
}

fn first_line(output: &Output) -> Value {
    let printed = String::from_utf8_lossy(&output.stdout);
    printed.lines().next().map_or(Value::Null, |line| serde_json::from_str(line).unwrap())
}

#[test]
fn a_server_that_lacks_a_thread_for_its_start_says_so() {
    each_start(&["serve", "--json", "--http", "127.0.0.1:0"], |nth, output| {
        let line = first_line(output);
        let failed = output.status.code() == LIMIT_REACHED;
        // A server whose node lacked one is there and says so.
        let code = line.get("code").map_or("none", |code| code.as_str().unwrap());
        assert!(["none", "limit_reached"].contains(&code), "{nth}: {line}");
        assert!(!failed || code == "limit_reached", "{nth}: {line}");
    });
}

#[test]
fn an_mcp_server_that_lacks_a_thread_for_its_start_says_so() {
    each_start(&["mcp"], |nth, output| {
        let told = String::from_utf8_lossy(&output.stderr);
        let failed = output.status.code() == LIMIT_REACHED;
        assert!(!failed || told.contains("no thread to be had"), "{nth}: {told}");
    });
}

#[test]
fn a_node_in_the_foreground_that_lacks_a_thread_for_its_start_says_so() {
    each_start(&["run", "--json"], |nth, output| {
        let line = first_line(output);
        let code = line.get("code").map_or("none", |code| code.as_str().unwrap());
        assert!(["none", "limit_reached"].contains(&code), "{nth}: {line}");
    });
}
