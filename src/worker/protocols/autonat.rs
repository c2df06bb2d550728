//! Reachability by AutoNAT v2: libp2p's client, which asks connected servers to dial this node back at
//! the addresses at which others say they see it, with two things mended.
//!
//! It never tests an address again that was confirmed once (rust-libp2p#6203), so after a change of
//! network the node would count as reachable for ever: here a change of the listen addresses takes
//! back what was confirmed, and begins anew. And it remembers each address that any remote tells:
//! here only a number of them, and none that can't be reached from the Internet.

use std::collections::{HashMap, HashSet, VecDeque};
use std::task::{Context, Poll};

use libp2p::autonat::v2::client::{Behaviour as Client, Event};
use libp2p::core::transport::PortUse;
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::swarm::behaviour::ConnectionEstablished;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};

use crate::addr::{self, Scope};
use crate::{Multiaddr, PeerId};

/// Addresses that are tested, until the network changes.
const MAX_CANDIDATES: usize = 32;

/// The client, as it stands since the last change of network.
#[derive(Default)]
pub(crate) struct Autonat {
    client: Client,
    candidates: HashSet<Multiaddr>,
    confirmed: HashSet<Multiaddr>,
    /// Every open connection; false: a client of an earlier network may have asked something there.
    open: HashMap<ConnectionId, (PeerId, ConnectedPoint, bool)>,
    expired: VecDeque<Multiaddr>,
}

impl Autonat {
    /// Begins anew: what was confirmed was so on another network.
    fn start_over(&mut self) {
        self.client = Client::default();
        self.candidates.clear();
        self.expired.extend(self.confirmed.drain());
        for (connection_id, (peer_id, endpoint, of_this_network)) in &mut self.open {
            *of_this_network = false;
            self.client.on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id: *peer_id,
                connection_id: *connection_id,
                endpoint,
                failed_addresses: &[],
                other_established: 0,
            }));
        }
    }

    /// Whether an address at which a remote sees this node is worth a test.
    fn takes(&mut self, candidate: &Multiaddr) -> bool {
        let known = self.candidates.contains(candidate);
        let room = self.candidates.len() < MAX_CANDIDATES;
        let takes = known || room && addr::scope(candidate) == Scope::Public;
        if takes && !known {
            self.candidates.insert(candidate.clone());
        }
        takes
    }
}

impl NetworkBehaviour for Autonat {
    type ConnectionHandler = <Client as NetworkBehaviour>::ConnectionHandler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.client.handle_established_inbound_connection(connection, peer, local, remote)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let client = &mut self.client;
        client.handle_established_outbound_connection(connection, peer, address, role, port_use)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::NewExternalAddrCandidate(candidate) if !self.takes(candidate.addr) => return,
            FromSwarm::ConnectionEstablished(event) => {
                let connection = (event.peer_id, event.endpoint.clone(), true);
                self.open.insert(event.connection_id, connection);
            }
            FromSwarm::ConnectionClosed(event) => drop(self.open.remove(&event.connection_id)),
            _ => {}
        }
        self.client.on_swarm_event(event);
        if matches!(event, FromSwarm::NewListenAddr(_) | FromSwarm::ExpiredListenAddr(_)) {
            self.start_over();
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        // An answer to what was asked before the network changed says nothing of this one.
        if self.open.get(&connection).is_some_and(|(.., of_this_network)| *of_this_network) {
            self.client.on_connection_handler_event(peer, connection, event);
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some(address) = self.expired.pop_front() {
            return Poll::Ready(ToSwarm::ExternalAddrExpired(address));
        }
        let polled = self.client.poll(cx);
        if let Poll::Ready(ToSwarm::ExternalAddrConfirmed(address)) = &polled {
            self.confirmed.insert(address.clone());
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p::swarm::{ExpiredListenAddr, NewExternalAddrCandidate};

    fn public(n: usize) -> Multiaddr {
        format!("/ip4/11.0.0.1/tcp/{}", n + 1).parse().unwrap()
    }

    fn candidate(autonat: &mut Autonat, addr: &Multiaddr) {
        let told = NewExternalAddrCandidate { addr };
        autonat.on_swarm_event(FromSwarm::NewExternalAddrCandidate(told));
    }

    #[test]
    fn a_change_of_network_takes_back_what_was_confirmed() {
        let mut autonat = Autonat::default();
        candidate(&mut autonat, &public(0));
        autonat.confirmed.insert(public(0));
        let listener_id = libp2p::core::transport::ListenerId::next();
        let gone = ExpiredListenAddr { listener_id, addr: &public(9) };
        autonat.on_swarm_event(FromSwarm::ExpiredListenAddr(gone));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let expired = autonat.poll(&mut cx);
        assert!(
            matches!(&expired, Poll::Ready(ToSwarm::ExternalAddrExpired(addr)) if *addr == public(0))
        );
        assert!(autonat.confirmed.is_empty() && autonat.takes(&public(0)), "it is tested again");
    }

    #[test]
    fn remotes_can_have_a_number_of_public_addresses_tested() {
        let mut autonat = Autonat::default();
        (0..1000).for_each(|n| candidate(&mut autonat, &public(n)));
        assert_eq!(autonat.candidates.len(), MAX_CANDIDATES);
        assert!(!autonat.takes(&"/ip4/192.168.1.1/tcp/1".parse().unwrap()));
        assert!(!autonat.takes(&"/ip4/127.0.0.1/tcp/1".parse().unwrap()));
    }
}
