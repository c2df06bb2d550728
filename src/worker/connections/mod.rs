//! Connections: what the swarm tells of them goes into the book and out as events.
//!
//! Connected is per peer, not per connection: `peer_connected` at the first, `peer_disconnected`
//! at the last.

pub(crate) mod gater;
pub(crate) mod identify;
pub(crate) mod limits;
pub(crate) mod peer;

use std::io;
use std::time::{Duration, Instant};

use libp2p::core::ConnectedPoint;
use libp2p::core::transport::TransportError;
use libp2p::swarm::{ConnectionError, ConnectionId};

use crate::book::Discovered;
use crate::clock;
use crate::model::event::EventKind;
use crate::model::{
    ConnectionInfo, DialStage, Direction, LastDisconnect, Source, Text, TransportKind,
};
use crate::worker::connections::peer::{Connection, Identity, Peer, is_muxer_mismatch, why_closed};
use crate::worker::dialing::auto::TRIM_GRACE;
use crate::worker::dialing::connect::{GRACE, IDENTIFY_PATIENCE, Landed};
use crate::worker::{Timer, Worker};
use crate::{Multiaddr, PeerId, addr};

/// Characters kept of a transport's error.
const MAX_ERROR_CHARS: usize = 300;

impl Worker {
    pub(crate) fn on_established(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        endpoint: &ConnectedPoint,
        dial_errors: &[(Multiaddr, TransportError<io::Error>)],
        took: Duration,
    ) {
        let remote = addr::without_peer_id(endpoint.get_remote_address());
        let (direction, landed) = match endpoint {
            ConnectedPoint::Listener { .. } => (Direction::Inbound, Landed::Wanted(None)),
            ConnectedPoint::Dialer { .. } => {
                let winner = (&remote, took);
                (Direction::Outbound, self.dial_landed(connection, peer, winner, dial_errors))
            }
        };
        // The user may have disconnected the peer while the dial was under way.
        let held_off = || self.run.book.get(&peer).is_some_and(|record| record.held_off);
        match landed {
            Landed::Wanted(Some(_)) | Landed::WantedUncounted(Some(_)) if held_off() => {
                let _ = self.swarm.close_connection(connection);
            }
            Landed::Unwanted => drop(self.swarm.close_connection(connection)),
            Landed::Wanted(cause) => {
                self.add_connection(peer, connection, direction, cause, &remote);
            }
            Landed::WantedUncounted(cause) => {
                self.add_connection(peer, connection, direction, cause, &remote);
                self.run.book.dial_started(&peer, clock::now());
            }
        }
        self.connected_meanwhile(peer);
        self.settle_acceptance(peer);
        self.pass_dial_over(connection, true);
        self.tend_soon();
    }

    /// What a dial that landed says of how the peer is known. Who is on the bootstrap list stays in the
    /// book, so an entry that is gone, or led to somebody it doesn't name, makes nobody so.
    fn why(&self, peer: &PeerId, cause: Option<Source>) -> Source {
        match cause {
            Some(Source::Bootstrap) if !self.run.bootstrap.names(peer) => Source::Identify,
            cause => cause.unwrap_or(Source::Identify),
        }
    }

    fn add_connection(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        direction: Direction,
        cause: Option<Source>,
        remote: &Multiaddr,
    ) {
        // That the user gave an address is put down by the facade, on disk before it answers.
        let (source, dialled) = match direction {
            Direction::Inbound => (Source::Inbound, None),
            Direction::Outbound => (self.why(&peer, cause), Some(remote.clone())),
        };
        let now = clock::now();
        let info = ConnectionInfo {
            address: remote.to_string().into(),
            direction,
            transport: addr::transport_of(remote).unwrap_or(TransportKind::Tcp),
            opened_at: now,
        };
        let since = Instant::now();
        let for_query = direction == Direction::Outbound && cause == Some(Source::Dht);
        if for_query {
            self.timers.set(since + TRIM_GRACE, Timer::Tend);
        }
        let connection = Connection {
            id,
            address: info.address.clone(),
            direction,
            transport: info.transport,
            since,
            identity: Identity::Awaited,
            for_query,
            closing: None,
        };
        self.timers.set(since + GRACE, Timer::Grace(peer));
        self.timers.set(since + IDENTIFY_PATIENCE, Timer::Grace(peer));
        let found = self.run.book.discovered(&peer, source, dialled.as_slice(), now);
        self.run.book.connected(&peer, key(id), info.clone(), source, now);
        if let Some(state) = self.peers.get_mut(&peer) {
            return state.connections.push(connection);
        }
        // What a search of the DHT connects to is no news.
        if !for_query {
            self.has_news();
        }
        let text: Text = peer.to_string().into();
        self.peers.insert(peer, Peer { text: text.clone(), connections: vec![connection] });
        if let (Discovered::New, Some(source)) = (found, cause) {
            self.discovered(source, peer, true, now);
        }
        if found != Discovered::Known {
            let multiaddrs = dialled.iter().map(|address| address.to_string().into()).collect();
            let by_user = dialled.is_some() && cause.is_none();
            let source = if by_user { Source::User } else { source };
            let kind = EventKind::PeerDiscovered { source, multiaddrs };
            self.run.hub.publish(Some(text.clone()), kind);
        }
        let ConnectionInfo { address, transport, .. } = info;
        let kind = EventKind::PeerConnected { address, direction, transport };
        self.run.hub.publish(Some(text), kind);
        self.trim();
    }

    pub(crate) fn on_closed(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        cause: Option<&ConnectionError>,
    ) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        // A connection that was closed because nobody wanted it was never noted.
        let Some(at) = state.connections.iter().position(|connection| connection.id == id) else {
            return;
        };
        let connection = state.connections.remove(at);
        let last = state.connections.is_empty();
        let (reason, inferred) = why_closed(connection.closing, cause);
        let disconnect = last.then(|| LastDisconnect { reason, at: clock::now() });
        self.run.book.connection_closed(&peer, key(id), disconnect);
        if last && let Some(state) = self.peers.remove(&peer) {
            if !connection.for_query {
                self.has_news();
            }
            let error =
                cause.map(|cause| cause.to_string().chars().take(MAX_ERROR_CHARS).collect());
            let kind = EventKind::PeerDisconnected { reason, inferred, error };
            self.run.hub.publish(Some(state.text), kind);
            let stage = match cause.is_some_and(is_muxer_mismatch) {
                true => DialStage::Muxer,
                false => DialStage::Accept,
            };
            self.not_accepted(peer, reason, stage);
            self.pinged_peer_gone(peer);
            self.pubsub.forget(&peer);
            self.asked.forget(&peer);
            self.tend_soon();
        }
        self.connection_gone(id);
    }
}

/// The book knows connections by number.
fn key(connection: ConnectionId) -> u64 {
    // ConnectionId has no other accessor than its text, which is the number.
    connection.to_string().parse().unwrap_or(u64::MAX)
}
