//! The side of a process that attached to an owner: a pool of connections, and calls over them.
//!
//! The owner is found by `attach`; this module opens connections, lends them, and takes them back. A call
//! is sent a second time only where the first surely wasn't taken: a request counts from its last byte on.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use serde_json::{Map, Value};

use super::attach;
use super::connection::{Unopened, broke, failure, gone, line, not_understood, open};
use super::message::{MAX_REPLY, MAX_REQUEST, RequestLine, ServerHello, too_long};
use super::remote_events::RemoteEvents;
use super::wire::{Broken, Wire};
use crate::config::{DEFAULT_TIMEOUT, MAX_TIMEOUT};
use crate::error::{Error, ErrorKind, Result};
use crate::manager::check_timeout;
use crate::model::params::EventsOptions;
use crate::model::reply::Cancelled;
use crate::ops;

/// Connections of one client at once, subscriptions not counted: a part of those the owner takes.
const MAX_CONNECTIONS: usize = 24;
/// Connections kept while no call is under way. They count at the owner.
const MAX_IDLE: usize = 4;
/// The time for which they are kept: less than the owner keeps them.
const KEEP: Duration = Duration::from_secs(60);
/// Subscriptions of one client at once: they too are connections at the owner.
const MAX_SUBSCRIPTIONS: usize = 16;
/// The time after its deadline at which a call may still be answered.
const GRACE: Duration = Duration::from_secs(10);

/// A connection to the process that owns a data directory. A cheap handle: clones share their
/// connections. Any number of threads may use it at once.
///
/// It stays with the owner it attached to. When that one ends, everything answers `closed`.
///
/// In a method that takes a timeout, `None` is the default; a timeout of less than a millisecond, none at
/// all included, counts as one. [`PeerManager`](crate::PeerManager#timeouts) tells what a call does whose
/// time is over.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    socket: PathBuf,
    owner: ServerHello,
    pool: Mutex<Pool>,
    given_back: Condvar,
    /// As many references as there are subscriptions, and this one.
    subscriptions: Mutex<Arc<()>>,
}

#[derive(Default)]
struct Pool {
    /// Idle connections, the one used last at the end.
    idle: Vec<Idle>,
    /// The number of connections, idle and lent.
    open: usize,
}

struct Idle {
    wire: Wire,
    since: Instant,
}

impl Client {
    /// Attaches to the owner of the directory. Where an owner is still starting it waits until that is
    /// up; without a timeout for at most 30 s.
    ///
    /// # Errors
    /// `not_running`: nobody owns it. `data_dir_locked`: somebody does, `detail.pid`, who serves no control
    /// socket. `unsupported`: the owner speaks another version of the protocol. `busy`: it has all the
    /// connections it takes. `timeout`: it didn't answer. `storage`: the directory can't be read, or
    /// others may write it.
    ///
    /// ```no_run
    /// use peerkit::control::Client;
    ///
    /// let owner = Client::attach("/home/me/.peerkit", None)?;
    /// println!("process {}, peerkit {}: {}", owner.pid(), owner.version(), owner.peer_id());
    /// # Ok::<(), peerkit::Error>(())
    /// ```
    pub fn attach(
        data_dir: impl AsRef<Path>,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Client> {
        let timeout = timeout.into().map_or(Ok(DEFAULT_TIMEOUT), check_timeout)?;
        let (socket, wire, owner) = attach::attach(data_dir.as_ref(), Instant::now() + timeout)?;
        let idle = vec![Idle { wire, since: Instant::now() }];
        let pool = Mutex::new(Pool { idle, open: 1 });
        Ok(Client(Arc::new(Inner {
            socket,
            owner,
            pool,
            given_back: Condvar::new(),
            subscriptions: Mutex::default(),
        })))
    }

    /// Returns the id of the owner's node, in base58.
    #[must_use]
    pub fn peer_id(&self) -> &str {
        &self.0.owner.peer_id
    }

    /// Returns the id of the owner's process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.owner.pid
    }

    /// Returns the version of the owner's library.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.0.owner.version
    }

    /// Calls an operation by its name or an alias; returns the JSON reply, of success or failure. 24
    /// calls are under way at most; further ones wait, and fail with `busy` where none ends in time.
    ///
    /// # Errors
    /// `closed`: the owner is gone, and may have done what it was asked or not. `timeout`: it didn't
    /// answer in time. `limit_reached`: this process has no descriptor left. What the operation itself
    /// fails with is in the reply.
    ///
    /// ```no_run
    /// use peerkit::reply::PeerReply;
    /// use serde_json::{Map, Value};
    /// # let owner = peerkit::control::Client::attach("/home/me/.peerkit", None)?;
    ///
    /// let params = Map::from_iter([("peer_id".to_owned(), Value::from("12D3KooW..."))]);
    /// let reply = owner.call("get_peer", params, None)?;
    /// match serde_json::from_str::<PeerReply>(&reply) {
    ///     Ok(known) => println!("{:?}", known.peer_info.row.multiaddrs),
    ///     Err(_) => println!("a failure: {reply}"),
    /// }
    /// # Ok::<(), peerkit::Error>(())
    /// ```
    pub fn call(
        &self,
        method: &str,
        params: Map<String, Value>,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<String> {
        self.request(method, params, timeout.into(), false)
    }

    /// Calls as [`call`](Self::call) does, with a `cancel_token` that no other call carries: when this
    /// process dies, the owner cancels the call by that token. [`call`](Self::call) leaves one with a
    /// `cancel_token` of its own to its deadline, and cancels only one without.
    /// [`cancel`](Self::cancel) has an example.
    ///
    /// # Errors
    /// Those of [`call`](Self::call).
    pub fn call_with_own_token(
        &self,
        method: &str,
        params: Map<String, Value>,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<String> {
        self.request(method, params, timeout.into(), true)
    }

    fn request(
        &self,
        method: &str,
        params: Map<String, Value>,
        timeout: Option<Duration>,
        cancel_on_hangup: bool,
    ) -> Result<String> {
        let request = RequestLine {
            call: Some(method.to_owned()),
            params: Some(params),
            timeout_ms: Some(timeout.map_or(0, whole_millis)),
            cancel_on_hangup,
            ..RequestLine::default()
        };
        let request = line(&request)?;
        if request.len() > MAX_REQUEST {
            return Ok(ops::refusal(method, &too_long()));
        }
        match self.exchange(&request, self.deadline(timeout)) {
            Ok(reply) => String::from_utf8(reply).map_err(|_| not_understood()),
            // The operation wasn't called, so this is a failure like any other.
            Err(error) if error.kind() == ErrorKind::Busy => Ok(ops::refusal(method, &error)),
            Err(error) => Err(error),
        }
    }

    fn exchange(&self, request: &str, deadline: Instant) -> Result<Vec<u8>> {
        let mut lent = self.0.lend(deadline)?;
        match lent.send(request, deadline) {
            Err(Broken::Closed) if lent.reused => {
                lent.renew(deadline)?;
                lent.send(request, deadline).map_err(|broken| broke(&broken))?;
            }
            sent => sent.map_err(|broken| broke(&broken))?,
        }
        let reply = lent.receive(deadline).map_err(|broken| broke(&broken))?;
        lent.give_back();
        Ok(reply)
    }

    /// Subscribes to what happens at the owner, as [`PeerManager::events_with`] does there. A client and
    /// its clones have 16 subscriptions at most.
    ///
    /// # Errors
    /// Those of that method; `busy` where there are 16 already; `closed`, `timeout`, `busy` and
    /// `limit_reached` of the connection.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use peerkit::params::EventsOptions;
    /// # let owner = peerkit::control::Client::attach("/home/me/.peerkit", None)?;
    ///
    /// let events = owner.events(&EventsOptions::new().since(0))?;
    /// println!("what is new comes after event {}", events.last_seq());
    /// while let Ok(batch) = events.next(Duration::from_secs(60)) {
    ///     for event in batch.events {
    ///         println!("{} {:?}: {:?}", event.seq, event.peer_id, event.kind);
    ///     }
    /// }
    /// # Ok::<(), peerkit::Error>(())
    /// ```
    ///
    /// [`PeerManager::events_with`]: crate::PeerManager::events_with
    pub fn events(&self, options: &EventsOptions) -> Result<RemoteEvents> {
        let deadline = Instant::now() + GRACE;
        let place = self.0.subscribe()?;
        // A connection of its own: it never goes back to the pool.
        RemoteEvents::open(self.0.open(deadline)?, place, options, deadline)
    }

    /// Ends, with `cancelled`, all waiting calls that carry `token` as their `cancel_token`, whoever made
    /// them: the owner's own threads and other clients too. So choose numbers that nobody else does.
    ///
    /// # Errors
    /// Those of [`PeerManager::cancel`](crate::PeerManager::cancel); `closed`, `timeout`, `busy` and
    /// `limit_reached` of the connection.
    ///
    /// ```no_run
    /// use serde_json::{Map, Value};
    /// # let owner = peerkit::control::Client::attach("/home/me/.peerkit", None)?;
    ///
    /// let token = 4_503_599_627_370_495; // better a random number
    /// let params = Map::from_iter([("cancel_token".to_owned(), Value::from(token))]);
    /// std::thread::scope(|scope| {
    ///     let call = scope.spawn(|| owner.call_with_own_token("discover_peers", params, None));
    ///     println!("{} ended", owner.cancel(token)?.cancelled);
    ///     println!("{:?}", call.join());
    ///     Ok::<(), peerkit::Error>(())
    /// })?;
    /// # Ok::<(), peerkit::Error>(())
    /// ```
    pub fn cancel(&self, token: u64) -> Result<Cancelled> {
        let deadline = Instant::now() + GRACE;
        let request = line(&RequestLine { cancel: Some(token), ..RequestLine::default() })?;
        // A new connection: the calls to be ended may have all that are lent.
        let mut wire = self.0.open(deadline)?;
        wire.write(request, deadline).map_err(|broken| broke(&broken))?;
        let reply = wire.read(MAX_REPLY, deadline).map_err(|broken| broke(&broken))?;
        serde_json::from_slice(&reply).map_err(|_| failure(&reply))
    }

    /// Returns the time by which the owner must have answered.
    fn deadline(&self, timeout: Option<Duration>) -> Instant {
        let default = Duration::from_millis(self.0.owner.default_timeout_ms);
        Instant::now() + timeout.unwrap_or(default).min(MAX_TIMEOUT) + GRACE
    }
}

/// Returns a timeout as it travels: 0 is the owner's default there, so that the shortest is a millisecond.
fn whole_millis(timeout: Duration) -> u64 {
    let millis = timeout.as_nanos().div_ceil(1_000_000).max(1);
    u64::try_from(millis).unwrap_or(u64::MAX)
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("owner", &self.0.owner).finish_non_exhaustive()
    }
}

impl Inner {
    /// Lends a connection that was used before, or a new one where there is room, or one that another
    /// call gives back.
    fn lend(&self, deadline: Instant) -> Result<Lent<'_>> {
        let mut pool = self.pool.lock();
        loop {
            while let Some(Idle { mut wire, since }) = pool.idle.pop() {
                if since.elapsed() < KEEP && wire.is_idle() {
                    return Ok(Lent { inner: self, wire: Some(wire), reused: true });
                }
                pool.open -= 1;
            }
            if pool.open < MAX_CONNECTIONS {
                pool.open += 1;
                drop(pool);
                let mut lent = Lent { inner: self, wire: None, reused: false };
                lent.renew(deadline)?;
                return Ok(lent);
            }
            if self.given_back.wait_until(&mut pool, deadline).timed_out() {
                let message = format!("{MAX_CONNECTIONS} calls to the owner are under way already");
                return Err(Error::new(ErrorKind::Busy, message));
            }
        }
    }

    /// Takes the place of one more subscription, which holds it as long as it lasts.
    fn subscribe(&self) -> Result<Arc<()>> {
        let places = self.subscriptions.lock();
        if Arc::strong_count(&places) > MAX_SUBSCRIPTIONS {
            let message =
                format!("{MAX_SUBSCRIPTIONS} subscriptions at the owner are open already");
            return Err(Error::new(ErrorKind::Busy, message).with_hint("end one of them first"));
        }
        Ok(Arc::clone(&places))
    }

    /// Opens a new connection to the owner this client attached to.
    fn open(&self, deadline: Instant) -> Result<Wire> {
        let (wire, owner) = open(&self.socket, deadline).map_err(|error| match error {
            Unopened::Absent => gone(),
            Unopened::Refused(error) => error,
        })?;
        match (owner.pid, &owner.peer_id) == (self.owner.pid, &self.owner.peer_id) {
            true => Ok(wire),
            false => Err(gone()),
        }
    }
}

/// A connection on loan. Dropped, it is closed: what comes on it would be no answer to the next call.
struct Lent<'a> {
    inner: &'a Inner,
    wire: Option<Wire>,
    /// True where it was used before, so that the owner may have closed it since.
    reused: bool,
}

impl Lent<'_> {
    fn renew(&mut self, deadline: Instant) -> Result<()> {
        self.wire = None;
        self.wire = Some(self.inner.open(deadline)?);
        self.reused = false;
        Ok(())
    }

    fn send(&self, request: &str, deadline: Instant) -> Result<(), Broken> {
        let wire = self.wire.as_ref().ok_or(Broken::Closed)?;
        wire.write(request.to_owned(), deadline)
    }

    fn receive(&mut self, deadline: Instant) -> Result<Vec<u8>, Broken> {
        let wire = self.wire.as_mut().ok_or(Broken::Closed)?;
        wire.read(MAX_REPLY, deadline)
    }

    /// Keeps the connection for the next call.
    fn give_back(mut self) {
        let mut pool = self.inner.pool.lock();
        if pool.idle.len() < MAX_IDLE
            && let Some(wire) = self.wire.take()
        {
            pool.idle.push(Idle { wire, since: Instant::now() });
            // It stays open: undoes what the drop is about to do.
            pool.open += 1;
        }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.wire = None;
        self.inner.pool.lock().open -= 1;
        self.inner.given_back.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_timeout_travels_as_the_default() {
        assert_eq!(whole_millis(Duration::ZERO), 1);
        assert_eq!(whole_millis(Duration::from_nanos(1)), 1);
        assert_eq!(whole_millis(Duration::from_micros(1_500)), 2);
        assert_eq!(whole_millis(Duration::from_secs(5)), 5_000);
        assert_eq!(whole_millis(Duration::MAX), u64::MAX);
    }
}
