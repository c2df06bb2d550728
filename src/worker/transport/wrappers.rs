//! The wrappers around libp2p's transports that note the progress of each dial: see `progress`.
//!
//! From the outside in: [`Attempted`] (deadline, identity), then libp2p's DNS, then `fallback` around TCP, then
//! [`Reach`] around TCP and QUIC (which addresses are allowed, what the socket said), then `security` inside
//! TCP's upgrade.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, FutureExt};
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{
    DialOpts, ListenerId, PortUse, Transport, TransportError, TransportEvent,
};
use libp2p::multiaddr::Protocol;

use super::evidence::ClockEvidence;
use super::progress::{
    Cause, DialFailure, Progress, clock_cause, failing, is_of_remote_name, reached,
};
use super::quic;
use super::terms::DialTerms;
use crate::model::DialStage;
use crate::worker::util::clock::Clock;
use crate::{Multiaddr, PeerId, addr};

/// Time that an inbound connection may take over its handshakes.
const INBOUND_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The outermost layer: bounds each dial by its deadline, checks the identity of the peer that answers
/// (so that a dial goes on to its other addresses when one belongs to another peer), and turns every
/// failure into a [`DialFailure`].
pub(crate) struct Attempted<T> {
    inner: T,
    terms: DialTerms,
    evidence: Arc<ClockEvidence>,
}

impl<T> Attempted<T> {
    pub(crate) fn new(inner: T, terms: DialTerms, evidence: Arc<ClockEvidence>) -> Self {
        Attempted { inner, terms, evidence }
    }
}

type Connection = (PeerId, StreamMuxerBox);

impl<T> Transport for Attempted<T>
where
    T: Transport<Output = Connection> + Unpin,
    T::Error: 'static,
    T::Dial: Send + 'static,
    T::ListenerUpgrade: Send + 'static,
{
    type Output = Connection;
    type Error = DialFailure;
    type ListenerUpgrade = BoxFuture<'static, Result<Connection, DialFailure>>;
    type Dial = BoxFuture<'static, Result<Connection, DialFailure>>;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<DialFailure>> {
        let clock = self.terms.clock();
        let listening = self.inner.listen_on(id, address);
        listening.map_err(|error| error.map(|error| listening_failed(error, clock)))
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        opts: DialOpts,
    ) -> Result<Self::Dial, TransportError<DialFailure>> {
        let Some(terms) = self.terms.current() else {
            return Err(TransportError::MultiaddrNotSupported(address));
        };
        let clock = self.terms.clock().clone();
        let evidence = Arc::clone(&self.evidence);
        let remote_name = has_name(&address) && !terms.trusts(&address);
        let expected = addr::peer_id_of(&address);
        let first_stage =
            if has_name(&address) { DialStage::Resolve } else { DialStage::Transport };
        let dial = self.inner.dial(address.clone(), opts);
        let dial = dial.map_err(|error| error.map(|error| listening_failed(error, &clock)))?;
        Ok(async move {
            tokio::select! {
                () = terms.turn(&address) => {}
                () = terms.aborted() => return Err(aborted(&clock)),
            }
            let progress = Progress::towards(first_stage, remote_name, clock.clone());
            terms.begun.lock().push((address.clone(), Arc::clone(&progress)));
            let dial = judged(dial, &evidence, &clock);
            let outcome = tokio::select! {
                outcome = attempt(dial, progress, expected, terms.deadline, &clock) => outcome,
                () = terms.aborted() => Err(aborted(&clock)),
            };
            if outcome.is_err() {
                terms.failed(&address);
            }
            outcome
        }
        .boxed())
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, DialFailure>> {
        let polled = Pin::new(&mut self.inner).poll(cx);
        let (clock, evidence) = (self.terms.clock(), &self.evidence);
        polled.map(|event| {
            event
                .map_upgrade(|upgrade| {
                    inbound(upgrade, Arc::clone(evidence), clock.clone()).boxed()
                })
                .map_err(|error| listening_failed(error, clock))
        })
    }
}

/// Follows an inbound connection through its handshakes.
async fn inbound<E: std::error::Error + 'static>(
    upgrade: impl Future<Output = Result<Connection, E>>,
    evidence: Arc<ClockEvidence>,
    clock: Clock,
) -> Result<Connection, DialFailure> {
    let deadline = clock.now() + INBOUND_HANDSHAKE_TIMEOUT;
    let progress = Progress::inbound(clock.clone());
    let upgrade = judged(upgrade, &evidence, &clock);
    attempt(upgrade, progress, None, deadline, &clock).await
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

/// Follows one connection from its first byte to a checked identity.
async fn attempt<E: std::error::Error + 'static>(
    connecting: impl Future<Output = Result<Connection, E>>,
    progress: Arc<Progress>,
    expected: Option<PeerId>,
    deadline: Instant,
    clock: &Clock,
) -> Result<Connection, DialFailure> {
    if clock.now() >= deadline {
        return Err(progress.failed_at(DialStage::Skipped, Cause::TimedOut));
    }
    let following = Arc::clone(&progress).follow(connecting);
    match tokio::time::timeout_at(deadline.into(), following).await {
        Err(_elapsed) => Err(progress.so_far()),
        Ok(Err(error)) => Err(progress.failed(&error)),
        Ok(Ok((found, _))) if expected.is_some_and(|expected| expected != found) => {
            Err(progress.failed_at(DialStage::Identity, Cause::WrongPeer(found)))
        }
        Ok(Ok(connection)) => Ok(connection),
    }
}

/// The end of a dial that nobody waits for any more; nobody reads it.
fn aborted(clock: &Clock) -> DialFailure {
    Progress::at(DialStage::Skipped, clock.clone()).so_far()
}

fn listening_failed(error: impl std::error::Error + 'static, clock: &Clock) -> DialFailure {
    Progress::at(DialStage::Transport, clock.clone()).failed(&error)
}

fn has_name(address: &Multiaddr) -> bool {
    address.iter().any(|part| {
        matches!(
            part,
            Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_) | Protocol::Dnsaddr(_)
        )
    })
}

/// The layer below DNS, around TCP and around QUIC: sees resolved addresses only.
pub(crate) struct Reach<T> {
    inner: T,
    /// True where addresses outside the local networks are refused (profile "lan").
    local_only: bool,
    /// The stage a dial is in once this transport is done.
    then: DialStage,
    /// The port that dials go out from: a new one, or the listen port.
    port_use: PortUse,
}

impl<T> Reach<T> {
    /// Wraps TCP, which dials from a new port: dials from the listen port meet in the middle when both
    /// sides dial at once, and neither is the listener then (docs/adr/0009).
    pub(crate) fn tcp(inner: T, local_only: bool) -> Self {
        Reach { inner, local_only, then: DialStage::Security, port_use: PortUse::New }
    }

    /// Wraps QUIC, which dials from the listen port: its dials don't meet so, and a new port would be a
    /// socket for each dial.
    pub(crate) fn quic(inner: T, local_only: bool) -> Self {
        Reach { inner, local_only, then: DialStage::Identity, port_use: PortUse::Reuse }
    }
}

impl<T> Transport for Reach<T>
where
    T: Transport + Unpin,
    T::Error: 'static,
    T::Dial: Send + 'static,
{
    type Output = T::Output;
    type Error = T::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = BoxFuture<'static, Result<T::Output, T::Error>>;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<T::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        opts: DialOpts,
    ) -> Result<Self::Dial, TransportError<T::Error>> {
        let refused = match addr::ip_of(&address).map(addr::is_public_ip) {
            Some(true) if self.local_only => Some(Cause::NotAllowed),
            Some(false) if is_of_remote_name() => Some(Cause::NotPublic),
            _ => None,
        };
        if let Some(cause) = refused {
            failing(cause);
            return Err(TransportError::MultiaddrNotSupported(address));
        }
        let then = self.then;
        let opts = DialOpts { port_use: self.port_use, ..opts };
        let dial = self.inner.dial(address, opts)?;
        Ok(async move {
            reached(DialStage::Transport);
            match dial.await {
                Ok(output) => {
                    reached(then);
                    Ok(output)
                }
                Err(error) => {
                    if let Some(cause) = socket_cause(&error) {
                        failing(cause);
                    }
                    Err(error)
                }
            }
        }
        .boxed())
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<T::ListenerUpgrade, T::Error>> {
        Pin::new(&mut self.inner).poll(cx)
    }
}

/// Returns the cause that the socket, or QUIC's handshake over it, gave.
fn socket_cause(error: &(dyn std::error::Error + 'static)) -> Option<Cause> {
    let mut current = Some(error);
    while let Some(error) = current {
        if quic::is_handshake_timeout(error) {
            return Some(Cause::TimedOut);
        }
        if let Some(io) = error.downcast_ref::<io::Error>() {
            match io.kind() {
                io::ErrorKind::ConnectionRefused => return Some(Cause::Refused),
                io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
                    return Some(Cause::Unreachable);
                }
                io::ErrorKind::TimedOut => return Some(Cause::TimedOut),
                _ => {}
            }
        }
        current = error.source();
    }
    None
}
