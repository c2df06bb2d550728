//! The wrappers around libp2p's transports that note the progress of each dial: see `progress`.
//!
//! From the outside in: [`Attempted`] (deadline, names, identity), then `fallback` around TCP, then [`Reach`]
//! around TCP and QUIC (which addresses are allowed, what the socket said), then `security` inside TCP's upgrade.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use libp2p::core::transport::{
    DialOpts, ListenerId, PortUse, Transport, TransportError, TransportEvent,
};
use parking_lot::Mutex;

use super::attempt::{Connection, attempt, straight};
use super::evidence::ClockEvidence;
use super::names::Names;
use super::progress::{Cause, DialFailure, Progress, failing, is_of_remote_name, reached};
use super::quic;
use super::race::{self, Goal};
use super::terms::DialTerms;
use crate::error::lacks_descriptors;
use crate::model::DialStage;
use crate::worker::util::clock::Clock;
use crate::{Multiaddr, addr};

/// Time that an inbound connection may take over its handshakes.
const INBOUND_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The outermost layer: bounds each dial by its deadline, looks up names, checks the identity of the peer
/// that answers (so that a dial goes on to its other addresses when one belongs to another peer), and turns
/// every failure into a [`DialFailure`].
pub(crate) struct Attempted<T> {
    inner: Arc<Mutex<T>>,
    terms: DialTerms,
    names: Arc<Names>,
    evidence: Arc<ClockEvidence>,
}

impl<T> Attempted<T> {
    pub(crate) fn new(
        inner: T,
        terms: DialTerms,
        names: Arc<Names>,
        evidence: Arc<ClockEvidence>,
    ) -> Self {
        Attempted { inner: Arc::new(Mutex::new(inner)), terms, names, evidence }
    }
}

impl<T> Transport for Attempted<T>
where
    T: Transport<Output = Connection> + Send + Unpin + 'static,
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
        let listening = self.inner.lock().listen_on(id, address);
        listening.map_err(|error| error.map(|error| listening_failed(error, clock)))
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.lock().remove_listener(id)
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
        let (inner, names) = (Arc::clone(&self.inner), Arc::clone(&self.names));
        let evidence = Arc::clone(&self.evidence);
        Ok(async move {
            let _room = tokio::select! {
                room = terms.turn(&address) => room,
                () = terms.aborted() => return Err(aborted(&clock)),
            };
            let goal = Goal { address: address.clone(), opts, terms: terms.clone() };
            let outcome = tokio::select! {
                outcome = dial(inner, names, goal, &clock, evidence) => outcome,
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
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, DialFailure>> {
        let polled = Pin::new(&mut *self.inner.lock()).poll(cx);
        let (clock, evidence) = (self.terms.clock(), &self.evidence);
        polled.map(|event| {
            event
                .map_upgrade(|upgrade| {
                    let followed = inbound(upgrade, Arc::clone(evidence), clock.clone());
                    let (handshake, clock) =
                        (self.terms.handshakes().begin(followed), clock.clone());
                    // One that was ended is nobody's failure.
                    handshake.map(move |end| end.unwrap_or_else(|_| Err(aborted(&clock)))).boxed()
                })
                .map_err(|error| listening_failed(error, clock))
        })
    }
}

/// Dials an address, or all that its name leads to.
async fn dial<T>(
    inner: Arc<Mutex<T>>,
    names: Arc<Names>,
    goal: Goal,
    clock: &Clock,
    evidence: Arc<ClockEvidence>,
) -> Result<Connection, DialFailure>
where
    T: Transport<Output = Connection> + Send + Unpin + 'static,
    T::Error: 'static,
    T::Dial: Send + 'static,
{
    if race::has_name(&goal.address) {
        return race::dial(inner, names, goal, clock.clone(), evidence).await;
    }
    let Goal { address, opts, terms } = goal;
    let progress = Progress::at(DialStage::Transport, clock.clone());
    terms.begins(&address, None, &progress);
    let expected = addr::peer_id_of(&address);
    // The book may have it from an earlier version.
    let dial = straight(inner, addr::canonical(address), opts);
    attempt(dial, progress, expected, terms.deadline, clock, &evidence).await
}

/// Follows an inbound connection through its handshakes.
async fn inbound<E: std::error::Error + 'static>(
    upgrade: impl Future<Output = Result<Connection, E>>,
    evidence: Arc<ClockEvidence>,
    clock: Clock,
) -> Result<Connection, DialFailure> {
    let deadline = clock.now() + INBOUND_HANDSHAKE_TIMEOUT;
    let progress = Progress::inbound(clock.clone());
    attempt(upgrade, progress, None, deadline, &clock, &evidence).await
}

/// The end of a dial or a handshake that nobody waits for any more; nobody reads it.
fn aborted(clock: &Clock) -> DialFailure {
    Progress::at(DialStage::Skipped, clock.clone()).so_far()
}

fn listening_failed(error: impl std::error::Error + 'static, clock: &Clock) -> DialFailure {
    Progress::at(DialStage::Transport, clock.clone()).failed(&error)
}

/// The layer around TCP and around QUIC: sees IP addresses only.
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
        let ip = addr::ip_of(&address);
        let refused = match ip.map(addr::is_public_ip) {
            _ if ip.is_some_and(|ip| ip.is_unspecified()) || addr::port_of(&address) == Some(0) => {
                Some(Cause::NoTarget)
            }
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
        let dial = self.inner.dial(address, opts).inspect_err(|error| match error {
            TransportError::Other(error) => note_cause(error, ip),
            TransportError::MultiaddrNotSupported(_) => {}
        })?;
        Ok(async move {
            reached(DialStage::Transport);
            match dial.await {
                Ok(output) => {
                    reached(then);
                    Ok(output)
                }
                Err(error) => {
                    note_cause(&error, ip);
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

/// Notes what the socket said, where that is a cause of its own.
fn note_cause(error: &(dyn std::error::Error + 'static), ip: Option<IpAddr>) {
    if let Some(cause) = socket_cause(error, ip) {
        failing(cause);
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// Returns the cause that the socket, or QUIC's handshake over it, gave.
fn socket_cause(error: &(dyn std::error::Error + 'static), ip: Option<IpAddr>) -> Option<Cause> {
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
                io::ErrorKind::InvalidInput if ip.is_some_and(is_link_local) => {
                    return Some(Cause::NoInterface);
                }
                _ if lacks_descriptors(io) => return Some(Cause::NoDescriptor),
                _ => {}
            }
        }
        current = error.source();
    }
    None
}
