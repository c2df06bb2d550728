//! The one table of connections: which peers are connected, by which connections, and since when.
//! A connection has a number of peerkit's own, by which the book knows it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use libp2p::swarm::ConnectionId;

use crate::admission::Source;
use crate::book::Origin;
use crate::model::event::DisconnectReason;
use crate::model::{Direction, Text, TransportKind};
use crate::{Multiaddr, PeerId};

/// Time for which the connection to a remote that speaks no identify must be open until the remote has
/// accepted us: one that blocks us looks established for half a millisecond, then closes.
pub(crate) const GRACE: Duration = Duration::from_millis(500);
/// Time after which a remote whose identify neither comes nor fails has accepted us.
pub(crate) const IDENTIFY_PATIENCE: Duration = Duration::from_secs(5);

/// Every connected peer.
#[derive(Default)]
pub(crate) struct Peers {
    connected: HashMap<PeerId, Peer>,
    last_number: u64,
}

/// A peer with at least one connection, which may be about to close.
pub(crate) struct Peer {
    /// The id in base58.
    pub text: Text,
    /// The peer's connections, the oldest first.
    pub connections: Vec<Connection>,
}

#[derive(Clone)]
pub(crate) struct Connection {
    /// Peerkit's own number of it; never used twice in a run.
    pub number: u64,
    pub id: ConnectionId,
    pub address: Text,
    pub source: Source,
    pub direction: Direction,
    pub transport: TransportKind,
    pub since: Instant,
    pub identity: Identity,
    /// The reason why we dialled; a call for the peer makes it [`Origin::Call`]. None: the remote dialled.
    pub origin: Option<Origin>,
    /// The reason why we are closing it.
    pub closing: Option<DisconnectReason>,
}

/// The state of the remote's identify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    Awaited,
    Known,
    /// It speaks no identify, or broke it.
    Silent,
}

impl Peers {
    pub(crate) fn get(&self, peer: &PeerId) -> Option<&Peer> {
        self.connected.get(peer)
    }

    pub(crate) fn get_mut(&mut self, peer: &PeerId) -> Option<&mut Peer> {
        self.connected.get_mut(peer)
    }

    pub(crate) fn contains(&self, peer: &PeerId) -> bool {
        self.connected.contains_key(peer)
    }

    /// Counts the connected peers.
    pub(crate) fn len(&self) -> usize {
        self.connected.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.connected.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&PeerId, &Peer)> {
        self.connected.iter()
    }

    /// Gives the next connection its number.
    pub(crate) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Adds a connection; true if it is the peer's first.
    pub(crate) fn insert(&mut self, peer: PeerId, connection: Connection) -> bool {
        match self.connected.get_mut(&peer) {
            Some(state) => {
                state.connections.push(connection);
                false
            }
            None => {
                let text = peer.to_string().into();
                self.connected.insert(peer, Peer { text, connections: vec![connection] });
                true
            }
        }
    }

    /// Takes out a connection that closed, and the peer with its last one.
    pub(crate) fn remove(
        &mut self,
        peer: &PeerId,
        id: ConnectionId,
    ) -> Option<(Connection, Option<Peer>)> {
        let state = self.connected.get_mut(peer)?;
        let at = state.connections.iter().position(|connection| connection.id == id)?;
        let connection = state.connections.remove(at);
        let gone = state.connections.is_empty().then(|| self.connected.remove(peer)).flatten();
        Some((connection, gone))
    }

    /// Tells whether a connection to the peer stands that isn't being closed.
    pub(crate) fn is_live(&self, peer: &PeerId) -> bool {
        self.get(peer).is_some_and(|state| state.live().next().is_some())
    }

    /// Returns the peer whose connection has this very remote address.
    pub(crate) fn at_address(&self, address: &Multiaddr) -> Option<PeerId> {
        let text = address.to_string();
        let is_there = |state: &Peer| state.live().any(|connection| *connection.address == *text);
        self.iter().find(|(_, state)| is_there(state)).map(|(peer, _)| *peer)
    }

    /// Returns the address at which a connected peer is seen.
    pub(crate) fn seen_at(&self, peer: &PeerId) -> Option<Multiaddr> {
        self.get(peer)?.connections.first()?.address.parse().ok()
    }
}

impl Peer {
    /// Returns the connections that aren't being closed.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Connection> {
        self.connections.iter().filter(|connection| connection.closing.is_none())
    }

    pub(crate) fn connection(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.iter_mut().find(|connection| connection.id == id)
    }

    /// Notes that we are closing every connection.
    pub(crate) fn close_all(&mut self, reason: DisconnectReason) {
        for connection in &mut self.connections {
            connection.closing.get_or_insert(reason);
        }
    }
}

impl Connection {
    /// Returns the time it has stood.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// Tells whether the remote has accepted us, as far as is known by now.
    pub(crate) fn accepted(&self, now: Instant) -> bool {
        match self.identity {
            Identity::Known => true,
            Identity::Silent => self.age(now) >= GRACE,
            Identity::Awaited => self.age(now) >= IDENTIFY_PATIENCE,
        }
    }

    /// Returns the moment when silence will count as acceptance, where that is still to come.
    pub(crate) fn decided_at(&self, now: Instant) -> Option<Instant> {
        let at = match self.identity {
            Identity::Known => return None,
            Identity::Silent => self.since + GRACE,
            Identity::Awaited => self.since + IDENTIFY_PATIENCE,
        };
        Some(at).filter(|at| *at > now)
    }

    /// Tells whether it has stood for [`GRACE`], the time that acceptance takes without identify.
    pub(crate) fn has_stood(&self, now: Instant) -> bool {
        self.age(now) >= GRACE
    }
}
