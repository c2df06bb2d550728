//! Our own ping, over the standard protocol id.
//!
//! libp2p-ping 0.48 can't be used: it pings only by its own timer, its first failure is silent so
//! that a dead peer takes 80 s and more to tell, and over QUIC it answers late, because its
//! handler doesn't poll again after answering (docs/adr/0004). This one pings when asked and
//! every [`INTERVAL`], and gives a connection up after [`FAILURES`] unanswered pings: at worst
//! 15 + 2 x 10 = 35 s after the remote went silent. Only silence counts: a remote that refuses the
//! protocol or resets the stream is alive.
//!
//! Spec: <https://github.com/libp2p/specs/blob/master/ping/ping.md>

mod handler;

use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler,
    THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};

use self::handler::Handler;
use crate::worker::util::clock::Clock;
use crate::{Multiaddr, PeerId};

/// Time between the keepalive pings of a connection.
const INTERVAL: Duration = Duration::from_secs(15);
/// Time that one ping may take, opening its stream included.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Unanswered pings in a row that make a connection dead.
const FAILURES: u32 = 2;

/// Names one ping that was asked for.
pub(crate) type RequestId = u64;

/// The way in which a ping failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PingFailure {
    Timeout,
    Unsupported,
    /// The stream or the connection broke, or the remote sent back something else.
    Broken,
    /// Too many pings wait on the connection already.
    TooMany,
}

/// The outcome of a ping, as a connection's handler tells it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The request this answers; `None` for a keepalive ping.
    pub request: Option<RequestId>,
    pub result: Result<Duration, PingFailure>,
}

/// A message of the behaviour to the worker.
#[derive(Debug)]
pub(crate) enum Event {
    /// A ping that was asked for, or a keepalive ping that was answered.
    Pinged { peer: PeerId, outcome: Outcome },
    /// The connection answers no more pings and is being closed.
    Dead { peer: PeerId, connection: ConnectionId },
}

/// The ping protocol of this node.
pub(crate) struct Behaviour {
    clock: Clock,
    actions: VecDeque<ToSwarm<Event, RequestId>>,
}

impl Behaviour {
    pub(crate) fn new(clock: Clock) -> Self {
        Behaviour { clock, actions: VecDeque::new() }
    }

    /// Sends one ping to a connected peer; a [`Event::Pinged`] with the id follows, unless the
    /// connection closes first.
    pub(crate) fn ping(&mut self, peer_id: PeerId, request: RequestId) {
        self.actions.push_back(ToSwarm::NotifyHandler {
            peer_id,
            handler: NotifyHandler::Any,
            event: request,
        });
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(self.clock.clone()))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(self.clock.clone()))
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        peer_id: PeerId,
        connection: ConnectionId,
        told: THandlerOutEvent<Self>,
    ) {
        match told {
            handler::Told::Outcome(outcome) => {
                self.actions
                    .push_back(ToSwarm::GenerateEvent(Event::Pinged { peer: peer_id, outcome }));
            }
            handler::Told::Dead => {
                self.actions
                    .push_back(ToSwarm::GenerateEvent(Event::Dead { peer: peer_id, connection }));
                self.actions.push_back(ToSwarm::CloseConnection {
                    peer_id,
                    connection: CloseConnection::One(connection),
                });
            }
        }
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        match self.actions.pop_front() {
            Some(action) => Poll::Ready(action),
            None => Poll::Pending,
        }
    }
}
