//! The examples do what they say, against a live peer of another process.

use std::process::Command;

use serde_json::json;

use crate::contract::LISTEN;
use crate::peers::{GoPeer, Watch};
use crate::process::run;
use crate::toolchain::{library_dir, program, readme_program, repo, rust_example};

fn quickstart_meets(address: &str, agent: &str) {
    let printed = run(Command::new(program("examples/c/quickstart.c")).arg(address));
    for step in ["start", "connect", "list", "disconnect", "stop"] {
        assert!(printed.contains(&format!("\n{step}: done\n")), "no {step} in\n{printed}");
    }
    assert!(printed.contains(agent), "no {agent} in\n{printed}");
}

#[test]
fn the_c_quickstart_runs_against_a_go_peer() {
    let go = GoPeer::start(&["-agent", "go/1"]);
    quickstart_meets(&go.tcp(), "go/1");
    quickstart_meets(&go.quic(), "go/1");
}

#[test]
fn the_c_quickstart_runs_against_peerkit() {
    let watch = Watch::start(&[&LISTEN[..], &["--name", "watched"]].concat());
    quickstart_meets(&watch.tcp(), "watched");
    quickstart_meets(&watch.quic(), "watched");
    let printed = watch.stop();
    assert!(printed.contains("disconnected"), "{printed}");
}

#[test]
fn the_program_in_the_readme_compiles_and_connects() {
    let watch = Watch::start(&LISTEN);
    let printed = run(Command::new(readme_program()).arg(watch.tcp()));
    let successes = printed.lines().filter(|line| line.starts_with("{\"success\":true"));
    assert_eq!(successes.count(), 3, "{printed}");
}

#[test]
fn the_c_quickstart_says_what_it_needs_and_fails_when_a_step_does() {
    let quickstart = program("examples/c/quickstart.c");
    let usage = Command::new(&quickstart).output().expect("it runs");
    assert_eq!(usage.status.code(), Some(2));
    let nobody = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWB8sCGZCrwr79HtabLAn95qyPQx6RYHXjEbiD6QKou7ww";
    let failed = Command::new(&quickstart).arg(nobody).output().expect("it runs");
    assert_eq!(failed.status.code(), Some(1));
    let printed = String::from_utf8_lossy(&failed.stdout);
    assert!(printed.contains("connect: FAILED") && printed.contains("stop: done"), "{printed}");
}

/// Goes through all of `watch`'s commands with a peer that answers to `agent`.
pub(crate) fn watch_meets(mut watch: Watch, address: &str, id: &str, agent: &str) -> String {
    watch.talker.say(&format!("connect {address}"));
    watch.talker.wait_for(&format!("connect: {id} answered"));
    watch.talker.wait_for(&format!("connected: we called {id}"));
    watch.talker.wait_for(&format!("identified: {id} runs {agent}"));
    watch.talker.say(&format!("ping {id}"));
    watch.talker.wait_for(&format!("ping: {id} answered"));
    let row = watch.row(id);
    assert!(row.contains("connected") && row.contains(agent), "{row}");
    watch.talker.say("stats");
    watch.talker.wait_for("1 peers known, 1 connected");
    watch.talker.say(&format!("find {id}"));
    watch.talker.wait_for(&format!("find: {id} is at /"));
    watch.talker.say("discover");
    watch.talker.wait_for("discover: 0 peers we didn't know");
    watch.talker.say("subscribe news");
    watch.talker.wait_for("subscribe: we hear what is said on news");
    watch.talker.say("publish news hello");
    watch.talker.wait_for("publish failed: no connected peer subscribes to the topic");
    watch.talker.say(&format!("disconnect {id}"));
    watch.talker.wait_for("disconnect: done");
    watch.talker.wait_for(&format!("disconnected: {id}, because: local_request"));
    let row = watch.row(id);
    assert!(row.contains("away"), "{row}");
    watch.talker.say(&format!("connect {id}"));
    watch.talker.wait_for(&format!("connect: {id} answered"));
    watch.stop()
}

#[test]
fn watch_obeys_and_tells_what_happens_with_a_go_peer() {
    for transport in [GoPeer::tcp, GoPeer::quic] {
        let go = GoPeer::start(&["-agent", "go/1"]);
        watch_meets(Watch::start(&LISTEN), &transport(&go), &go.id, "go/1");
    }
}

#[test]
fn watch_remembers_a_peer_across_kill_9_and_reconnects_by_id() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let data_dir = dir.path().join("data").display().to_string();
    let args = [&LISTEN[..], &["--data-dir", &data_dir]].concat();
    let mut go = GoPeer::start(&[]);
    let mut watch = Watch::start(&args);
    let us = watch.id.clone();
    watch.talker.say(&format!("connect {}", go.tcp()));
    watch.talker.wait_for("connect: ");
    drop(watch); // kill -9
    go.ask(json!({"cmd": "wait-peer", "peer": us, "connected": false}));

    let mut watch = Watch::start(&args);
    assert_eq!(watch.id, us, "the identity is kept");
    assert!(watch.row(&go.id).contains("away"));
    watch.talker.say(&format!("connect {}", go.id));
    watch.talker.wait_for(&format!("connect: {} answered", go.id));
    go.ask(json!({"cmd": "wait-peer", "peer": us}));
    watch.stop();
}

#[test]
fn watch_calls_whom_it_is_told_of_and_hears_what_is_published() {
    let mut alice = Watch::start(&[&LISTEN[..], &["--name", "alice"]].concat());
    alice.talker.say("subscribe news");
    let bootstrap = [alice.tcp(), alice.quic()];
    let mut bob = Watch::start(
        &[&LISTEN[..], &["--bootstrap", &bootstrap[0], "--bootstrap", &bootstrap[1]]].concat(),
    );
    alice.talker.wait_for(&format!("discovered: {}, through its own call", bob.id));
    bob.talker.wait_for("identified: ");
    // Words, bytes that are no text, and quotes: a terminal is shown no control character.
    for (said, shown) in
        [("hello  \"you\"", "hello  \"you\""), ("\u{1b}[2J\u{9b}", "?[2J??"), ("", "")]
    {
        loop {
            bob.talker.say(&format!("publish news {said}"));
            if bob.talker.wait_for("publish").ends_with("publish: sent") {
                break;
            }
        }
        let line = alice.talker.wait_for("message: ");
        let expected = format!("alice | message: {} says on news: {shown}", bob.id);
        assert_eq!(line, expected);
    }
    bob.stop();
    alice.stop();
}

#[test]
fn watch_says_what_is_wrong_with_a_command_and_goes_on() {
    let mut watch = Watch::start(&LISTEN);
    watch.talker.say("dance");
    watch.talker.wait_for("commands: ");
    watch.talker.say("connect nobody");
    watch.talker.wait_for("connect failed: ");
    watch.stop();
}

#[test]
fn watch_stops_at_the_end_of_its_stdin() {
    let watch = Watch::start(&LISTEN);
    let printed = watch.talker.end();
    assert!(printed.ends_with("stopped"), "{printed}");
}

#[test]
fn the_rust_quickstart_runs_against_both_kinds_of_peer() {
    let go = GoPeer::start(&["-agent", "go/1", "-key", "rsa"]);
    let watch = Watch::start(&[&LISTEN[..], &["--name", "watched"]].concat());
    for (address, agent) in [(go.quic(), "go/1"), (go.tcp(), "go/1"), (watch.tcp(), "watched")] {
        let printed = run(Command::new(rust_example("quickstart")).arg(&address));
        assert!(printed.contains(agent) && printed.ends_with("stopped\n"), "{printed}");
    }
}

#[test]
fn the_demo_tells_its_story() {
    let mut demo = Command::new(repo("scripts/demo"));
    let story = run(demo.env("PEERKIT_LIB_DIR", library_dir()));
    assert!(story.contains("That was it: everything happened as it should"), "{story}");
    for line in [
        "carol | find: bob is at /ip4/127.0.0.1/tcp/",
        "carol | message: alice says on news: ",
        "carol | disconnected: alice, because: ",
        ", found through a connected peer",
    ] {
        assert!(story.contains(line), "no `{line}` in\n{story}");
    }
}
