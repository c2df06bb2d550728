//! The signals that end a program which stays up: SIGINT and SIGTERM. The first one ends it in order, a second
//! one at once.

use peerkit::{Error, ErrorKind};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::exit;
use tokio::sync::oneshot::{self, Receiver};

use crate::threads;

/// The exit code of a program that is ended at once.
const ENDED: i32 = 130;

/// The receiver of the first signal.
pub struct End {
    first: Receiver<()>,
    came: bool,
}

/// Keeps the signals from killing the program, from here on.
pub fn wait_for_end() -> Result<End, Error> {
    let signals = Signals::new([SIGINT, SIGTERM]).map_err(|error| {
        Error::new(ErrorKind::Unsupported, format!("signals can't be caught: {error}"))
    })?;
    let (came, first) = oneshot::channel();
    threads::spawn("signals", move || watch(signals, came))?;
    Ok(End { first, came: false })
}

/// Tells of the first signal, and ends the program at a second one: the whole life of the thread.
fn watch(mut signals: Signals, came: oneshot::Sender<()>) {
    let mut came = Some(came);
    for _ in signals.forever() {
        match came.take() {
            Some(came) => drop(came.send(())),
            None => exit(ENDED),
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
