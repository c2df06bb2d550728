//! Which connections may be: the profile's address rule and the rate of inbound ones, decided before
//! the handshake, and the limits on how many there are (`limits`).

use std::collections::HashSet;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};

use crate::book::Book;
use crate::config::Settings;
use crate::model::Direction;
use crate::worker::connections::limits::Limits;
use crate::worker::transport::wrappers::{DialTerms, ip_of};
use crate::worker::util::rate::TokenBucket;
use crate::{Multiaddr, PeerId, addr};

/// Why a connection was turned away.
#[derive(Debug)]
enum Refusal {
    PublicAddress,
    TooFast,
    HeldOff,
    Quiet,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::PublicAddress => "profile \"lan\" refuses public addresses",
            Refusal::TooFast => "more inbound connections in a second than allowed",
            Refusal::Quiet => "discovery is stopped; nothing is dialled unasked",
            Refusal::HeldOff => "the user disconnected the peer; it isn't dialled unasked",
        })
    }
}

impl std::error::Error for Refusal {}

/// Refuses connections by address, rate and number.
pub(crate) struct Gate {
    local_only: bool,
    rate: TokenBucket,
    limits: Limits,
    terms: DialTerms,
    book: Arc<Book>,
    /// The dials under way that a call asked for.
    asked: HashSet<ConnectionId>,
}

impl Gate {
    fn is_held_off(&self, peer: &PeerId) -> bool {
        self.book.get(peer).is_some_and(|record| record.held_off)
    }

    pub(crate) fn new(settings: &Settings, terms: DialTerms, book: Arc<Book>) -> Self {
        Gate {
            local_only: settings.local_only(),
            rate: {
                let per_second = settings.limits.max_inbound_per_s;
                TokenBucket::new(per_second, per_second)
            },
            limits: Limits::new(settings.limits.clone()),
            terms,
            book,
            asked: HashSet::new(),
        }
    }
}

impl NetworkBehaviour for Gate {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        if self.local_only && ip_of(remote).is_some_and(addr::is_public_ip) {
            return Err(ConnectionDenied::new(Refusal::PublicAddress));
        }
        if !self.rate.take(Instant::now()) {
            return Err(ConnectionDenied::new(Refusal::TooFast));
        }
        self.limits.begin(connection, Direction::Inbound).map_err(ConnectionDenied::new)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let admitted = self.limits.admit(connection, Direction::Inbound, &peer);
        admitted.map(|()| dummy::ConnectionHandler).map_err(ConnectionDenied::new)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let asked = self.terms.asked();
        if !asked && peer.as_ref().is_some_and(|peer| self.is_held_off(peer)) {
            return Err(ConnectionDenied::new(Refusal::HeldOff));
        }
        if !asked && self.terms.quiet() {
            return Err(ConnectionDenied::new(Refusal::Quiet));
        }
        self.limits.begin(connection, Direction::Outbound).map_err(ConnectionDenied::new)?;
        if asked {
            self.asked.insert(connection);
        }
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
        // Whose address it was may be known only now, and the user may have disconnected meanwhile.
        if !self.asked.remove(&connection) && self.is_held_off(&peer) {
            self.limits.fail(connection, Direction::Outbound);
            return Err(ConnectionDenied::new(Refusal::HeldOff));
        }
        let admitted = self.limits.admit(connection, Direction::Outbound, &peer);
        admitted.map(|()| dummy::ConnectionHandler).map_err(ConnectionDenied::new)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(event) => self.limits.established(event.peer_id),
            FromSwarm::ConnectionClosed(event) => self.limits.closed(event.peer_id),
            FromSwarm::DialFailure(event) => {
                self.asked.remove(&event.connection_id);
                self.limits.fail(event.connection_id, Direction::Outbound);
            }
            FromSwarm::ListenFailure(event) => {
                self.limits.fail(event.connection_id, Direction::Inbound);
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
