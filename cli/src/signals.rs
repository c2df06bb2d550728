//! The signals that end a program which stays up: SIGINT and SIGTERM. The first one ends it in order, a second
//! one at once.
//!
//! Whoever starts programs often sends a signal twice, to the program and to its group, or relays one that the terminal
//! has sent already (GNU timeout, npm, sudo): so a second one within a moment is the first. A signal that the starter
//! ignores, as a shell does for what runs in the background, stays ignored.

use std::io;
use std::time::{Duration, Instant};

use peerkit::{Error, ErrorKind};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::exit;
use tokio::sync::oneshot::{self, Receiver};

use crate::threads;

/// The time within which another signal says the same as the first.
const RELAYED: Duration = Duration::from_millis(500);
/// The exit code of a program that is ended at once.
const ENDED: i32 = 130;

/// The receiver of the first signal.
pub struct End {
    first: Receiver<()>,
    came: bool,
}

/// Keeps the signals from killing the program, from here on.
pub fn wait_for_end() -> Result<End, Error> {
    let signals = listen().map_err(|error| {
        Error::new(ErrorKind::Unsupported, format!("signals can't be caught: {error}"))
    })?;
    let (came, first) = oneshot::channel();
    threads::spawn("signals", move || watch(signals, came))?;
    Ok(End { first, came: false })
}

fn listen() -> io::Result<Signals> {
    let ignored = ignored();
    let is_ignored = |signal: i32| ignored & 1 << (signal - 1) != 0;
    Signals::new([SIGINT, SIGTERM].into_iter().filter(|signal| !is_ignored(*signal)))
}

/// Returns the signals that are ignored, a bit for each. Only Linux tells without code that isn't safe; elsewhere
/// none counts as ignored.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Tells of the first signal, and ends the program at a second one: the whole life of the thread.
fn watch(mut signals: Signals, came: oneshot::Sender<()>) {
    let mut came = Some(came);
    let mut first = None;
    for _ in signals.forever() {
        let first = *first.get_or_insert_with(Instant::now);
        match came.take() {
            Some(came) => drop(came.send(())),
            None if first.elapsed() >= RELAYED => exit(ENDED),
            None => {}
        }
    }
}

impl End {
    /// Waits for the signal.
    pub fn wait(self) {
        let _ = self.first.blocking_recv();
    }

    /// Waits for the signal, in a runtime.
    pub async fn arrival(self) {
        let _ = self.first.await;
    }

    /// Tells whether the signal has come.
    pub fn came(&mut self) -> bool {
        self.came |= self.first.try_recv().is_ok();
        self.came
    }
}
