//! One run of the manager: what the facade and the process slot share, and the thread that lives as
//! long as the run does.
//!
//! The thread does everything that takes time: it opens the data directory and the book, starts
//! the node, serves, and at the end writes the book and gives the directory back. Starting waits
//! for its word; stopping asks it to end and waits for that.

use std::cell::OnceCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use libp2p::identity::Keypair;
use parking_lot::{Condvar, Mutex};

use crate::book::{Book, Store, StoreHandle};
use crate::bootstrap::BootstrapList;
use crate::config::{self, Config, DataDir, Opened};
use crate::disk::{Held, Standing};
use crate::error::{Error, ErrorKind, Result, lacks_descriptors};
use crate::model::event::{DisconnectReason, EventKind};
use crate::model::reply::{State, Status};
use crate::worker::{self, Command, CommandQueue, Shared};
use crate::{Multiaddr, addr, clock, control, log, os};

/// The peer book's file in the data directory.
const BOOK_FILE: &str = "book.redb";
/// The bootstrap list's file in the data directory.
const BOOTSTRAP_FILE: &str = "bootstrap_peers.txt";
/// The time that the end of a run may take to write what was observed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// A run, from its start to its end and beyond: handles to it outlive it.
pub(crate) struct Run {
    pub handle: u64,
    pub shared: Arc<Shared>,
    pub store: StoreHandle,
    pub commands: CommandQueue,
    started: Instant,
    warnings: Vec<String>,
    /// Files that are trusted, until the end.
    held: Mutex<Vec<(Held, &'static str)>>,
    end_warnings: Mutex<Vec<String>>,
    state: Mutex<State>,
    state_changed: Condvar,
}

impl Run {
    pub(crate) fn state(&self) -> State {
        match *self.state.lock() {
            State::Running if self.shared.is_dead() => State::Dead,
            state => state,
        }
    }

    fn set_state(&self, state: State) {
        *self.state.lock() = state;
        self.state_changed.notify_all();
    }

    /// Ends the run: sets its last state and publishes `stopped`.
    fn end(&self, state: State) {
        // Handles outlive the run, and a directory that is held can't be unmounted.
        self.held.lock().clear();
        self.shared.bootstrap.close();
        self.set_state(state);
        let code = if state == State::Dead { ErrorKind::Dead } else { ErrorKind::Closed };
        self.shared.hub.publish(None, EventKind::Stopped { code });
    }

    /// Returns what went wrong at the end.
    pub(crate) fn end_warnings(&self) -> Vec<String> {
        self.end_warnings.lock().clone()
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Lets a dead run count as stopped.
    pub(crate) fn clear_dead(&self) {
        self.set_state(State::Stopped);
    }

    /// Makes the run end as dead: a call in it has panicked.
    pub(crate) fn mark_dead(&self) {
        self.shared.mark_dead();
        let _ = self.commands.send(Command::Stop);
    }

    /// Asks the run to end and waits for that until `deadline`. Returns the state it then has.
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

    pub(crate) fn status(&self) -> Status {
        let Shared { settings, peer_id, peer_text, .. } = &*self.shared;
        let listening = self.shared.listen_addresses();
        let text = |address: &Multiaddr| addr::with_peer_id(address, peer_id).to_string();
        let mut warnings = self.warnings.clone();
        warnings.extend(self.shared.warnings((Instant::now(), clock::now())));
        warnings.extend(
            self.store
                .last_error()
                .map(|error| format!("what was observed of peers is not on disk yet: {error}")),
        );
        warnings.extend(self.store.was_restored().then(|| {
            "the peer book's file was removed while the node runs, and written anew from memory"
                .to_owned()
        }));
        warnings.extend(self.held.lock().iter().filter_map(|(held, so)| lost(held, so)));
        warnings.extend(shortages().map(str::to_owned));
        Status {
            state: self.state(),
            peer_id: peer_text.clone(),
            listen_addrs: listening.iter().map(text).collect(),
            version: crate::VERSION.to_owned(),
            abi_version: crate::ABI_VERSION,
            uptime_seconds: self.uptime().as_secs_f64(),
            data_dir: settings.data_dir.as_ref().map(|path| path.display().to_string()),
            profile: settings.profile,
            warnings,
        }
    }
}

/// Tells that a file isn't that which the node opened at its start any more.
fn lost(held: &Held, so: &str) -> Option<String> {
    let in_place = held.standing().is_ok_and(|standing| standing == Standing::InPlace);
    let path = held.path();
    (!in_place)
        .then(|| format!("{} was removed or replaced while the node runs: {so}", path.display()))
}

/// Names what the system doesn't give this process now.
fn shortages() -> impl Iterator<Item = &'static str> {
    let threads = os::lacks_threads().then_some(
        "the system gives no more threads: daemons aren't asked, and no further process is served",
    );
    let probe = std::fs::File::open(if cfg!(unix) { "/dev/null" } else { "NUL" });
    let descriptors = probe.is_err_and(|error| lacks_descriptors(&error)).then_some(
        "this process has no file descriptor left: nobody can connect, and nothing is dialled",
    );
    threads.into_iter().chain(descriptors)
}

fn is_busy(error: Error) -> bool {
    error.kind() == ErrorKind::Busy
}

/// The callbacks by which a run's thread tells of its start and its end.
pub(crate) struct Host {
    pub handle: u64,
    /// Gets the run, or the reason there is none.
    pub ready: Sender<Result<Arc<Run>>>,
    /// Called when the run is up. False where it is not wanted any more and is to end at once.
    pub started: fn(&Arc<Run>) -> bool,
    /// Called as the very last thing the thread does.
    pub ended: fn(u64),
}

/// Starts the thread of a run.
pub(crate) fn spawn(config: Config, host: Host) -> Result<()> {
    let body = move || {
        let (started, sessions) = (OnceCell::new(), OnceCell::new());
        // Unwinding drops what a panic leaves half done; the start fails, or the run ends as dead.
        let life = catch_unwind(AssertUnwindSafe(|| live(&config, &host, &started, &sessions)));
        match (life, started.get()) {
            (Ok(Ok(state)), Some(run)) => run.end(state),
            (Ok(Err(error)), None) => drop(host.ready.send(Err(error))),
            (Err(_), None) => drop(host.ready.send(Err(panicked()))),
            (_, Some(run)) => run.end(State::Dead),
            (Ok(Ok(_)), None) => {}
        }
        // The sessions have passed on the end of the run; now they close.
        sessions.get().inspect(|sessions: &&Arc<control::Sessions>| sessions.finish());
        (host.ended)(host.handle);
    };
    os::spawn("peerkit", Box::new(body)).map(drop).map_err(|error| Error::no_thread(&error))
}

/// Runs from opening the directory to giving it back; returns the state to end in.
fn live(
    config: &Config,
    host: &Host,
    started: &OnceCell<Arc<Run>>,
    sessions: &OnceCell<Arc<control::Sessions>>,
) -> Result<State> {
    let Opened { settings, data_dir, keypair, key_file } = config::open(config)?;
    // Opened before anything that takes long: a client that connects meanwhile waits for the start to be over.
    let found_by = data_dir.as_ref().filter(|_| settings.control_socket);
    let control = found_by.map(control::Server::open).transpose()?;
    control.iter().for_each(|control| drop(sessions.set(control.sessions())));
    let _log = log::start(&settings, data_dir.as_ref())?;
    let book = Arc::new(Book::new(settings.limits.max_peers as usize));
    let store = open_store(data_dir.as_ref(), &book)?;
    let list = data_dir.as_ref().map(|data_dir| data_dir.place(BOOTSTRAP_FILE));
    let held = held(data_dir.as_ref(), key_file);
    let (bootstrap, mut warnings) =
        BootstrapList::open(list, settings.discovery.bootstrap.clone())?;
    let peer_id = keypair.public().to_peer_id();
    if bootstrap.names(&peer_id) {
        warnings.push("the bootstrap list names this node itself".to_owned());
    }
    let shared = Arc::new(Shared::new(settings, peer_id, Arc::clone(&book), bootstrap));
    if let Some((name, written)) = data_dir.as_ref().and_then(DataDir::newest_file) {
        shared.clock_evidence.found_file(name, written);
    }
    let node = Node { shared: &shared, keypair: &keypair, warnings, held, store: store.clone() };
    let served = serve(host, started, node, control.as_ref());
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
    let (store, records) = Store::open(data_dir.place(BOOK_FILE), Some(data_dir.lock().clone()))?;
    book.load(records, clock::now());
    store.spawn(Arc::clone(book), os::spawn)
}

/// Lists the files that were read once and are trusted from then on, with what it means to have another one there.
fn held(data_dir: Option<&DataDir>, key_file: Option<Held>) -> Vec<(Held, &'static str)> {
    let lock = data_dir
        .map(|data_dir| (data_dir.lock().clone(), "a second node may start on the data directory"));
    let key = key_file.map(|file| (file, "the next start goes by what is there then"));
    lock.into_iter().chain(key).collect()
}

/// The parts that a node is started with.
struct Node<'a> {
    shared: &'a Arc<Shared>,
    keypair: &'a Keypair,
    warnings: Vec<String>,
    held: Vec<(Held, &'static str)>,
    store: StoreHandle,
}

/// Runs the node until it is stopped or panics.
fn serve(
    host: &Host,
    started: &OnceCell<Arc<Run>>,
    node: Node<'_>,
    control: Option<&control::Server>,
) -> Result<State> {
    let shared = Arc::clone(node.shared);
    // A panic before there is a run fails the start; one after it ends the run as dead.
    let served = catch_unwind(AssertUnwindSafe(|| bind_and_run(host, started, node, control)));
    match served {
        Ok(ended) => ended?,
        Err(_) if started.get().is_none() => return Err(panicked()),
        // From here on, while the book is still being written, every call answers `dead`.
        Err(_) => shared.mark_dead(),
    }
    Ok(if shared.is_dead() { State::Dead } else { State::Stopped })
}

fn bind_and_run(
    host: &Host,
    started: &OnceCell<Arc<Run>>,
    node: Node<'_>,
    control: Option<&control::Server>,
) -> Result<()> {
    let Node { shared, keypair, warnings, held, store } = node;
    let mut bound = worker::bind(shared, keypair)?;
    let (queue, commands) = CommandQueue::new();
    let run = Arc::new(Run {
        handle: host.handle,
        shared: Arc::clone(shared),
        store,
        commands: queue,
        started: Instant::now(),
        warnings: [&shared.settings.warnings, &warnings, bound.warnings()].concat(),
        held: Mutex::new(held),
        end_warnings: Mutex::default(),
        state: Mutex::new(State::Running),
        state_changed: Condvar::new(),
    });
    if !(host.started)(&run) {
        return Ok(());
    }
    started.get_or_init(|| Arc::clone(&run));
    bound.begin();
    control.into_iter().for_each(|control| control.begin(&run));
    drop(host.ready.send(Ok(run)));
    bound.run(commands);
    Ok(())
}

fn panicked() -> Error {
    Error::new(ErrorKind::Panic, "peerkit panicked while starting")
}
