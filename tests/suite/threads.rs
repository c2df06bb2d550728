//! The threads of a node are those of the page, they end with the run but for those of which the page says why, and
//! where the kernel gives no more of them every call still has its answer. `shortage` takes single threads away.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use peerkit::control::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::control::SOON;
use crate::support::netns::Switch;
use crate::support::servers::ApiServer;
use crate::support::skip::skipped;
use crate::support::threads::{Row, listed, names, of_process};
use crate::support::{Peer, eventually, failed, loopback, program};

/// The name of the test's own threads.
const TEST_PEER: &str = "test-peer";

fn of_node(peer: &Peer) -> BTreeSet<String> {
    let mut threads = of_process(peer.pid());
    threads.remove(TEST_PEER);
    threads
}

#[test]
fn the_threads_of_a_node_that_does_everything_are_those_of_the_page_and_end_with_the_run() {
    let Some(switch) = Switch::new() else { return };
    let host = switch.host("10.77.0.1/24");
    let records = json!({ "kubo.test": { "A": ["10.77.0.1"] } });
    let dns = host.dns(json!({ "listen": "127.0.0.1:53", "records": records }));
    host.mount("/etc/resolv.conf", b"nameserver 127.0.0.1\n");
    let (kubo, port) = host.http(json!({}));
    let dir = TempDir::new().unwrap();
    let node = host.peer(json!({
        "profile": "lan", "data_dir": dir.path(), "control_socket": true, "serve_perf": true,
        "discovery": { "mdns": true, "gossip": true, "dht": "server", "interval_s": 1 },
    }));
    let other = host.peer(json!({ "profile": "lan", "serve_perf": true }));
    let address = other.at("tcp");
    let rest = address.splitn(4, '/').last().unwrap();
    node.connect(&format!("/dns4/kubo.test/{rest}"));
    node.ok("measure_bandwidth", json!({ "peer_id": other.id() }));
    let client = Client::attach(dir.path(), SOON).unwrap();
    let _events = client.events(&peerkit::params::EventsOptions::new()).unwrap();

    // The kernel takes connections for both, and neither answers.
    kubo.freeze();
    let ask = |api: String| json!({ "api": api, "connect": false });
    let by_name = ask(format!("http://kubo.test:{port}"));
    let _asked = node.begin(60_000, "bootstrap_from_ipfs", by_name.clone());
    eventually(SOON, "the daemon is asked", || of_node(&node).contains("peerkit-daemon"));
    eventually(SOON, "its name is known", || !of_node(&node).contains("peerkit-resolve"));
    dns.freeze();
    let _asked = node.begin(60_000, "bootstrap_from_cluster", by_name);
    let page = listed("thread");
    let (at_once, lasting): (Vec<Row>, Vec<Row>) =
        page.into_iter().partition(|row| row.last == "at once");
    let mut seen = BTreeSet::new();
    eventually(SOON, "all threads", || {
        let threads = of_node(&node);
        seen.extend(threads.iter().cloned());
        names(&lasting).is_subset(&threads)
    });
    seen.retain(|name| !names(&at_once).contains(name));
    assert_eq!(seen, names(&lasting), "a node has no others");

    node.ok("stop", json!({}));
    let outlasts = |row: &&Row| row.last != "with the run";
    let outlasting: Vec<&Row> = lasting.iter().filter(outlasts).collect();
    let left = || BTreeSet::from(["futures-timer", "peerkit-resolve"].map(str::to_owned));
    eventually(SOON, "those of the run end", || of_node(&node) == left());
    let says_why = |name: &String| outlasting.iter().any(|row| row.names.contains(name));
    assert!(left().iter().all(says_why), "the page says why they outlast the run");
    dns.thaw();
    let last = BTreeSet::from(["futures-timer".to_owned()]);
    eventually(Duration::from_secs(30), "the resolver answers", || of_node(&node) == last);
}

/// Returns the names that code gives to threads.
fn given(under: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(under).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(given(&entry));
            continue;
        }
        let text = fs::read_to_string(&entry).unwrap_or_default();
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        for call in ["spawn(\"", "spawn_caller(\"", ".name(\""] {
            let after = text.split(call).skip(1);
            found.extend(after.map(|after| after.split('"').next().unwrap().to_owned()));
        }
    }
    found
}

#[test]
fn every_name_that_the_code_gives_to_a_thread_is_on_the_page_and_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (table, source, of_dependencies) in [
        ("thread", "src", "futures-timer"),
        ("thread of the program", "cli/src", "tokio-rt-worker"),
    ] {
        let mut page = names(&listed(table));
        assert!(page.remove(of_dependencies));
        assert_eq!(given(&root.join(source)), page, "{source}");
    }
}

/// More threads than a node has.
const MANY: usize = 64;

/// A user with no other process, for whom the kernel counts the threads of one alone.
struct Lonely(u32);

impl Lonely {
    /// None where the machine doesn't permit it.
    fn new() -> Option<Self> {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let nth = LAST.fetch_add(1, Ordering::Relaxed);
        let user = Lonely(100_000 + 8 * std::process::id() + nth);
        let may = user.run(MANY).arg("true").status().is_ok_and(|status| status.success());
        let found = user.run(MANY).arg("test").arg("-x").arg(program()).status();
        match may && found.is_ok_and(|status| status.success()) {
            true => Some(user),
            false => {
                skipped("no program can be run here as another user");
                None
            }
        }
    }

    /// Has a program run as this user, who may have so many threads.
    fn run(&self, threads: usize) -> Command {
        let (user, limit) = (self.0.to_string(), format!("--nproc={threads}"));
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &user, "--regid", &user, "--clear-groups", "prlimit", &limit]);
        command
    }

    /// Sets how many threads this user's process may have from now on.
    fn limit(&self, peer: &Peer, threads: usize) {
        let (pid, limit) = (peer.pid().to_string(), format!("--nproc={threads}:"));
        let set = self.run(MANY).args(["prlimit", "--pid", &pid, &limit]).status().unwrap();
        assert!(set.success());
    }

    fn start(&self, threads: usize, config: Value, told: &Path) -> Result<Peer, Value> {
        let mut command = self.run(threads);
        command.arg(program()).arg("peerkit").arg(loopback(config).to_string());
        Peer::spawn(command.stderr(File::create(told).unwrap()))
    }
}

fn thread_count(peer: &Peer) -> usize {
    fs::read_dir(format!("/proc/{}/task", peer.pid())).unwrap().count()
}

#[track_caller]
fn nothing_panicked(told: &Path) {
    let told = fs::read_to_string(told).unwrap();
    assert!(!told.contains("panicked"), "{told}");
}

#[test]
fn where_the_kernel_gives_no_more_threads_every_call_has_its_answer_and_nothing_panics() {
    let Some(user) = Lonely::new() else { return };
    let (other, api, dir) = (Peer::start(), ApiServer::start(), TempDir::new().unwrap());
    api.kubo(&other, &[]);
    let told = dir.path().join("told");
    let node = user.start(MANY, json!({ "bootstrap_from_ipfs": api.url() }), &told).unwrap();
    node.wait_for("peer_discovered", other.id());
    // The threads that answered the requests so far are gone, and those that ask a daemon.
    eventually(SOON, "it is at rest", || thread_count(&node) <= 3);
    user.limit(&node, thread_count(&node));

    let ask = json!({ "api": api.url(), "connect": false });
    for method in ["bootstrap_from_ipfs", "bootstrap_from_cluster"] {
        failed(node.call(method, ask.clone()), "limit_reached");
    }
    let pass = node.ok("discover_peers", json!({}));
    assert_eq!(pass["sources"]["ipfs"]["last_error"]["code"], "limit_reached", "{pass:#}");
    let warnings = node.ok("status", json!({}))["warnings"].to_string();
    assert!(warnings.contains("threads"), "{warnings}");
    // What needs no thread goes on.
    node.connect(&other.at("tcp"));
    node.ok("ping_peer", json!({ "peer_id": other.id(), "count": 1 }));
    node.ok("subscribe", json!({ "topic": "news" }));
    let stranger = json!({ "peer_id": other.id() });
    node.ok("disconnect_peer", stranger.clone());
    failed(
        node.call("connect_peer", json!({ "multiaddr": "/dns4/nobody.invalid/tcp/1" })),
        "dial_failed",
    );

    user.limit(&node, MANY);
    node.ok("bootstrap_from_ipfs", ask);
    node.ok("stop", json!({}));
    nothing_panicked(&told);
}

#[test]
fn a_start_for_which_the_kernel_has_too_few_threads_is_limit_reached() {
    let Some(user) = Lonely::new() else { return };
    let dir = TempDir::new().unwrap();
    let told = dir.path().join("told");
    // The main thread, the run's, and libp2p's timers, with one more for a moment to see whether they can be had:
    // a node that keeps nothing can do with those.
    for (threads, can_do) in [(1, false), (2, false), (4, true)] {
        match user.start(threads, json!({}), &told) {
            Err(failure) => assert!(!can_do, "{:#}", failed(failure, "limit_reached")),
            Ok(node) => {
                assert!(can_do, "{threads} are too few");
                node.ok("get_peers", json!({}));
                node.ok("stop", json!({}));
            }
        }
        nothing_panicked(&told);
    }
}
