//! A line on standard error, where that is a terminal, that tells what is waited for and since when.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::escape::escape;
use super::table::fit;

const FRAMES: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const STEP: Duration = Duration::from_millis(100);
/// The time within which no line is needed.
const QUICK: Duration = Duration::from_millis(300);

/// The line; it is gone when this is dropped.
pub struct Progress(Option<(Sender<()>, JoinHandle<()>)>);

impl Progress {
    /// Begins to tell of something, where anybody looks.
    pub fn of(what: &str, json: bool) -> Self {
        if json || !io::stderr().is_terminal() {
            return Progress(None);
        }
        let what = escape(what).into_owned();
        let (end, ended) = channel::<()>();
        let draw = move || {
            let began = Instant::now();
            let mut wait = QUICK;
            let mut drawn = false;
            while ended.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                let frame = FRAMES[began.elapsed().as_millis() as usize / 100 % FRAMES.len()];
                let seconds = began.elapsed().as_secs();
                let width = terminal_size::terminal_size_of(io::stderr());
                let width = width.map_or(80, |(width, _)| usize::from(width.0)).saturating_sub(1);
                let line = fit(&format!("{frame} {what} {seconds} s"), width);
                let _ = write!(io::stderr(), "\r{line}\x1b[K");
                wait = STEP;
                drawn = true;
            }
            if drawn {
                let _ = write!(io::stderr(), "\r\x1b[K");
            }
        };
        let thread = thread::Builder::new().name("progress".into()).spawn(draw);
        Progress(thread.ok().map(|thread| (end, thread)))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.0.take() {
            drop(end);
            let _ = thread.join();
        }
    }
}
