//! The signals that end a program which stays up: SIGINT and SIGTERM. The first one ends it in order, a second
//! one at once.

use std::io;

use peerkit::{Error, ErrorKind};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

/// The receiver of the first signal.
pub struct End {
    signals: Signals,
    came: bool,
}

/// Keeps the signals from killing the program, from here on.
pub fn wait_for_end() -> Result<End, Error> {
    listen().map(|signals| End { signals, came: false }).map_err(|error| {
        Error::new(ErrorKind::Unsupported, format!("signals can't be caught: {error}"))
    })
}

fn listen() -> io::Result<Signals> {
    let again = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag lowered and raises it.
        flag::register_conditional_shutdown(signal, 130, std::sync::Arc::clone(&again))?;
        flag::register(signal, std::sync::Arc::clone(&again))?;
    }
    Signals::new([SIGINT, SIGTERM])
}

impl End {
    /// Waits for the signal.
    pub fn wait(mut self) {
        self.signals.forever().next();
    }

    /// Tells whether the signal has come.
    pub fn came(&mut self) -> bool {
        self.came |= self.signals.pending().next().is_some();
        self.came
    }
}
