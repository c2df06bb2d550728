//! The perf protocol, `/perf/1.0.0`, as client and server: the client writes how many bytes it wants, and
//! those it uploads; the server reads to the end, then sends what was asked for.
//!
//! A server works for whoever asks, so a node is one only where its user says so, and each run has bounds.
//! A run beyond them ends the stream: the protocol has no word for a refusal. `run` has both ends of a
//! stream, `handler` the streams of a connection.
//!
//! Ours, since every held connection has a handler: libp2p's request_response costs it 2.2 KiB more
//! (docs/adr/0019).
//!
//! Spec: <https://github.com/libp2p/specs/blob/master/perf/perf.md>

mod handler;
mod run;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::StreamProtocol;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use tokio::sync::Semaphore;

use self::handler::Handler;
pub(crate) use self::run::{Run, Wanted};
use crate::worker::util::clock::Clock;
use crate::{Multiaddr, PeerId};

/// The name of the protocol.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/perf/1.0.0");
/// Bytes of one run, each way: two seconds of a gigabit, time enough for a connection to get up to speed.
pub(crate) const MAX_BYTES: u64 = 256 << 20;
/// Time of one run, at either end: nobody holds a place for longer by sending or reading slowly.
const MAX_TIME: Duration = Duration::from_secs(2 * 60);
/// Runs served at once, whoever asks for them. Each takes a share from the others, so more would measure
/// one another.
const MAX_SERVED: usize = 4;
/// Streams of one connection: those served, one of ours, and as many that are about to end.
const MAX_STREAMS: usize = 2 * (MAX_SERVED + 1);

/// Names one run that was asked for.
pub(crate) type RequestId = u64;

/// The outcome of a run of ours.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub request: RequestId,
    pub took: Result<Duration, Failure>,
}

/// The way in which a run failed.
#[derive(Debug)]
pub(crate) enum Failure {
    Timeout,
    Unsupported,
    /// Too many streams of the connection have yet to end.
    TooMany,
    /// The stream broke, or the remote didn't keep to the protocol.
    Broken(io::Error),
}

/// The perf protocol of this node.
pub(crate) struct Behaviour {
    clock: Clock,
    /// The places of those that are served; None where the node serves nobody.
    places: Option<Arc<Semaphore>>,
    actions: VecDeque<ToSwarm<Outcome, Run>>,
}

impl Behaviour {
    /// Makes the client, and with `serves` the server too.
    pub(crate) fn new(serves: bool, clock: Clock) -> Self {
        let places = serves.then(|| Arc::new(Semaphore::new(MAX_SERVED)));
        Behaviour { clock, places, actions: VecDeque::new() }
    }

    /// Begins a run over a connection; an [`Outcome`] with its id follows, unless the connection closes
    /// first.
    pub(crate) fn begin(&mut self, peer_id: PeerId, connection: ConnectionId, run: Run) {
        self.actions.push_back(ToSwarm::NotifyHandler {
            peer_id,
            handler: NotifyHandler::One(connection),
            event: run,
        });
    }

    fn handler(&self) -> Handler {
        Handler::new(self.clock.clone(), self.places.clone())
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Outcome;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler())
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        outcome: THandlerOutEvent<Self>,
    ) {
        self.actions.push_back(ToSwarm::GenerateEvent(outcome));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        match self.actions.pop_front() {
            Some(action) => Poll::Ready(action),
            None => Poll::Pending,
        }
    }
}
