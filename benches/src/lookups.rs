//! Part "lookups": the time to find out where a peer is, in a DHT of peerkit's nodes.

use std::collections::HashSet;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::child::{Child, Scratch, progress};
use crate::connect::number;
use crate::nets::{By, Net};
use crate::stats::Samples;
use crate::table::{Section, duration, times};
use crate::{Result, line};

const SIZES: [usize; 2] = [20, 50];
/// Newcomers of each kind, each with a process and one look-up of its own.
const NEWCOMERS: usize = 100;
/// Look-ups by all members together, and by a raw one.
const BY_MEMBERS: usize = 200;
const RESTARTS: usize = 30;
/// Connections that nodes of the network seek: few, so that there are peers they aren't connected to.
const LOW_WATER: u32 = 8;
const PATIENCE: Duration = Duration::from_secs(75);

/// The outcome of some look-ups.
#[derive(Default)]
struct Outcome {
    took: Samples,
    found: u64,
    /// Peers connected afterwards, in all.
    connected: f64,
    by: serde_json::Map<String, Value>,
}

impl Outcome {
    fn note(&mut self, answer: &Value) {
        for us in answer["all_us"].as_array().into_iter().flatten().filter_map(Value::as_f64) {
            self.took.push(Duration::from_secs_f64(us / 1e6));
        }
        self.found += answer["found"].as_u64().unwrap_or(0);
        self.connected += number(answer, "connected");
        for (by, count) in answer["found_by"].as_object().into_iter().flatten() {
            let sum = self.by.get(by).and_then(Value::as_u64).unwrap_or(0);
            self.by.insert(by.clone(), json!(sum + count.as_u64().unwrap_or(0)));
        }
    }
}

pub fn run() -> Result<Vec<Section>> {
    let mut section = Section::new(
        "Look-ups",
        &format!(
            "In a DHT of so many peerkit nodes (profile lan, DHT alone, `low_water` {LOW_WATER}), on one loopback. A \
             *newcomer* is a fresh process, a client connected to one node, that looks for a peer it has never \
             heard of: {NEWCOMERS} of each kind in turn. *Members* are the network's own nodes, and look for \
             peers they aren't connected to; the raw member is one more, and looks for any. *Restarted*: a \
             node that knew all was stopped, a new one joined, and the first call after the start, from a copy of the data_dir \
             and with no bootstrap address, is find_peer of that one; {RESTARTS} times. peerkit: \
             `find_peer` by the C ABI, which ends once an address is known. raw rust-libp2p: \
             `get_closest_peers`, whose result comes at the end of the query, when the 20 closest have been \
             asked; it has no other. All loopback: no round trip counts here, which on a real network \
             is what a look-up costs, so *peers connected* tells how many were asked at most."
        ),
        &[
            "nodes",
            "who looks",
            "ratio to raw",
            "p50",
            "p99",
            "max",
            "found",
            "peers connected then",
        ],
    );
    for nodes in SIZES {
        let mut net = Net::start(By::Dht, nodes, few_connections())?;
        let ignorant = net.know_all(PATIENCE)?.iter().filter(|time| time.is_none()).count();
        if ignorant > 0 {
            progress(&format!("lookups: {ignorant} of {nodes} nodes don't know all"));
        }
        let known = Instant::now();
        let [raw, ours] = newcomers(&net)?;
        let [raw_member, members] = members(&mut net, known)?;
        // This comes last, since it leaves addresses behind where nobody is any more.
        let restarted = restarted(&mut net)?;
        let rows = [
            ("newcomer, raw rust-libp2p", &raw, Some(&raw)),
            ("**newcomer, peerkit**", &ours, Some(&raw)),
            ("member, raw rust-libp2p", &raw_member, Some(&raw_member)),
            ("**members, peerkit**", &members, Some(&raw_member)),
            ("**restarted, peerkit**", &restarted, None),
        ];
        for (name, outcome, raw) in rows {
            section.row(row(nodes, name, outcome, raw));
        }
    }
    Ok(vec![section])
}

fn row(nodes: usize, name: &str, outcome: &Outcome, raw: Option<&Outcome>) -> [String; 8] {
    let ratio = raw.map(|raw| outcome.took.percentile(50.0) / raw.took.percentile(50.0));
    let by: Vec<_> = outcome.by.iter().map(|(by, count)| format!("{by} {count}")).collect();
    let by = if by.is_empty() { String::new() } else { format!(" ({})", by.join(", ")) };
    let lookups = outcome.took.len();
    [
        nodes.to_string(),
        name.to_owned(),
        ratio.map_or("-".to_owned(), times),
        duration(outcome.took.percentile(50.0)),
        duration(outcome.took.percentile(99.0)),
        duration(outcome.took.max()),
        format!("{} of {lookups}{by}", outcome.found),
        match outcome.connected / lookups as f64 {
            none if none.is_nan() => "-".to_owned(),
            each => format!("{each:.1}"),
        },
    ]
}

/// Returns a configuration with few connections: only the first pass is made, since each connects a
/// node to those closest to it for 20 s.
fn few_connections() -> Value {
    json!({ "limits": { "low_water": LOW_WATER }, "discovery_interval": 86_400 })
}

fn client() -> Value {
    json!({
        "discovery": { "mdns": false, "dht": "client", "gossip": false },
        "limits": { "low_water": 0 },
    })
}

/// Returns an address in the network and the id of another node to look up, different for each `n`.
fn pair(net: &Net, n: usize) -> Result<(String, String)> {
    let nodes = net.nodes.len();
    let from = n * 7 % nodes;
    let to = (from + 1 + n * 11 % (nodes - 1)) % nodes;
    Ok((net.nodes[from].address("/tcp/")?, net.nodes[to].peer_id()?.to_owned()))
}

fn newcomers(net: &Net) -> Result<[Outcome; 2]> {
    let mut outcomes: [Outcome; 2] = Default::default();
    for n in 0..NEWCOMERS {
        if n.is_multiple_of(50) {
            progress(&format!("lookups in {}, newcomer {n} of {NEWCOMERS}", net.nodes.len()));
        }
        let (address, target) = pair(net, n)?;
        for (at, outcome) in outcomes.iter_mut().enumerate() {
            let mut node =
                if at == 0 { net.raw_newcomer("client")? } else { net.newcomer(client())? };
            node.ask(&json!({ "cmd": "connect", "addr": address }))?;
            outcome.note(&node.ask(&json!({ "cmd": "find", "peers": [target] }))?);
        }
    }
    Ok(outcomes)
}

fn members(net: &mut Net, known: Instant) -> Result<[Outcome; 2]> {
    let mut raw = Outcome::default();
    let mut member = net.raw_newcomer("server")?;
    member.ask(&json!({ "cmd": "connect", "addr": net.nodes[0].address("/tcp/")? }))?;
    progress(&format!("lookups in {}, by members", net.nodes.len()));
    let targets: Vec<_> = (0..BY_MEMBERS).map(|n| pair(net, n)).collect::<Result<_>>()?;
    let targets: Vec<_> = targets.into_iter().map(|(_, target)| target).collect();
    raw.note(&member.ask(&json!({ "cmd": "find", "peers": targets }))?);
    // The connections dialled for the first pass are closed by then.
    std::thread::sleep(Duration::from_secs(30).saturating_sub(known.elapsed()));
    let each = BY_MEMBERS / net.nodes.len();
    let ids = net.nodes.iter().map(|node| node.peer_id().map(str::to_owned));
    let ids = ids.collect::<Result<HashSet<_>>>()?;
    let apart = net.nodes.iter_mut().map(|node| {
        let state = node.ask(&json!({ "cmd": "state" }))?;
        // Newcomers that have gone are in the book too.
        let apart = line::texts(&state, "apart").filter(|peer| ids.contains(*peer));
        Ok(apart.take(each).map(str::to_owned).collect::<Vec<_>>())
    });
    let apart = apart.collect::<Result<Vec<_>>>()?;
    let mut ours = Outcome::default();
    for (node, apart) in net.nodes.iter_mut().zip(apart) {
        if apart.is_empty() {
            continue;
        }
        ours.note(&node.ask(&json!({ "cmd": "find", "peers": apart }))?);
    }
    // Other nodes are connected to them too, and some of those have gone without a word.
    (raw.connected, ours.connected) = (f64::NAN, f64::NAN);
    Ok([raw, ours])
}

fn restarted(net: &mut Net) -> Result<Outcome> {
    progress(&format!("lookups in {}, restarted", net.nodes.len()));
    let server = json!({ "mdns": false, "dht": "server", "gossip": false });
    let bootstrap = json!([net.nodes[0].address("/tcp/")?]);
    let (kept, copy) = (Scratch::new("lookups")?, Scratch::new("lookups-copy")?);
    let joining = json!({ "discovery": server, "bootstrap": bootstrap, "data_dir": kept.path() });
    let mut node = net.newcomer(joining)?;
    let all =
        json!({ "cmd": "await-peers", "n": net.nodes.len(), "ms": PATIENCE.as_millis() as u64 });
    node.ask(&all)?;
    // The peer it dialled identifies itself in this time.
    std::thread::sleep(Duration::from_secs(1));
    node.quit()?;
    let mut late = net.newcomer(json!({ "discovery": server, "bootstrap": bootstrap }))?;
    late.ask(&all)?;
    let target = late.peer_id()?.to_owned();
    let mut outcome = Outcome::default();
    for _ in 0..RESTARTS {
        let _ = std::fs::remove_dir_all(copy.path());
        let copied = Command::new("cp").arg("-r").arg(kept.path()).arg(copy.path()).status()?;
        if !copied.success() {
            return Err("the data_dir can't be copied".into());
        }
        let mut again: Child =
            net.newcomer(json!({ "discovery": server, "data_dir": copy.path() }))?;
        outcome.note(&again.ask(&json!({ "cmd": "find", "peers": [target] }))?);
        again.quit()?;
    }
    Ok(outcome)
}
