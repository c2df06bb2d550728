//! Signals as starters send them: twice in a moment, or ignored.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::support::http::{LIMIT, Server, wait_for};
use crate::support::process::{Home, PEERKIT};

/// Starts a command by a shell, whose words come before it, and waits until the node is up.
fn start(home: &Home, shell: &str, command: &[&str]) -> Child {
    let script = format!("{shell} exec \"$0\" \"$@\"");
    let child = Command::new("sh")
        .args(["-c", &script, PEERKIT])
        .args(home.args(command))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the node", || home.data_dir().join("control.sock").exists());
    child
}

fn signal(child: &Child, signals: &[&str]) {
    let each = signals.iter().map(|signal| format!("kill {signal} {};", child.id()));
    // A shell's own kill: the signals are sent within a millisecond.
    assert!(Command::new("sh").arg("-c").arg(each.collect::<String>()).status().unwrap().success());
}

fn ended(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < deadline, "it doesn't end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn left_behind(home: &Home) -> bool {
    home.data_dir().join("control.sock").exists()
}

#[test]
fn a_signal_that_comes_twice_in_a_moment_is_one_and_the_end_is_in_order() {
    for command in [&["run"][..], &["serve", "--http", "127.0.0.1:0"], &["mcp"]] {
        for signals in [&["-TERM", "-TERM"][..], &["-INT", "-TERM", "-INT"]] {
            let home = Home::new();
            let mut child = start(&home, "", command);
            signal(&child, signals);
            let status = ended(&mut child);
            assert_eq!(status.code(), Some(0), "{command:?} {signals:?}: {status}");
            assert!(!left_behind(&home), "{command:?} {signals:?}");
        }
    }
}

#[test]
fn gnu_timeout_ends_it_in_order() {
    let home = Home::new();
    let status = Command::new("timeout")
        .args(["--preserve-status", "2", PEERKIT])
        .args(home.args(&["run"]))
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(!left_behind(&home));
}

#[test]
fn a_second_signal_later_ends_it_at_once() {
    let mut server = Server::start(&[]);
    // A request whose body doesn't come keeps the server for its grace.
    let mut half = server.client();
    let head = format!("POST /api/call/status HTTP/1.1\r\nhost: {}\r\n", server.authority());
    half.send(&(head + "content-length: 10\r\n\r\n"));
    // Answered behind it, so it has been taken up.
    server.get("/healthz").with_status(200);
    server.signal("-TERM");
    std::thread::sleep(Duration::from_millis(600));
    server.signal("-TERM");
    assert_eq!(server.ended(), Some(130));
}

#[test]
fn a_signal_that_the_starter_ignores_stays_ignored() {
    for (ignored, other) in [("INT", "-TERM"), ("TERM", "-INT")] {
        let home = Home::new();
        let mut child = start(&home, &format!("trap '' {ignored};"), &["run"]);
        let mask = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let mask = mask.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim();
        let bit = 1 << (if ignored == "INT" { 2 } else { 15 } - 1);
        assert!(u64::from_str_radix(mask, 16).unwrap() & bit != 0, "{ignored} is taken over");
        signal(&child, &[&format!("-{ignored}")]);
        std::thread::sleep(Duration::from_millis(300));
        assert!(child.try_wait().unwrap().is_none(), "{ignored} ended it");
        signal(&child, &[other]);
        let status = ended(&mut child);
        assert_eq!((status.code(), status.signal()), (Some(0), None), "{ignored}");
        assert!(!left_behind(&home));
    }
}
