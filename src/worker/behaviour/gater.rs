//! Admits connections or refuses them: by the profile's addresses and the rate of inbound ones before
//! the handshake, by the peer's intent and the dial's origin, and by the limits on how many there are
//! (`limits`). Counts each inbound one that it refuses.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};

use super::limits::{Displaced, Limits, NoPlace};
use crate::admission::{Rate, Source, Standing};
use crate::book::Origin;
use crate::worker::shared::Shared;
use crate::worker::transport::terms::DialTerms;
use crate::worker::util::clock::Clock;
use crate::{Multiaddr, PeerId, addr, admission};

/// The reason why a connection was refused.
#[derive(Debug)]
enum Refusal {
    PublicAddress,
    NotWanted,
    QueriesPaused,
    Unregistered,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::PublicAddress => "profile \"lan\" refuses public addresses",
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
    rate: Rate,
    limits: Limits,
    /// Those that have to be closed because others took their places.
    displaced: VecDeque<Displaced>,
    terms: DialTerms,
    shared: Arc<Shared>,
}

impl Gater {
    pub(super) fn new(shared: Arc<Shared>, terms: DialTerms, clock: Clock) -> Self {
        let limits = &shared.settings.limits;
        let rate = Rate::new(limits.max_inbound_per_s);
        let limits = Limits::new(limits.clone());
        Gater { clock, rate, limits, displaced: VecDeque::new(), terms, shared }
    }

    fn admit_dial(
        &self,
        connection: ConnectionId,
        peer: Option<PeerId>,
    ) -> Result<Origin, Refusal> {
        let origin = self.terms.enter(connection).ok_or(Refusal::Unregistered)?;
        if origin == Origin::Query && self.terms.queries_paused() {
            return Err(Refusal::QueriesPaused);
        }
        match peer.is_none_or(|peer| self.shared.book.admits(&peer, origin)) {
            true => Ok(origin),
            false => Err(Refusal::NotWanted),
        }
    }

    /// Lets the handshake of an inbound connection begin.
    fn begin_inbound(
        &mut self,
        connection: ConnectionId,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let local_only = self.shared.settings.local_only();
        if local_only && addr::ip_of(remote).is_some_and(addr::is_public_ip) {
            self.shared.discovery.refused("inbound.public_address");
            return Err(ConnectionDenied::new(Refusal::PublicAddress));
        }
        let (source, now) = (Source::from(addr::ip_of(remote)), self.clock.now());
        let end = self.terms.handshakes().last();
        let told = |why| refused(&self.shared, why);
        let passed = self.rate.take(source, now);
        let begun =
            passed.and_then(|()| self.limits.begin_handshake(connection, source, end, now, told));
        begun.map_err(|why| {
            told(why);
            ConnectionDenied::new(why)
        })
    }

    /// Gives a connection whose handshake is over its place.
    fn admit(
        &mut self,
        connection: ConnectionId,
        peer: &PeerId,
        (source, standing): (Source, Standing),
    ) -> Result<dummy::ConnectionHandler, NoPlace> {
        let now = self.clock.now();
        let displaced = self.limits.admit(connection, peer, (source, standing), now)?;
        if displaced.is_some() {
            refused(&self.shared, admission::Refusal::Displaced);
        }
        self.displaced.extend(displaced);
        Ok(dummy::ConnectionHandler)
    }

    /// Judges whose connection a remote opened: one that the user named, or a stranger's.
    fn standing(&self, peer: &PeerId) -> Standing {
        let named = self.shared.book.get(peer).is_some_and(|record| record.is_protected());
        if named { Standing::Trusted } else { Standing::Proven }
    }
}

/// Counts an inbound connection that was refused, or has lost its place.
fn refused(shared: &Shared, why: admission::Refusal) {
    shared.discovery.refused(match why {
        admission::Refusal::Full => "inbound.full",
        admission::Refusal::Share => "inbound.share",
        admission::Refusal::Displaced => "inbound.displaced",
        admission::Refusal::Overdue => "inbound.overdue",
        admission::Refusal::TooFast => "inbound.too_fast",
    });
}

impl NetworkBehaviour for Gater {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Displaced;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.begin_inbound(connection, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !self.limits.end_handshake(connection) {
            return Err(ConnectionDenied::new(admission::Refusal::Displaced));
        }
        let whose = (Source::from(addr::ip_of(remote)), self.standing(&peer));
        self.admit(connection, &peer, whose).map_err(|no_place| {
            match no_place.why {
                Some(why) => refused(&self.shared, why),
                None => self.shared.discovery.refused("inbound.per_peer"),
            }
            ConnectionDenied::new(no_place.limit)
        })
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let origin = self.admit_dial(connection, peer).map_err(ConnectionDenied::new)?;
        self.limits.begin_dial(connection, origin).map_err(ConnectionDenied::new)?;
        Ok(Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        // Only now may be known which peer the address is of, and the user may have disconnected it.
        let origin = self.terms.origin(connection).unwrap_or(Origin::Query);
        if !self.shared.book.admits(&peer, origin) {
            self.limits.fail(connection);
            return Err(ConnectionDenied::new(Refusal::NotWanted));
        }
        // Remotes tell queries whom to ask, so those are nobody the user or this node knows.
        let standing = match origin {
            Origin::Query => Standing::Proven,
            Origin::Call | Origin::Bootstrap | Origin::Auto => Standing::Trusted,
        };
        let whose = (Source::from(addr::ip_of(remote)), standing);
        let admitted = self.admit(connection, &peer, whose);
        admitted.map_err(|no_place| ConnectionDenied::new(no_place.limit))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(event) => {
                self.limits.established(event.connection_id, event.peer_id);
            }
            FromSwarm::ConnectionClosed(event) => {
                self.limits.closed(event.connection_id, event.peer_id);
            }
            FromSwarm::DialFailure(event) => {
                self.terms.take(event.connection_id);
                self.limits.fail(event.connection_id);
            }
            FromSwarm::ListenFailure(event) => self.limits.fail(event.connection_id),
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
        self.displaced
            .pop_front()
            .map_or(Poll::Pending, |it| Poll::Ready(ToSwarm::GenerateEvent(it)))
    }
}
