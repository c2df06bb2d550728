//! `measure_bandwidth`: a run of the perf protocol that uploads, then one that downloads, over the same
//! connection. Each is timed by itself, from its first byte to the end of the answer, as the protocol's
//! specification measures throughput: what waits in a buffer here doesn't count as sent.

use std::collections::HashMap;
use std::time::Duration;

use libp2p::swarm::ConnectionId;
use serde_json::json;

use crate::PeerId;
use crate::error::{Error, ErrorKind};
use crate::model::Text;
use crate::model::params::MAX_MEASURED_BYTES;
use crate::model::reply::{Bandwidth, Throughput};
use crate::worker::core::Core;
use crate::worker::core::calls::{CallId, Ending, Owner};
use crate::worker::protocols::perf::{self, Failure, Outcome, Run, Wanted};
use crate::worker::reply::{Reply, Terms};
use crate::worker::util::millis;

// A server of ours gives whatever a call may ask for.
const _: () = assert!(MAX_MEASURED_BYTES <= perf::MAX_BYTES);

/// The calls that measure: one of a peer at a time, for two would measure each other.
#[derive(Default)]
pub(super) struct Measurements(HashMap<CallId, Measurement>);

struct Measurement {
    peer: PeerId,
    connection: ConnectionId,
    /// The runs to be made, with their bytes; the last one is under way.
    runs: Vec<(Way, u64)>,
    under_way: Option<Wanted>,
    measured: Bandwidth,
    reply: Reply<Bandwidth>,
}

#[derive(Clone, Copy)]
enum Way {
    Up,
    Down,
}

impl Measurements {
    pub(super) fn begin(
        &mut self,
        core: &mut Core,
        peer: PeerId,
        (upload_bytes, download_bytes): (u64, u64),
        terms: Terms<Bandwidth>,
    ) {
        let Some((text, connection)) = over(core, &peer) else {
            let error = Error::new(ErrorKind::NotConnected, format!("{peer} is not connected"));
            return terms.reply.send(Err(error));
        };
        if self.0.values().any(|measurement| measurement.peer == peer) {
            let message = "a measurement of this peer is under way already";
            return terms.reply.send(Err(Error::new(ErrorKind::Busy, message)));
        }
        let measured = Bandwidth { peer_id: text, upload: None, download: None };
        let Some((call, _, reply)) = core.register(Owner::Connections, terms) else { return };
        core.calls.needs_peer(call, peer);
        let runs = [(Way::Down, download_bytes), (Way::Up, upload_bytes)];
        let runs = runs.into_iter().filter(|(_, bytes)| *bytes > 0).collect();
        let measurement = Measurement { peer, connection, runs, under_way: None, measured, reply };
        self.0.insert(call, measurement);
        self.next_run(core, call);
    }

    /// Begins the next run, or answers where there is none.
    fn next_run(&mut self, core: &mut Core, call: CallId) {
        let Some(measurement) = self.0.get_mut(&call) else { return };
        let Some((way, bytes)) = measurement.runs.last().copied() else {
            if let Some(Measurement { measured, reply, .. }) = self.0.remove(&call) {
                core.finish(call);
                reply.send(Ok(measured));
            }
            return;
        };
        let (run, wanted) = match way {
            Way::Up => Run::new(call.number(), bytes, 0),
            Way::Down => Run::new(call.number(), 0, bytes),
        };
        measurement.under_way = Some(wanted);
        let perf = &mut core.swarm.behaviour_mut().perf;
        perf.begin(measurement.peer, measurement.connection, run);
    }

    /// Takes the outcome of one run.
    pub(super) fn on_outcome(&mut self, core: &mut Core, outcome: &Outcome) {
        let call = CallId::of_number(outcome.request);
        let Some(measurement) = self.0.get_mut(&call) else { return };
        let took = match &outcome.took {
            Ok(took) => (*took).max(Duration::from_nanos(1)),
            Err(failure) => return self.fail(core, call, failed(failure)),
        };
        let Some((way, bytes)) = measurement.runs.pop() else { return };
        let over = core.peers.get_mut(&measurement.peer);
        let over = over.and_then(|state| state.connection(measurement.connection));
        let throughput = Throughput {
            bytes,
            duration_ms: millis(took),
            bytes_per_s: bytes as f64 / took.as_secs_f64(),
            transport: over.map(|connection| connection.transport),
        };
        match way {
            Way::Up => measurement.measured.upload = Some(throughput),
            Way::Down => measurement.measured.download = Some(throughput),
        }
        self.next_run(core, call);
    }

    /// Fails the measurement that a closed connection was for, whatever others the peer has.
    pub(super) fn connection_gone(&mut self, core: &mut Core, connection: ConnectionId) {
        let mut measurements = self.0.iter();
        let found = measurements.find(|(_, measurement)| measurement.connection == connection);
        let Some((&call, _)) = found else { return };
        let message = "the connection closed during the measurement";
        self.fail(core, call, Error::new(ErrorKind::NotConnected, message));
    }

    pub(super) fn ended(&mut self, core: &mut Core, call: CallId, why: Ending) {
        let Some(measurement) = self.0.get(&call) else { return };
        let mut error = why.error("the bytes did not go through in time");
        if why == Ending::Deadline {
            error = error
                .with("upload", json!(measurement.measured.upload))
                .with_hint("give it more time, or fewer bytes");
        }
        self.fail(core, call, error);
    }

    /// Answers a call, and ends the run under way.
    fn fail(&mut self, core: &mut Core, call: CallId, error: Error) {
        if let Some(measurement) = self.0.remove(&call) {
            core.finish(call);
            measurement.reply.send(Err(error));
        }
    }
}

/// Returns the peer's id in base58, and the connection to measure: the oldest that isn't being closed.
fn over(core: &Core, peer: &PeerId) -> Option<(Text, ConnectionId)> {
    let state = core.peers.get(peer)?;
    Some((state.text.clone(), state.live().next()?.id))
}

/// Returns the error for a run that failed.
fn failed(failure: &Failure) -> Error {
    match failure {
        Failure::Unsupported => {
            let message = format!("the peer does not serve {}", perf::PROTOCOL);
            Error::new(ErrorKind::Protocol, message)
                .with_hint("the peer must be configured for it; one of peerkit has `serve_perf`")
        }
        Failure::Timeout => Error::new(ErrorKind::Timeout, "the peer took too long for the bytes"),
        Failure::TooMany => {
            Error::new(ErrorKind::Busy, "too many measurements of the peer have yet to end")
        }
        Failure::Broken(error) => {
            let message = format!("the peer broke the measurement off: {error}");
            Error::new(ErrorKind::Protocol, message).with_hint(
                "it may serve others just now, or not so many bytes; try again, or with fewer",
            )
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::task::{Context, Poll};

    use futures::task::noop_waker;
    use libp2p::swarm::{NetworkBehaviour, NotifyHandler, ToSwarm};

    use super::*;
    use crate::worker::core::testing::{core, terms};

    /// Takes out the run that was begun, and returns its id and its connection.
    fn begun(core: &mut Core) -> (perf::RequestId, ConnectionId) {
        let perf = &mut core.swarm.behaviour_mut().perf;
        match perf.poll(&mut Context::from_waker(&noop_waker())) {
            Poll::Ready(ToSwarm::NotifyHandler {
                handler: NotifyHandler::One(id), event, ..
            }) => (event.request, id),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn both_runs_go_over_one_connection_and_fail_with_that_one() {
        let mut core = core(json!({ "profile": "offline" })).0;
        let peer = PeerId::random();
        core.connect_for_test(peer, None);
        core.connect_for_test(peer, None);
        let ids = core.peers.get(&peer).unwrap().live().map(|connection| connection.id);
        let [first, second] = ids.collect::<Vec<_>>().try_into().unwrap();
        let (terms, answer) = terms(&core, Duration::from_secs(60));
        let mut measurements = Measurements::default();
        measurements.begin(&mut core, peer, (1, 1), terms);
        let (request, over) = begun(&mut core);
        assert_eq!(over, first);
        measurements.on_outcome(&mut core, &Outcome { request, took: Ok(Duration::ZERO) });
        assert_eq!(begun(&mut core).1, first);
        measurements.connection_gone(&mut core, second);
        assert!(answer.try_recv().is_err(), "it goes on");
        measurements.connection_gone(&mut core, first);
        let error = answer.try_recv().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotConnected);
    }
}
