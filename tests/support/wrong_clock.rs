//! A wall clock that is wrong for one peer, and that a test sets while the peer runs: a library preloaded into
//! its process (`shifted_clock.c`), made by the C compiler.

use std::fs;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::preload::compile;
use super::{Peer, loopback, program};

/// A clock that is wrong for the peers started by it.
pub struct WrongClock(TempDir);

impl WrongClock {
    /// Makes one that is ahead of the machine's by this many seconds, or behind.
    pub fn ahead_by(seconds: i64) -> WrongClock {
        let dir = TempDir::new().unwrap();
        compile("shifted_clock", dir.path());
        let clock = WrongClock(dir);
        clock.set(seconds);
        clock
    }

    /// Sets it: this many seconds ahead of the machine's; zero is right.
    pub fn set(&self, seconds: i64) {
        let path = self.0.path().join("shift");
        // Overwrites what the peers have mapped: to make the file anew would leave them with the old one.
        let file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let micros = (seconds * 1_000_000).to_ne_bytes();
        std::os::unix::fs::FileExt::write_all_at(&file.unwrap(), &micros, 0).unwrap();
    }

    /// Starts a manager that goes by it, as [`Peer::with`] does.
    #[track_caller]
    pub fn peer(&self, config: Value) -> Peer {
        let mut command = Command::new(program());
        command.env("LD_PRELOAD", self.0.path().join("shifted_clock.so"));
        command.env("PEERKIT_TEST_CLOCK", self.0.path().join("shift"));
        let started = Peer::spawn(command.arg("peerkit").arg(loopback(config).to_string()));
        started.unwrap_or_else(|failure| panic!("the peer doesn't start: {failure}"))
    }
}
