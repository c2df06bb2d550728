//! What the facade asks of the worker, and how the answer comes back.
//!
//! A command carries a [`Reply`]; dropping one unanswered answers for it, so a caller never waits
//! for a worker that stopped or died. The queue is bounded: a full one is `busy`.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::sync::mpsc;

use crate::daemon::Api;
use crate::discovery::Snapshot;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Source;
use crate::model::reply::{Connected, PeerFound, Pinged, Provider, Published, Topics};
use crate::{Multiaddr, PeerId};

/// Commands waiting for the worker at once.
pub const QUEUE_CAPACITY: usize = 1024;

/// What the worker can be asked to do.
pub(crate) enum Command {
    Connect {
        target: Target,
        terms: Terms<Connected>,
    },
    /// Answers whether there was a connection. With `forget`, nobody is told of the peer any more.
    Disconnect {
        peer: PeerId,
        forget: bool,
        terms: Terms<bool>,
    },
    Ping {
        peer: PeerId,
        count: u32,
        terms: Terms<Pinged>,
    },
    /// One pass of discovery; answers when it is over or has found so many new peers.
    Discover {
        limit: u64,
        terms: Terms<Snapshot>,
    },
    SetDiscovery {
        active: bool,
        terms: Terms<Snapshot>,
    },
    /// The bootstrap list is another.
    BootstrapChanged {
        terms: Terms<()>,
    },
    /// Answers which peers the daemon named; they are in the book then.
    AskDaemon {
        source: Source,
        api: Api,
        terms: Terms<Vec<PeerId>>,
    },
    FindPeer {
        peer: PeerId,
        terms: Terms<PeerFound>,
    },
    /// Answers how long it took.
    Provide {
        key: Vec<u8>,
        terms: Terms<Duration>,
    },
    FindProviders {
        key: Vec<u8>,
        limit: usize,
        terms: Terms<Vec<Provider>>,
    },
    Publish {
        topic: String,
        data: Vec<u8>,
        terms: Terms<Published>,
    },
    Subscribe {
        topic: String,
        terms: Terms<Topics>,
    },
    Unsubscribe {
        topic: String,
        terms: Terms<Topics>,
    },
    /// Ends all calls that carry the token; answers how many those were.
    Cancel {
        token: u64,
        reply: Reply<u32>,
    },
    /// Ends the run.
    Stop,
    #[cfg(feature = "fault-injection")]
    Panic,
}

/// Who is to be connected: a peer, an address, or a peer at an address.
pub(crate) struct Target {
    pub peer: Option<PeerId>,
    /// Without `/p2p/`.
    pub address: Option<Multiaddr>,
}

/// Under which terms a caller waits: until when, cancelled by what, answered where.
pub(crate) struct Terms<T> {
    pub deadline: Instant,
    pub cancel_token: Option<u64>,
    pub reply: Reply<T>,
}

/// The worker's end of one answer.
pub(crate) struct Reply<T>(Option<Sender<Result<T>>>);

impl<T> Reply<T> {
    /// A reply and where to wait for it.
    pub(crate) fn channel() -> (Self, Receiver<Result<T>>) {
        let (sender, receiver) = bounded(1);
        (Reply(Some(sender)), receiver)
    }

    /// Answers. The caller may have given up; that is no error.
    pub(crate) fn send(mut self, answer: Result<T>) {
        if let Some(sender) = self.0.take() {
            let _ = sender.try_send(answer);
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some(sender) = self.0.take() {
            let error = if std::thread::panicking() { dead() } else { closed() };
            let _ = sender.try_send(Err(error));
        }
    }
}

/// The facade's end of the queue.
#[derive(Clone)]
pub(crate) struct CommandQueue(mpsc::Sender<Command>);

impl CommandQueue {
    /// A queue and the worker's end of it.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Command>) {
        let (sender, receiver) = mpsc::channel(QUEUE_CAPACITY);
        (CommandQueue(sender), receiver)
    }

    /// Queues a command without waiting.
    pub(crate) fn send(&self, command: Command) -> Result<()> {
        self.0.try_send(command).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => Error::new(
                ErrorKind::Busy,
                format!("{QUEUE_CAPACITY} commands wait for the worker already"),
            ),
            mpsc::error::TrySendError::Closed(_) => closed(),
        })
    }
}

/// The manager stopped while the call was under way.
pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the manager stopped during the call")
}

/// The worker panicked.
pub(crate) fn dead() -> Error {
    Error::new(ErrorKind::Dead, "peerkit's worker has died of a bug")
}
