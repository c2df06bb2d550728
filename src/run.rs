//! One run of the manager: what the facade, the worker and the process slot share, and the thread
//! that lives as long as the run does.
//!
//! The thread does everything that takes time: it opens the data directory and the book, starts
//! the node, serves, and at the end writes the book and gives the directory back. Starting waits
//! for its word; stopping asks it to end and waits for that.

use std::cell::OnceCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use multiaddr::Protocol;
use parking_lot::{Condvar, Mutex, RwLock};

use crate::book::{Book, Store, StoreHandle};
use crate::bootstrap::BootstrapList;
use crate::config::{self, Config, DataDir, Opened, Settings};
use crate::discovery::DiscoveryLog;
use crate::error::{Error, ErrorKind, Result};
use crate::events::Hub;
use crate::model::Text;
use crate::model::event::{DisconnectReason, EventKind};
use crate::model::reply::{State, Status};
use crate::worker::command::{Command, CommandQueue};
use crate::worker::{self, Listening, Node, Recorder, Traffic};
use crate::{Multiaddr, PeerId, addr, clock, control, log, os};

/// The peer book's file in the data directory.
const BOOK_FILE: &str = "book.redb";
/// The bootstrap list's.
const BOOTSTRAP_FILE: &str = "bootstrap_peers.txt";
/// How long the end of a run may take to write what was observed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// A run, from its start to its end and beyond: handles to it outlive it.
pub(crate) struct Run {
    pub handle: u64,
    pub settings: Settings,
    pub peer_id: PeerId,
    pub peer_text: Text,
    pub book: Arc<Book>,
    pub store: StoreHandle,
    pub hub: Hub,
    pub commands: CommandQueue,
    pub traffic: Arc<Traffic>,
    pub discovery: Arc<DiscoveryLog>,
    pub metrics: Arc<Recorder>,
    pub bootstrap: BootstrapList,
    started: Instant,
    warnings: Vec<String>,
    end_warnings: Mutex<Vec<String>>,
    listen_addrs: RwLock<Vec<Multiaddr>>,
    state: Mutex<State>,
    state_changed: Condvar,
    condemned: AtomicBool,
}

impl Run {
    pub(crate) fn state(&self) -> State {
        match *self.state.lock() {
            State::Running if self.condemned.load(Ordering::Relaxed) => State::Dead,
            state => state,
        }
    }

    fn set_state(&self, state: State) {
        *self.state.lock() = state;
        self.state_changed.notify_all();
    }

    /// The run is over.
    fn end(&self, state: State) {
        self.set_state(state);
        let code = if state == State::Dead { ErrorKind::Dead } else { ErrorKind::Closed };
        self.hub.publish(None, EventKind::Stopped { code });
    }

    /// What went wrong at the end.
    pub(crate) fn end_warnings(&self) -> Vec<String> {
        self.end_warnings.lock().clone()
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Lets a dead run count as stopped.
    pub(crate) fn bury(&self) {
        self.set_state(State::Stopped);
    }

    /// Makes the run end as dead: a call in it has panicked.
    pub(crate) fn condemn(&self) {
        self.condemned.store(true, Ordering::Relaxed);
        let _ = self.commands.send(Command::Stop);
    }

    /// Asks the run to end and waits for that until `deadline`. Gives the state it then has.
    pub(crate) fn stop(&self, deadline: Instant) -> State {
        let mut state = self.state.lock();
        if *state == State::Running {
            *state = State::Stopping;
            self.state_changed.notify_all();
        }
        // A full queue holds commands the worker is about to take, so there will be room.
        while *state == State::Stopping && self.commands.send(Command::Stop).is_err_and(is_busy) {
            if self.state_changed.wait_for(&mut state, Duration::from_millis(10)).timed_out()
                && Instant::now() >= deadline
            {
                return *state;
            }
        }
        while *state == State::Stopping {
            if self.state_changed.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        *state
    }

    /// Notes a listen address as come or gone.
    pub(crate) fn listen_addr(&self, address: Multiaddr, active: bool) {
        let text = addr::with_peer_id(&address, &self.peer_id).to_string();
        {
            let mut addresses = self.listen_addrs.write();
            addresses.retain(|known| *known != address);
            if active {
                addresses.push(address);
                addresses.sort_by_key(usual_order);
            }
        }
        let address = text.into();
        self.hub.publish(None, EventKind::ListenAddr { address, active });
    }

    /// Whether the address is one this node listens on.
    pub(crate) fn listens_on(&self, address: &Multiaddr) -> bool {
        self.listen_addrs.read().contains(address)
    }

    /// How many addresses this node listens on.
    pub(crate) fn listen_addresses(&self) -> usize {
        self.listen_addrs.read().len()
    }

    pub(crate) fn status(&self) -> Status {
        let listen_addrs = self.listen_addrs.read();
        let listen_addrs = listen_addrs
            .iter()
            .map(|address| addr::with_peer_id(address, &self.peer_id).to_string());
        let mut warnings = self.warnings.clone();
        warnings.extend(
            self.store
                .last_error()
                .map(|error| format!("what was observed of peers is not on disk yet: {error}")),
        );
        Status {
            state: self.state(),
            peer_id: self.peer_text.clone(),
            listen_addrs: listen_addrs.collect(),
            version: crate::VERSION.to_owned(),
            abi_version: crate::ABI_VERSION,
            uptime_seconds: self.uptime().as_secs_f64(),
            data_dir: self.settings.data_dir.as_ref().map(|path| path.display().to_string()),
            profile: self.settings.profile,
            warnings,
        }
    }
}

/// IPv4 before IPv6, TCP before QUIC: the same from run to run, whichever socket was first.
fn usual_order(address: &Multiaddr) -> (bool, bool) {
    let has = |wanted: fn(&Protocol<'_>) -> bool| address.iter().any(|part| wanted(&part));
    (has(|part| matches!(part, Protocol::Ip6(_))), has(|part| matches!(part, Protocol::Udp(_))))
}

fn is_busy(error: Error) -> bool {
    error.kind() == ErrorKind::Busy
}

/// Whom a run's thread tells of its start and its end.
pub(crate) struct Host {
    pub handle: u64,
    /// Gets the run, or why there is none.
    pub ready: Sender<Result<Arc<Run>>>,
    /// The run is up. False where it is not wanted any more and is to end at once.
    pub started: fn(&Arc<Run>) -> bool,
    /// The very last thing the thread does.
    pub ended: fn(u64),
}

/// Starts the thread of a run.
pub(crate) fn spawn(config: Config, host: Host) -> Result<()> {
    let body = move || {
        let (started, guests) = (OnceCell::new(), OnceCell::new());
        // Whatever a panic leaves half done is dropped by the unwinding or told as dead.
        let life = catch_unwind(AssertUnwindSafe(|| live(&config, &host, &started, &guests)));
        match (life, started.get()) {
            (Ok(Ok(state)), Some(run)) => run.end(state),
            (Ok(Err(error)), None) => drop(host.ready.send(Err(error))),
            (Err(_), None) => drop(host.ready.send(Err(panicked()))),
            (_, Some(run)) => run.end(State::Dead),
            (Ok(Ok(_)), None) => {}
        }
        // They have heard of the end as everybody has; now they go.
        guests.get().inspect(|guests: &&Arc<control::Sessions>| guests.finish());
        (host.ended)(host.handle);
    };
    let spawned = os::spawn("peerkit", Box::new(body));
    spawned.map(drop).map_err(|error| {
        Error::new(ErrorKind::LimitReached, format!("no thread to be had: {error}"))
    })
}

/// The life of a run, from opening its directory to giving it back. Gives the state to end in.
fn live(
    config: &Config,
    host: &Host,
    started: &OnceCell<Arc<Run>>,
    guests: &OnceCell<Arc<control::Sessions>>,
) -> Result<State> {
    let Opened { settings, data_dir, keypair } = config::open(config)?;
    // Before anything that takes long: whoever connects meanwhile waits for the start to be over.
    let found_by = data_dir.as_ref().filter(|_| settings.control_socket);
    let control = found_by.map(control::Server::open).transpose()?;
    control.iter().for_each(|control| drop(guests.set(control.sessions())));
    let _log = log::start(&settings)?;
    let book = Arc::new(Book::new(settings.limits.max_peers as usize));
    let store = open_store(data_dir.as_ref(), &book)?;
    let list = data_dir.as_ref().map(|data_dir| data_dir.path().join(BOOTSTRAP_FILE));
    let (bootstrap, mut warnings) =
        BootstrapList::open(list, settings.discovery.bootstrap.clone())?;
    if bootstrap.names(&keypair.public().to_peer_id()) {
        warnings.push("the bootstrap list names this node itself".to_owned());
    }
    let node = Node {
        keypair,
        settings,
        traffic: Arc::default(),
        book: Arc::clone(&book),
        discovery: Arc::default(),
        metrics: Arc::default(),
    };
    let begun = |run: &Arc<Run>| {
        control.iter().for_each(|control| control.begin(run));
        drop(host.ready.send(Ok(Arc::clone(run))));
    };
    let served = serve(host, started, &node, store.clone(), bootstrap, warnings, begun);
    drop(control);

    book.disconnect_all(clock::now(), DisconnectReason::Shutdown);
    let closed = store.close(Instant::now() + CLOSE_TIMEOUT);
    if let (Err(error), Some(run)) = (&closed, started.get()) {
        run.end_warnings.lock().push(format!("what was observed last is not on disk: {error}"));
    }
    if let Some(data_dir) = data_dir {
        data_dir.close();
    }
    served
}

fn open_store(data_dir: Option<&DataDir>, book: &Arc<Book>) -> Result<StoreHandle> {
    let Some(data_dir) = data_dir else {
        return Ok(StoreHandle::in_memory(Arc::clone(book)));
    };
    let (store, records) = Store::open(&data_dir.path().join(BOOK_FILE))?;
    book.load(records);
    store.spawn(Arc::clone(book), os::spawn)
}

/// Runs the node until it is stopped or panics.
fn serve(
    host: &Host,
    started: &OnceCell<Arc<Run>>,
    node: &Node,
    store: StoreHandle,
    bootstrap: BootstrapList,
    warnings: Vec<String>,
    begun: impl FnOnce(&Arc<Run>),
) -> Result<State> {
    let peer_id = node.keypair.public().to_peer_id();
    let (queue, commands) = CommandQueue::new();
    let on_ready = |listening: Listening| {
        let run = Arc::new(Run {
            handle: host.handle,
            peer_id,
            peer_text: peer_id.to_string().into(),
            book: Arc::clone(&node.book),
            store,
            hub: Hub::default(),
            commands: queue,
            traffic: Arc::clone(&node.traffic),
            discovery: Arc::clone(&node.discovery),
            metrics: Arc::clone(&node.metrics),
            bootstrap,
            started: Instant::now(),
            warnings: [node.settings.warnings.clone(), warnings, listening.warnings].concat(),
            end_warnings: Mutex::default(),
            listen_addrs: RwLock::default(),
            state: Mutex::new(State::Running),
            state_changed: Condvar::new(),
            condemned: AtomicBool::new(false),
            settings: node.settings.clone(),
        });
        for address in listening.addresses {
            run.listen_addr(address, true);
        }
        if !(host.started)(&run) {
            return None;
        }
        started.get_or_init(|| Arc::clone(&run));
        Some(run)
    };
    let life = AssertUnwindSafe(|| worker::run(node, commands, on_ready, begun));
    let outcome = catch_unwind(life);
    let run = started.get();
    if outcome.is_err() {
        // From here on, while the book is still being written, every call answers `dead`.
        run.inspect(|run| run.condemned.store(true, Ordering::Relaxed));
    }
    match outcome {
        Ok(ended) => ended?,
        Err(_) if run.is_none() => return Err(panicked()),
        Err(_) => {}
    }
    Ok(match run.is_some_and(|run| run.condemned.load(Ordering::Relaxed)) {
        true => State::Dead,
        false => State::Stopped,
    })
}

fn panicked() -> Error {
    Error::new(ErrorKind::Panic, "peerkit panicked while starting")
}
