//! Part "reads": get_peer and get_peer_stats beside the least they could cost, and the times of both,
//! and of the worker, while everything else goes on.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::Result;
use crate::child::{Child, Scratch, progress};
use crate::connect::number;
use crate::stats::Rounds;
use crate::table::{Section, count, duration, times};

const ROUNDS: usize = 36;
/// Calls in a turn.
const CALLS: u64 = 500;
/// Records in the book that is read and searched.
const RECORDS: u64 = 1_000_000;
/// Threads that fill a book on disk: their changes share transactions.
const FILLING_THREADS: u64 = 64;
/// Dials to servers that stay silent.
const DIALS: u64 = 200;
/// The time for which each kind of load is measured, in milliseconds, and the number of times.
const LOAD_MS: u64 = 3_000;
const LOAD_ROUNDS: usize = 3;

pub fn run() -> Result<Vec<Section>> {
    let mut crowd = Child::role(&["crowd"])?;
    let target = Child::node(None, None)?;
    let scratch = Scratch::new("reads")?;
    let mut node = Child::node(None, Some(&scratch.path()))?;
    // The peer is really connected and identified: its record is a full one.
    let address = target.address("/tcp/")?;
    node.ask(&json!({ "cmd": "connect", "addr": address }))?;
    crowd.ask(&json!({ "cmd": "crowd", "addr": node.address("/tcp/")?, "n": 10 }))?;

    progress(&format!("reads, a book of {} on disk", count(RECORDS)));
    let fill = json!({ "cmd": "fill", "from": 0, "to": RECORDS, "threads": FILLING_THREADS });
    let filled = node.ask(&fill)?;
    let peer = target.peer_id()?;
    let quiet = quiet(&mut node, peer)?;
    let loaded = loaded(&mut node, peer, number(&filled, "seconds"))?;
    Ok(vec![quiet, loaded])
}

fn quiet(node: &mut Child, peer: &str) -> Result<Section> {
    node.ask(&json!({ "cmd": "prepare-reference", "peer": peer }))?;
    let mut rounds: [Rounds; 5] = Default::default();
    let mut bytes = [0.0; 2];
    for round in 0..=ROUNDS {
        progress(&format!("reads, round {round} of {ROUNDS}"));
        let least = node.ask(&json!({ "cmd": "reference", "n": CALLS }))?;
        let info = node.ask(&json!({ "cmd": "get_peer", "peer": peer, "n": CALLS }))?;
        let stats = node.ask(&json!({ "cmd": "get_peer_stats", "n": CALLS }))?;
        bytes = [number(&info, "bytes"), number(&stats, "bytes")];
        if round > 0 {
            let of = |key: &str| &least[key];
            let all = [of("lock"), of("get_peer"), &info, of("get_peer_stats"), &stats];
            rounds.iter_mut().zip(all).for_each(|(rounds, summary)| rounds.note(summary));
        }
    }
    let mut section = Section::new(
        "Reads",
        &format!(
            "One thread, {ROUNDS} rounds of {CALLS} calls in turn, in a process whose book holds {} \
             records. The least is a look-up in a HashMap of 100k behind a parking_lot RwLock and \
             serde_json::to_string of a flat struct that gives the very same reply. get_peer is of a \
             connected, identified peer.",
            count(RECORDS)
        ),
        &["call", "ratio to the least", "p50", "p99", "reply"],
    );
    let [lock, least_info, info, least_stats, stats] = &rounds;
    let rows = [
        ("lock and look-up alone", lock, lock, None),
        ("get_peer, the least", least_info, least_info, None),
        ("**get_peer**", info, least_info, Some(bytes[0])),
        ("get_peer_stats, the least", least_stats, least_stats, None),
        ("**get_peer_stats**", stats, least_stats, Some(bytes[1])),
    ];
    for (call, rounds, least, bytes) in rows {
        section.row([
            call.to_owned(),
            times(rounds.ratio(least)),
            duration(rounds.p50()),
            duration(rounds.p99()),
            bytes.map_or_else(String::new, |bytes| format!("{bytes:.0} B")),
        ]);
    }
    Ok(section)
}

/// A kind of load, and the figures measured under it.
struct Load {
    name: &'static str,
    command: Value,
    get_peer: Rounds,
    get_peer_stats: Rounds,
    worker: Rounds,
    beside: String,
}

fn loads(silent: &str, peer: &str) -> Vec<Load> {
    let kinds = [
        ("nothing", 0, 0, 0, 0),
        ("2 threads that share nothing (control)", 0, 0, 0, 2),
        ("1 search after the other", 0, 1, 0, 0),
        ("2 searches at a time", 0, 2, 0, 0),
        ("200 dials to silent servers", DIALS, 0, 0, 0),
        ("4 threads committing to disk", 0, 0, 4, 0),
        ("**all: 200 dials, a search, 4 commits**", DIALS, 1, 4, 0),
    ];
    let load = |(name, dials, searches, commits, spins)| Load {
        name,
        command: json!({
            "cmd": "load", "silent": silent, "peer": peer, "ms": LOAD_MS, "dials": dials,
            "searches": searches, "commits": commits, "spins": spins,
        }),
        get_peer: Rounds::default(),
        get_peer_stats: Rounds::default(),
        worker: Rounds::default(),
        beside: String::new(),
    };
    kinds.map(load).into()
}

fn loaded(node: &mut Child, peer: &str, fill_seconds: f64) -> Result<Section> {
    // The backlog takes connections; nobody ever answers them.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let keep = silent.try_clone()?;
    std::thread::spawn(move || keep.incoming().flatten().collect::<Vec<_>>());
    let silent = format!("/ip4/127.0.0.1/tcp/{}", silent.local_addr()?.port());
    let mut loads = loads(&silent, peer);
    for round in 1..=LOAD_ROUNDS {
        for load in &mut loads {
            progress(&format!("reads, round {round} of {LOAD_ROUNDS} beside {}", load.name));
            let answer = node.ask(&load.command)?;
            load.get_peer.note(&answer["get_peer"]);
            load.get_peer_stats.note(&answer["get_peer_stats"]);
            load.worker.note(&answer["worker"]);
            load.beside = beside(&answer);
        }
    }
    let mut section = Section::new(
        "Reads and the worker under load",
        &format!(
            "The same process, its book of {} on disk. A reader's thread calls every 0.5 ms, as \
             programs do, {LOAD_ROUNDS} times {} s under each load; the worker's round trip is \
             `peerkit_cancel` of a token that nobody carries, so its max is the worker's longest stall \
             together with the longest wait for a processor: this machine has 2, so compare with the \
             control. A search is `search_peers` for what no record contains; a commit is an `add_peer` \
             of a new peer. Observations (dials in vain) are flushed every 4 s beside them. \
             Filling the book with {FILLING_THREADS} threads, each change on disk before its \
             call returned, took {fill_seconds:.0} s.",
            count(RECORDS),
            LOAD_MS / 1000
        ),
        &[
            "beside",
            "get_peer p50 (p99)",
            "max",
            "get_peer_stats p50 (p99)",
            "max",
            "worker and back p50 (p99)",
            "max",
            "went on in the last round",
        ],
    );
    for load in &loads {
        let cell =
            |rounds: &Rounds| format!("{} ({})", duration(rounds.p50()), duration(rounds.p99()));
        section.row([
            load.name.to_owned(),
            cell(&load.get_peer),
            duration(load.get_peer.max()),
            cell(&load.get_peer_stats),
            duration(load.get_peer_stats.max()),
            cell(&load.worker),
            duration(load.worker.max()),
            load.beside.clone(),
        ]);
    }
    Ok(section)
}

fn beside(answer: &Value) -> String {
    let done = ["searches", "commits", "dials"].map(|key| (key, number(answer, key)));
    let mut text: Vec<String> =
        done.iter().filter(|(_, n)| *n > 0.0).map(|(key, n)| format!("{n} {key}")).collect();
    if number(answer, "commits") > 0.0 {
        let slowest = duration(number(answer, "slowest_commit_us"));
        text.push(format!("slowest commit {slowest}"));
    }
    text.join(", ")
}
