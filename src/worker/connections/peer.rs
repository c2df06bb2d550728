//! What the worker knows of a connected peer, and what a closed connection's error tells.

use std::error::Error as StdError;
use std::io;
use std::time::{Duration, Instant};

use libp2p::core::upgrade::NegotiationError;
use libp2p::quic;
use libp2p::swarm::{ConnectionError, ConnectionId};

use crate::model::event::DisconnectReason;
use crate::model::{Direction, Text, TransportKind};
use crate::worker::dialing::connect::{GRACE, IDENTIFY_PATIENCE};

/// A peer with at least one connection, which may be about to close.
pub(crate) struct Peer {
    pub text: Text,
    /// Oldest first.
    pub connections: Vec<Connection>,
}

#[derive(Clone)]
pub(crate) struct Connection {
    pub id: ConnectionId,
    pub address: Text,
    pub direction: Direction,
    pub transport: TransportKind,
    pub since: Instant,
    pub identity: Identity,
    /// A query of the DHT wanted it, and nobody else has since.
    pub for_query: bool,
    /// Why we are closing it.
    pub closing: Option<DisconnectReason>,
}

/// Whether the remote has told who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    Awaited,
    Known,
    /// It speaks no identify, or broke it.
    Silent,
}

impl Peer {
    /// The connections that aren't being closed.
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
    fn open_for(&self) -> Duration {
        Instant::now().saturating_duration_since(self.since)
    }

    /// Whether the remote has taken us, as far as can be told by now.
    pub(crate) fn accepted(&self) -> bool {
        match self.identity {
            Identity::Known => true,
            Identity::Silent => self.open_for() >= GRACE,
            Identity::Awaited => self.open_for() >= IDENTIFY_PATIENCE,
        }
    }

    /// Whether it has stood for as long as acceptance takes without identify.
    pub(crate) fn has_stood(&self) -> bool {
        self.open_for() >= GRACE
    }
}

/// The reason a connection ended, and whether it is concluded rather than known.
pub(crate) fn why_closed(
    ours: Option<DisconnectReason>,
    cause: Option<&ConnectionError>,
) -> (DisconnectReason, bool) {
    match (ours, cause) {
        (Some(reason), _) => (reason, false),
        (None, None) => (DisconnectReason::LocalRequest, true),
        (None, Some(ConnectionError::KeepAliveTimeout)) => (DisconnectReason::Idle, false),
        (None, Some(ConnectionError::IO(error))) if is_quic_timeout(error) => {
            (DisconnectReason::PingDead, true)
        }
        (None, Some(ConnectionError::IO(_))) => (DisconnectReason::RemoteClosed, true),
    }
}

/// QUIC heard nothing for its idle timeout.
fn is_quic_timeout(error: &io::Error) -> bool {
    // quinn's error is private inside; its text for `ConnectionError::TimedOut` is this.
    chain(error).any(|inner| inner.is::<quic::Error>() && inner.to_string() == "timed out")
}

/// The two sides shared no stream multiplexer. Its negotiation is lazy, so a dialler learns of it
/// only when the connection is used.
pub(crate) fn is_muxer_mismatch(cause: &ConnectionError) -> bool {
    match cause {
        ConnectionError::IO(error) => chain(error).any(|inner| inner.is::<NegotiationError>()),
        ConnectionError::KeepAliveTimeout => false,
    }
}

/// An I/O error, what it wraps, and so on: each boxing of a muxer wraps its errors once more, and
/// `source` passes over what an `io::Error` holds.
fn chain<'a>(error: &'a io::Error) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let first: &'a (dyn StdError + 'static) = error;
    std::iter::successors(Some(first), |error: &&'a (dyn StdError + 'static)| {
        let error: &'a (dyn StdError + 'static) = *error;
        match error.downcast_ref::<io::Error>() {
            Some(io) => io.get_ref().map(|inner| -> &'a (dyn StdError + 'static) { inner }),
            None => error.source(),
        }
    })
}
