//! The node of a program that stays up: this process's own where it can have the data directory, else that of
//! the process which has it, else none for the moment, with the reason. A thread sees to it that this is so:
//! it starts again what ended, and takes the directory over when its owner goes away.
//!
//! While there is no node, every call answers with the failure that keeps it from starting.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use peerkit::control::Client;
use peerkit::event::{EventKind, Kind};
use peerkit::params::EventsOptions;
use peerkit::{Config, Error, ErrorKind, PeerManager};
use serde_json::{Map, Value};

use super::interface::{EVENTS, EventSource, Node};
use super::open::Setup;
use super::reply::Reply;
use crate::threads::spawn;

/// The time that a start, or attaching to an owner, may take.
const START: Duration = Duration::from_secs(30);
const ATTACH: Duration = Duration::from_secs(5);
/// The time that a stop may take.
const STOP: Duration = Duration::from_secs(10);
/// The pause after a start that failed: doubling from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(10);
/// The time that a call waits for a node that is being started: longer than the pause before it.
const HANDOVER: Duration = Duration::from_secs(5);
/// The interval at which a watch of a node's events looks whether it is still wanted.
const WATCH: Duration = Duration::from_millis(500);
/// The time that a node must have been there for its end to be no failed start.
const SETTLED: Duration = Duration::from_secs(1);

/// The node of a program that stays up. Dropping it stops a node of this process.
pub struct Host {
    shared: Arc<Shared>,
    keeper: Option<JoinHandle<()>>,
}

struct Shared {
    setup: Setup,
    notify: fn(&str),
    state: Mutex<State>,
    changed: Condvar,
    ending: AtomicBool,
}

#[derive(Clone)]
enum State {
    /// A start is under way, the first one or that after a node's end: for a moment, so calls wait for it.
    Starting,
    Own(PeerManager),
    Attached(Client),
    Down(Error),
}

/// A node that is there, and the subscription that tells of its end.
struct Reached {
    state: State,
    events: Box<dyn EventSource>,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Starting => f.write_str("the node starts"),
            State::Own(manager) => {
                write!(f, "the node runs in this process: {}", manager.peer_id())
            }
            State::Attached(client) => {
                write!(f, "the node runs in process {}: {}", client.pid(), client.peer_id())
            }
            State::Down(error) => write!(f, "the node can't run: {error} [{}]", error.kind()),
        }
    }
}

impl Host {
    /// Begins to keep a node, and waits until there is one or the first try has failed. How it goes on from there is
    /// told by `notify`, in a line for a person.
    pub fn start(setup: Setup, notify: fn(&str)) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            setup,
            notify,
            state: Mutex::new(State::Starting),
            changed: Condvar::new(),
            ending: AtomicBool::new(false),
        });
        let kept = Arc::clone(&shared);
        let keeper = spawn("keeper", move || kept.keep())?;
        let host = Host { shared, keeper: Some(keeper) };
        let mut state = host.shared.state.lock();
        while matches!(*state, State::Starting) {
            host.shared.changed.wait(&mut state);
        }
        drop(state);
        Ok(host)
    }

    /// Gives a handle to it that serves operations and may outlive it.
    pub fn node(&self) -> Arc<dyn Node> {
        Arc::<Shared>::clone(&self.shared)
    }

    /// Tells why there is no node at the moment.
    pub fn failure(&self) -> Option<Error> {
        match &*self.shared.state.lock() {
            State::Down(error) => Some(error.clone()),
            _ => None,
        }
    }

    /// Names the process whose node it is, where it isn't this one's.
    pub fn attached_to(&self) -> Option<u32> {
        match &*self.shared.state.lock() {
            State::Attached(client) => Some(client.pid()),
            _ => None,
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Under the lock, so that the keeper isn't just between looking and waiting.
        let state = self.shared.state.lock();
        self.shared.ending.store(true, Ordering::Relaxed);
        drop(state);
        self.shared.changed.notify_all();
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

impl Shared {
    fn ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    fn set(&self, state: State) {
        *self.state.lock() = state;
        self.changed.notify_all();
    }

    /// Sets a state that lasts, and tells whoever looks after the program of it, once.
    fn settle(&self, state: State, notified: &mut Option<String>) {
        let line = state.to_string();
        self.set(state);
        // The program says by itself how it begins.
        let first = notified.is_none();
        if notified.as_ref() != Some(&line) {
            if !first {
                (self.notify)(&line);
            }
            *notified = Some(line);
        }
    }

    /// Keeps a node running: the whole life of the keeper's thread.
    fn keep(&self) {
        let mut pause = FIRST_PAUSE;
        let mut notified = None;
        while !self.ending() {
            let came = match self.reach() {
                Ok(Reached { state, events }) => {
                    let came = Instant::now();
                    self.settle(state.clone(), &mut notified);
                    self.watch(events);
                    self.set(State::Starting);
                    if let State::Own(manager) = state {
                        // Frees the slot of one that died, and the directory at the end.
                        let _ = manager.stop(STOP);
                    }
                    Some(came)
                }
                Err(error) => {
                    self.settle(State::Down(error), &mut notified);
                    None
                }
            };
            // A node that ends as soon as it is there is as good as a start that failed.
            if came.is_some_and(|came| came.elapsed() >= SETTLED) {
                pause = FIRST_PAUSE;
            } else {
                self.wait(pause);
                pause = (pause * 2).min(LAST_PAUSE);
            }
        }
    }

    /// Starts a node, or attaches to the one that has the directory. It counts as reached only once there
    /// are events by which to tell when it ends.
    fn reach(&self) -> Result<Reached, Error> {
        let config: Config = self.setup.config.clone().control_socket(true);
        let stopped = EventsOptions::new().kinds([Kind::Stopped]);
        match PeerManager::start(&config, START) {
            Ok(manager) => match manager.events_with(stopped) {
                Ok(events) => Ok(Reached { state: State::Own(manager), events: Box::new(events) }),
                Err(error) => {
                    let _ = manager.stop(STOP);
                    Err(error)
                }
            },
            Err(error) if error.kind() == ErrorKind::DataDirLocked => {
                let client = Client::attach(&self.setup.data_dir, ATTACH)?;
                let events = client.events(&stopped)?;
                Ok(Reached { state: State::Attached(client), events: Box::new(events) })
            }
            Err(error) => Err(error),
        }
    }

    /// Waits until a node has ended or nobody wants one any more.
    fn watch(&self, mut events: Box<dyn EventSource>) {
        while !self.ending() {
            match events.next(WATCH) {
                Ok(batch) if batch.events.iter().any(|event| is_end(&event.kind)) => return,
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }

    /// Waits for the pause, or until nobody wants a node any more.
    fn wait(&self, pause: Duration) {
        let deadline = Instant::now() + pause;
        let mut state = self.state.lock();
        while !self.ending() && !self.changed.wait_until(&mut state, deadline).timed_out() {}
    }

    /// Gives a reply on. Where it says that the owner has gone, the keeper is about to notice too: who calls again
    /// then finds the next node.
    fn noticed(&self, reply: Reply) -> Reply {
        if reply.code() == Some(ErrorKind::Closed) {
            let deadline = Instant::now() + WATCH * 2;
            let mut state = self.state.lock();
            while matches!(*state, State::Attached(_))
                && !self.ending()
                && !self.changed.wait_until(&mut state, deadline).timed_out()
            {}
        }
        reply
    }

    /// Gives the node. Where it is just changing hands, the call waits for the next one.
    fn current(&self) -> Result<Arc<dyn Node>, Error> {
        let deadline = Instant::now() + HANDOVER;
        let mut state = self.state.lock();
        while matches!(*state, State::Starting)
            && !self.ending()
            && !self.changed.wait_until(&mut state, deadline).timed_out()
        {}
        match &*state {
            State::Own(manager) => Ok(Arc::new(manager.clone())),
            State::Attached(client) => Ok(Arc::new(client.clone())),
            State::Down(error) => Err(error.clone()),
            State::Starting => Err(changing_hands()),
        }
    }
}

impl Node for Shared {
    fn call(&self, method: &str, params: Map<String, Value>, timeout: Duration) -> Reply {
        match self.current() {
            Ok(node) => self.noticed(node.call(method, params, timeout)),
            Err(error) => Reply::refused(method, &error),
        }
    }

    fn call_with_own_token(
        &self,
        method: &str,
        params: Map<String, Value>,
        timeout: Duration,
    ) -> Reply {
        match self.current() {
            Ok(node) => self.noticed(node.call_with_own_token(method, params, timeout)),
            Err(error) => Reply::refused(method, &error),
        }
    }

    fn events(&self, options: &EventsOptions) -> Result<Box<dyn EventSource>, Reply> {
        match self.current() {
            Ok(node) => node.events(options),
            Err(error) => Err(Reply::refused(EVENTS, &error)),
        }
    }

    fn cancel(&self, token: u64) {
        if let Ok(node) = self.current() {
            node.cancel(token);
        }
    }
}

fn is_end(kind: &EventKind) -> bool {
    matches!(kind, EventKind::Stopped { .. })
}

/// Makes the failure of a call between the end of one node and the start of the next.
fn changing_hands() -> Error {
    Error::new(ErrorKind::NotRunning, "the node is being started")
        .with_hint("try again in a moment")
}
