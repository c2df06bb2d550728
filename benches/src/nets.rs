//! Networks of many nodes, each a process: peerkit's, or raw rust-libp2p's.

use std::time::Duration;

use serde_json::{Value, json};

use crate::child::Child;
use crate::connect::number;
use crate::netns::{Counters, Host, Switch};
use crate::{Result, clocks};

/// The way in which the nodes of a network discover one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The kad of raw rust-libp2p.
    RawDht,
    Dht,
    DhtAndGossip,
    Mdns,
}

/// A network. Its nodes are on one loopback, of a host of their own where that can be had; by mDNS each is
/// on a host of its own.
pub struct Net {
    pub nodes: Vec<Child>,
    hosts: Vec<Host>,
    by: By,
    /// Keys that the configurations of its peerkit nodes have besides.
    keys: Value,
    /// The time at which the start of the last one began.
    pub begun_ns: u64,
}

impl Net {
    /// Starts `nodes` nodes with these keys of the configuration besides, one after the other; all know
    /// the first one's address, except by mDNS.
    pub fn start(by: By, nodes: usize, keys: Value) -> Result<Net> {
        let mut net = Net { nodes: Vec::new(), hosts: Vec::new(), by, keys, begun_ns: 0 };
        match Switch::new() {
            Ok(mut switch) => {
                let hosts = if by == By::Mdns { nodes } else { 1 };
                net.hosts = (0..hosts).map(|_| switch.host()).collect::<Result<_>>()?;
            }
            Err(error) if by == By::Mdns => return Err(error),
            Err(_) => {}
        }
        for _ in 0..nodes {
            net.begun_ns = clocks::shared_ns();
            let node = net.start_node()?;
            net.nodes.push(node);
        }
        Ok(net)
    }

    fn start_node(&self) -> Result<Child> {
        let bootstrap = self.nodes.first().map(|first| first.address("/tcp/")).transpose()?;
        let own = self.hosts.get(self.nodes.len());
        match self.by {
            By::RawDht => {
                let mut arguments = vec!["member", "127.0.0.1", "server"];
                arguments.extend(bootstrap.as_deref());
                Child::role_at(self.hosts.first(), &arguments)
            }
            By::Mdns => {
                let ip = own.map_or("127.0.0.1", |host| &host.ip);
                let found = json!({ "mdns": true, "dht": "off", "gossip": false });
                self.peerkit(own, ip, json!({ "profile": "lan", "discovery": found }))
            }
            By::Dht | By::DhtAndGossip => {
                let gossip = self.by == By::DhtAndGossip;
                let found = json!({ "mdns": false, "dht": "server", "gossip": gossip });
                let bootstrap: Vec<_> = bootstrap.into_iter().collect();
                let mut config = self.keys.clone();
                config["discovery"] = found;
                config["bootstrap"] = bootstrap.into();
                self.newcomer(config)
            }
        }
    }

    /// Starts a further peerkit node of profile lan, on the loopback of the others.
    pub fn newcomer(&self, mut config: Value) -> Result<Child> {
        config["profile"] = json!("lan");
        self.peerkit(self.hosts.first(), "127.0.0.1", config)
    }

    /// Starts a further raw rust-libp2p node there, a "client" or "server" of the DHT.
    pub fn raw_newcomer(&self, mode: &str) -> Result<Child> {
        Child::role_at(self.hosts.first(), &["member", "127.0.0.1", mode])
    }

    fn peerkit(&self, host: Option<&Host>, ip: &str, mut config: Value) -> Result<Child> {
        config["listen"] = json!([format!("/ip4/{ip}/tcp/0"), format!("/ip4/{ip}/udp/0/quic-v1")]);
        Child::node_at(host, &config.to_string())
    }

    /// Waits until each knows all others; returns when each did, in seconds from the start of the last
    /// one, or None for one that still doesn't.
    pub fn know_all(&mut self, patience: Duration) -> Result<Vec<Option<f64>>> {
        let others = self.nodes.len() - 1;
        let ms = patience.as_millis() as u64;
        for node in &mut self.nodes {
            node.send(&json!({ "cmd": "await-peers", "n": others, "ms": ms }))?;
        }
        let begun_ns = self.begun_ns as f64;
        let answers = self.nodes.iter_mut().map(|node| {
            let answer = node.answer()?;
            let seconds = (number(&answer, "at_ns") - begun_ns) / 1e9;
            Ok((number(&answer, "known") >= others as f64).then_some(seconds))
        });
        answers.collect()
    }

    /// Counts the bytes sent so far by all together; None where they aren't on a host of their own.
    pub fn bytes_sent(&self) -> Result<Option<f64>> {
        let interface = if self.by == By::Mdns { "eth0" } else { "lo" };
        let counters = self.hosts.iter().map(|host| host.counters(interface));
        let counters = counters.collect::<Result<Vec<Counters>>>()?;
        Ok((!counters.is_empty()).then(|| counters.iter().map(|host| host.bytes_out).sum()))
    }

    /// Counts the connections made so far by all together.
    pub fn connections(&mut self) -> Result<f64> {
        let made = self.nodes.iter_mut().map(|node| {
            let state = node.ask(&json!({ "cmd": "state" }))?;
            Ok(number(&state, "connections"))
        });
        // Each connection has two ends.
        Ok(made.sum::<Result<f64>>()? / 2.0)
    }
}
