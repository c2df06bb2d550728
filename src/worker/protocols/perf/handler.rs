//! One connection's side of perf: the streams of the runs under way. A stream keeps its connection open;
//! a handler without one doesn't, and holds no memory but its own.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::option;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use libp2p::core::UpgradeInfo;
use libp2p::core::upgrade::{InboundUpgrade, ReadyUpgrade};
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{
    ConnectionHandler, ConnectionHandlerEvent, Stream, StreamProtocol, StreamUpgradeError,
    SubstreamProtocol,
};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{Failure, MAX_STREAMS, MAX_TIME, Outcome, PROTOCOL, Run, run};
use crate::worker::util::clock::Clock;

pub(crate) struct Handler {
    clock: Clock,
    places: Option<Arc<Semaphore>>,
    /// Is made for a run and goes when none is left, for most connections never have one.
    streams: Option<Box<Streams>>,
}

/// The streams of a connection, in the order in which a run of ours goes through them.
#[derive(Default)]
struct Streams {
    /// Runs whose stream is to be asked for.
    asked: VecDeque<Run>,
    /// Runs whose stream is being negotiated: each takes the first that is ready.
    opening: VecDeque<Run>,
    /// Runs under way. Those of ours have an outcome.
    under_way: FuturesUnordered<BoxFuture<'static, Option<Outcome>>>,
}

impl Streams {
    fn is_full(&self) -> bool {
        self.asked.len() + self.opening.len() + self.under_way.len() >= MAX_STREAMS
    }

    fn is_empty(&self) -> bool {
        self.asked.is_empty() && self.opening.is_empty() && self.under_way.is_empty()
    }

    fn fail(&mut self, run: &Run, failure: Failure) {
        let outcome = Outcome { request: run.request, took: Err(failure) };
        self.under_way.push(ready(Some(outcome)).boxed());
    }
}

impl Handler {
    pub(crate) fn new(clock: Clock, places: Option<Arc<Semaphore>>) -> Self {
        Handler { clock, places, streams: None }
    }

    fn streams(&mut self) -> &mut Streams {
        self.streams.get_or_insert_default()
    }

    /// Serves a run, where there is room for its stream.
    fn serve(&mut self, stream: Stream) {
        let Some(places) = self.places.clone() else { return };
        let streams = self.streams();
        if !streams.is_full() {
            let serving = timeout(MAX_TIME, run::serve(stream, places));
            streams.under_way.push(serving.map(|_| None).boxed());
        }
    }

    /// Begins the run whose stream is open.
    fn begin(&mut self, stream: Stream) {
        let clock = self.clock.clone();
        let streams = self.streams();
        let Some(run) = streams.opening.pop_front() else { return };
        let request = run.request;
        let running = timeout(MAX_TIME, run.make(stream, clock)).map(move |done| {
            let took = match done {
                Ok(took) => took.map_err(Failure::Broken),
                Err(_elapsed) => Err(Failure::Timeout),
            };
            Some(Outcome { request, took })
        });
        streams.under_way.push(running.boxed());
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Run;
    type ToBehaviour = Outcome;
    type InboundProtocol = Served;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(Served(self.places.is_some()), ())
    }

    fn on_behaviour_event(&mut self, run: Run) {
        let streams = self.streams();
        match streams.is_full() {
            true => streams.fail(&run, Failure::TooMany),
            false => streams.asked.push_back(run),
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), Outcome>> {
        let Some(streams) = &mut self.streams else { return Poll::Pending };
        if let Some(run) = streams.asked.pop_front() {
            streams.opening.push_back(run);
            let protocol =
                SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), ()).with_timeout(MAX_TIME);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        while let Poll::Ready(Some(ended)) = streams.under_way.poll_next_unpin(cx) {
            if let Some(outcome) = ended {
                return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(outcome));
            }
        }
        if streams.is_empty() {
            self.streams = None;
        }
        Poll::Pending
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: stream,
                ..
            }) => self.serve(stream),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: stream,
                ..
            }) => self.begin(stream),
            ConnectionEvent::DialUpgradeError(DialUpgradeError { error, .. }) => {
                let failure = match error {
                    StreamUpgradeError::NegotiationFailed => Failure::Unsupported,
                    StreamUpgradeError::Timeout => Failure::Timeout,
                    StreamUpgradeError::Io(error) => Failure::Broken(error),
                };
                let streams = self.streams();
                if let Some(run) = streams.opening.pop_front() {
                    streams.fail(&run, failure);
                }
            }
            _ => {}
        }
    }
}

/// The protocol where the node serves it, otherwise none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Served(bool);

impl UpgradeInfo for Served {
    type Info = StreamProtocol;
    type InfoIter = option::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.then_some(PROTOCOL).into_iter()
    }
}

impl InboundUpgrade<Stream> for Served {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, _: StreamProtocol) -> Self::Future {
        ready(Ok(stream))
    }
}

#[cfg(test)]
mod tests {
    use futures::task::noop_waker;

    use super::*;
    use crate::worker::protocols::perf::RequestId;

    type Told = ConnectionHandlerEvent<ReadyUpgrade<StreamProtocol>, (), Outcome>;

    fn poll(handler: &mut Handler) -> Option<Told> {
        match handler.poll(&mut Context::from_waker(&noop_waker())) {
            Poll::Ready(told) => Some(told),
            Poll::Pending => None,
        }
    }

    /// Polls a handler that has an outcome to tell.
    #[track_caller]
    fn outcome(handler: &mut Handler) -> Outcome {
        match poll(handler) {
            Some(ConnectionHandlerEvent::NotifyBehaviour(outcome)) => outcome,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn runs_beyond_the_streams_of_a_connection_fail_and_none_leaves_memory_behind() {
        let mut handler = Handler::new(Clock::default(), None);
        let most = MAX_STREAMS as RequestId;
        let _wanted: Vec<_> = (0..=most)
            .map(|request| {
                let (run, wanted) = Run::new(request, 1, 1);
                handler.on_behaviour_event(run);
                wanted
            })
            .collect();
        for _ in 0..most {
            let asked = poll(&mut handler);
            let is_asked =
                matches!(asked, Some(ConnectionHandlerEvent::OutboundSubstreamRequest { .. }));
            assert!(is_asked, "{asked:?}");
        }
        let refused = outcome(&mut handler);
        assert_eq!(refused.request, most);
        assert!(matches!(refused.took, Err(Failure::TooMany)), "{refused:?}");
        for request in 0..most {
            let error = StreamUpgradeError::NegotiationFailed;
            let failed = DialUpgradeError { info: (), error };
            handler.on_connection_event(ConnectionEvent::DialUpgradeError(failed));
            let failed = outcome(&mut handler);
            assert_eq!(failed.request, request);
            assert!(matches!(failed.took, Err(Failure::Unsupported)), "{failed:?}");
        }
        assert!(poll(&mut handler).is_none());
        assert!(handler.streams.is_none());
    }
}
