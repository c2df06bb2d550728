//! `get_metrics`: the worker's records and the state of the book and the run at this moment, in the
//! text that Prometheus and its kin read (OpenMetrics 1.0).
//!
//! Nothing here asks the worker or waits for it. Every label has a bounded number of values, all of
//! them ours.

use std::fmt;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::PeerManager;
use crate::discovery_log::Snapshot;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Source;
use crate::model::reply::Metrics;
use crate::run::Run;

/// The `Content-Type` with which an HTTP server sends the text.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

impl PeerManager {
    /// Returns the metrics of this node for a monitoring system, libp2p's and its own, as text. Answers
    /// at once.
    ///
    /// ```
    /// # fn main() -> peerkit::Result<()> {
    /// # use std::time::Duration;
    /// # use peerkit::{Config, PeerManager, Profile};
    /// # let node = PeerManager::start(&Config::new().profile(Profile::Offline), None)?;
    /// let scraped = node.get_metrics()?;
    /// assert!(scraped.metrics.contains("\npeerkit_connected_peers 0\n"));
    /// # node.stop(None)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_metrics(&self) -> Result<Metrics> {
        self.live()?;
        let metrics = encode(&self.run).map_err(|_| {
            Error::new(ErrorKind::Panic, "the metrics can't be written as OpenMetrics")
        })?;
        Ok(Metrics { metrics, content_type: CONTENT_TYPE.to_owned() })
    }
}

fn encode(run: &Run) -> Result<String, fmt::Error> {
    let mut text = String::new();
    let mut now = Registry::with_prefix("peerkit");
    this_node(&mut now, run);
    peers(&mut now, run);
    discovery(&mut now, run);
    text::encode_registry(&mut text, &now)?;
    run.shared.metrics.encode(&mut text)?;
    text::encode_eof(&mut text)?;
    Ok(text)
}

fn this_node(now: &mut Registry, run: &Run) {
    now.register("build", "The library", Info::new([("version", crate::VERSION)]));
    let uptime = ConstGauge::new(run.uptime().as_secs_f64());
    now.register_with_unit("uptime", "Time since the start", Unit::Seconds, uptime);
    gauge(
        now,
        "listen_addresses",
        "Addresses listened on",
        run.shared.listen_address_count() as u64,
    );
    let traffic = run.shared.traffic.snapshot();
    let bytes = Counts::default();
    bytes.get_or_create(&[("direction", "in".into())]).inc_by(traffic.bytes_in);
    bytes.get_or_create(&[("direction", "out".into())]).inc_by(traffic.bytes_out);
    let help = "Bytes of all connections, as their streams carry them";
    now.register_with_unit("traffic", help, Unit::Bytes, bytes);
    let counts = run.shared.hub.counts();
    let (events, coalesced) = (Counter::<u64>::default(), Counter::<u64>::default());
    events.inc_by(counts.published);
    coalesced.inc_by(counts.coalesced);
    now.register("events", "Events published", events);
    let help = "Changes without an event of their own: what changed did so again too soon";
    now.register("events_coalesced", help, coalesced);
    gauge(now, "event_subscriptions", "Open subscriptions to events", counts.subscriptions);
}

fn peers(now: &mut Registry, run: &Run) {
    let counts = run.shared.book.counts();
    gauge(now, "peers", "Peers in the book", counts.total);
    gauge(now, "connected_peers", "Peers with an open connection", counts.connected);
    gauge(
        now,
        "bootstrap_peers",
        "Entries of the bootstrap list",
        run.shared.bootstrap.len() as u64,
    );
}

fn discovery(now: &mut Registry, run: &Run) {
    let active = u64::from(run.shared.discovery.active());
    gauge(now, "discovery_active", "Whether discovery runs by itself", active);
    let Snapshot { sources, last_pass, .. } = run.shared.discovery.snapshot();
    if let Some(last) = last_pass {
        let at = ConstGauge::new(last.as_secs_f64());
        let help = "When the last pass ended, since 1970";
        now.register_with_unit("discovery_last_pass_timestamp", help, Unit::Seconds, at);
    }
    let (found, heard) = (Counts::default(), Counts::default());
    for (source, report) in sources {
        found.get_or_create(&[("source", name(source))]).inc_by(report.total_found);
        heard.get_or_create(&[("source", name(source))]).inc_by(report.heard);
    }
    now.register("discovery_found", "Peers found that the book didn't know", found);
    now.register("discovery_heard", "Peers a source told of, known or not", heard);
    let refused = Family::<[(&str, String); 2], Counter>::default();
    for (what, count) in run.shared.discovery.all_dropped() {
        // The names are ours, all of them; see `DiscoveryLog`.
        let (source, reason) = what.split_once('.').unwrap_or((&what, ""));
        let labels = [("source", source.to_owned()), ("reason", reason.to_owned())];
        refused.get_or_create(&labels).inc_by(count);
    }
    now.register("refused", "Things remotes sent that were refused", refused);
}

/// Counters told apart by one label.
type Counts = Family<[(&'static str, String); 1], Counter>;

fn gauge(now: &mut Registry, name: &str, help: &str, value: u64) {
    now.register(name, help, ConstGauge::new(value));
}

fn name(source: Source) -> String {
    format!("{source:?}").to_lowercase()
}
