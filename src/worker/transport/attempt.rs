//! One connection from its first byte to a checked identity: the deadline, the progress, what it shows of this
//! machine's clock, and the failure in which it may end.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{DialOpts, Transport, TransportError};
use parking_lot::Mutex;

use super::evidence::ClockEvidence;
use super::progress::{Cause, DialFailure, Progress, clock_cause, failing, reached};
use super::quic;
use crate::model::DialStage;
use crate::worker::util::clock::Clock;
use crate::{Multiaddr, PeerId};

pub(super) type Connection = (PeerId, StreamMuxerBox);

/// Follows one connection from its first byte to a checked identity.
pub(super) async fn attempt<E: std::error::Error + 'static>(
    connecting: impl Future<Output = Result<Connection, E>>,
    progress: Arc<Progress>,
    expected: Option<PeerId>,
    deadline: Instant,
    clock: &Clock,
    evidence: &ClockEvidence,
) -> Result<Connection, DialFailure> {
    if clock.now() >= deadline {
        return Err(progress.failed_at(DialStage::Skipped, Cause::TimedOut));
    }
    let following = Arc::clone(&progress).follow(judged(connecting, evidence, clock));
    match tokio::time::timeout_at(deadline.into(), following).await {
        Err(_elapsed) => Err(progress.timed_out()),
        Ok(Err(error)) => Err(progress.failed(&error)),
        Ok(Ok((found, _))) if expected.is_some_and(|expected| expected != found) => {
            Err(progress.failed_at(DialStage::Identity, Cause::WrongPeer(found)))
        }
        Ok(Ok(connection)) => {
            progress.landed();
            Ok(connection)
        }
    }
}

/// Notes of a handshake that failed over QUIC for this machine's clock that it did; TLS notes it by itself.
async fn judged<E: std::error::Error + 'static>(
    connecting: impl Future<Output = Result<Connection, E>>,
    evidence: &ClockEvidence,
    clock: &Clock,
) -> Result<Connection, E> {
    let outcome = connecting.await;
    if let Err(error) = &outcome
        && clock_cause().is_none()
        && quic::is_out_of_validity(error)
    {
        reached(DialStage::Security);
        failing(Cause::Clock(evidence.presented(None, (clock.now(), clock.time()))));
    }
    outcome
}

/// Dials an address without a name. The transport is asked when the future is polled, so that it finds the
/// progress of this attempt.
pub(super) async fn straight<T>(
    inner: Arc<Mutex<T>>,
    address: Multiaddr,
    opts: DialOpts,
) -> Result<Connection, NotDialled<T::Error>>
where
    T: Transport<Output = Connection>,
{
    let dial = match inner.lock().dial(address, opts) {
        Ok(dial) => dial,
        Err(TransportError::Other(error)) => return Err(NotDialled::Failed(error)),
        Err(TransportError::MultiaddrNotSupported(_)) => return Err(NotDialled::NoTransport),
    };
    dial.await.map_err(NotDialled::Failed)
}

/// The error of a dial, as the transport gives it.
#[derive(Debug)]
pub(super) enum NotDialled<E> {
    NoTransport,
    Failed(E),
}

impl<E: fmt::Display> fmt::Display for NotDialled<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotDialled::NoTransport => f.write_str("this build has no transport for the address"),
            NotDialled::Failed(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for NotDialled<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            NotDialled::NoTransport => None,
            NotDialled::Failed(error) => Some(error),
        }
    }
}
