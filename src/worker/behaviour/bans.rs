//! Closes the connections of peers that were over a budget of work (`util/budgets`), and for a while refuses
//! new ones: inbound, and those that this node would dial by itself. A call may still connect such a peer.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
};

use crate::worker::transport::terms::DialTerms;
use crate::worker::util::budgets::Budgets;
use crate::{Multiaddr, PeerId};

/// Refuses those that were over a budget.
pub(crate) struct Bans {
    budgets: Arc<Budgets>,
    terms: DialTerms,
}

impl Bans {
    pub(super) fn new(budgets: Arc<Budgets>, terms: DialTerms) -> Self {
        Bans { budgets, terms }
    }

    fn admit(&self, peer: &PeerId) -> Result<(), ConnectionDenied> {
        let Some(over) = self.budgets.refuses(peer) else { return Ok(()) };
        self.budgets.count_refused();
        Err(ConnectionDenied::new(over))
    }
}

impl NetworkBehaviour for Bans {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(&peer).map(|()| dummy::ConnectionHandler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let automatic = self.terms.origin(connection).is_some_and(|origin| origin.is_automatic());
        if let Some(peer) = peer.filter(|_| automatic) {
            self.admit(&peer)?;
        }
        Ok(Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        never: THandlerOutEvent<Self>,
    ) {
        match never {}
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        let over = self.budgets.poll_over(cx);
        over.map(|peer_id| ToSwarm::CloseConnection { peer_id, connection: CloseConnection::All })
    }
}
