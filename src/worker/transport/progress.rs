//! The stage of a dial, and the cause of its failure, as types instead of error texts.
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
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use libp2p::core::transport::TransportError;
use parking_lot::Mutex;

use super::words;
use crate::PeerId;
use crate::error::{ErrorKind, MORE_DESCRIPTORS};
use crate::model::DialStage;
use crate::worker::util::clock::Clock;

/// Says what to do about this machine's clock.
pub(crate) const CLOCK_HINT: &str = "set this machine's clock, by a time server if there is one; TCP with Noise needs none, TLS and QUIC do";

tokio::task_local! {
    static ATTEMPT: Arc<Progress>;
}

/// The progress of the dial of one address: its stage, and the cause for which it is about to fail.
pub(crate) struct Progress {
    clock: Clock,
    /// True where the remote dialled.
    inbound: bool,
    /// True where a remote gave the DNS name that is dialled, and the dial is automatic.
    remote_name: bool,
    /// True once TLS has failed for this machine's clock.
    without_tls: AtomicBool,
    now: Mutex<Now>,
}

struct Now {
    since: Instant,
    stage: DialStage,
    cause: Option<Cause>,
    end: Option<End>,
}

/// The end of a dial: the time it took, and what came of it.
#[derive(Clone, Copy)]
enum End {
    Landed(Duration),
    Failed(Duration),
}

/// The outcome of a dial by now.
pub(crate) enum Outcome {
    Running,
    Landed(Duration),
    Failed(DialFailure),
}

impl Progress {
    /// Begins the progress of a dial at `stage`.
    pub(crate) fn at(stage: DialStage, clock: Clock) -> Arc<Self> {
        Self::towards(stage, false, clock)
    }

    /// Begins the progress of a dial at `stage`; with `remote_name` the dial may lead to public
    /// addresses only.
    pub(crate) fn towards(stage: DialStage, remote_name: bool, clock: Clock) -> Arc<Self> {
        Arc::new(Progress { remote_name, ..Self::new(stage, clock) })
    }

    /// Begins the progress of an inbound connection over its handshakes.
    pub(crate) fn inbound(clock: Clock) -> Arc<Self> {
        Arc::new(Progress { inbound: true, ..Self::new(DialStage::Security, clock) })
    }

    fn new(stage: DialStage, clock: Clock) -> Self {
        let now = Now { since: clock.now(), stage, cause: None, end: None };
        Progress {
            clock,
            inbound: false,
            remote_name: false,
            without_tls: AtomicBool::new(false),
            now: Mutex::new(now),
        }
    }

    /// Begins what had to wait for its turn.
    pub(crate) fn begin(&self, stage: DialStage) {
        let mut now = self.now.lock();
        (now.since, now.stage) = (self.clock.now(), stage);
    }

    fn took(&self, now: &Now) -> Duration {
        self.clock.now().saturating_duration_since(now.since)
    }

    /// Runs the dial's future with this as its progress.
    pub(crate) async fn follow<F: Future>(self: Arc<Self>, dial: F) -> F::Output {
        ATTEMPT.scope(self, dial).await
    }

    /// Returns the failure in which the dial ends: its cause is the one that a layer noted, or else
    /// the text of the error.
    pub(crate) fn failed(&self, error: &(dyn std::error::Error + 'static)) -> DialFailure {
        let (stage, noted) = {
            let now = self.now.lock();
            (now.stage, now.cause.clone())
        };
        self.failed_at(stage, noted.unwrap_or_else(|| Cause::Other(words::innermost(error))))
    }

    /// Returns the failure in which the dial ends at `stage`, for `cause`.
    pub(crate) fn failed_at(&self, stage: DialStage, cause: Cause) -> DialFailure {
        let mut now = self.now.lock();
        let took = self.took(&now);
        (now.stage, now.cause, now.end) = (stage, Some(cause.clone()), Some(End::Failed(took)));
        DialFailure { stage, cause, took }
    }

    /// Returns the failure in which the dial ends because its time is over.
    pub(crate) fn timed_out(&self) -> DialFailure {
        let DialFailure { stage, cause, .. } = self.so_far();
        self.failed_at(stage, cause)
    }

    /// Notes that the dial has ended in a connection.
    pub(crate) fn landed(&self) {
        let mut now = self.now.lock();
        now.end = Some(End::Landed(self.took(&now)));
    }

    /// Returns the failure that the dial would be if it ended now: for its deadline, and for a caller
    /// that can't wait.
    pub(crate) fn so_far(&self) -> DialFailure {
        let now = self.now.lock();
        let cause = now.cause.clone().unwrap_or(Cause::TimedOut);
        DialFailure { stage: now.stage, cause, took: self.took(&now) }
    }

    /// Returns what has come of the dial by now.
    pub(crate) fn outcome(&self) -> Outcome {
        let now = self.now.lock();
        match now.end {
            None => Outcome::Running,
            Some(End::Landed(took)) => Outcome::Landed(took),
            Some(End::Failed(took)) => {
                let cause = now.cause.clone().unwrap_or(Cause::TimedOut);
                Outcome::Failed(DialFailure { stage: now.stage, cause, took })
            }
        }
    }
}

/// The cause for which the dial of one address failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    Refused,
    Unreachable,
    TimedOut,
    /// The profile doesn't allow the address.
    NotAllowed,
    /// The address names no machine, or no port there.
    NoTarget,
    /// The address is good only on one link, and doesn't say by which interface.
    NoInterface,
    /// This process may open no more files.
    NoDescriptor,
    /// A DNS name that a remote gave leads into a private network, or to this machine.
    NotPublic,
    WrongPeer(PeerId),
    /// This build has no transport for the address.
    Unsupported,
    /// The name exists nowhere, or leads nowhere.
    NoSuchName(String),
    /// This machine's name servers gave no answer.
    Resolver(String),
    /// A certificate isn't valid by this machine's clock: the text says what speaks against that.
    Clock(String),
    Other(String),
}

/// Notes that the dial being polled has reached `stage`. Does nothing outside a dial.
pub(crate) fn reached(stage: DialStage) {
    let _ = ATTEMPT.try_with(|progress| {
        let mut now = progress.now.lock();
        (now.stage, now.cause) = (stage, None);
    });
}

/// Notes why the dial being polled is about to fail.
pub(crate) fn failing(cause: Cause) {
    let _ = ATTEMPT.try_with(|progress| progress.now.lock().cause = Some(cause));
}

/// Returns why the dial being polled is about to fail, where that is this machine's clock.
pub(crate) fn clock_cause() -> Option<Cause> {
    let noted = ATTEMPT.try_with(|progress| progress.now.lock().cause.clone()).ok().flatten();
    noted.filter(|cause| matches!(cause, Cause::Clock(_)))
}

/// Has the dial being polled do without TLS from now on.
pub(crate) fn leave_tls_out() {
    let _ = ATTEMPT.try_with(|progress| progress.without_tls.store(true, Ordering::Relaxed));
}

/// Tells whether the dial being polled does without TLS.
pub(crate) fn is_tls_left_out() -> bool {
    ATTEMPT.try_with(|progress| progress.without_tls.load(Ordering::Relaxed)).unwrap_or(false)
}

/// Tells whether the remote has dialled the connection being polled.
pub(crate) fn is_inbound() -> bool {
    ATTEMPT.try_with(|progress| progress.inbound).unwrap_or(false)
}

/// Tells whether the dial being polled goes to a DNS name that a remote gave.
pub(crate) fn is_of_remote_name() -> bool {
    ATTEMPT.try_with(|progress| progress.remote_name).unwrap_or(false)
}

/// The failure of one address, as the worker reads it.
#[derive(Debug, Clone)]
pub(crate) struct DialFailure {
    pub stage: DialStage,
    pub cause: Cause,
    pub took: Duration,
}

impl DialFailure {
    /// Returns the failure inside a boxed transport's error.
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
            Cause::Unsupported => ErrorKind::Unsupported,
            Cause::NoDescriptor => ErrorKind::LimitReached,
            Cause::Refused
            | Cause::Unreachable
            | Cause::NoTarget
            | Cause::NoInterface
            | Cause::NoSuchName(_)
            | Cause::Resolver(_)
            | Cause::Clock(_)
            | Cause::Other(_) => ErrorKind::DialFailed,
        }
    }

    /// Suggests what to do about it, where the stage and cause allow a guess.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        Some(match (&self.cause, self.stage) {
            (Cause::Refused, _) => "nothing listens on that port; is the peer running?",
            (Cause::Unreachable, _) => "no route to that network from this machine",
            (Cause::NotAllowed, _) => {
                "profile \"lan\" refuses public addresses; \"internet\" allows them"
            }
            (Cause::NotPublic, _) => "connect by this very address to dial it all the same",
            (Cause::NoTarget, _) => "give the address and the port at which the remote listens",
            (Cause::NoInterface, _) => "use another address of the remote",
            (Cause::NoDescriptor, _) => MORE_DESCRIPTORS,
            (Cause::WrongPeer(_), _) => "the address belongs to another peer now",
            (Cause::Clock(_), _) => CLOCK_HINT,
            (Cause::TimedOut, DialStage::Transport) => {
                "the host is down, or a firewall drops the packets"
            }
            (Cause::Unsupported, _) => "peerkit dials TCP and QUIC v1",
            (Cause::NoSuchName(_), _) => "check the name; its owner may have taken it away",
            (Cause::Resolver(_), _) | (Cause::TimedOut, DialStage::Resolve) => {
                "it isn't the peer: check this machine's network and its name servers (/etc/resolv.conf)"
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
            Cause::NoTarget => f.write_str(
                "0.0.0.0, :: and port 0 are for listening; nothing can be dialled there",
            ),
            Cause::NoInterface => {
                f.write_str("a link-local address, which doesn't say by which interface")
            }
            Cause::NoDescriptor => f.write_str("this process has no file descriptor left"),
            Cause::WrongPeer(found) => write!(f, "another peer answered: {found}"),
            Cause::Unsupported => f.write_str("this build has no transport for the address"),
            Cause::NoSuchName(text)
            | Cause::Resolver(text)
            | Cause::Clock(text)
            | Cause::Other(text) => f.write_str(text),
            Cause::TimedOut => f.write_str(match self.stage {
                DialStage::Resolve => "this machine's name server did not answer in time",
                DialStage::Security => "the remote accepted the connection, then stayed silent",
                DialStage::Muxer => "the remote stayed silent after the security handshake",
                _ => "no answer in time",
            }),
        }
    }
}

impl std::error::Error for DialFailure {}
