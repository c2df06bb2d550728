//! How many connections there may be: pending, established, and to one peer.
//!
//! libp2p's own `connection_limits` 0.7 keeps an empty entry for every peer id it ever saw, which
//! strangers can fill; this counts the same and forgets.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::fmt;
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};

use crate::model::reply::LimitsInForce;
use crate::{Multiaddr, PeerId};

/// A limit that a connection would have exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exceeded {
    Connections(u32),
    PerPeer(u32),
    Pending(u32),
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, limit) = match self {
            Exceeded::Connections(limit) => ("max_connections", limit),
            Exceeded::PerPeer(limit) => ("max_per_peer", limit),
            Exceeded::Pending(limit) => ("max_pending", limit),
        };
        write!(f, "limits.{name} of {limit} is reached")
    }
}

impl std::error::Error for Exceeded {}

/// Counts connections and refuses those over the limits.
pub(super) struct Limits {
    limits: LimitsInForce,
    pending_inbound: HashSet<ConnectionId>,
    pending_outbound: HashSet<ConnectionId>,
    established: u32,
    per_peer: HashMap<PeerId, u32>,
}

impl Limits {
    pub(super) fn new(limits: LimitsInForce) -> Self {
        Limits {
            limits,
            pending_inbound: HashSet::new(),
            pending_outbound: HashSet::new(),
            established: 0,
            per_peer: HashMap::new(),
        }
    }

    fn check_pending(&self, pending: usize) -> Result<(), ConnectionDenied> {
        match pending < self.limits.max_pending as usize {
            true => Ok(()),
            false => Err(ConnectionDenied::new(Exceeded::Pending(self.limits.max_pending))),
        }
    }

    fn check_established(&self, peer: &PeerId) -> Result<(), ConnectionDenied> {
        let limits = &self.limits;
        if self.established >= limits.max_connections {
            return Err(ConnectionDenied::new(Exceeded::Connections(limits.max_connections)));
        }
        if self.per_peer.get(peer).is_some_and(|open| *open >= limits.max_per_peer) {
            return Err(ConnectionDenied::new(Exceeded::PerPeer(limits.max_per_peer)));
        }
        Ok(())
    }

    fn closed(&mut self, peer: PeerId) {
        self.established = self.established.saturating_sub(1);
        if let Some(open) = self.per_peer.get_mut(&peer) {
            *open -= 1;
            if *open == 0 {
                self.per_peer.remove(&peer);
            }
        }
    }
}

impl NetworkBehaviour for Limits {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.check_pending(self.pending_inbound.len())?;
        self.pending_inbound.insert(connection);
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.pending_inbound.remove(&connection);
        self.check_established(&peer)?;
        Ok(dummy::ConnectionHandler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        _: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.check_pending(self.pending_outbound.len())?;
        self.pending_outbound.insert(connection);
        Ok(Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.pending_outbound.remove(&connection);
        self.check_established(&peer)?;
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(established) => {
                self.established += 1;
                *self.per_peer.entry(established.peer_id).or_default() += 1;
            }
            FromSwarm::ConnectionClosed(closed) => self.closed(closed.peer_id),
            FromSwarm::DialFailure(failure) => {
                self.pending_outbound.remove(&failure.connection_id);
            }
            FromSwarm::ListenFailure(failure) => {
                self.pending_inbound.remove(&failure.connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        never: THandlerOutEvent<Self>,
    ) {
        match never {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}
