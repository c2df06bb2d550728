//! A worker that the host program forks lives on beside the node, and after it: it keeps no port, no lock and no
//! connection of the node's. Where libc doesn't know of the worker, it keeps them, but nobody hangs for it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use peerkit::ErrorKind;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::control::{SOON, keys};
use crate::support::preload::compile;
use crate::support::{Peer, attempts, eventually, failed, loopback, program, succeeded};

/// The time within which somebody notices that a process is gone.
const AT_ONCE: Duration = Duration::from_secs(4);

/// A node whose process forks when it is told to, and its directory.
struct Host {
    peer: Peer,
    dir: TempDir,
    child: TempDir,
}

/// A forked child; killed at the end.
struct Worker(u32);

impl Host {
    fn start(how: &[(&str, &str)]) -> Host {
        let (dir, child) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let mut command = Command::new(program());
        command.arg("peerkit").arg(loopback(keys(dir.path())).to_string());
        command.env("LD_PRELOAD", compile("forker", child.path())).envs(how.iter().copied());
        command.env("PEERKIT_TEST_CHILD", child.path().join("pid"));
        Host { peer: Peer::spawn(&mut command).unwrap(), dir, child }
    }

    fn fork(&self) -> Worker {
        self.peer.signal("-USR1");
        let mut pid = None;
        eventually(SOON, "the worker", || {
            let told = fs::read_to_string(self.child.path().join("pid")).unwrap_or_default();
            pid = told.strip_suffix('\n').map(|pid| pid.parse().unwrap());
            pid.is_some()
        });
        Worker(pid.unwrap())
    }

    /// Returns the configuration for a node at the same addresses and on the same directory.
    fn again(&self) -> Value {
        let bare = ["tcp", "quic-v1"].map(|transport| self.peer.bare(transport));
        let mut config = keys(self.dir.path());
        config["listen"] = json!(bare);
        loopback(config)
    }
}

impl Worker {
    fn lives(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap_or_default();
        status.contains("State:\tS")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-9", &self.0.to_string()]).status();
    }
}

/// Counts the descriptors of a process that are sockets, or files in this directory.
fn kept(pid: u32, dir: &Path) -> Vec<String> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let links = open.filter_map(|entry| fs::read_link(entry.path()).ok());
    let links = links.map(|link| link.display().to_string());
    links.filter(|link| link.starts_with("socket:") || Path::new(link).starts_with(dir)).collect()
}

#[test]
fn a_worker_has_nothing_of_the_nodes() {
    let host = Host::start(&[]);
    let client = peerkit::control::Client::attach(host.dir.path(), SOON).unwrap();
    let _events = client.events(&peerkit::params::EventsOptions::new()).unwrap();
    let other = Peer::start();
    other.connect(&host.peer.at("tcp"));
    other.connect(&host.peer.at("quic-v1"));
    let before = kept(host.peer.pid(), host.dir.path()).len();
    assert!(before >= 7, "listeners, connections, lock and book: {before}");
    let worker = host.fork();
    let kept = kept(worker.0, host.dir.path());
    assert!(worker.lives() && kept.is_empty(), "{kept:?}");
    // The node has lost nothing by it.
    host.peer.ok("ping_peer", json!({ "peer_id": other.id(), "count": 1 }));
    other.ok("ping_peer", json!({ "peer_id": host.peer.id(), "count": 1 }));
    let reply = client.call("status", serde_json::Map::new(), SOON).unwrap();
    succeeded(serde_json::from_str(&reply).unwrap());
}

#[test]
fn a_node_stops_and_starts_at_its_ports_beside_a_worker_and_whoever_dials_meanwhile_is_refused() {
    for how in [&[][..], &[("PEERKIT_TEST_RAW", "1")]] {
        let host = Host::start(how);
        let other = Peer::start();
        other.connect(&host.peer.at("tcp"));
        let worker = host.fork();
        host.peer.ok("stop", json!({}));
        other.wait_for("peer_disconnected", host.peer.id());
        // By TCP it's told at once; over UDP nobody tells.
        let dial = json!({ "multiaddr": host.peer.at("tcp") });
        let failure = other.call_within(2000, "connect_peer", dial);
        assert_eq!(attempts(&failure)[0]["error"], "connection refused", "{failure:#}");
        let mut again = host.again();
        if !how.is_empty() {
            // A UDP port can't be taken from whoever has a copy of the socket.
            again["listen"] = json!([host.peer.bare("tcp")]);
        }
        succeeded(host.peer.call("start", json!({ "config": again })));
        other.connect(&host.peer.at("tcp"));
        assert!(worker.lives());
    }
}

#[test]
fn the_death_of_a_node_is_noticed_at_once_and_the_next_has_its_ports_and_directory() {
    let host = Host::start(&[]);
    let (other, client) = (Peer::start(), peerkit::control::Client::attach(host.dir.path(), SOON));
    let client = client.unwrap();
    other.connect(&host.peer.at("tcp"));
    let worker = host.fork();
    host.peer.kill();
    let died = Instant::now();
    other.wait_for("peer_disconnected", host.peer.id());
    let call = client.call("status", serde_json::Map::new(), SOON).unwrap_err();
    assert_eq!(call.kind(), ErrorKind::Closed);
    let nobody = peerkit::control::Client::attach(host.dir.path(), SOON).unwrap_err();
    assert_eq!(nobody.kind(), ErrorKind::NotRunning);
    assert!(died.elapsed() < AT_ONCE, "{:?}", died.elapsed());
    let heir = Peer::with(host.again());
    assert_eq!(heir.id(), host.peer.id());
    assert!(worker.lives());
}

#[test]
fn a_lock_that_only_a_worker_holds_is_told_by_the_workers_pid() {
    let host = Host::start(&[("PEERKIT_TEST_RAW", "1")]);
    let worker = host.fork();
    let pid = host.peer.pid();
    host.peer.kill();
    let locked = failed(Peer::try_with(keys(host.dir.path())).err().unwrap(), "data_dir_locked");
    assert_eq!(locked["detail"]["pid"], worker.0, "{locked:#}");
    let message = locked["error"].as_str().unwrap();
    assert!(message.contains(&format!("process {pid}, which is gone")), "{message}");
    drop(worker);
    eventually(SOON, "the directory", || Peer::try_with(keys(host.dir.path())).is_ok());
}
