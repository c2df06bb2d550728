//! Processes of `peerkit`, each in a directory of its own that goes away with it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Once};

use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_shutdown;
use tempfile::TempDir;

/// The program.
pub const PEERKIT: &str = env!("CARGO_BIN_EXE_peerkit");

/// A directory for one node that stays on loopback.
pub struct Home(TempDir);

impl Home {
    pub fn new() -> Self {
        Self::with(json!({}))
    }

    /// With further configuration keys.
    pub fn with(mut config: Value) -> Self {
        heed_signals();
        let dir = tempfile::tempdir().unwrap();
        config["profile"] = "offline".into();
        std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
        Home(dir)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The node's directory.
    pub fn data_dir(&self) -> PathBuf {
        self.path().join("data")
    }

    /// The arguments that name the node, for a subcommand.
    pub fn args(&self, command: &[&str]) -> Vec<String> {
        let config = self.path().join("config.json").display().to_string();
        let data_dir = self.data_dir().display().to_string();
        let all = command.iter().map(|arg| (*arg).to_owned());
        all.chain(["--data-dir".into(), data_dir, "--config".into(), config]).collect()
    }
}

/// A program that stays up and has printed one line of JSON. It is killed at the end.
pub struct Running {
    pub first_line: Value,
    child: Child,
    home: Option<Home>,
}

impl Running {
    /// Starts `peerkit run` in a home of its own.
    pub fn node() -> Self {
        Self::start_in(Home::new(), &["run", "--json"])
    }

    /// Starts a command in a home that goes away with it.
    pub fn start_in(home: Home, command: &[&str]) -> Self {
        let mut running = Self::start(&home.args(command));
        running.home = Some(home);
        running
    }

    /// Starts `peerkit` and waits for its first line.
    pub fn start(args: &[String]) -> Self {
        let mut child = Command::new(PEERKIT)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let first_line = serde_json::from_str(&line).unwrap_or_else(|error| {
            let _ = child.kill();
            panic!("{args:?} printed {line:?}: {error}")
        });
        Running { first_line, child, home: None }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Its directory goes after it.
        drop(self.home.take());
    }
}

/// Has the programs that tests start heed signals: a shell that runs the tests in the background ignores SIGINT for
/// them, and an ignored signal is inherited. One that has a handler here is at its default there.
fn heed_signals() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for signal in [SIGINT, SIGTERM] {
            let always = Arc::new(AtomicBool::new(true));
            register_conditional_shutdown(signal, 1, always).unwrap();
        }
    });
}
