//! `peerkit` as a person or a script runs it: a command, and what came of it.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::process::{Home, PEERKIT, Running};

/// The time that something which is waited for may take.
pub const PLENTY: Duration = Duration::from_secs(30);

/// The outcome of a command.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// The one line of JSON that it printed.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.out.lines().count(), 1, "{self:?}");
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A command with nothing in its environment that would change what it shows.
pub fn command(args: &[impl AsRef<std::ffi::OsStr>]) -> Command {
    let mut command = Command::new(PEERKIT);
    command.args(args).stdin(Stdio::null());
    for name in ["COLUMNS", "LINES", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "PEERKIT_DATA_DIR"] {
        command.env_remove(name);
    }
    command
}

/// Runs it to its end.
pub fn run(args: &[impl AsRef<std::ffi::OsStr>]) -> Ran {
    let output = command(args).output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A node that `peerkit run` keeps up.
pub struct Node {
    pub home: Home,
    pub id: String,
    pub addresses: Vec<String>,
    running: Option<Running>,
}

impl Node {
    /// One that listens on one TCP address of loopback, with further keys of the configuration.
    pub fn start(more: Value) -> Node {
        let home = Home::new();
        let mut config =
            serde_json::json!({ "profile": "offline", "listen": ["/ip4/127.0.0.1/tcp/0"] });
        let keys = more.as_object().cloned().unwrap_or_default();
        config.as_object_mut().unwrap().extend(keys);
        std::fs::write(home.path().join("config.json"), config.to_string()).unwrap();
        let running = Running::start(&home.args(&["run", "--json"]));
        let status = &running.first_line;
        let addresses = status["listen_addrs"].as_array().unwrap();
        let addresses = addresses.iter().map(|address| address.as_str().unwrap().to_owned());
        let (id, addresses) = (status["peer_id"].as_str().unwrap().to_owned(), addresses.collect());
        Node { home, id, addresses, running: Some(running) }
    }

    /// Runs a command on it.
    pub fn run(&self, words: &[&str]) -> Ran {
        run(&self.home.args(words))
    }

    /// The same with something on its standard input.
    pub fn run_with(&self, words: &[&str], input: &[u8]) -> Ran {
        let mut command = command(&self.home.args(words));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        Ran {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Ends its process, as `kill -9` would.
    pub fn kill(&mut self) {
        drop(self.running.take());
    }
}

/// Waits until something is so.
#[track_caller]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PLENTY;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what}: not within {PLENTY:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
