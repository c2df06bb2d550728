//! Connections: what the swarm tells of them goes into the book and out as events.
//!
//! Connected is per peer, not per connection: `peer_connected` at the first, `peer_disconnected`
//! at the last.

use std::io;
use std::time::{Duration, Instant};

use libp2p::core::ConnectedPoint;
use libp2p::core::transport::TransportError;
use libp2p::swarm::{ConnectionError, ConnectionId};
use libp2p::{identify, quic};

use super::connect::{GRACE, IDENTIFY_PATIENCE};
use super::{Timer, Worker};
use crate::book::{Discovered, Identified};
use crate::clock;
use crate::model::event::{DisconnectReason, EventKind};
use crate::model::{ConnectionInfo, Direction, LastDisconnect, Source, Text, TransportKind};
use crate::{Multiaddr, PeerId, addr};

/// Characters kept of a remote's agent and protocol version.
const MAX_AGENT_CHARS: usize = 256;
/// A protocol name longer than this is left out.
const MAX_PROTOCOL_BYTES: usize = 256;
/// Protocol names kept of one remote.
const MAX_PROTOCOLS: usize = 256;
/// An address longer than this is left out.
const MAX_ADDRESS_BYTES: usize = 512;
/// Addresses kept of what one remote says of itself.
const MAX_ADDRESSES: usize = 16;
/// Characters kept of a transport's error.
const MAX_ERROR_CHARS: usize = 300;

/// A connected peer.
pub(super) struct Peer {
    pub text: Text,
    /// Oldest first.
    pub connections: Vec<Connection>,
    /// When the first connection was established.
    pub since: Instant,
    pub identity: Identity,
    /// Why we are closing its connections.
    pub closing: Option<DisconnectReason>,
}

#[derive(Clone)]
pub(super) struct Connection {
    pub id: ConnectionId,
    pub address: Text,
    pub transport: TransportKind,
}

/// Whether the peer has told who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    Awaited,
    Known,
    /// It speaks no identify, or broke it.
    Silent,
}

impl Worker {
    pub(super) fn on_established(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        endpoint: &ConnectedPoint,
        dial_errors: &[(Multiaddr, TransportError<io::Error>)],
        took: Duration,
    ) {
        let remote = addr::without_peer_id(endpoint.get_remote_address());
        let was_connected = self.peers.contains_key(&peer);
        let direction = match endpoint {
            ConnectedPoint::Dialer { .. } => Direction::Outbound,
            ConnectedPoint::Listener { .. } => Direction::Inbound,
        };
        self.add_connection(peer, connection, direction, &remote);
        let wanted = direction == Direction::Inbound
            || self.dial_succeeded(connection, peer, was_connected, (&remote, took), dial_errors);
        self.connected_meanwhile(peer);
        self.settle_acceptance(peer);
        if !wanted {
            self.swarm.close_connection(connection);
        }
    }

    fn add_connection(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        direction: Direction,
        remote: &Multiaddr,
    ) {
        let info = ConnectionInfo {
            address: remote.to_string().into(),
            direction,
            transport: addr::transport_of(remote).unwrap_or(TransportKind::Tcp),
            opened_at: clock::now(),
        };
        let connection =
            Connection { id, address: info.address.clone(), transport: info.transport };
        let (source, dialled) = match direction {
            Direction::Inbound => (Source::Inbound, None),
            Direction::Outbound => (Source::User, Some(remote.clone())),
        };
        let addresses = dialled.as_slice();
        let found = self.run.book.discovered(&peer, source, addresses, clock::now());
        self.run.book.connected(&peer, key(id), info.clone(), source, clock::now());
        if let Some(state) = self.peers.get_mut(&peer) {
            state.connections.push(connection);
            return;
        }
        let text: Text = peer.to_string().into();
        let since = Instant::now();
        self.timers.set(since + GRACE, Timer::Grace(peer));
        self.timers.set(since + IDENTIFY_PATIENCE, Timer::Grace(peer));
        self.peers.insert(
            peer,
            Peer {
                text: text.clone(),
                connections: vec![connection],
                since,
                identity: Identity::Awaited,
                closing: None,
            },
        );
        if found != Discovered::Known {
            let multiaddrs = addresses.iter().map(|address| address.to_string().into()).collect();
            let kind = EventKind::PeerDiscovered { source, multiaddrs };
            self.run.hub.publish(Some(text.clone()), kind);
        }
        let kind = EventKind::PeerConnected {
            address: info.address,
            direction,
            transport: info.transport,
        };
        self.run.hub.publish(Some(text), kind);
    }

    pub(super) fn on_closed(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        cause: Option<&ConnectionError>,
    ) {
        let was_dead = self.dead.contains(&connection);
        self.dead.retain(|dead| *dead != connection);
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        state.connections.retain(|open| open.id != connection);
        let last = state.connections.is_empty();
        let (reason, inferred) = why_closed(state.closing, was_dead, cause);
        let at = clock::now();
        let disconnect = last.then_some(LastDisconnect { reason, at });
        self.run.book.connection_closed(&peer, key(connection), disconnect);
        if !last {
            return;
        }
        let Some(state) = self.peers.remove(&peer) else {
            return;
        };
        self.timers.clear(state.since + GRACE, Timer::Grace(peer));
        self.timers.clear(state.since + IDENTIFY_PATIENCE, Timer::Grace(peer));
        let kind = EventKind::PeerDisconnected {
            reason,
            inferred,
            error: cause.map(|cause| clip(&cause.to_string(), MAX_ERROR_CHARS)),
        };
        self.run.hub.publish(Some(state.text), kind);
        self.not_accepted(peer);
        self.peer_gone(peer);
    }

    pub(super) fn on_identify(&mut self, event: identify::Event) {
        match event {
            identify::Event::Received { peer_id, info, connection_id } => {
                self.identified(peer_id, connection_id, info);
            }
            identify::Event::Error { peer_id, .. } => {
                if let Some(state) = self.peers.get_mut(&peer_id)
                    && state.identity == Identity::Awaited
                {
                    state.identity = Identity::Silent;
                    self.settle_acceptance(peer_id);
                }
            }
            identify::Event::Sent { .. } | identify::Event::Pushed { .. } => {}
        }
    }

    fn identified(&mut self, peer: PeerId, connection: ConnectionId, info: identify::Info) {
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        state.identity = Identity::Known;
        let text = state.text.clone();
        let seen_at = state.connections.iter().find(|open| open.id == connection);
        let seen_at = seen_at.and_then(|open| open.address.parse().ok());
        let told = Identified {
            agent_version: Some(clip(&info.agent_version, MAX_AGENT_CHARS)),
            protocol_version: Some(clip(&info.protocol_version, MAX_AGENT_CHARS)),
            protocols: protocols(&info),
            addrs: addresses(&info, peer, seen_at.as_ref()),
        };
        self.run.book.identified(&peer, told, clock::now());
        if let Some(record) = self.run.book.get(&peer) {
            let kind = EventKind::PeerIdentified {
                agent_version: record.agent_version.clone(),
                protocols: record.protocols.clone(),
            };
            self.run.hub.publish(Some(text), kind);
        }
        self.settle_acceptance(peer);
    }
}

/// The book knows connections by number.
fn key(connection: ConnectionId) -> u64 {
    // ConnectionId has no other accessor than its text, which is the number.
    connection.to_string().parse().unwrap_or(u64::MAX)
}

fn clip(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

fn protocols(info: &identify::Info) -> Vec<String> {
    let names = info.protocols.iter().map(|protocol| protocol.as_ref());
    let names = names.filter(|name: &&str| name.len() <= MAX_PROTOCOL_BYTES);
    names.take(MAX_PROTOCOLS).map(str::to_owned).collect()
}

/// What of a remote's own addresses can be of use: none of a smaller scope than the address it
/// was seen at, since a stranger's loopback or private addresses lead somewhere else from here.
fn addresses(info: &identify::Info, peer: PeerId, seen_at: Option<&Multiaddr>) -> Vec<Multiaddr> {
    let least = seen_at.map(addr::scope);
    let told = info.listen_addrs.iter().filter(|address| address.len() <= MAX_ADDRESS_BYTES);
    let told = told.filter(|address| addr::peer_id_of(address).is_none_or(|named| named == peer));
    let told = told.map(addr::without_peer_id);
    let useful = told.filter(|address| {
        addr::is_dialable(address) && least.is_none_or(|least| addr::scope(address) >= least)
    });
    useful.take(MAX_ADDRESSES).collect()
}

/// The reason a connection ended, and whether it is concluded rather than known.
fn why_closed(
    ours: Option<DisconnectReason>,
    was_dead: bool,
    cause: Option<&ConnectionError>,
) -> (DisconnectReason, bool) {
    if was_dead {
        return (DisconnectReason::PingDead, false);
    }
    if let Some(reason) = ours {
        return (reason, false);
    }
    match cause {
        None => (DisconnectReason::LocalRequest, true),
        Some(ConnectionError::KeepAliveTimeout) => (DisconnectReason::Idle, false),
        Some(ConnectionError::IO(error)) if is_quic_timeout(error) => {
            (DisconnectReason::PingDead, true)
        }
        Some(ConnectionError::IO(_)) => (DisconnectReason::RemoteClosed, true),
    }
}

/// QUIC heard nothing for its idle timeout.
fn is_quic_timeout(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<quic::Error>());
    // quinn's error is private inside; its text for `ConnectionError::TimedOut` is this.
    inner.is_some_and(|error| error.to_string() == "timed out")
}
