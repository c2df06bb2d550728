//! `PeerManager`: the blocking facade. A few lines for each operation: check the caller, check
//! the parameters, read the book or ask the worker, shape the reply.
//!
//! Here are the life of the manager and the way to the worker; `read` holds the operations that
//! answer from memory (`metrics` the one that answers for machines), `act` those about one peer, `discover`,
//! `daemons`, `lookup`, `content` and `pubsub` the others that wait; `subscription` is the user's side of events.

mod act;
mod check;
#[cfg(feature = "dht")]
mod content;
#[cfg(feature = "daemons")]
mod daemons;
mod discover;
mod lookup;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "gossip")]
mod pubsub;
pub(crate) mod read;
mod subscription;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

pub(crate) use self::check::check_timeout;
use self::check::deadline;
pub use self::subscription::{EventIter, Events};
use crate::book::Record;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::model::params::EventsOptions;
use crate::model::reply::{Cancelled, State, Status, Stopped};
use crate::run::Run;
use crate::worker::{Command, Reply, Terms, dead};
use crate::{PeerId, process};

/// The time after its deadline for which a call waits for the worker's own word on what happened. The
/// worker ends calls at their deadlines; only a stalled one is later than this.
const WORKER_GRACE: Duration = Duration::from_millis(500);

/// This process's peer manager. A cheap handle: clones are the same manager, and dropping one
/// does nothing; only [`stop`](Self::stop) stops.
///
/// Any number of threads may call it. Methods that read answer at once, from memory.
///
/// # Timeouts
/// Methods that touch the network or the disk block the calling thread, for at most about as long as
/// their `timeout` says: a [`Duration`] of up to [`MAX_TIMEOUT`](crate::MAX_TIMEOUT), or `None` for the
/// configured default (30 s). What was not answered by then fails with
/// [`timeout`](ErrorKind::Timeout), a connect with [`dial_timeout`](ErrorKind::DialTimeout); a search
/// answers with what it has found.
///
/// [`Duration::ZERO`] is a timeout like any other: what can be said at once is answered, and a call that
/// would have to wait fails.
///
/// # Errors
/// Each method names those of its own. Beside them, each may fail with `invalid_handle` (this manager was
/// stopped), `dead` (it has panicked), `forked` or `reentrant`, and with `invalid_argument`, `invalid_peer_id`
/// or `invalid_multiaddr` for what it is given; those that wait also with `timeout`, `busy`, `cancelled` (by
/// their `cancel_token`) and `closed` (the manager was stopped meanwhile); those that write to the data directory
/// with `storage`.
#[derive(Clone)]
pub struct PeerManager {
    run: Arc<Run>,
}

impl std::fmt::Debug for PeerManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeerManager")
            .field("peer_id", &self.run.shared.peer_text)
            .field("state", &self.run.state())
            .finish()
    }
}

impl PeerManager {
    /// Starts this process's manager, or returns the one that runs. Blocks until it listens.
    ///
    /// # Errors
    /// If one runs already: `config_conflict`, if it has other values for keys that `config` names;
    /// `detail.keys` tells which. If none can be started: `config_invalid` or `unsupported` of a key
    /// (`detail.key`), `listen_failed`, `identity` of the private key, and of the data directory `storage`,
    /// `storage_corrupt`, `storage_version` or `data_dir_locked`, if another process has it
    /// (`detail.pid`). `limit_reached`: the system has no thread or descriptor left. `timeout`: it would have gone on,
    /// and is given up. `dead`: one runs that has
    /// panicked, and has to be stopped first.
    ///
    /// ```
    /// # fn main() -> peerkit::Result<()> {
    /// use std::time::Duration;
    /// use peerkit::{Config, PeerManager, Profile};
    ///
    /// let config = Config::new().profile(Profile::Offline);
    /// let manager = PeerManager::start(&config, Duration::from_secs(10))?;
    /// println!("{} at {:?}", manager.peer_id(), manager.status()?.listen_addrs);
    /// manager.stop(Duration::from_secs(10))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn start(config: &Config, timeout: impl Into<Option<Duration>>) -> Result<Self> {
        Self::start_or_join(config, timeout).map(|(manager, _)| manager)
    }

    /// Starts or joins as [`start`](Self::start) does; tells also whether the manager ran before.
    ///
    /// # Errors
    /// Those of [`start`](Self::start).
    ///
    /// ```
    /// # use peerkit::{Config, PeerManager, Profile};
    /// let config = Config::new().profile(Profile::Offline);
    /// let (manager, ran_before) = PeerManager::start_or_join(&config, None)?;
    /// let (same, runs) = PeerManager::start_or_join(&config, None)?;
    /// assert_eq!((ran_before, runs), (false, true));
    /// assert_eq!(manager.handle(), same.handle());
    /// # manager.stop(None)?;
    /// # Ok::<(), peerkit::Error>(())
    /// ```
    pub fn start_or_join(
        config: &Config,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<(Self, bool)> {
        let started = process::start(config, deadline(timeout.into(), config.start_timeout())?)?;
        Ok((PeerManager { run: started.run }, started.already_running))
    }

    /// Returns this process's manager, whoever started it: in Rust, or in C.
    ///
    /// # Errors
    /// `not_running` where there is none, `dead` where it has panicked.
    ///
    /// ```
    /// use peerkit::{ErrorKind, PeerManager};
    ///
    /// let error = PeerManager::current().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NotRunning);
    /// ```
    pub fn current() -> Result<Self> {
        Ok(PeerManager { run: process::current()? })
    }

    pub(crate) fn of_handle(handle: u64) -> Result<Self> {
        Ok(PeerManager { run: process::find(handle)? })
    }

    #[cfg(unix)]
    pub(crate) fn of_run(run: &Arc<Run>) -> Self {
        PeerManager { run: Arc::clone(run) }
    }

    /// Returns the number by which C knows this run, `peerkit_t`. Every start has its own.
    #[must_use]
    pub fn handle(&self) -> u64 {
        self.run.handle
    }

    /// Returns this node's id.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.run.shared.peer_id
    }

    /// Stops the manager: ends calls in flight with `closed`, closes connections, writes what was
    /// observed, gives the data directory back. True in `already_stopped` where it had stopped
    /// before.
    ///
    /// # Errors
    /// `timeout`: it goes on stopping.
    ///
    /// ```
    /// # use peerkit::{Config, PeerManager, Profile};
    /// # let manager = PeerManager::start(&Config::new().profile(Profile::Offline), None)?;
    /// let stopped = manager.stop(None)?;
    /// assert!(!stopped.already_stopped);
    /// for warning in stopped.warnings {
    ///     eprintln!("not everything went well: {warning}");
    /// }
    /// # Ok::<(), peerkit::Error>(())
    /// ```
    pub fn stop(&self, timeout: impl Into<Option<Duration>>) -> Result<Stopped> {
        let already_stopped = process::stop(&self.run, self.deadline(timeout)?)?;
        let warnings = self.run.end_warnings();
        Ok(Stopped { state: State::Stopped, already_stopped, warnings })
    }

    /// Returns the manager's state. Answers at once.
    ///
    /// ```
    /// use peerkit::reply::State;
    /// # use peerkit::{Config, PeerManager, Profile};
    /// # let manager = PeerManager::start(&Config::new().profile(Profile::Offline), None)?;
    ///
    /// let status = manager.status()?;
    /// assert_eq!(status.state, State::Running);
    /// println!("{} for {:.0} s at {:?}", status.peer_id, status.uptime_seconds, status.listen_addrs);
    /// # manager.stop(None)?;
    /// # Ok::<(), peerkit::Error>(())
    /// ```
    pub fn status(&self) -> Result<Status> {
        self.live()?;
        Ok(self.run.status())
    }

    /// Ends, with `cancelled`, all waiting calls that carry `token`: a number that the caller chose. Returns the
    /// number of these calls. Waits for the worker to take note, not for the network.
    ///
    /// ```no_run
    /// use peerkit::params::ConnectPeer;
    /// # let manager = peerkit::PeerManager::current()?;
    ///
    /// let connect = ConnectPeer::at("/ip4/192.0.2.1/tcp/4001").cancel_token(7);
    /// std::thread::scope(|scope| {
    ///     let call = scope.spawn(|| manager.connect_peer(connect, None));
    ///     // A call that hasn't begun by then isn't ended.
    ///     println!("{} ended", manager.cancel(7)?.cancelled);
    ///     println!("{:?}", call.join());
    ///     Ok::<(), peerkit::Error>(())
    /// })?;
    /// # Ok::<(), peerkit::Error>(())
    /// ```
    pub fn cancel(&self, token: u64) -> Result<Cancelled> {
        let deadline = self.act(None)?;
        let (reply, answer) = Reply::channel();
        let command = Command::Cancel { token, reply };
        self.run.commands.send(command).map_err(|error| self.why_gone(error))?;
        let cancelled = answer.recv_deadline(deadline).map_err(|_| no_word())??;
        Ok(Cancelled { cancelled })
    }

    /// Cancels as [`cancel`](Self::cancel) does, without waiting for the outcome.
    #[cfg(unix)]
    pub(crate) fn cancel_without_answer(&self, token: u64) {
        let (reply, _) = Reply::channel();
        let _ = self.run.commands.send(Command::Cancel { token, reply });
    }

    /// Counts something that was refused at a door; its name is of the form `door.reason`.
    #[cfg(unix)]
    pub(crate) fn count_refused(&self, what: &'static str) {
        self.run.shared.discovery.refused(what);
    }

    /// Returns the timeout of calls that name none.
    #[cfg(unix)]
    pub(crate) fn default_timeout(&self) -> Duration {
        self.run.shared.settings.default_timeout
    }

    /// Subscribes to everything that happens from now on. [`events_with`](Self::events_with) says which errors
    /// there are.
    ///
    /// ```
    /// use std::time::Duration;
    /// use peerkit::event::EventKind;
    /// # use peerkit::{Config, PeerManager, Profile};
    /// # let manager = PeerManager::start(&Config::new().profile(Profile::Offline), None)?;
    ///
    /// let events = manager.events()?;
    /// manager.stop(None)?;
    /// let last = events.next(Duration::from_secs(1))?.events.pop();
    /// assert!(matches!(last.unwrap().kind, EventKind::Stopped { .. }));
    /// # Ok::<(), peerkit::Error>(())
    /// ```
    pub fn events(&self) -> Result<Events> {
        self.events_with(EventsOptions::new())
    }

    /// Subscribes to events of some kinds, or beginning with those of the past that are kept: the
    /// last 4096, or less where they take more than 4 MiB. Each kind has a share that no other can take:
    /// no remote decides how much of the past there is.
    ///
    /// Events that `since` asks for and that aren't kept any more are counted in the first batch's `lagged`.
    ///
    /// # Errors
    /// `invalid_argument`: `since` is beyond the last event, so it is of another run, or `kinds` is
    /// empty. `limit_reached`: 1024 subscriptions are open, or the process has no descriptor left.
    ///
    /// ```
    /// use std::time::Duration;
    /// use peerkit::event::Kind;
    /// use peerkit::params::EventsOptions;
    /// # use peerkit::{Config, PeerManager, Profile};
    /// # let manager = PeerManager::start(&Config::new().profile(Profile::Offline), None)?;
    ///
    /// let options = EventsOptions::new().since(0).kinds([Kind::ListenAddr, Kind::PeerConnected]);
    /// for event in manager.events_with(options)?.next(Duration::ZERO)?.events {
    ///     println!("{} {} {}", event.seq, event.timestamp.as_secs_f64(), event.kind.name());
    /// }
    /// # manager.stop(None)?;
    /// # Ok::<(), peerkit::Error>(())
    /// ```
    pub fn events_with(&self, options: EventsOptions) -> Result<Events> {
        self.live()?;
        Ok(Events(self.run.shared.hub.subscribe(&options)?))
    }

    /// Makes the worker panic, for tests of the consequences.
    #[cfg(feature = "fault-injection")]
    #[doc(hidden)]
    pub fn inject_worker_panic(&self) -> Result<()> {
        self.run.commands.send(Command::Panic)
    }

    /// Marks the run as having a bug, after a panic in a call.
    pub(crate) fn mark_dead(&self) {
        self.run.mark_dead();
    }

    /// Refuses a call that can't be served.
    fn live(&self) -> Result<()> {
        process::check_caller()?;
        match self.run.state() {
            State::Running | State::Stopping => Ok(()),
            State::Dead => Err(dead()),
            State::Stopped => Err(Error::new(ErrorKind::InvalidHandle, "the manager was stopped")),
        }
    }

    /// Refuses a call as [`live`](Self::live) does; returns the deadline of one that waits.
    fn act(&self, timeout: impl Into<Option<Duration>>) -> Result<Instant> {
        self.live()?;
        self.deadline(timeout)
    }

    fn deadline(&self, timeout: impl Into<Option<Duration>>) -> Result<Instant> {
        deadline(timeout.into(), self.run.shared.settings.default_timeout)
    }

    fn known(&self, peer: &PeerId) -> Result<Arc<Record>> {
        self.run.shared.book.get(peer).ok_or_else(|| not_in_book(peer))
    }

    /// Hands the worker a command and waits for its answer.
    fn ask<T, C: Into<Command>>(
        &self,
        deadline: Instant,
        cancel_token: Option<u64>,
        command: impl FnOnce(Terms<T>) -> C,
    ) -> Result<T> {
        self.answered(&self.begin_ask(deadline, cancel_token, command)?, deadline)
    }

    /// Hands the worker a command, for a caller that has something else to do until the answer comes.
    fn begin_ask<T, C: Into<Command>>(
        &self,
        deadline: Instant,
        cancel_token: Option<u64>,
        command: impl FnOnce(Terms<T>) -> C,
    ) -> Result<Receiver<Result<T>>> {
        let (reply, answer) = Reply::channel();
        let terms = Terms { deadline, cancel_token, reply };
        self.run.commands.send(command(terms).into()).map_err(|error| self.why_gone(error))?;
        Ok(answer)
    }

    /// Waits for the answer to a command.
    fn answered<T>(&self, answer: &Receiver<Result<T>>, deadline: Instant) -> Result<T> {
        match answer.recv_deadline(deadline + WORKER_GRACE) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => Err(no_word()),
            Err(RecvTimeoutError::Disconnected) => Err(dead()),
        }
    }

    /// Tells why the worker takes no commands: it has stopped, or died a moment ago.
    fn why_gone(&self, error: Error) -> Error {
        match self.run.state() {
            State::Dead if error.kind() == ErrorKind::Closed => dead(),
            _ => error,
        }
    }
}

/// Returns the error for a peer that the book doesn't know.
fn not_in_book(peer: &PeerId) -> Error {
    Error::new(ErrorKind::PeerNotFound, format!("the book has no peer {peer}"))
}

fn no_word() -> Error {
    Error::new(ErrorKind::Timeout, "the worker did not answer in time")
}
