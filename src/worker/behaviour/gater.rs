//! Admits connections or refuses them: by the profile's addresses and the rate of inbound ones before
//! the handshake, by the peer's intent and the dial's origin, and by the limits on how many there are
//! (`limits`).

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};

use super::limits::Limits;
use crate::book::Origin;
use crate::model::Direction;
use crate::worker::shared::Shared;
use crate::worker::transport::terms::DialTerms;
use crate::worker::util::clock::Clock;
use crate::worker::util::rate::TokenBucket;
use crate::{Multiaddr, PeerId, addr};

/// The reason why a connection was refused.
#[derive(Debug)]
enum Refusal {
    PublicAddress,
    TooFast,
    NotWanted,
    QueriesPaused,
    Unregistered,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::PublicAddress => "profile \"lan\" refuses public addresses",
            Refusal::TooFast => "more inbound connections in a second than allowed",
            Refusal::QueriesPaused => "discovery is stopped; the DHT dials nobody",
            Refusal::NotWanted => "the user disconnected the peer; it isn't dialled automatically",
            Refusal::Unregistered => "no part of peerkit asked for the dial",
        })
    }
}

impl std::error::Error for Refusal {}

/// Refuses connections by address, origin, rate and number.
pub(crate) struct Gater {
    clock: Clock,
    rate: TokenBucket,
    limits: Limits,
    terms: DialTerms,
    shared: Arc<Shared>,
}

impl Gater {
    pub(super) fn new(shared: Arc<Shared>, terms: DialTerms, clock: Clock) -> Self {
        let limits = &shared.settings.limits;
        let rate = TokenBucket::new(limits.max_inbound_per_s, limits.max_inbound_per_s);
        Gater { clock, rate, limits: Limits::new(limits.clone()), terms, shared }
    }

    fn admit_dial(&self, connection: ConnectionId, peer: Option<PeerId>) -> Result<(), Refusal> {
        let origin = self.terms.enter(connection).ok_or(Refusal::Unregistered)?;
        if origin == Origin::Query && self.terms.queries_paused() {
            return Err(Refusal::QueriesPaused);
        }
        match peer.is_none_or(|peer| self.shared.book.admits(&peer, origin)) {
            true => Ok(()),
            false => Err(Refusal::NotWanted),
        }
    }
}

impl NetworkBehaviour for Gater {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let local_only = self.shared.settings.local_only();
        if local_only && addr::ip_of(remote).is_some_and(addr::is_public_ip) {
            return Err(ConnectionDenied::new(Refusal::PublicAddress));
        }
        if !self.rate.take(self.clock.now()) {
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
        self.admit_dial(connection, peer).map_err(ConnectionDenied::new)?;
        self.limits.begin(connection, Direction::Outbound).map_err(ConnectionDenied::new)?;
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
        // Only now may be known which peer the address is of, and the user may have disconnected it.
        let origin = self.terms.origin(connection).unwrap_or(Origin::Query);
        if !self.shared.book.admits(&peer, origin) {
            self.limits.fail(connection, Direction::Outbound);
            return Err(ConnectionDenied::new(Refusal::NotWanted));
        }
        let admitted = self.limits.admit(connection, Direction::Outbound, &peer);
        admitted.map(|()| dummy::ConnectionHandler).map_err(ConnectionDenied::new)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(event) => self.limits.established(event.peer_id),
            FromSwarm::ConnectionClosed(event) => self.limits.closed(event.peer_id),
            FromSwarm::DialFailure(event) => {
                self.terms.take(event.connection_id);
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
