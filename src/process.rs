//! The process's one manager: the slot that holds it, and start, current and stop.
//!
//! `SLOT` is the only global of peerkit beside the fork stamp (`os`), the counter of handles (`handle`)
//! and C's table of event subscriptions (`ffi`). Any number of threads may start at once: the first
//! makes the slot `Starting` and does the work, the others wait for its outcome.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crossbeam_channel::{RecvTimeoutError, bounded};
use parking_lot::{Condvar, Mutex};

use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::handle::{Handles, Kind};
use crate::model::reply::State;
use crate::os;
use crate::run::{self, Host, Run};
use crate::worker::dead;

struct Slot {
    occupant: Mutex<Occupant>,
    changed: Condvar,
}

enum Occupant {
    Nobody,
    /// The run with this handle is on its way; once abandoned, it ends instead of serving.
    Starting {
        handle: u64,
        abandoned: bool,
    },
    Run(Arc<Run>),
}

static SLOT: OnceLock<Slot> = OnceLock::new();

fn slot() -> &'static Slot {
    SLOT.get_or_init(|| Slot { occupant: Mutex::new(Occupant::Nobody), changed: Condvar::new() })
}

/// Refuses a call in a forked child or from a thread of our own. Comes first in every call: in a forked
/// child a lock may be held by a thread that doesn't exist.
pub(crate) fn check_caller() -> Result<()> {
    if os::ForkStamp::forked() {
        return Err(Error::new(
            ErrorKind::Forked,
            "this process is a forked child of the one that started peerkit",
        ));
    }
    if os::on_our_thread() {
        return Err(Error::new(
            ErrorKind::Reentrant,
            "a thread of peerkit's own called into peerkit",
        ));
    }
    Ok(())
}

/// The run that a start found or made.
pub(crate) struct Start {
    pub run: Arc<Run>,
    pub already_running: bool,
}

/// Returns this process's manager, starting it where none runs.
pub(crate) fn start(config: &Config, deadline: Instant) -> Result<Start> {
    check_caller()?;
    os::ForkStamp::set();
    let slot = slot();
    let mut occupant = slot.occupant.lock();
    loop {
        match &*occupant {
            Occupant::Nobody => {
                let handle = Handles::next(Kind::Run);
                *occupant = Occupant::Starting { handle, abandoned: false };
                drop(occupant);
                return start_anew(handle, config, deadline);
            }
            Occupant::Run(run) => match run.state() {
                State::Running => {
                    let run = Arc::clone(run);
                    // Comparing may read key files, and every call takes this lock.
                    drop(occupant);
                    return join(run, config);
                }
                State::Dead => return Err(dead()),
                // Stopped, its thread is about to free the slot.
                State::Stopping | State::Stopped => {}
            },
            Occupant::Starting { .. } => {}
        }
        if slot.changed.wait_until(&mut occupant, deadline).timed_out() {
            return Err(timed_out("another start or stop is still under way"));
        }
    }
}

fn join(run: Arc<Run>, config: &Config) -> Result<Start> {
    let conflicts = run.shared.settings.conflicts(config, &run.shared.peer_id)?;
    if conflicts.is_empty() {
        return Ok(Start { run, already_running: true });
    }
    let message = format!("peerkit already runs with other values for: {}", conflicts.join(", "));
    Err(Error::new(ErrorKind::ConfigConflict, message).with("keys", conflicts))
}

fn start_anew(handle: u64, config: &Config, deadline: Instant) -> Result<Start> {
    let (ready, outcome) = bounded(1);
    let host = Host { handle, ready, started: occupy, ended: free };
    run::spawn(config.clone(), host).inspect_err(|_| free(handle))?;
    let run = match outcome.recv_deadline(deadline) {
        Ok(outcome) => outcome?,
        Err(RecvTimeoutError::Timeout) => abandon(handle)?,
        Err(RecvTimeoutError::Disconnected) => {
            return Err(Error::new(ErrorKind::Panic, "peerkit panicked while starting"));
        }
    };
    Ok(Start { run, already_running: false })
}

/// Puts a run that is up in the slot; called by its thread. False where nobody waits for it any more.
fn occupy(run: &Arc<Run>) -> bool {
    let slot = slot();
    let mut occupant = slot.occupant.lock();
    let wanted = matches!(*occupant, Occupant::Starting { handle, abandoned: false } if handle == run.handle);
    if wanted {
        *occupant = Occupant::Run(Arc::clone(run));
        slot.changed.notify_all();
    }
    wanted
}

/// Gives up a start that took too long, unless it has come about at this very moment.
fn abandon(handle: u64) -> Result<Arc<Run>> {
    let mut occupant = slot().occupant.lock();
    match &mut *occupant {
        Occupant::Run(run) if run.handle == handle => return Ok(Arc::clone(run)),
        Occupant::Starting { handle: starting, abandoned } if *starting == handle => {
            *abandoned = true;
        }
        _ => {}
    }
    Err(timed_out("peerkit did not start in time"))
}

/// Empties the slot at the very end of a run's thread. A dead run stays, until it is stopped.
fn free(handle: u64) {
    let slot = slot();
    let mut occupant = slot.occupant.lock();
    let over = match &*occupant {
        Occupant::Nobody => false,
        Occupant::Starting { handle: starting, .. } => *starting == handle,
        Occupant::Run(run) => run.handle == handle && run.state() != State::Dead,
    };
    if over {
        *occupant = Occupant::Nobody;
    }
    slot.changed.notify_all();
}

/// Returns the running manager.
pub(crate) fn current() -> Result<Arc<Run>> {
    check_caller()?;
    let slot = slot();
    match &*slot.occupant.lock() {
        Occupant::Run(run) => match run.state() {
            State::Dead => Err(dead()),
            State::Stopped => Err(not_running()),
            State::Running | State::Stopping => Ok(Arc::clone(run)),
        },
        Occupant::Nobody | Occupant::Starting { .. } => Err(not_running()),
    }
}

/// Returns the run of a handle, if it is the present one; `invalid_handle` for any other.
pub(crate) fn find(handle: u64) -> Result<Arc<Run>> {
    check_caller()?;
    match &*slot().occupant.lock() {
        Occupant::Run(run) if run.handle == handle => Ok(Arc::clone(run)),
        _ => Err(Error::new(ErrorKind::InvalidHandle, "the handle is of no running manager")),
    }
}

/// Ends a run. True where it had ended before.
pub(crate) fn stop(run: &Run, deadline: Instant) -> Result<bool> {
    check_caller()?;
    if run.state() == State::Stopped {
        return Ok(true);
    }
    match run.stop(deadline) {
        State::Stopping => Err(timed_out("peerkit did not stop in time; it is still stopping")
            .with("state", "stopping")),
        State::Running => Err(timed_out("peerkit did not take the stop in time")),
        State::Dead => {
            clear_dead(run);
            Ok(false)
        }
        State::Stopped => wait_until_free(run, deadline).map(|()| false),
    }
}

fn clear_dead(run: &Run) {
    run.clear_dead();
    let slot = slot();
    let mut occupant = slot.occupant.lock();
    if matches!(&*occupant, Occupant::Run(other) if other.handle == run.handle) {
        *occupant = Occupant::Nobody;
    }
    slot.changed.notify_all();
}

/// Waits for the thread's last act, which comes after its run is `Stopped`: once a stop has returned,
/// the thread's resources are free too.
fn wait_until_free(run: &Run, deadline: Instant) -> Result<()> {
    let slot = slot();
    let mut occupant = slot.occupant.lock();
    while matches!(&*occupant, Occupant::Run(other) if other.handle == run.handle) {
        if slot.changed.wait_until(&mut occupant, deadline).timed_out() {
            return Err(timed_out("peerkit did not stop in time").with("state", "stopping"));
        }
    }
    Ok(())
}

fn not_running() -> Error {
    Error::new(ErrorKind::NotRunning, "no manager runs in this process")
}

fn timed_out(message: &str) -> Error {
    Error::new(ErrorKind::Timeout, message)
}
