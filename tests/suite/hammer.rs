//! Many threads call everything at once while peers come and go, in a process of its own: what it grows by is
//! measured, and in this one the backtrace of any test that fails meanwhile takes 160 MiB.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use peerkit::{Config, ErrorKind, PeerManager, ops};
use serde_json::{Value, json};

use crate::support::servers::ApiServer;
use crate::support::{Peer, loopback, some_peer_id};

const THREADS: usize = 32;
/// The deadline of each call, and the time after it at which an answer counts as hung.
const DEADLINE: Duration = Duration::from_millis(2000);
const HUNG: Duration = Duration::from_secs(15);
/// The most that the process may grow from the first fifth of the run to its end.
const GROWTH_LIMIT_MIB: u64 = 64;
/// Set in the environment of the process that hammers.
const CHILD: &str = "PEERKIT_HAMMER_CHILD";
const TOPIC: &str = "hammer";
/// Content that somebody may have.
const CID: &str = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";

/// The peers that come and go, each always at the same place with the same identity.
struct Crowd {
    peers: Vec<Mutex<Option<Peer>>>,
    configs: Vec<Value>,
    ids: Vec<String>,
    addresses: Vec<String>,
    strangers: Vec<String>,
    /// The first two peers, as a Kubo and as members of a cluster.
    daemon: ApiServer,
    _dirs: Vec<tempfile::TempDir>,
}

impl Crowd {
    fn new() -> Self {
        let dirs: Vec<_> = (0..4).map(|_| tempfile::TempDir::new().unwrap()).collect();
        let mut crowd = Crowd {
            peers: Vec::new(),
            configs: Vec::new(),
            ids: Vec::new(),
            addresses: Vec::new(),
            strangers: (0..100).map(|_| some_peer_id()).collect(),
            daemon: ApiServer::start(),
            _dirs: Vec::new(),
        };
        for (number, dir) in dirs.iter().enumerate() {
            let peer = Peer::with(json!({
                "data_dir": dir.path(), "discovery": sources(), "serve_perf": true,
            }));
            peer.ok("subscribe", json!({ "topic": TOPIC }));
            let part = if number % 2 == 0 { "tcp" } else { "quic-v1" };
            crowd.ids.push(peer.id().to_owned());
            crowd.addresses.push(peer.at(part));
            crowd.configs.push(json!({
                "data_dir": dir.path(), "listen": [peer.bare(part)], "discovery": sources(),
                "serve_perf": true,
            }));
            crowd.peers.push(Mutex::new(Some(peer)));
        }
        let alive = |number: usize| crowd.peers[number].lock().unwrap();
        if let (Some(one), Some(two)) = (&*alive(0), &*alive(1)) {
            crowd.daemon.kubo(one, &[two]);
            crowd.daemon.cluster(&[one, two]);
        }
        crowd._dirs = dirs;
        crowd
    }

    /// Kills one peer after the other, and brings it back.
    fn come_and_go(&self, over: &AtomicBool) {
        for number in (0..self.peers.len()).cycle() {
            if over.load(Ordering::Relaxed) {
                return;
            }
            let mut peer = self.peers[number].lock().unwrap();
            *peer = None;
            std::thread::sleep(Duration::from_millis(300));
            // The port may be another socket's for a moment; then the peer stays away for a round.
            *peer = Peer::try_with(self.configs[number].clone()).ok();
            if let Some(peer) = &*peer {
                peer.ok("subscribe", json!({ "topic": TOPIC }));
            }
            drop(peer);
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// Returns the call number `n`: any operation, with parameters good and bad.
    fn call(&self, n: u64) -> (&'static str, Value) {
        let pick = |from: &[String], by: u64| from[(n / by) as usize % from.len()].clone();
        let (id, stranger) = (pick(&self.ids, 7), pick(&self.strangers, 3));
        let token = n % 64;
        let listed = format!("/ip4/127.0.0.1/tcp/1/p2p/{}", self.strangers[n as usize % 5]);
        let api = json!({ "api": self.daemon.url(), "cancel_token": token });
        // Shares no factor with what `pick` divides by, or an operation would meet the same few peers only.
        match n % 46 {
            0..=3 => (
                "connect_peer",
                json!({ "multiaddr": pick(&self.addresses, 5), "cancel_token": token }),
            ),
            4 => ("connect_peer", json!({ "peer_id": id })),
            5 => ("connect_peer", json!({ "peer_id": stranger, "cancel_token": token })),
            6 => ("connect_peer", json!({ "multiaddr": "/ip4/127.0.0.1/tcp/1" })),
            7 => (
                "connect_peer",
                json!({ "peer_id": stranger, "multiaddr": pick(&self.addresses, 11) }),
            ),
            8 => ("disconnect_peer", json!({ "peer_id": id, "cancel_token": token })),
            9 | 10 => ("ping_peer", json!({ "peer_id": id, "count": 2, "cancel_token": token })),
            11 => (
                "add_peer",
                json!({ "peer_id": stranger, "multiaddrs": [format!("/ip4/127.0.0.1/tcp/{}", n % 1000 + 1)] }),
            ),
            12 => ("remove_peer", json!({ "peer_id": stranger })),
            13 => ("status", json!({})),
            14 => ("get_peers", json!({ "status": "connected" })),
            15 => ("list_peers", json!({ "limit": 20, "offset": n % 100, "sort": "latency" })),
            16 => ("list_peers", json!({ "filter_connected": true })),
            17 => ("get_peer", json!({ "peer_id": id })),
            18 => ("search_peers", json!({ "query": &stranger[40..44] })),
            19 => ("get_peer_stats", json!({})),
            20 => ("get_peers_summary", json!({})),
            21 => ("list_peers", json!({ "limit": n })),
            22 => ("list_bootstrap_peers", json!({})),
            23 => ("add_bootstrap_peer", json!({ "multiaddr": listed })),
            24 => ("remove_bootstrap_peer", json!({ "multiaddr": listed })),
            25 => ("add_bootstrap_peer", json!({ "multiaddr": "nonsense" })),
            26 => ("bootstrap_from_ipfs", api),
            27 => ("bootstrap_from_cluster", api),
            28 => (
                "bootstrap_from_ipfs",
                json!({ "api": "/ip4/127.0.0.1/tcp/1", "cancel_token": token }),
            ),
            29 => ("discover_peers", json!({ "timeout": 0.2, "cancel_token": token })),
            30 => ("discover_peers", json!({ "limit": 1 })),
            31 => ("start_discovery", json!({})),
            32 => ("stop_discovery", json!({})),
            33 => ("get_discovery", json!({})),
            34 => ("find_peer", json!({ "peer_id": id, "cancel_token": token })),
            35 => ("find_peer", json!({ "peer_id": stranger, "cancel_token": token })),
            36 => ("provide", json!({ "cid": CID, "cancel_token": token })),
            37 => ("find_providers", json!({ "cid": CID, "cancel_token": token })),
            38 => ("publish", json!({ "topic": TOPIC, "data_base64": "aGk=" })),
            39 => ("subscribe", json!({ "topic": format!("{TOPIC}{}", n % 3) })),
            40 => ("unsubscribe", json!({ "topic": format!("{TOPIC}{}", n % 3) })),
            41 => ("get_metrics", json!({})),
            42 => ("network_changed", json!({ "cancel_token": token })),
            43 | 44 => (
                "measure_bandwidth",
                json!({
                    "peer_id": id, "upload_bytes": n % 100_000, "download_bytes": 100_000,
                    "cancel_token": token,
                }),
            ),
            _ => ("ping_peer", json!({ "peer_id": "11" })),
        }
    }
}

/// Returns the sources by which the peers of this test discover one another.
fn sources() -> Value {
    json!({ "dht": "server", "gossip": true, "interval_s": 1 })
}

fn rss_mib() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096 / (1 << 20)
}

/// Runs [`hammer`] in a child, which is this very test again.
#[test]
fn thirty_two_threads_hammer_every_operation_while_peers_come_and_go() {
    if std::env::var_os(CHILD).is_some() {
        return hammer();
    }
    let (_, module) = module_path!().split_once("::").unwrap();
    let test = "thirty_two_threads_hammer_every_operation_while_peers_come_and_go";
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args([&format!("{module}::{test}"), "--exact", "--nocapture"]).env(CHILD, "1");
    let ran = child.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    println!("{said}{}", String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && said.contains("1 passed"), "{}", ran.status);
}

fn hammer() {
    let seconds = std::env::var("PEERKIT_HAMMER_SECONDS").ok().and_then(|text| text.parse().ok());
    let run = Duration::from_secs(seconds.unwrap_or(30));
    let crowd = Crowd::new();
    let data_dir = tempfile::TempDir::new().unwrap();
    let config = loopback(json!({
        "data_dir": data_dir.path(), "limits": { "max_peers": 80 }, "discovery": sources(),
    }));
    let config = Config::from_json(&config.to_string()).unwrap();
    let manager = PeerManager::start(&config, None).unwrap();

    let over = AtomicBool::new(false);
    let tally = Mutex::new(BTreeMap::<(&str, String), u64>::new());
    let born = Instant::now();
    let busy_since: Vec<AtomicU64> = (0..THREADS).map(|_| AtomicU64::new(u64::MAX)).collect();
    let mut warm = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| crowd.come_and_go(&over));
        scope.spawn(|| read_events(&manager, &over));
        for (thread, busy_since) in busy_since.iter().enumerate() {
            let (crowd, manager, over, tally) = (&crowd, &manager, &over, &tally);
            scope.spawn(move || {
                let mut calls =
                    (thread as u64..).step_by(THREADS).map(|n| n.wrapping_mul(0x9e37_79b1) >> 4);
                while !over.load(Ordering::Relaxed) {
                    let n = calls.next().unwrap();
                    busy_since.store(born.elapsed().as_millis() as u64, Ordering::Relaxed);
                    let (method, outcome) = one_call(crowd, manager, n);
                    busy_since.store(u64::MAX, Ordering::Relaxed);
                    *tally.lock().unwrap().entry((method, outcome)).or_default() += 1;
                }
            });
        }
        while born.elapsed() < run {
            std::thread::sleep(Duration::from_millis(100));
            if born.elapsed() > run / 5 && warm == 0 {
                warm = rss_mib();
            }
            watch(born, &busy_since);
        }
        over.store(true, Ordering::Relaxed);
        let ending = Instant::now();
        while busy_since.iter().any(|since| since.load(Ordering::Relaxed) != u64::MAX) {
            assert_or_abort(ending.elapsed() < HUNG, "calls don't end");
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let grown = rss_mib().saturating_sub(warm);
    let tally = tally.into_inner().unwrap();
    println!("{grown} MiB more than the {warm} MiB after {:?}; {tally:#?}", run / 5);
    check(&tally);
    assert!(grown <= GROWTH_LIMIT_MIB, "grown by {grown} MiB");

    // It is still a manager like any other.
    let fresh = Peer::start();
    let connect = peerkit::params::ConnectPeer::at(fresh.at("quic-v1"));
    manager.connect_peer(connect, Duration::from_secs(10)).unwrap();
    manager.stop(Duration::from_secs(20)).unwrap();
}

/// Calls, or cancels; returns the operation and its outcome.
fn one_call(crowd: &Crowd, manager: &PeerManager, n: u64) -> (&'static str, String) {
    if n.is_multiple_of(41) {
        let outcome = manager.cancel(n % 64).map(|_| "ok".to_owned());
        return ("cancel", outcome.unwrap_or_else(|error| error.kind().to_string()));
    }
    let (method, params) = crowd.call(n);
    let Value::Object(params) = params else { unreachable!() };
    let reply = ops::find(method).unwrap().call(manager, params, DEADLINE);
    let reply: Value = serde_json::from_str(&reply).unwrap();
    (method, reply["code"].as_str().unwrap_or("ok").to_owned())
}

fn read_events(manager: &PeerManager, over: &AtomicBool) {
    let events = manager.events().unwrap();
    let mut last = 0;
    while !over.load(Ordering::Relaxed) {
        let batch = events.next(Duration::from_millis(200)).unwrap();
        for event in batch.events {
            assert!(event.seq > last, "{} after {last}", event.seq);
            last = event.seq;
        }
    }
}

/// Ends the process, with word of it, where a deadlock would hang the test.
fn watch(born: Instant, busy_since: &[AtomicU64]) {
    let now = born.elapsed().as_millis() as u64;
    let longest = busy_since.iter().map(|since| now.saturating_sub(since.load(Ordering::Relaxed)));
    let longest = Duration::from_millis(longest.max().unwrap_or(0));
    assert_or_abort(longest < HUNG, "a call hangs");
}

fn assert_or_abort(holds: bool, what: &str) {
    if !holds {
        eprintln!("DEADLOCK in the hammer: {what}");
        std::process::abort();
    }
}

fn check(tally: &BTreeMap<(&str, String), u64>) {
    let catalogue: Vec<&str> = ErrorKind::ALL.iter().map(|kind| kind.as_str()).collect();
    for ((method, outcome), count) in tally {
        let known = outcome == "ok" || catalogue.contains(&outcome.as_str());
        let broken = ["panic", "dead", "closed", "reentrant", "forked"].contains(&outcome.as_str());
        assert!(known && !broken, "{method}: {outcome} ({count} times)");
    }
    for operation in ops::catalogue() {
        let ok = tally.get(&(operation.name, "ok".to_owned())).copied().unwrap_or(0);
        assert!(ok > 0, "{} never succeeded: {tally:#?}", operation.name);
    }
}
