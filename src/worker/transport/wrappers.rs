//! The wrappers around libp2p's transports that make dials tell their story: see `stage`.
//!
//! From the outside in: [`Attempted`] (deadline, identity), then libp2p's DNS, then [`Reach`]
//! around TCP and QUIC (which addresses are allowed, what the socket said), then `security`
//! inside TCP's upgrade.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, FutureExt};
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{
    DialOpts, ListenerId, PortUse, Transport, TransportError, TransportEvent,
};
use libp2p::multiaddr::Protocol;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::model::DialStage;
use crate::worker::transport::progress::{
    Cause, DialFailure, Progress, failing, is_of_strangers_name, reached,
};
use crate::{Multiaddr, PeerId, addr};

/// How long an inbound connection may take over its handshakes.
const INBOUND_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a dial's other addresses wait for the one the user gave.
const HEAD_START: Duration = Duration::from_secs(1);

/// The addresses of a dial that have had their turn, and how far each has come.
pub(crate) type Begun = Arc<Mutex<Vec<(Multiaddr, Arc<Progress>)>>>;

/// How long a dial may take that libp2p's protocols make by themselves: a search of the DHT has to get
/// past those who are gone.
const UNASKED_TIMEOUT: Duration = Duration::from_secs(5);

/// Under which terms the next dial goes. The worker sets them before `Swarm::dial`, which calls
/// [`Attempted::dial`] for each address before it returns, and clears them after it.
#[derive(Clone, Default)]
pub(crate) struct DialTerms(Arc<Shared>);

#[derive(Default)]
struct Shared {
    next: Mutex<Option<Terms>>,
    /// Nothing is to be dialled unasked.
    quiet: AtomicBool,
}

/// Why a dial is made, which decides how far it may lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Why {
    /// A call asked for it.
    Asked,
    /// Nobody did. Of its addresses the user gave these; the others are strangers' word.
    Unasked { given: Vec<Multiaddr> },
}

impl Why {
    /// Whether a name may lead into a private network.
    fn trusts(&self, address: &Multiaddr) -> bool {
        match self {
            Why::Asked => true,
            Why::Unasked { given } => given.contains(&addr::without_peer_id(address)),
        }
    }
}

#[derive(Clone)]
struct Terms {
    deadline: Instant,
    why: Why,
    /// The address that goes first, and what becomes true when it has failed.
    first: Option<(Multiaddr, watch::Sender<bool>)>,
    begun: Begun,
}

impl DialTerms {
    /// Dials from now on end at `deadline`; addresses other than `first` wait until that one has
    /// failed, or for [`HEAD_START`]. Gives where to see how far they come.
    pub(crate) fn set(&self, deadline: Instant, why: Why, first: Option<Multiaddr>) -> Begun {
        let first = first.map(|address| (address, watch::Sender::new(false)));
        let begun = Begun::default();
        *self.0.next.lock() = Some(Terms { deadline, why, first, begun: Arc::clone(&begun) });
        begun
    }

    /// Dials from now on aren't the worker's.
    pub(crate) fn clear(&self) {
        *self.0.next.lock() = None;
    }

    /// Nothing is to be dialled unasked from now on, or again.
    pub(crate) fn set_quiet(&self, quiet: bool) {
        self.0.quiet.store(quiet, Ordering::Relaxed);
    }

    pub(crate) fn quiet(&self) -> bool {
        self.0.quiet.load(Ordering::Relaxed)
    }

    /// Whether a call asked for the dial that is being made.
    pub(crate) fn asked(&self) -> bool {
        self.0.next.lock().as_ref().is_some_and(|terms| terms.why == Why::Asked)
    }

    fn current(&self) -> Terms {
        self.0.next.lock().clone().unwrap_or_else(|| {
            let deadline = Instant::now() + UNASKED_TIMEOUT;
            Terms {
                deadline,
                why: Why::Unasked { given: Vec::new() },
                first: None,
                begun: Begun::default(),
            }
        })
    }
}

impl Terms {
    /// Waits for the turn of an address.
    async fn turn(&self, address: &Multiaddr) {
        if let Some((first, failed)) = &self.first
            && first != address
        {
            let mut failed = failed.subscribe();
            let _ = tokio::time::timeout(HEAD_START, failed.wait_for(|failed| *failed)).await;
        }
    }

    fn failed(&self, address: &Multiaddr) {
        if let Some((first, failed)) = &self.first
            && first == address
        {
            failed.send_replace(true);
        }
    }
}

/// The outermost layer: bounds each dial by its deadline, checks who answered (so that a dial
/// goes on to its other addresses when one belongs to somebody else), and turns every failure
/// into a [`DialFailure`].
pub(crate) struct Attempted<T> {
    inner: T,
    terms: DialTerms,
}

impl<T> Attempted<T> {
    pub(crate) fn new(inner: T, terms: DialTerms) -> Self {
        Attempted { inner, terms }
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
        self.inner.listen_on(id, address).map_err(|error| error.map(listening_failed))
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        opts: DialOpts,
    ) -> Result<Self::Dial, TransportError<DialFailure>> {
        let terms = self.terms.current();
        let strangers_name = has_name(&address) && !terms.why.trusts(&address);
        let expected = addr::peer_id_of(&address);
        let first_stage =
            if has_name(&address) { DialStage::Resolve } else { DialStage::Transport };
        let dial = self.inner.dial(address.clone(), opts);
        let dial = dial.map_err(|error| error.map(listening_failed))?;
        Ok(async move {
            terms.turn(&address).await;
            let progress = Progress::towards(first_stage, strangers_name);
            terms.begun.lock().push((address.clone(), Arc::clone(&progress)));
            let outcome = attempt(dial, progress, expected, terms.deadline).await;
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
        Pin::new(&mut self.inner).poll(cx).map(|event| {
            event
                .map_upgrade(|upgrade| {
                    let deadline = Instant::now() + INBOUND_HANDSHAKE_TIMEOUT;
                    attempt(upgrade, Progress::at(DialStage::Security), None, deadline).boxed()
                })
                .map_err(listening_failed)
        })
    }
}

/// Follows one connection from its first byte to a checked identity.
async fn attempt<E: std::error::Error + 'static>(
    connecting: impl Future<Output = Result<Connection, E>>,
    progress: Arc<Progress>,
    expected: Option<PeerId>,
    deadline: Instant,
) -> Result<Connection, DialFailure> {
    if Instant::now() >= deadline {
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

fn listening_failed(error: impl std::error::Error + 'static) -> DialFailure {
    Progress::at(DialStage::Transport).failed(&error)
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
    /// Refuse addresses outside the local networks (profile "lan").
    local_only: bool,
    /// The stage a dial is in once this transport is done.
    then: DialStage,
    /// Which port dials go out from.
    port_use: PortUse,
}

impl<T> Reach<T> {
    /// TCP dials from a port of its own: dials from the listen port meet in the middle when both
    /// sides dial at once, and neither is the listener then (docs/adr/0009).
    pub(crate) fn tcp(inner: T, local_only: bool) -> Self {
        Reach { inner, local_only, then: DialStage::Security, port_use: PortUse::New }
    }

    /// QUIC has no such trouble, and a port of its own would be a socket for each dial.
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
        let refused = match ip_of(&address).map(addr::is_public_ip) {
            Some(true) if self.local_only => Some(Cause::NotAllowed),
            Some(false) if is_of_strangers_name() => Some(Cause::NotPublic),
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

/// The IP address a resolved multiaddr begins with.
pub(crate) fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    }
}

/// What the socket, or QUIC's handshake over it, said.
fn socket_cause(error: &(dyn std::error::Error + 'static)) -> Option<Cause> {
    let mut current = Some(error);
    while let Some(error) = current {
        if let Some(libp2p::quic::Error::HandshakeTimedOut) = error.downcast_ref() {
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
