//! The owner's side: the socket's life, and the thread that accepts connections and notices clients
//! that hang up while their call waits.
//!
//! `run` opens it before the node starts, so that whatever is wrong with it fails the start, and begins
//! it once the node is up: a client that connects in between waits for that. Each connection has a
//! thread of its own (`session`).

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

use super::message::Refusal;
use super::sessions::{Entry, MAX_SESSIONS, Sessions};
use super::socket::{Bound, Stream};
use super::{session, wire};
use crate::config::DataDir;
use crate::error::{Error, ErrorKind, Result, shortage};
use crate::manager::PeerManager;
use crate::os::{self, Flag, Polled};
use crate::run::Run;

/// The time between two tries to cancel a call whose client has hung up: it may be between two of its steps.
const CANCEL_AGAIN: Duration = Duration::from_millis(250);
/// The time for which nothing is accepted after the system refused to: it lacks descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The time that a connection beyond the limit may take to take in the refusal.
const REFUSAL: Duration = Duration::from_millis(10);

/// The control socket of a run. Dropping it ends it: nobody is accepted, nothing more is read.
pub(crate) struct Server {
    /// None once it has begun, or never will.
    begin: Option<Sender<PeerManager>>,
    acceptor: Option<JoinHandle<()>>,
    sessions: Arc<Sessions>,
    bound: Bound,
}

impl Server {
    /// Opens the socket of this directory and says in its lock file where it is.
    ///
    /// # Errors
    /// `config_invalid`, `storage`, `limit_reached`.
    pub(crate) fn open(data_dir: &DataDir) -> Result<Server> {
        let (bound, listener) = Bound::open(data_dir.path())?;
        let sessions = Sessions::new(Flag::new().map_err(|error| none_to_be_had(&error))?);
        let (begin, begun) = bounded(1);
        let theirs = Arc::clone(&sessions);
        let hidden = os::hide(&listener);
        let body = move || {
            accept_until_closed(&listener, &theirs, &begun);
            drop(hidden);
        };
        let acceptor = os::spawn("peerkit-control", Box::new(body));
        let acceptor = Some(acceptor.map_err(|error| none_to_be_had(&error))?);
        let server = Server { begin: Some(begin), acceptor, sessions, bound };
        data_dir.tell_socket(server.bound.path())?;
        Ok(server)
    }

    /// Serves all clients, those that have connected and those that will.
    pub(crate) fn begin(&self, run: &Arc<Run>) {
        if let Some(begin) = &self.begin {
            let _ = begin.try_send(PeerManager::of_run(run));
        }
    }

    /// Returns the connections, which outlast the server.
    pub(crate) fn sessions(&self) -> Arc<Sessions> {
        Arc::clone(&self.sessions)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.begin = None;
        self.sessions.close();
        // It waits for nothing but its descriptors, of which the flag is one.
        let _ = self.acceptor.take().map(JoinHandle::join);
    }
}

fn none_to_be_had(error: &io::Error) -> Error {
    shortage("no thread or descriptor to be had for the control socket", error)
}

fn accept_until_closed(
    listener: &UnixListener,
    sessions: &Arc<Sessions>,
    begun: &Receiver<PeerManager>,
) {
    let Ok(manager) = begun.recv() else { return };
    let mut pauses = false;
    while !sessions.closing() {
        let watched = sessions.watched();
        let unwanted = sessions.unwanted();
        unwanted.iter().for_each(|token| manager.cancel_without_answer(*token));
        let mut polled = vec![Polled::readable(sessions.attention.raw())];
        polled.extend(watched.iter().map(|it| Polled::hung_up(it.stream.as_raw_fd())));
        if !pauses {
            polled.push(Polled::readable(listener.as_raw_fd()));
        }
        let until = match (pauses, unwanted.is_empty()) {
            (true, _) => Some(ACCEPT_PAUSE),
            (false, false) => Some(CANCEL_AGAIN),
            (false, true) => None,
        };
        if os::poll(&mut polled, until).is_err() {
            // Interrupted, or out of memory for a moment: nothing was looked at.
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        sessions.attention.lower();
        let hung_up = watched.iter().zip(&polled[1..]).filter(|(_, polled)| polled.happened());
        hung_up.for_each(|(watched, _)| sessions.hung_up(watched.id));
        let may_accept = !pauses && polled.last().is_some_and(Polled::happened);
        pauses = may_accept && accept(listener, sessions, &manager).is_err();
    }
}

/// Accepts one connection. Fails where the system can't, for now.
fn accept(
    listener: &UnixListener,
    sessions: &Arc<Sessions>,
    manager: &PeerManager,
) -> io::Result<()> {
    let stream = match listener.accept() {
        Ok((stream, _)) => stream,
        Err(error) if is_passing(&error) => return Ok(()),
        Err(error) => return Err(error),
    };
    // Some systems pass the listener's mode on to it.
    stream.set_nonblocking(false)?;
    match sessions.enter(stream) {
        Err(stream) => {
            let message = format!("{MAX_SESSIONS} connections are open already");
            refuse(&stream, ErrorKind::Busy, message);
        }
        Ok(entry) => entry.into_iter().for_each(|entry| serve(entry, manager.clone())),
    }
    Ok(())
}

/// Serves a connection on a thread of its own, or tells its client that there is none.
fn serve(entry: Entry, manager: PeerManager) {
    let stream = entry.stream();
    // Kept until the thread is there: an entry that is dropped closes its connection.
    let place = Arc::new(Mutex::new(Some(entry)));
    let theirs = Arc::clone(&place);
    let body = move || {
        let entry = theirs.lock().take();
        if let Some(entry) = entry {
            session::run(entry, manager);
        }
    };
    if let Err(error) = os::spawn_caller("peerkit-session", Box::new(body)) {
        let error = Error::no_thread(&error);
        refuse(&stream, error.kind(), error.message().to_owned());
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
    )
}

fn refuse(stream: &Stream, kind: ErrorKind, why: String) {
    if let Ok(line) = serde_json::to_string(&Refusal::new(kind, why)) {
        let _ = wire::write(stream, line, Some(Instant::now() + REFUSAL));
    }
}
