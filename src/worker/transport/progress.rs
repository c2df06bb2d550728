//! Where a dial is, and why it failed, told by types instead of by error texts.
//!
//! libp2p boxes transport errors into text. So `wrappers` stand around the transport stack at each layer:
//! the wrappers note in the attempt's own [`Progress`] how far it came, and the outermost one ends
//! every dial with a [`DialFailure`], which the worker gets back by downcasting. The progress
//! reaches the inner layers through a task-local, since the layers of a dial are futures polled
//! one inside the other.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libp2p::core::transport::TransportError;
use parking_lot::Mutex;

use crate::PeerId;
use crate::error::ErrorKind;
use crate::model::DialStage;
use crate::worker::util::clock::Clock;

/// Error texts come from remotes and libraries; this much of one is kept.
const MAX_ERROR_TEXT: usize = 300;

tokio::task_local! {
    static ATTEMPT: Arc<Progress>;
}

/// How far the dial of one address has come, and why it is about to fail.
pub(crate) struct Progress {
    clock: Clock,
    since: Instant,
    /// A stranger told the name that is dialled, and no user asked for the dial.
    remote_name: bool,
    now: Mutex<(DialStage, Option<Cause>)>,
}

impl Progress {
    /// A dial that begins at `stage`.
    pub(crate) fn at(stage: DialStage, clock: Clock) -> Arc<Self> {
        Self::towards(stage, false, clock)
    }

    /// A dial that begins at `stage`; with `remote_name` it may lead to public addresses only.
    pub(crate) fn towards(stage: DialStage, remote_name: bool, clock: Clock) -> Arc<Self> {
        let (since, now) = (clock.now(), Mutex::new((stage, None)));
        Arc::new(Progress { clock, since, remote_name, now })
    }

    fn took(&self) -> Duration {
        self.clock.now().saturating_duration_since(self.since)
    }

    /// Runs the dial's future with this as its progress.
    pub(crate) async fn follow<F: Future>(self: Arc<Self>, dial: F) -> F::Output {
        ATTEMPT.scope(self, dial).await
    }

    /// The failure in which the dial ends: for the cause a layer noted, or else what the error
    /// itself says.
    pub(crate) fn failed(&self, error: &(dyn std::error::Error + 'static)) -> DialFailure {
        let (stage, noted) = self.now.lock().clone();
        self.failed_at(stage, noted.unwrap_or_else(|| Cause::Other(innermost_text(error))))
    }

    /// The failure in which the dial ends, for a cause of its own.
    pub(crate) fn failed_at(&self, stage: DialStage, cause: Cause) -> DialFailure {
        *self.now.lock() = (stage, Some(cause.clone()));
        DialFailure { stage, cause, took: self.took() }
    }

    /// The failure it would be if it ended now: for the deadline, and for a caller who can't wait.
    pub(crate) fn so_far(&self) -> DialFailure {
        let (stage, noted) = self.now.lock().clone();
        DialFailure { stage, cause: noted.unwrap_or(Cause::TimedOut), took: self.took() }
    }
}

/// The outer errors of a transport stack say only that something inside failed.
fn innermost_text(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string().chars().take(MAX_ERROR_TEXT).collect()
}

/// What made a dial to one address fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    Refused,
    Unreachable,
    TimedOut,
    /// The profile doesn't allow the address.
    NotAllowed,
    /// A stranger's name leads into a private network, or to this machine.
    NotPublic,
    WrongPeer(PeerId),
    Other(String),
}

/// Notes that the dial being polled has reached `stage`. Outside a dial it does nothing. A cause
/// noted before is of another address of the same name, which DNS has tried in vain.
pub(crate) fn reached(stage: DialStage) {
    let _ = ATTEMPT.try_with(|progress| *progress.now.lock() = (stage, None));
}

/// Notes why the dial being polled is about to fail.
pub(crate) fn failing(cause: Cause) {
    let _ = ATTEMPT.try_with(|progress| progress.now.lock().1 = Some(cause));
}

/// Whether the dial being polled goes to a name that a stranger told.
pub(crate) fn is_of_remote_name() -> bool {
    ATTEMPT.try_with(|progress| progress.remote_name).unwrap_or(false)
}

/// Why one address failed: what the worker reads.
#[derive(Debug, Clone)]
pub(crate) struct DialFailure {
    pub stage: DialStage,
    pub cause: Cause,
    pub took: Duration,
}

impl DialFailure {
    /// The failure inside a boxed transport's error.
    pub(crate) fn of(error: &TransportError<io::Error>) -> Option<&DialFailure> {
        match error {
            TransportError::Other(error) => error.get_ref()?.downcast_ref(),
            TransportError::MultiaddrNotSupported(_) => None,
        }
    }

    pub(crate) fn code(&self) -> ErrorKind {
        match self.cause {
            Cause::TimedOut => ErrorKind::DialTimeout,
            Cause::NotAllowed | Cause::NotPublic => ErrorKind::Blocked,
            Cause::WrongPeer(_) => ErrorKind::WrongPeerId,
            Cause::Refused | Cause::Unreachable | Cause::Other(_) => ErrorKind::DialFailed,
        }
    }

    /// What to do about it, where the stage and cause allow a guess.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        Some(match (&self.cause, self.stage) {
            (Cause::Refused, _) => "nothing listens on that port; is the peer running?",
            (Cause::Unreachable, _) => "no route to that network from this machine",
            (Cause::NotAllowed, _) => {
                "profile \"lan\" refuses public addresses; \"internet\" allows them"
            }
            (Cause::NotPublic, _) => "connect by this very address to dial it all the same",
            (Cause::WrongPeer(_), _) => "the address belongs to another peer now",
            (Cause::TimedOut, DialStage::Transport) => {
                "the host is down, or a firewall drops the packets"
            }
            (_, DialStage::Resolve) => "check the name and this machine's DNS servers",
            (_, DialStage::Security) => {
                "the port may belong to something other than libp2p, the two sides may share no security protocol (Noise, TLS), or be in different private networks"
            }
            (_, DialStage::Muxer) => {
                "the two sides share no stream multiplexer; peerkit speaks yamux"
            }
            _ => return None,
        })
    }
}

impl fmt::Display for DialFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Refused => f.write_str("connection refused"),
            Cause::Unreachable => f.write_str("network or host unreachable"),
            Cause::NotAllowed => {
                f.write_str("a public address, which profile \"lan\" doesn't allow")
            }
            Cause::NotPublic => {
                f.write_str("a name that a remote told leads to an address that isn't public")
            }
            Cause::WrongPeer(found) => write!(f, "another peer answered: {found}"),
            Cause::Other(text) => f.write_str(text),
            Cause::TimedOut => f.write_str(match self.stage {
                DialStage::Resolve => "the name server did not answer in time",
                DialStage::Security => "the remote accepted the connection, then stayed silent",
                DialStage::Muxer => "the remote stayed silent after the security handshake",
                _ => "no answer in time",
            }),
        }
    }
}

impl std::error::Error for DialFailure {}
