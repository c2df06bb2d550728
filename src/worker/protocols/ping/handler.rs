//! One connection's side of ping: answers the remote's pings, sends ours.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{AsyncReadExt, AsyncWriteExt, FutureExt};
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{
    ConnectionHandler, ConnectionHandlerEvent, Stream, StreamProtocol, StreamUpgradeError,
    SubstreamProtocol,
};
use tokio::time::{Sleep, sleep, timeout};

use super::{FAILURES, INTERVAL, Outcome, PingFailure, RequestId, TIMEOUT};

use crate::worker::util::clock::Clock;

const PROTOCOL: StreamProtocol = StreamProtocol::new("/ipfs/ping/1.0.0");
/// Bytes in a ping.
const SIZE: usize = 32;
/// Streams on which one remote may ping us at once. The spec allows a pinger two.
const MAX_INBOUND: usize = 2;
/// Pings asked for that may wait on one connection; `ping_peer` sends one at a time.
const MAX_QUEUED: usize = 64;

/// A message of the handler to the behaviour.
#[derive(Debug)]
pub(crate) enum Told {
    Outcome(Outcome),
    Dead,
}

/// The state of our pinging.
enum Outbound {
    /// No stream yet, or the last one broke.
    None,
    /// A stream is being negotiated for the ping of this request.
    Opening(Option<RequestId>),
    Idle(Stream),
    Pinging(Ping),
}

/// A ping under way.
struct Ping {
    request: Option<RequestId>,
    /// True where an earlier ping opened the stream; some remotes close it after each.
    reused: bool,
    round_trip: BoxFuture<'static, Result<(Stream, Duration), PingFailure>>,
}

impl Ping {
    fn begin(request: Option<RequestId>, reused: bool, stream: Stream, clock: &Clock) -> Outbound {
        let round_trip = ping(stream, clock.clone()).boxed();
        Outbound::Pinging(Ping { request, reused, round_trip })
    }
}

pub(crate) struct Handler {
    clock: Clock,
    inbound: VecDeque<BoxFuture<'static, io::Result<()>>>,
    outbound: Outbound,
    /// Pings to send. `None` is a keepalive ping.
    queue: VecDeque<Option<RequestId>>,
    told: VecDeque<Told>,
    keepalive: Pin<Box<Sleep>>,
    failures: u32,
}

impl Handler {
    pub(crate) fn new(clock: Clock) -> Self {
        Handler {
            clock,
            inbound: VecDeque::new(),
            outbound: Outbound::None,
            queue: VecDeque::new(),
            told: VecDeque::new(),
            keepalive: Box::pin(sleep(INTERVAL)),
            failures: 0,
        }
    }

    fn answer_pings(&mut self, cx: &mut Context<'_>) {
        self.inbound.retain_mut(|answering| answering.poll_unpin(cx).is_pending());
    }

    fn keep_alive(&mut self, cx: &mut Context<'_>) {
        if self.keepalive.poll_unpin(cx).is_ready() {
            self.keepalive.set(sleep(INTERVAL));
            let _ = self.keepalive.poll_unpin(cx);
            if !self.queue.contains(&None) {
                self.queue.push_back(None);
            }
        }
    }

    /// Books the outcome of a ping; repeats an unanswered one at once, until [`FAILURES`] in a row are.
    fn finished(&mut self, request: Option<RequestId>, result: Result<Duration, PingFailure>) {
        if result == Err(PingFailure::Timeout) {
            self.failures += 1;
            if self.failures == FAILURES {
                self.told.push_back(Told::Dead);
            } else if !self.queue.contains(&None) {
                self.queue.push_back(None);
            }
        } else {
            self.failures = 0;
        }
        if request.is_some() || result.is_ok() {
            self.told.push_back(Told::Outcome(Outcome { request, result }));
        }
    }

    /// Moves our pinging on. `true` asks the connection for a stream.
    fn advance(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            match std::mem::replace(&mut self.outbound, Outbound::None) {
                Outbound::Opening(request) => {
                    self.outbound = Outbound::Opening(request);
                    return false;
                }
                Outbound::None => {
                    let Some(request) = self.queue.pop_front() else {
                        return false;
                    };
                    self.outbound = Outbound::Opening(request);
                    return true;
                }
                Outbound::Idle(stream) => {
                    let Some(request) = self.queue.pop_front() else {
                        self.outbound = Outbound::Idle(stream);
                        return false;
                    };
                    self.outbound = Ping::begin(request, true, stream, &self.clock);
                }
                Outbound::Pinging(mut ping) => match ping.round_trip.poll_unpin(cx) {
                    Poll::Pending => {
                        self.outbound = Outbound::Pinging(ping);
                        return false;
                    }
                    Poll::Ready(Ok((stream, rtt))) => {
                        self.outbound = Outbound::Idle(stream);
                        self.finished(ping.request, Ok(rtt));
                    }
                    Poll::Ready(Err(PingFailure::Broken)) if ping.reused => {
                        self.queue.push_front(ping.request);
                    }
                    Poll::Ready(Err(failure)) => self.finished(ping.request, Err(failure)),
                },
            }
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = RequestId;
    type ToBehaviour = Told;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), ())
    }

    fn on_behaviour_event(&mut self, request: RequestId) {
        if self.queue.len() < MAX_QUEUED {
            self.queue.push_back(Some(request));
        } else {
            self.told.push_back(Told::Outcome(Outcome {
                request: Some(request),
                result: Err(PingFailure::TooMany),
            }));
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), Told>> {
        self.answer_pings(cx);
        self.keep_alive(cx);
        let wants_stream = self.advance(cx);
        if wants_stream {
            let protocol =
                SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), ()).with_timeout(TIMEOUT);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        match self.told.pop_front() {
            Some(told) => Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(told)),
            None => Poll::Pending,
        }
    }

    /// Ends the pings that wait on a connection that closes.
    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<Option<Told>> {
        let current = match std::mem::replace(&mut self.outbound, Outbound::None) {
            Outbound::Opening(request) => request,
            Outbound::Pinging(ping) => ping.request,
            Outbound::None | Outbound::Idle(_) => None,
        };
        for request in current.into_iter().chain(self.queue.drain(..).flatten()) {
            let (request, result) = (Some(request), Err(PingFailure::Broken));
            self.told.push_back(Told::Outcome(Outcome { request, result }));
        }
        Poll::Ready(self.told.pop_front())
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: mut stream,
                ..
            }) => {
                stream.ignore_for_keep_alive();
                if self.inbound.len() == MAX_INBOUND {
                    self.inbound.pop_front();
                }
                self.inbound.push_back(echo(stream).boxed());
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: mut stream,
                ..
            }) => {
                stream.ignore_for_keep_alive();
                if let Outbound::Opening(request) = self.outbound {
                    self.outbound = Ping::begin(request, false, stream, &self.clock);
                }
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { error, .. }) => {
                let failure = match error {
                    StreamUpgradeError::NegotiationFailed => PingFailure::Unsupported,
                    StreamUpgradeError::Timeout => PingFailure::Timeout,
                    StreamUpgradeError::Apply(_) | StreamUpgradeError::Io(_) => PingFailure::Broken,
                };
                if let Outbound::Opening(request) = self.outbound {
                    self.outbound = Outbound::None;
                    self.finished(request, Err(failure));
                }
            }
            _ => {}
        }
    }
}

/// Sends one ping and waits for its echo.
async fn ping(mut stream: Stream, clock: Clock) -> Result<(Stream, Duration), PingFailure> {
    let mut sent = [0u8; SIZE];
    getrandom::fill(&mut sent).map_err(|_| PingFailure::Broken)?;
    let round_trip = async {
        let started = clock.now();
        stream.write_all(&sent).await?;
        stream.flush().await?;
        let mut echoed = [0u8; SIZE];
        stream.read_exact(&mut echoed).await?;
        io::Result::Ok((echoed, clock.now().saturating_duration_since(started)))
    };
    match timeout(TIMEOUT, round_trip).await {
        Err(_elapsed) => Err(PingFailure::Timeout),
        Ok(Ok((echoed, rtt))) if echoed == sent => Ok((stream, rtt)),
        Ok(_) => Err(PingFailure::Broken),
    }
}

/// Sends every ping back until the remote closes the stream.
async fn echo(mut stream: Stream) -> io::Result<()> {
    let mut payload = [0u8; SIZE];
    loop {
        match stream.read_exact(&mut payload).await {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return stream.close().await;
            }
            Err(error) => return Err(error),
        }
        stream.write_all(&payload).await?;
        stream.flush().await?;
    }
}
