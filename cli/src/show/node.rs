//! This node, for people: its status, its statistics, and what discovery has done.

use std::collections::BTreeMap;

use peerkit::reply::{Discovery, Lookup, State, Stats, Status, Summary};

use super::events;
use super::ids::Ids;
use super::names::name;
use super::output::width;
use super::peers;
use super::style;
use super::table::{Cell, Fields, Table, cut, left, right};
use super::time::{self, relative};

/// The protocols that a summary shows.
const PROTOCOLS: usize = 10;

/// Shows the status of the node.
pub fn status(status: &Status) -> Vec<String> {
    let mut fields = Fields::new();
    fields.add("peer id", &status.peer_id);
    let good = status.state == State::Running;
    fields.styled("state", name(&status.state), if good { style::GOOD } else { style::BAD });
    fields.add("up for", time::length(status.uptime_seconds));
    fields.add("profile", name(&status.profile));
    fields.add("version", format!("{} (C ABI {})", status.version, status.abi_version));
    fields.option("data directory", status.data_dir.as_deref());
    fields.list("listens", &status.listen_addrs);
    for warning in &status.warnings {
        fields.styled("warning", warning, style::WARN);
    }
    fields.lines()
}

/// Shows the statistics.
pub fn stats(stats: &Stats) -> Vec<String> {
    let mut fields = Fields::new();
    fields.add("peer id", &stats.host_id);
    fields.add("up for", time::length(stats.uptime_seconds));
    fields
        .add("peers", format!("{} known, {} connected", stats.total_peers, stats.connected_peers));
    let kinds = &stats.peer_breakdown;
    let kinds = [
        ("dht", kinds.dht_peers),
        ("gossipsub", kinds.gossipsub_peers),
        ("cluster", kinds.cluster_peers),
    ];
    fields.add("of these", kinds.map(|(kind, count)| format!("{count} {kind}")).join(", "));
    fields.add("bootstrap list", stats.bootstrap_peers.to_string());
    fields.add("discovery", if stats.discovery_active { "runs" } else { "stopped" });
    fields.add("discovered", format!("{} in this run", stats.total_discovered));
    fields.option("newest peer", stats.last_discovery.map(|at| relative(at, time::now())));
    let traffic = &stats.traffic;
    let (received, sent) = (time::bytes(traffic.bytes_in), time::bytes(traffic.bytes_out));
    fields.add("traffic", format!("{received} in, {sent} out"));
    let limits = &stats.limits;
    fields.add(
        "connections",
        format!(
            "kept between {} and {}, at most {}",
            limits.low_water, limits.high_water, limits.max_connections
        ),
    );
    fields.list("refused", stats.dropped.iter().map(|(why, count)| format!("{count} {why}")));
    fields.list("protocols", &stats.protocols_supported);
    fields.lines()
}

/// Shows totals, protocols and the last events.
pub fn summary(summary: &Summary, width: Option<usize>) -> Vec<String> {
    let mut fields = Fields::new();
    let peers = format!("{} known, {} connected", summary.total_peers, summary.connected_peers);
    fields.add("peers", peers);
    fields.add("bootstrap list", summary.bootstrap_peers.to_string());
    fields.add("discovery", if summary.discovery_active { "runs" } else { "stopped" });
    let mut lines = fields.lines();
    let mut protocols: Vec<_> = summary.protocols.iter().collect();
    protocols.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    if !protocols.is_empty() {
        let mut table = Table::new(&[right("PEERS"), cut("PROTOCOL", 10)]);
        for (protocol, count) in protocols.iter().take(PROTOCOLS) {
            table.row([Cell::new(count.to_string()), Cell::new(protocol)]);
        }
        lines.push(String::new());
        lines.extend(table.lines(width));
    }
    if !summary.recent_events.is_empty() {
        let ids = Ids::one_by_one(width.is_none());
        lines.push(String::new());
        lines.extend(summary.recent_events.iter().map(|event| events::line(event, &ids)));
    }
    lines
}

/// Shows what discovery found, by source.
pub fn discovery(discovery: &Discovery, width: Option<usize>) -> Vec<String> {
    let now = time::now();
    let mut fields = Fields::new();
    let runs = match discovery.discovery_active {
        true => format!("runs, every {} s", discovery.interval_s),
        false => "stopped".to_owned(),
    };
    fields.add("discovery", runs);
    let pass = discovery.last_pass.map_or("none yet".to_owned(), |at| relative(at, now));
    let under_way = if discovery.complete { "" } else { ", one is under way" };
    fields.add("last pass", pass + under_way);
    let total = discovery.total_discovered;
    fields.add("peers", format!("{} known, {total} discovered in this run", discovery.total_peers));
    fields.add("bootstrap list", discovery.bootstrap_peers.len().to_string());
    let mut lines = fields.lines();
    lines.push(String::new());
    lines.extend(sources(discovery, now, width));
    if !discovery.discovered_peers.is_empty() {
        lines.push(String::new());
        lines.extend(peers::table(&discovery.discovered_peers, width));
    }
    lines
}

fn sources(discovery: &Discovery, now: f64, width: Option<usize>) -> Vec<String> {
    let columns = [
        left("SOURCE"),
        left("ON"),
        right("NEW"),
        right("TOTAL"),
        right("HEARD"),
        right("REFUSED"),
        right("LAST NEW"),
        cut("NOTE", 10),
    ];
    let mut table = Table::new(&columns);
    for (source, report) in &discovery.sources {
        let error = report.last_error.as_ref().map(|error| error.message.as_str());
        table.row([
            Cell::new(name(source)),
            if report.enabled { Cell::new("yes").styled(style::GOOD) } else { Cell::new("no") },
            Cell::new(report.found.to_string()),
            Cell::new(report.total_found.to_string()),
            Cell::new(report.heard.to_string()),
            Cell::new(sum(&report.dropped).to_string()),
            Cell::of(report.last_found.map(|at| relative(at, now))),
            Cell::of(report.note.as_deref().or(error)),
        ]);
    }
    table.lines(width)
}

fn sum<K>(counts: &BTreeMap<K, u64>) -> u64 {
    counts.values().sum()
}

/// Shows who was asked where a peer is.
pub fn lookups(lookups: &[Lookup]) -> Vec<String> {
    let mut table =
        Table::new(&[left("ASKED"), right("NEW ADDRESSES"), right("TIME"), cut("ERROR", 10)]);
    for lookup in lookups {
        table.row([
            Cell::new(name(&lookup.source)),
            Cell::new(lookup.found.to_string()),
            Cell::new(time::ms(lookup.duration_ms)),
            Cell::of(lookup.error.as_deref()),
        ]);
    }
    table.lines(width())
}
