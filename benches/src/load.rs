//! The load beside the reads: dials to servers that stay silent, searches, commits to disk; or, to tell
//! waiting for a lock from waiting for a processor, threads that only turn.

use std::ffi::CString;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::abi::Node;
use crate::stats::Samples;
use crate::{Result, line, records};

/// The time between two reads of the measuring threads: a reader that leaves the processor to others,
/// as programs do.
const PAUSE: Duration = Duration::from_micros(500);
/// A token no call carries: `cancel` then is a way to the worker and back, and nothing else.
const NO_TOKEN: u64 = 999_999_999;
/// The first record that commits write; those below it come from `fill`.
const FIRST_COMMITTED: u64 = 10_000_000;

/// Adds the records `from..to` with `threads` threads.
pub fn fill(node: &Node, command: &Value) -> Result<Value> {
    let next = AtomicU64::new(line::number(command, "from")?);
    let to = line::number(command, "to")?;
    let threads = line::number(command, "threads")?;
    let slowest = AtomicU64::new(0);
    let failure = Mutex::new(None);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= to {
                        break;
                    }
                    let call = Instant::now();
                    if let Err(error) = add(node, n) {
                        next.store(to, Ordering::Relaxed);
                        *failure.lock() = Some(error);
                    }
                    slowest.fetch_max(call.elapsed().as_micros() as u64, Ordering::Relaxed);
                }
            });
        }
    });
    match failure.into_inner() {
        Some(error) => Err(error),
        None => Ok(json!({
            "seconds": started.elapsed().as_secs_f64(),
            "slowest_us": slowest.into_inner(),
        })),
    }
}

fn add(node: &Node, n: u64) -> Result<()> {
    let params = CString::new(records::add_peer_params(n))?;
    let reply = node.call(c"add_peer", &params);
    reply.success().then_some(()).ok_or_else(|| (*reply).into())
}

/// The work beside the measuring.
struct Load {
    /// Dials under way at any time, to `silent`.
    dials: u64,
    silent: String,
    /// Threads that search for what isn't there.
    searches: u64,
    /// Threads that commit to disk.
    commits: u64,
    /// Threads that do nothing but turn.
    spins: u64,
}

/// Measures `get_peer`, `get_peer_stats` and a way to the worker and back under a load.
pub fn measure(node: &Node, command: &Value) -> Result<Value> {
    let load = Load {
        dials: line::number(command, "dials")?,
        silent: line::text(command, "silent")?.to_owned(),
        searches: line::number(command, "searches")?,
        commits: line::number(command, "commits")?,
        spins: line::number(command, "spins")?,
    };
    let peer = CString::new(line::text(command, "peer")?)?;
    let length = Duration::from_millis(line::number(command, "ms")?);
    let stop = AtomicBool::new(false);
    let stop = &stop;
    let (searched, committed, dialled) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let slowest_commit = AtomicU64::new(0);
    let outcome = std::thread::scope(|scope| {
        for n in 0..load.dials {
            let (silent, dialled) = (&load.silent, &dialled);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    dial_in_vain(node, n, silent);
                    dialled.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..load.searches {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    drop(node.call(c"search_peers", c"{\"query\":\"there is no such peer\"}"));
                    searched.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..load.commits {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let n = committed.fetch_add(1, Ordering::Relaxed);
                    let call = Instant::now();
                    let _ = add(node, FIRST_COMMITTED + n);
                    slowest_commit.fetch_max(call.elapsed().as_micros() as u64, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..load.spins {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        // The dials get under way before anything is measured.
        std::thread::sleep(Duration::from_millis(500));
        let until = Instant::now() + length;
        let worker = scope.spawn(move || paced(until, || node.cancel(NO_TOKEN).success()));
        let stats = scope.spawn(move || paced(until, || node.get_peer_stats().success()));
        let peers = paced(until, || node.get_peer(&peer).success());
        let (worker, stats) = (worker.join(), stats.join());
        stop.store(true, Ordering::Relaxed);
        (peers, stats, worker)
    });
    let (Ok(stats), Ok(worker)) = (outcome.1, outcome.2) else {
        return Err("a measuring thread panicked".into());
    };
    Ok(json!({
        "get_peer": outcome.0.summary(),
        "get_peer_stats": stats.summary(),
        "worker": worker.summary(),
        "searches": searched.into_inner(),
        "commits": committed.into_inner(),
        "dials": dialled.into_inner(),
        "slowest_commit_us": slowest_commit.into_inner(),
    }))
}

/// Dials an address that never answers, until the deadline.
fn dial_in_vain(node: &Node, n: u64, silent: &str) {
    let address = format!("{silent}/p2p/{}", records::peer_id(n));
    if let Ok(address) = CString::new(address) {
        drop(node.connect_within(&address, 3000));
    }
}

/// Calls until a moment, with pauses. Failures aren't counted.
fn paced(until: Instant, call: impl Fn() -> bool) -> Samples {
    let mut samples = Samples::default();
    while Instant::now() < until {
        let started = Instant::now();
        let done = call();
        let took = started.elapsed();
        if done {
            samples.push(took);
        }
        std::thread::sleep(PAUSE);
    }
    samples
}
