//! Part "memory": the memory of a node, of a record and of a held connection, and the time of a start.

use serde_json::json;

use crate::Result;
use crate::child::{Child, Scratch, progress};
use crate::connect::number;
use crate::stats::{Rounds, median};
use crate::table::{Section, count, duration, times};

const TCP: &str = "/ip4/127.0.0.1/tcp/0";
const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";
/// Fresh processes for the start and for the idle memory.
const STARTS: usize = 15;
/// Inbound connections held.
const HELD: u64 = 1_000;
/// Records in the stored book that is opened, and the number of openings.
const STORED: u64 = 100_000;
const OPENINGS: usize = 5;
const FILLING_THREADS: u64 = 64;

pub fn run() -> Result<Vec<Section>> {
    Ok(vec![starting()?, memory()?, opening()?])
}

fn starting() -> Result<Section> {
    let scratch = Scratch::new("start")?;
    let mut starts: [Rounds; 3] = Default::default();
    for round in 1..=STARTS {
        progress(&format!("start {round} of {STARTS}"));
        let children = [
            Child::role(&["raw"])?,
            Child::node(None, None)?,
            Child::node(None, Some(&format!("{}-{round}", scratch.path())))?,
        ];
        for (rounds, child) in starts.iter_mut().zip(&children) {
            let took = number(&child.ready, "start_us");
            rounds.note(&json!({ "p50_us": took, "p99_us": took, "max_us": took }));
        }
    }
    let mut section = Section::new(
        "Starting",
        &format!(
            "{STARTS} fresh processes of each, in turn, with a new identity, listening over TCP and \
             QUIC on the loopback. peerkit: dlopen of the library and `peerkit_start`, which returns \
             once it listens, its JSON read. raw rust-libp2p: building the runtime and swarm until both \
             listen addresses are there."
        ),
        &["", "ratio to raw", "p50", "max"],
    );
    let names = ["raw rust-libp2p", "**peerkit**", "peerkit, with a new data_dir"];
    for (name, rounds) in names.iter().zip(&starts) {
        section.row([
            (*name).to_owned(),
            times(rounds.ratio(&starts[0])),
            duration(rounds.p50()),
            duration(rounds.max()),
        ]);
    }
    Ok(section)
}

fn memory() -> Result<Section> {
    let mut section = Section::new(
        "Memory",
        &format!(
            "Resident memory of a process that loads libpeerkit.so (release) and starts it with no \
             data_dir, from /proc/PID/smaps_rollup; *anonymous* is the part that isn't code \
             or files. Records are those of the page bench: added by add_peer, two addresses, \
             no protocols. Held connections are inbound from {HELD} swarms of one other process, \
             each with its own identity, identified, measured 3 s after the last. raw rust-libp2p is \
             the same with identify and ping; its figure counts no peer book. *The same protocols* are \
             identify, ping, kad as a server, gossipsub and request-response, with their defaults, at both \
             ends; peerkit then has `discovery.dht` \"server\". In profile offline it speaks gossipsub and \
             request-response, but who connects there doesn't."
        ),
        &["", "ratio to raw", "to the same protocols", "resident", "anonymous"],
    );
    let mib = |kib: f64| format!("{:.1} MiB", kib / 1024.0);
    progress("idle memory");
    let contenders = contenders();
    let idle = contenders.iter().map(|who| idle(|| (who.start)(None)));
    let idle = idle.collect::<Result<Vec<_>>>()?;
    for (who, used) in contenders.iter().zip(&idle) {
        section.row([
            format!("{}idle process, {}{}", who.bold, who.name, who.bold),
            times(used.0 / idle[PLAIN].0),
            times(used.0 / idle[SAME].0),
            mib(used.0),
            mib(used.1),
        ]);
    }
    let bytes = |kib: f64, n: u64| format!("{:.0} B", kib * 1024.0 / n as f64);
    for records in [100_000, 1_000_000] {
        progress(&format!("memory of {} records", count(records)));
        let (resident, anonymous) = records_kib(records)?;
        section.row([
            format!("**a record, of {}**", count(records)),
            String::new(),
            String::new(),
            bytes(resident, records),
            bytes(anonymous, records),
        ]);
    }
    let kib = |kib: f64| format!("{:.1} KiB", kib / HELD as f64);
    for (name, listen, part) in [("TCP", TCP, "/tcp/"), ("QUIC", QUIC, "/quic-v1")] {
        progress(&format!("memory of {HELD} connections over {name}"));
        let mut held = Vec::new();
        for who in &contenders {
            held.push(held_kib((who.start)(Some(listen))?, who.crowd, part)?);
        }
        for (who, used) in contenders.iter().zip(&held) {
            section.row([
                format!("{}a held connection, {name}, {}{}", who.bold, who.name, who.bold),
                times(used.0 / held[PLAIN].0),
                times(used.0 / held[SAME].0),
                kib(used.0),
                kib(used.1),
            ]);
        }
    }
    Ok(section)
}

/// A node whose memory is measured, and a crowd that connects to it.
struct Contender {
    name: &'static str,
    bold: &'static str,
    start: fn(Option<&str>) -> Result<Child>,
    crowd: &'static str,
}

/// The references' places among the contenders.
const PLAIN: usize = 0;
const SAME: usize = 1;

fn contenders() -> [Contender; 4] {
    [
        Contender {
            name: "raw rust-libp2p",
            bold: "",
            start: |_| Child::role(&["raw-hold"]),
            crowd: "crowd",
        },
        Contender {
            name: "raw rust-libp2p, the same protocols",
            bold: "",
            start: |_| Child::role(&["full-hold"]),
            crowd: "full-crowd",
        },
        Contender {
            name: "peerkit, offline",
            bold: "**",
            start: |listen| Child::node(listen, None),
            crowd: "crowd",
        },
        Contender {
            name: "peerkit, the same protocols",
            bold: "**",
            start: |listen| Child::node_in_dht(listen),
            crowd: "full-crowd",
        },
    ]
}

fn now(child: &Child) -> Result<(f64, f64)> {
    Ok((child.memory_kib("Rss")?, child.memory_kib("Anonymous")?))
}

/// Returns the median of a few processes a second after their start.
fn idle(start: impl Fn() -> Result<Child>) -> Result<(f64, f64)> {
    let (mut resident, mut anonymous) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let child = start()?;
        settle(1);
        let (rss, anon) = now(&child)?;
        resident.push(rss);
        anonymous.push(anon);
    }
    Ok((median(&resident), median(&anonymous)))
}

fn settle(seconds: u64) {
    std::thread::sleep(std::time::Duration::from_secs(seconds));
}

fn since(child: &Child, before: (f64, f64)) -> Result<(f64, f64)> {
    let after = now(child)?;
    Ok((after.0 - before.0, after.1 - before.1))
}

fn records_kib(records: u64) -> Result<(f64, f64)> {
    let mut node = Child::node(None, None)?;
    // The first calls touch code and heap that isn't the records'.
    node.ask(&json!({ "cmd": "fill", "from": 0, "to": 100, "threads": 1 }))?;
    let before = now(&node)?;
    node.ask(&json!({ "cmd": "fill", "from": 100, "to": records + 100, "threads": 1 }))?;
    since(&node, before)
}

fn held_kib(holder: Child, crowd: &str, part: &str) -> Result<(f64, f64)> {
    let mut crowd = Child::role(&[crowd])?;
    let address = holder.address(part)?;
    // The first connections cost more than later ones: they are made before the measurement.
    crowd.ask(&json!({ "cmd": "crowd", "addr": address, "n": 10 }))?;
    settle(1);
    let before = now(&holder)?;
    crowd.ask(&json!({ "cmd": "crowd", "addr": address, "n": HELD }))?;
    settle(3);
    let held = since(&holder, before)?;
    Ok(held)
}

fn opening() -> Result<Section> {
    let (scratch, empty) = (Scratch::new("open")?, Scratch::new("open-empty")?);
    progress(&format!("opening, a stored book of {}", count(STORED)));
    let mut node = Child::node(None, Some(&scratch.path()))?;
    node.ask(&json!({
        "cmd": "fill", "from": 0, "to": STORED, "threads": FILLING_THREADS,
    }))?;
    node.quit()?;
    Child::node(None, Some(&empty.path()))?.quit()?;
    let mut took: [Vec<f64>; 3] = Default::default();
    for _ in 0..OPENINGS {
        let fresh = Child::node(None, Some(&empty.path()))?;
        took[0].push(number(&fresh.ready, "start_us"));
        fresh.quit()?;
        let stored = Child::node(None, Some(&scratch.path()))?;
        took[1].push(number(&stored.ready, "start_us"));
        // The node is killed, not stopped: the next start has to repair.
        drop(stored);
        let killed = Child::node(None, Some(&scratch.path()))?;
        took[2].push(number(&killed.ready, "start_us"));
        killed.quit()?;
    }
    let mut section = Section::new(
        "Opening a stored book",
        &format!(
            "`peerkit_start`, dlopen included, until it listens, with a data_dir whose book holds \
             {} records; median of {OPENINGS} processes, files in the page cache.",
            count(STORED)
        ),
        &["", "ratio to an empty one", "p50", "max"],
    );
    let names =
        ["an empty book", "**a book of 100k, stopped in good order**", "the same after kill -9"];
    for (name, took_us) in names.iter().zip(&took) {
        let largest = took_us.iter().copied().fold(0.0, f64::max);
        section.row([
            (*name).to_owned(),
            times(median(took_us) / median(&took[0])),
            duration(median(took_us)),
            duration(largest),
        ]);
    }
    Ok(section)
}
