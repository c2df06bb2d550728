//! The process's one manager: the slot that holds it, and start, current and stop.
//!
//! `SLOT` is the only global of peerkit beside the fork stamp (`os`) and the table of handles
//! (`ffi`). Any number of threads may start at once: the first makes the slot `Starting` and does
//! the work, the others wait for what becomes of it.

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
use crate::worker::command::dead;

struct Slot {
    occupant: Mutex<Occupant>,
    changed: Condvar,
}

enum Occupant {
    Nobody,
    Starting,
    Run(Arc<Run>),
}

static SLOT: OnceLock<Slot> = OnceLock::new();

fn slot() -> &'static Slot {
    SLOT.get_or_init(|| Slot { occupant: Mutex::new(Occupant::Nobody), changed: Condvar::new() })
}

/// Refuses a call in a forked child or from a thread of our own. First of all in every call: in a
/// forked child a lock may be held by a thread that doesn't exist.
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

/// What a start found or made.
pub(crate) struct Start {
    pub run: Arc<Run>,
    pub already_running: bool,
}

/// Gives this process's manager, starting it where none runs.
pub(crate) fn start(config: &Config, deadline: Instant) -> Result<Start> {
    check_caller()?;
    os::ForkStamp::set();
    let slot = slot();
    let mut occupant = slot.occupant.lock();
    loop {
        match &*occupant {
            Occupant::Nobody => {
                *occupant = Occupant::Starting;
                drop(occupant);
                return start_anew(config, deadline);
            }
            Occupant::Run(run) => match run.state() {
                State::Running => return join(run, config),
                State::Dead => return Err(dead()),
                // Stopped, its thread is about to free the slot.
                State::Stopping | State::Stopped => {}
            },
            Occupant::Starting => {}
        }
        if slot.changed.wait_until(&mut occupant, deadline).timed_out() {
            return Err(timed_out("another start or stop is still under way"));
        }
    }
}

fn join(run: &Arc<Run>, config: &Config) -> Result<Start> {
    let conflicts = run.settings.conflicts(config, &run.peer_id)?;
    if conflicts.is_empty() {
        return Ok(Start { run: Arc::clone(run), already_running: true });
    }
    let message = format!("peerkit already runs with other values for: {}", conflicts.join(", "));
    Err(Error::new(ErrorKind::ConfigConflict, message).with("keys", conflicts))
}

fn start_anew(config: &Config, deadline: Instant) -> Result<Start> {
    let (ready, outcome) = bounded(0);
    let host = Host { started: occupy, ready, ended: free };
    run::spawn(Handles::next(Kind::Run), config.clone(), host).inspect_err(|_| free())?;
    match outcome.recv_deadline(deadline) {
        Ok(Ok(run)) => Ok(Start { run, already_running: false }),
        Ok(Err(error)) => Err(error),
        // With the receiver gone, the thread gives up as soon as it would be ready.
        Err(RecvTimeoutError::Timeout) => Err(timed_out("peerkit did not start in time")),
        Err(RecvTimeoutError::Disconnected) => {
            Err(Error::new(ErrorKind::Panic, "peerkit panicked while starting"))
        }
    }
}

/// Called by a run's thread when the run is up.
fn occupy(run: &Arc<Run>) {
    let slot = slot();
    *slot.occupant.lock() = Occupant::Run(Arc::clone(run));
    slot.changed.notify_all();
}

/// Called at the very end of a run's thread. A dead run stays, until it is stopped.
fn free() {
    let slot = slot();
    let mut occupant = slot.occupant.lock();
    let stays = matches!(&*occupant, Occupant::Run(run) if run.state() == State::Dead);
    if !stays {
        *occupant = Occupant::Nobody;
    }
    slot.changed.notify_all();
}

/// The running manager.
pub(crate) fn current() -> Result<Arc<Run>> {
    check_caller()?;
    let slot = slot();
    match &*slot.occupant.lock() {
        Occupant::Run(run) => match run.state() {
            State::Dead => Err(dead()),
            State::Stopped => Err(not_running()),
            State::Running | State::Stopping => Ok(Arc::clone(run)),
        },
        Occupant::Nobody | Occupant::Starting => Err(not_running()),
    }
}

/// The run of a handle, if it is the present one; `invalid_handle` for any other.
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
            bury(run);
            Ok(false)
        }
        State::Stopped => wait_until_free(run, deadline).map(|()| false),
    }
}

fn bury(run: &Run) {
    run.bury();
    let slot = slot();
    let mut occupant = slot.occupant.lock();
    if matches!(&*occupant, Occupant::Run(other) if other.handle == run.handle) {
        *occupant = Occupant::Nobody;
    }
    slot.changed.notify_all();
}

/// The thread's last act comes after its run is `Stopped`; a stop that has returned means that
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
