//! Part "idle": the packets that a node nobody uses sends and receives in an hour, and its processor
//! time, by profile.

use std::time::Duration;

use serde_json::json;

use crate::Result;
use crate::child::{Child, progress};
use crate::netns::{Counters, Host, Switch};
use crate::table::{Section, amount, duration, times};

/// The time measured; `PEERKIT_BENCH_IDLE_SECONDS` overrides it. A node at rest asks the DHT once in
/// that time, so a shorter one tells too little of it or too much.
const SECONDS: u64 = 240;
/// The time until a node is idle: passes come to their longest backoff by then.
const SETTLE: Duration = Duration::from_secs(100);
/// A profile, where None is raw rust-libp2p, and a name.
type Kind = (Option<&'static str>, &'static str);
const RAW: Kind = (None, "raw rust-libp2p, the same protocols");
const OFFLINE: Kind = (Some("offline"), "**peerkit, offline**");
const LAN: Kind = (Some("lan"), "**peerkit, lan**");
const INTERNET: Kind = (Some("internet"), "**peerkit, internet**");
/// The numbers of neighbours with which each is measured.
const SCENES: [(usize, &[Kind]); 3] =
    [(0, &[RAW, OFFLINE, LAN, INTERNET]), (4, &[RAW, OFFLINE, LAN, INTERNET]), (19, &[RAW, LAN])];

/// A node that is measured, and its neighbours, each on a host of its own on their switch.
struct Scene {
    name: &'static str,
    host: Host,
    node: Child,
    before: (Counters, f64),
    _neighbours: Vec<(Host, Child)>,
}

pub fn run() -> Result<Vec<Section>> {
    let seconds = std::env::var("PEERKIT_BENCH_IDLE_SECONDS");
    let seconds = seconds.ok().and_then(|text| text.parse().ok()).unwrap_or(SECONDS);
    if let Err(why) = Switch::new() {
        return Ok(vec![Section::new("Idle", &format!("Skipped: {why}."), &["", "skipped"])]);
    }
    progress("idle, starting");
    let mut scenes = Vec::new();
    for (neighbours, kinds) in SCENES {
        for (profile, name) in kinds.iter().copied() {
            scenes.push((neighbours, scene(profile, name, neighbours)?));
        }
    }
    std::thread::sleep(SETTLE);
    progress(&format!("idle, {seconds} s"));
    for (_, scene) in &mut scenes {
        scene.before = scene.now()?;
    }
    std::thread::sleep(Duration::from_secs(seconds));
    let mut section = Section::new(
        "Idle",
        &format!(
            "An hour, extrapolated from {seconds} s of {} nodes at once, which began {} s after their start. \
             Each is on a host of its own, with one address, over TCP and QUIC; bytes are those of its interface, \
             all headers included, ARP and IGMP too. Connected: neighbours of the same kind and \
             profile on the same switch, connected over TCP; in lan and internet they connect among themselves too. \
             In that time ping asks every 15 s and a pass of discovery comes every 30 s, of which one in eight asks the DHT and announces the node; identify is asked anew every 5 minutes, as raw kad's bootstrap is. \
             Profile internet has no bootstrap address here: a node alone has nobody to ask. \
             raw rust-libp2p: identify, ping, kad as a server, gossipsub and request-response.",
            scenes.len(),
            SETTLE.as_secs()
        ),
        &[
            "node",
            "connected",
            "bytes, ratio to raw",
            "sent in an hour",
            "received in an hour",
            "packets sent",
            "processor time in an hour",
        ],
    );
    let an_hour = 3600.0 / seconds as f64;
    let mut used = Vec::new();
    for (neighbours, scene) in &scenes {
        used.push((*neighbours, scene.name, scene.since(an_hour)?));
    }
    for (neighbours, name, (counted, cpu)) in &used {
        let raw = used.iter().find(|(others, _, _)| others == neighbours);
        let total = |counted: &Counters| counted.bytes_in + counted.bytes_out;
        let ratio = raw.map_or(f64::NAN, |(_, _, (raw, _))| total(counted) / total(raw));
        section.row([
            (*name).to_owned(),
            neighbours.to_string(),
            if ratio.is_finite() { times(ratio) } else { "-".to_owned() },
            amount(counted.bytes_out),
            amount(counted.bytes_in),
            format!("{:.0}", counted.packets_out),
            duration(cpu * 1e6),
        ]);
    }
    Ok(vec![section])
}

fn scene(profile: Option<&str>, name: &'static str, neighbours: usize) -> Result<Scene> {
    let mut switch = Switch::new()?;
    let host = switch.host()?;
    let mut node = start(&host, profile)?;
    let mut others = Vec::new();
    for _ in 0..neighbours {
        let host = switch.host()?;
        let child = start(&host, profile)?;
        node.ask(&json!({ "cmd": "connect", "addr": child.address("/tcp/")? }))?;
        others.push((host, child));
    }
    Ok(Scene { name, host, node, before: Default::default(), _neighbours: others })
}

fn start(host: &Host, profile: Option<&str>) -> Result<Child> {
    let Some(profile) = profile else {
        return Child::role_at(Some(host), &["member", &host.ip, "server"]);
    };
    let ip = &host.ip;
    let listen = [format!("/ip4/{ip}/tcp/0"), format!("/ip4/{ip}/udp/0/quic-v1")];
    let config = json!({ "profile": profile, "listen": listen });
    Child::node_at(Some(host), &config.to_string())
}

impl Scene {
    fn now(&self) -> Result<(Counters, f64)> {
        Ok((self.host.counters("eth0")?, self.node.cpu_seconds()?))
    }

    /// Returns the traffic and the processor time since the beginning, multiplied by `factor`.
    fn since(&self, factor: f64) -> Result<(Counters, f64)> {
        let (before, cpu_before) = &self.before;
        let (now, cpu) = self.now()?;
        let counted = Counters {
            bytes_in: (now.bytes_in - before.bytes_in) * factor,
            bytes_out: (now.bytes_out - before.bytes_out) * factor,
            packets_out: (now.packets_out - before.packets_out) * factor,
        };
        Ok((counted, (cpu - cpu_before) * factor))
    }
}
