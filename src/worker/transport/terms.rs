//! The terms a dial goes under: why it is made, until when, which address goes first. Whoever dials
//! registers them by the connection the dial is to become; the gater, which the swarm asks about each
//! dial before it hands the addresses to the transport, makes them the terms of these addresses. A
//! dial that nobody registered isn't made.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use libp2p::swarm::ConnectionId;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::progress::Progress;
use crate::book::Origin;
use crate::worker::util::clock::Clock;
use crate::{Multiaddr, addr};

/// How long a dial's other addresses wait for the one the user gave.
const HEAD_START: Duration = Duration::from_secs(1);
/// How long a dial of a query may take: it has to get past those who are gone.
const QUERY_DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// The addresses of a dial that have had their turn, and how far each has come.
pub(crate) type Begun = Arc<Mutex<Vec<(Multiaddr, Arc<Progress>)>>>;

/// The terms of all dials under way.
#[derive(Clone)]
pub(crate) struct DialTerms(Arc<State>);

struct State {
    clock: Clock,
    registered: Mutex<HashMap<ConnectionId, Terms>>,
    /// The terms of the dial whose addresses the swarm is handing out.
    current: Mutex<Option<Terms>>,
    /// Nobody looks for anything: queries of the DHT dial nobody.
    queries_paused: AtomicBool,
}

#[derive(Clone)]
pub(crate) struct Terms {
    pub(super) deadline: Instant,
    origin: Origin,
    /// Those of the addresses that the user gave; names among the others are remotes' word.
    given: Vec<Multiaddr>,
    /// The address that goes first, and what becomes true when it has failed.
    first: Option<(Multiaddr, watch::Sender<bool>)>,
    /// Becomes true when nobody waits for the dial any more.
    aborted: watch::Sender<bool>,
    pub(super) begun: Begun,
}

impl DialTerms {
    pub(crate) fn new(clock: Clock) -> Self {
        DialTerms(Arc::new(State {
            clock,
            registered: Mutex::default(),
            current: Mutex::default(),
            queries_paused: AtomicBool::new(false),
        }))
    }

    /// Registers the terms of a dial that is about to be made. Gives where to see how far it comes.
    pub(crate) fn register(&self, connection: ConnectionId, terms: Terms) -> Begun {
        let begun = Arc::clone(&terms.begun);
        self.0.registered.lock().insert(connection, terms);
        begun
    }

    /// Registers a dial that a query of the DHT is about to make.
    pub(crate) fn register_query(&self, connection: ConnectionId) {
        let deadline = self.0.clock.now() + QUERY_DIAL_TIMEOUT;
        self.register(connection, Terms::new(Origin::Query, deadline));
    }

    /// Makes the dial's terms those of the addresses that the transport gets next; gives its origin.
    pub(crate) fn enter(&self, connection: ConnectionId) -> Option<Origin> {
        let terms = self.0.registered.lock().get(&connection).cloned();
        let origin = terms.as_ref().map(|terms| terms.origin);
        *self.0.current.lock() = terms;
        origin
    }

    /// Takes out the terms of a dial that is over; gives its origin.
    pub(crate) fn take(&self, connection: ConnectionId) -> Option<Origin> {
        self.0.registered.lock().remove(&connection).map(|terms| terms.origin)
    }

    /// Ends a dial at every address it still tries: nobody waits for it any more.
    pub(crate) fn abort(&self, connection: ConnectionId) {
        if let Some(terms) = self.0.registered.lock().get(&connection) {
            terms.aborted.send_replace(true);
        }
    }

    /// The origin of a dial under way.
    pub(crate) fn origin(&self, connection: ConnectionId) -> Option<Origin> {
        self.0.registered.lock().get(&connection).map(|terms| terms.origin)
    }

    /// Lets queries of the DHT dial, or not.
    pub(crate) fn pause_queries(&self, paused: bool) {
        self.0.queries_paused.store(paused, Ordering::Relaxed);
    }

    pub(crate) fn queries_paused(&self) -> bool {
        self.0.queries_paused.load(Ordering::Relaxed)
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
        Terms { deadline, origin, given, first, aborted, begun: Begun::default() }
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

    /// Whether a name may lead into a private network.
    pub(super) fn trusts(&self, address: &Multiaddr) -> bool {
        !self.origin.is_automatic() || self.given.contains(&addr::without_peer_id(address))
    }

    /// Waits for the turn of an address.
    pub(super) async fn turn(&self, address: &Multiaddr) {
        if let Some((first, failed)) = &self.first
            && first != address
        {
            let mut failed = failed.subscribe();
            let _ = tokio::time::timeout(HEAD_START, failed.wait_for(|failed| *failed)).await;
        }
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
