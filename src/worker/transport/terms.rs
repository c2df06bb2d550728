//! The dial terms: the origin of a dial, its deadline, and the address that goes first. The part that
//! dials registers them by the connection the dial is to become; the gater, which the swarm asks about
//! each dial before it hands the addresses to the transport, makes them the terms of these addresses.
//! A dial without registered terms isn't made.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use libp2p::swarm::ConnectionId;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use super::handshakes::Handshakes;
use super::progress::Progress;
use crate::book::Origin;
use crate::worker::util::clock::Clock;
use crate::{Multiaddr, addr};

/// Time that a dial's other addresses wait for the one the user gave; and that those over [`AT_ONCE`] wait
/// for one of the first to fail. Silent ones fail at the deadline only.
const HEAD_START: Duration = Duration::from_secs(1);
/// Addresses of a dial tried at once, in the beginning.
const AT_ONCE: usize = 8;
/// Time that a query's dial may take: the query has to get past peers that are gone.
const QUERY_DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// An address of a dial that has had its turn, and how far it has come.
pub(crate) struct Begun {
    /// The address, as the swarm passed it to the transport.
    pub address: Multiaddr,
    /// The address to which a name in it led, without `/p2p/`; such a one may still wait for its turn.
    pub led_to: Option<Multiaddr>,
    pub progress: Arc<Progress>,
}

/// The attempts of a dial that have begun.
pub(crate) type AllBegun = Arc<Mutex<Vec<Begun>>>;

/// The terms of all dials under way.
#[derive(Clone)]
pub(crate) struct DialTerms(Arc<State>);

struct State {
    clock: Clock,
    /// Passes from the transport to the gater beside the terms.
    handshakes: Handshakes,
    registered: Mutex<HashMap<ConnectionId, Terms>>,
    /// The terms of the dial whose addresses the swarm is handing out.
    current: Mutex<Option<Terms>>,
    /// True while nobody looks for a peer or content: queries of the DHT make no dials then.
    queries_paused: AtomicBool,
}

#[derive(Clone)]
pub(crate) struct Terms {
    pub(super) deadline: Instant,
    origin: Origin,
    /// The addresses that the user gave; DNS names among the others come from remotes.
    given: Vec<Multiaddr>,
    /// The address that goes first, and a watch that becomes true when it has failed.
    first: Option<(Multiaddr, watch::Sender<bool>)>,
    room: Arc<Semaphore>,
    /// Becomes true when nobody waits for the dial any more.
    aborted: watch::Sender<bool>,
    pub(super) begun: AllBegun,
}

impl DialTerms {
    pub(crate) fn new(clock: Clock) -> Self {
        DialTerms(Arc::new(State {
            clock,
            handshakes: Handshakes::default(),
            registered: Mutex::default(),
            current: Mutex::default(),
            queries_paused: AtomicBool::new(false),
        }))
    }

    /// Registers the terms of a dial that is about to be made. Returns where its progress can be read.
    pub(crate) fn register(&self, connection: ConnectionId, terms: Terms) -> AllBegun {
        let begun = Arc::clone(&terms.begun);
        self.0.registered.lock().insert(connection, terms);
        begun
    }

    /// Registers a dial that a query of the DHT is about to make.
    pub(crate) fn register_query(&self, connection: ConnectionId) {
        let deadline = self.0.clock.now() + QUERY_DIAL_TIMEOUT;
        self.register(connection, Terms::new(Origin::Query, deadline));
    }

    /// Makes the dial's terms those of the addresses that the transport gets next; returns its origin.
    pub(crate) fn enter(&self, connection: ConnectionId) -> Option<Origin> {
        let terms = self.0.registered.lock().get(&connection).cloned();
        let origin = terms.as_ref().map(|terms| terms.origin);
        *self.0.current.lock() = terms;
        origin
    }

    /// Takes out the terms of a dial that is over; returns its origin.
    pub(crate) fn take(&self, connection: ConnectionId) -> Option<Origin> {
        self.0.registered.lock().remove(&connection).map(|terms| terms.origin)
    }

    /// Ends a dial at every address it still tries: nobody waits for it any more.
    pub(crate) fn abort(&self, connection: ConnectionId) {
        if let Some(terms) = self.0.registered.lock().get(&connection) {
            terms.aborted.send_replace(true);
        }
    }

    /// Returns the origin of a dial under way.
    pub(crate) fn origin(&self, connection: ConnectionId) -> Option<Origin> {
        self.0.registered.lock().get(&connection).map(|terms| terms.origin)
    }

    /// Keeps queries of the DHT from dialling, or lets them dial again.
    pub(crate) fn pause_queries(&self, paused: bool) {
        self.0.queries_paused.store(paused, Ordering::Relaxed);
    }

    pub(crate) fn queries_paused(&self) -> bool {
        self.0.queries_paused.load(Ordering::Relaxed)
    }

    /// Returns the inbound handshakes under way.
    pub(crate) fn handshakes(&self) -> &Handshakes {
        &self.0.handshakes
    }

    pub(super) fn current(&self) -> Option<Terms> {
        self.0.current.lock().clone()
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.0.clock
    }
}

impl Terms {
    pub(crate) fn new(origin: Origin, deadline: Instant) -> Self {
        let (given, first) = (Vec::new(), None);
        let aborted = watch::Sender::new(false);
        let room = Arc::new(Semaphore::new(AT_ONCE));
        Terms { deadline, origin, given, first, room, aborted, begun: AllBegun::default() }
    }

    /// Says which of the addresses the user gave.
    pub(crate) fn given(mut self, given: Vec<Multiaddr>) -> Self {
        self.given = given;
        self
    }

    /// Lets an address go first: the others wait until it has failed, or for [`HEAD_START`].
    pub(crate) fn first(mut self, first: Option<Multiaddr>) -> Self {
        self.first = first.map(|address| (address, watch::Sender::new(false)));
        self
    }

    /// Tells whether a DNS name may lead into a private network.
    pub(super) fn trusts(&self, address: &Multiaddr) -> bool {
        !self.origin.is_automatic() || self.given.contains(&addr::without_peer_id(address))
    }

    /// Notes that an address has its turn; `led_to` is what its name led to, where it is that.
    pub(super) fn begins(
        &self,
        address: &Multiaddr,
        led_to: Option<Multiaddr>,
        progress: &Arc<Progress>,
    ) {
        let (address, progress) = (address.clone(), Arc::clone(progress));
        self.begun.lock().push(Begun { address, led_to, progress });
    }

    /// Waits for the turn of an address. It takes up room until what this returns is dropped.
    pub(super) async fn turn(&self, address: &Multiaddr) -> Option<SemaphorePermit<'_>> {
        if let Some((first, failed)) = &self.first
            && first != address
        {
            let mut failed = failed.subscribe();
            let _ = tokio::time::timeout(HEAD_START, failed.wait_for(|failed| *failed)).await;
        }
        tokio::time::timeout(HEAD_START, self.room.acquire()).await.ok()?.ok()
    }

    /// Waits until the dial is aborted.
    pub(super) async fn aborted(&self) {
        let _ = self.aborted.subscribe().wait_for(|aborted| *aborted).await;
    }

    pub(super) fn failed(&self, address: &Multiaddr) {
        if let Some((first, failed)) = &self.first
            && first == address
        {
            failed.send_replace(true);
        }
    }
}
