//! Part "discovery": the time until every node of a new network knows all others, and its cost.

use std::time::Duration;

use serde_json::json;

use crate::Result;
use crate::child::{Child, progress};
use crate::netns::Switch;
use crate::nets::{By, Net};
use crate::stats::median;
use crate::table::{Section, amount, duration, times};

/// Sizes, and the number of rounds of each.
const SIZES: [(usize, usize); 3] = [(5, 3), (20, 3), (50, 2)];
const CONTENDERS: [(By, &str); 4] = [
    (By::RawDht, "raw rust-libp2p, DHT"),
    (By::Dht, "**peerkit, DHT**"),
    (By::DhtAndGossip, "**peerkit, DHT and gossip**"),
    (By::Mdns, "**peerkit, mDNS**"),
];
/// Multicast is for networks of this size.
const MOST_BY_MDNS: usize = 20;
/// A node that doesn't know all by then is reported so.
const PATIENCE: Duration = Duration::from_secs(75);
/// The time after which the rest is measured: by then the peers found have been dialled.
const SETTLE: Duration = Duration::from_secs(2);

/// The outcome of some rounds of one contender at one size.
#[derive(Default)]
struct Outcome {
    /// The last node's time, and the median node's.
    last: Vec<f64>,
    middle: Vec<f64>,
    /// Nodes that didn't come to know all.
    ignorant: usize,
    connections: Vec<f64>,
    resident_kib: Vec<f64>,
    bytes: Vec<f64>,
    cpu_seconds: Vec<f64>,
}

pub fn run() -> Result<Vec<Section>> {
    let mut section = Section::new(
        "Full knowledge",
        &format!(
            "Processes started one after the other, each given the first one's address alone, or by mDNS \
             nothing; from the start of the last process until its book has all others, for the median node \
             and for the last. Medians of {} to {} networks of each kind, in turn; the rest is counted {} s \
             later. peerkit: profile lan with what isn't named switched off, `low_water` as by default, so a \
             node seeks 32 connections. raw rust-libp2p: identify, ping, kad and the rest with their defaults, \
             a server, `bootstrap()` at the first peer; whoever it hears of in any way counts as known, \
             whether or not it has an address. TCP and QUIC; the nodes of a DHT share a loopback, by mDNS \
             each is a host of its own on a switch. Bytes are those of the interfaces, all headers included. \
             All on this machine's processors: where the processor time is near the time to know all, it is \
             the machine that was waited for.",
            SIZES[2].1,
            SIZES[0].1,
            SETTLE.as_secs()
        ),
        &[
            "nodes",
            "by",
            "ratio to raw, last node",
            "median node",
            "last node",
            "processor time, all",
            "connections, all",
            "sent, all",
            "resident, a node",
        ],
    );
    if let Err(why) = Switch::new() {
        progress(&format!("discovery, without mDNS and bytes: {why}"));
    }
    for (nodes, rounds) in SIZES {
        let mut outcomes: Vec<(&str, Outcome)> = Vec::new();
        for round in 1..=rounds {
            for (at, (by, name)) in CONTENDERS.iter().enumerate() {
                if *by == By::Mdns && (nodes > MOST_BY_MDNS || Switch::new().is_err()) {
                    continue;
                }
                progress(&format!("discovery, {nodes} nodes, {name}, round {round} of {rounds}"));
                if outcomes.len() == at {
                    outcomes.push((name, Outcome::default()));
                }
                outcomes[at].1.round(*by, nodes)?;
            }
        }
        for (name, outcome) in &outcomes {
            section.row(outcome.row(nodes, name, &outcomes[0].1));
        }
    }
    Ok(vec![section])
}

impl Outcome {
    fn round(&mut self, by: By, nodes: usize) -> Result<()> {
        let mut net = Net::start(by, nodes, json!({}))?;
        let known = net.know_all(PATIENCE)?;
        let times: Vec<f64> = known.iter().flatten().map(|seconds| seconds * 1e6).collect();
        self.ignorant += known.iter().filter(|time| time.is_none()).count();
        self.last.push(times.iter().copied().fold(0.0, f64::max));
        self.middle.push(median(&times));
        let cpu: f64 = net.nodes.iter().map(Child::cpu_seconds).sum::<Result<f64>>()?;
        self.cpu_seconds.push(cpu);
        std::thread::sleep(SETTLE);
        self.bytes.extend(net.bytes_sent()?);
        self.connections.push(net.connections()?);
        let resident = net.nodes.iter().map(|node| node.memory_kib("Rss"));
        self.resident_kib.push(median(&resident.collect::<Result<Vec<_>>>()?));
        Ok(())
    }

    fn row(&self, nodes: usize, name: &str, raw: &Outcome) -> [String; 9] {
        let last = match self.ignorant {
            0 => duration(median(&self.last)),
            some => format!("{some} never, in {} s", PATIENCE.as_secs()),
        };
        let ratio = match self.ignorant + raw.ignorant {
            0 => times(median(&self.last) / median(&raw.last)),
            _ => "-".to_owned(),
        };
        [
            nodes.to_string(),
            name.to_owned(),
            ratio,
            duration(median(&self.middle)),
            last,
            duration(median(&self.cpu_seconds) * 1e6),
            format!("{:.0}", median(&self.connections)),
            amount(median(&self.bytes)),
            format!("{:.1} MiB", median(&self.resident_kib) / 1024.0),
        ]
    }
}
