//! The metrics that the swarm's events add up to: libp2p's own, and those of ours that only the worker
//! can count. The worker records, with atomics and locks held for one label set; the facade reads
//! without the worker, by [`Recorder::encode`].
//!
//! No label holds what a remote can choose, or a remote could make as many series as it likes. So parts of
//! libp2p-metrics aren't used: the protocols in the addresses at which remotes say they see us, and those
//! that remotes say of themselves by identify (it would keep a copy of these for each peer, too).
//! Identify and ping are counted here, under the names libp2p-metrics has for them.

use std::fmt;

use libp2p::core::ConnectedPoint;
#[cfg(feature = "gossip")]
use libp2p::gossipsub;
use libp2p::identify;
#[cfg(feature = "dht")]
use libp2p::kad;
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p_metrics::{Metrics, Recorder as _};
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::protocols::ping::{Event as PingEvent, PingFailure};
use crate::model::TransportKind;
use crate::{PeerId, addr};

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;

/// Names and values of labels: texts of our own.
type Labels<const N: usize> = [(&'static str, &'static str); N];

/// The metrics that the worker records. One for each run.
pub(crate) struct Recorder {
    registry: Registry,
    libp2p: Metrics,
    identify: Identify,
    ping_rtt: Histogram,
    ping_failures: Family<Labels<1>, Counter>,
    connections: Family<Labels<2>, Gauge>,
}

#[derive(Default)]
struct Identify {
    errors: Counter,
    pushed: Counter,
    received: Counter,
    sent: Counter,
}

impl Default for Recorder {
    fn default() -> Self {
        let mut registry = Registry::default();
        let libp2p = Metrics::new(&mut registry);
        let recorder = Recorder {
            libp2p,
            identify: Identify::default(),
            ping_rtt: Histogram::new(exponential_buckets(0.001, 2.0, 12)),
            ping_failures: Family::default(),
            connections: Family::default(),
            registry: Registry::default(),
        };
        let Identify { errors, pushed, received, sent } = &recorder.identify;
        let identify = registry.sub_registry_with_prefix("libp2p_identify");
        identify.register("errors", "Failures to identify a remote", errors.clone());
        identify.register("pushed", "Times our own identity was pushed to a peer", pushed.clone());
        identify.register("received", "Times a peer told its identity", received.clone());
        identify.register("sent", "Times a peer asked for our own identity", sent.clone());
        let ping = registry.sub_registry_with_prefix("libp2p_ping");
        let rtt = recorder.ping_rtt.clone();
        ping.register_with_unit("rtt", "Round trip times of pings", Unit::Seconds, rtt);
        ping.register("failure", "Pings without an answer", recorder.ping_failures.clone());
        let own = registry.sub_registry_with_prefix("peerkit");
        own.register("connections", "Open connections", recorder.connections.clone());
        Recorder { registry, ..recorder }
    }
}

impl Recorder {
    /// Writes all metrics as text, without the mark of its end.
    pub(crate) fn encode(&self, to: &mut String) -> fmt::Result {
        text::encode_registry(to, &self.registry)
    }

    /// Counts what the swarm tells of connections and addresses.
    pub(crate) fn record_swarm<E>(&self, event: &SwarmEvent<E>) {
        match event {
            // Connected remotes say at which address they see us, and help to confirm it.
            SwarmEvent::Behaviour(_)
            | SwarmEvent::NewExternalAddrCandidate { .. }
            | SwarmEvent::ExternalAddrConfirmed { .. }
            | SwarmEvent::ExternalAddrExpired { .. } => return,
            SwarmEvent::ConnectionEstablished { endpoint, .. } => {
                self.connections.get_or_create(&connection(endpoint)).inc();
            }
            SwarmEvent::ConnectionClosed { endpoint, .. } => {
                self.connections.get_or_create(&connection(endpoint)).dec();
            }
            _ => {}
        }
        self.libp2p.record(event);
    }

    /// Counts a dial of ours. The swarm tells only of those that behaviours ask for.
    pub(crate) fn record_dial(&self, peer_id: Option<PeerId>, connection_id: ConnectionId) {
        self.libp2p.record(&SwarmEvent::<()>::Dialing { peer_id, connection_id });
    }

    #[cfg(feature = "dht")]
    pub(crate) fn record_kad(&self, event: &kad::Event) {
        self.libp2p.record(event);
    }

    #[cfg(feature = "gossip")]
    pub(crate) fn record_gossipsub(&self, event: &gossipsub::Event) {
        self.libp2p.record(event);
    }

    pub(crate) fn record_identify(&self, event: &identify::Event) {
        self.identify.record(event);
    }

    pub(crate) fn record_ping(&self, event: &PingEvent) {
        let failure = match event {
            PingEvent::Pinged { outcome, .. } => match outcome.result {
                Ok(rtt) => return self.ping_rtt.observe(rtt.as_secs_f64()),
                Err(PingFailure::Timeout) => "Timeout",
                Err(PingFailure::Unsupported) => "Unsupported",
                Err(PingFailure::Broken | PingFailure::TooMany) => "Other",
            },
            PingEvent::Dead { .. } => "Timeout",
        };
        self.ping_failures.get_or_create(&[("reason", failure)]).inc();
    }
}

impl Identify {
    fn record(&self, event: &identify::Event) {
        match event {
            identify::Event::Error { .. } => self.errors.inc(),
            identify::Event::Pushed { .. } => self.pushed.inc(),
            identify::Event::Received { .. } => self.received.inc(),
            identify::Event::Sent { .. } => self.sent.inc(),
        };
    }
}

/// Returns the direction and the transport of a connection, as labels.
fn connection(endpoint: &ConnectedPoint) -> Labels<2> {
    let direction = match endpoint {
        ConnectedPoint::Dialer { .. } => "outbound",
        ConnectedPoint::Listener { .. } => "inbound",
    };
    let transport = match addr::transport_of(endpoint.get_remote_address()) {
        Some(TransportKind::Quic) => "quic",
        Some(TransportKind::Tcp) => "tcp",
        _ => "other",
    };
    [("direction", direction), ("transport", transport)]
}
