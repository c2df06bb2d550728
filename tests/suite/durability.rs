//! Everything acknowledged is on disk, whatever happens to the process or to the disk.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::dice::Dice;
use crate::support::skip::skipped;
use crate::support::{Peer, failed, loopback, program, some_peer_id, succeeded};

const ROUNDS: u32 = 50;

/// Starts a peer that keeps its book there.
#[track_caller]
fn at(data_dir: &Path) -> Peer {
    Peer::with(json!({ "data_dir": data_dir }))
}

/// Returns the failure of a start there.
#[track_caller]
fn refused_at(data_dir: &Path, code: &str) -> Value {
    match Peer::try_with(json!({ "data_dir": data_dir })) {
        Ok(peer) => panic!("started: {}", peer.status),
        Err(failure) => failed(failure, code),
    }
}

fn known(peer: &Peer) -> HashSet<String> {
    let reply = peer.ok("get_peers", json!({ "limit": 10_000 }));
    let peers = reply["peers"].as_array().unwrap().iter();
    peers.map(|row| row["peer_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn acknowledged_peers_survive_kill_9() {
    let seed = Dice::seed();
    let mut dice = Dice(seed);
    let data_dir = TempDir::new().unwrap();
    let (mut kept, mut removed) = (HashSet::new(), HashSet::new());
    let mut identity = None;
    for round in 0..ROUNDS {
        if dice.below(5) == 0 {
            kill_while_starting(data_dir.path(), dice.below(60));
        }
        let peer = at(data_dir.path());
        let own = identity.get_or_insert(peer.id().to_owned()).clone();
        assert_eq!(peer.id(), own, "round {round}, PEERKIT_SEED={seed}");
        let found = known(&peer);
        let lost: Vec<_> = kept.difference(&found).collect();
        assert!(lost.is_empty(), "round {round} of PEERKIT_SEED={seed}: lost {lost:?}");
        let undead: Vec<_> = removed.intersection(&found).collect();
        assert!(undead.is_empty(), "round {round} of PEERKIT_SEED={seed}: back {undead:?}");
        change_until_killed(&peer, dice.below(40), &mut kept, &mut removed, &mut dice);
    }
    assert!(kept.len() > ROUNDS as usize, "only {} were acknowledged", kept.len());
}

fn kill_while_starting(data_dir: &Path, after_ms: u64) {
    let config = loopback(json!({ "data_dir": data_dir })).to_string();
    let mut starting = Command::new(program())
        .args(["peerkit", &config])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(after_ms));
    let _ = starting.kill();
    let _ = starting.wait();
}

/// Adds and removes peers from four threads until the process is killed; notes the changes that were
/// acknowledged. Those under way at the kill may be on disk or not.
fn change_until_killed(
    peer: &Peer,
    after_ms: u64,
    kept: &mut HashSet<String>,
    removed: &mut HashSet<String>,
    dice: &mut Dice,
) {
    let victims: Vec<String> = kept.iter().take(dice.below(4) as usize).cloned().collect();
    let mut acknowledged = Vec::new();
    std::thread::scope(|scope| {
        let adding: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut added = Vec::new();
                    loop {
                        let id = some_peer_id();
                        let params =
                            json!({ "peer_id": id, "multiaddrs": ["/ip4/127.0.0.1/tcp/1"] });
                        match peer.begin(10_000, "add_peer", params).reply_if_alive() {
                            Some(reply) => {
                                added.push(succeeded(reply)["peer_info"]["peer_id"].clone())
                            }
                            None => return added,
                        }
                    }
                })
            })
            .collect();
        for victim in &victims {
            kept.remove(victim);
            let call = peer.begin(10_000, "remove_peer", json!({ "peer_id": victim }));
            if let Some(reply) = call.reply_if_alive() {
                succeeded(reply);
                removed.insert(victim.clone());
            }
        }
        std::thread::sleep(Duration::from_millis(after_ms));
        peer.kill();
        for thread in adding {
            acknowledged.extend(thread.join().unwrap());
        }
    });
    kept.extend(acknowledged.iter().map(|id| id.as_str().unwrap().to_owned()));
}

#[test]
fn what_was_observed_is_there_after_a_clean_stop() {
    let data_dir = TempDir::new().unwrap();
    let (a, b) = (at(data_dir.path()), Peer::start());
    a.connect(&b.at("tcp"));
    a.ok("ping_peer", json!({ "peer_id": b.id() }));
    a.ok("disconnect_peer", json!({ "peer_id": b.id() }));
    let before = a.info(b.id());
    a.ok("stop", json!({}));
    drop(a);

    let a = at(data_dir.path());
    let after = a.info(b.id());
    for key in [
        "multiaddrs",
        "last_seen",
        "first_seen",
        "protocols",
        "agent_version",
        "protocol_version",
        "connection_attempts",
        "successful_connections",
        "last_connection_attempt",
        "last_successful_connection",
        "latency_ms",
        "last_disconnect",
        "policy",
    ] {
        assert!(!before[key].is_null(), "{key}: {before:#}");
        assert_eq!(after[key], before[key], "{key}");
    }
    assert_eq!(after["connected"], false);
    assert_eq!(after["sources"], json!(["user", "book"]));
    // The address is in the book alone.
    a.ok("connect_peer", json!({ "peer_id": b.id() }));
}

#[test]
fn what_was_observed_is_at_most_five_seconds_old_after_kill_9() {
    let data_dir = TempDir::new().unwrap();
    let (a, b) = (at(data_dir.path()), Peer::start());
    a.connect(&b.at("tcp"));
    let before = a.info(b.id());
    std::thread::sleep(Duration::from_millis(5500));
    a.kill();
    let after = at(data_dir.path()).info(b.id());
    for key in ["last_seen", "protocols", "agent_version", "successful_connections"] {
        assert_eq!(after[key], before[key], "{key}");
    }
    assert_eq!(after["connected"], false);
}

#[test]
fn the_address_of_a_successful_connect_survives_kill_9() {
    let data_dir = TempDir::new().unwrap();
    let (a, b) = (at(data_dir.path()), Peer::start());
    a.connect(&b.bare("quic-v1"));
    a.kill();
    let a = at(data_dir.path());
    let addresses = a.info(b.id())["multiaddrs"].clone();
    assert!(addresses.as_array().unwrap().contains(&json!(b.bare("quic-v1"))), "{addresses}");
    a.ok("connect_peer", json!({ "peer_id": b.id() }));
}

#[test]
fn one_data_dir_serves_one_process() {
    let data_dir = TempDir::new().unwrap();
    let holder = at(data_dir.path());
    let failure = refused_at(data_dir.path(), "data_dir_locked");
    assert_eq!(failure["detail"]["pid"], holder.pid(), "{failure:#}");
    assert!(failure["error"].as_str().unwrap().contains(&holder.pid().to_string()), "{failure:#}");
    // A dead holder needs nobody to clean up after it.
    holder.kill();
    let next = at(data_dir.path());
    next.ok("stop", json!({}));
    at(data_dir.path());
}

#[test]
fn the_data_dir_is_private() {
    let parent = TempDir::new().unwrap();
    let data_dir = parent.path().join("peerkit");
    at(&data_dir).ok("stop", json!({}));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data_dir), 0o700);
    assert_eq!(mode(&data_dir.join("identity.key")), 0o600);
    let book = data_dir.join("book.redb");
    assert_eq!(mode(&book), 0o600);
    // A file of an older version.
    fs::set_permissions(&book, fs::Permissions::from_mode(0o644)).unwrap();
    at(&data_dir).ok("stop", json!({}));
    assert_eq!(mode(&book), 0o600);
    fs::set_permissions(&data_dir, fs::Permissions::from_mode(0o777)).unwrap();
    refused_at(&data_dir, "storage");
}

#[test]
fn a_book_cut_short_is_named_and_left_alone() {
    let data_dir = TempDir::new().unwrap();
    let peer = at(data_dir.path());
    for _ in 0..50 {
        peer.ok("add_peer", json!({ "peer_id": some_peer_id() }));
    }
    peer.ok("stop", json!({}));
    drop(peer);
    let book = data_dir.path().join("book.redb");
    let whole = fs::read(&book).unwrap();
    for length in [0, 1, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&book, &whole[..length]).unwrap();
        let failure = refused_at(data_dir.path(), "storage_corrupt");
        assert_eq!(failure["detail"]["path"], book.display().to_string(), "{failure:#}");
        assert!(failure["error"].as_str().unwrap().contains("book.redb"), "{failure:#}");
        assert!(failure["hint"].is_string(), "{failure:#}");
        assert!(fs::read(&book).unwrap() == whole[..length], "the file of {length} bytes changed");
    }
    fs::write(&book, &whole).unwrap();
    assert_eq!(known(&at(data_dir.path())).len(), 50);
}

#[test]
fn a_book_of_a_newer_format_is_refused_and_left_alone() {
    let data_dir = TempDir::new().unwrap();
    let peer = at(data_dir.path());
    let id = some_peer_id();
    peer.ok("add_peer", json!({ "peer_id": id }));
    peer.ok("stop", json!({}));
    let book = data_dir.path().join("book.redb");
    set_format_version(&book, 99);
    let failure = refused_at(data_dir.path(), "storage_version");
    assert_eq!(failure["detail"]["found"], 99, "{failure:#}");
    assert_eq!(failure["detail"]["path"], book.display().to_string(), "{failure:#}");
    set_format_version(&book, 1);
    assert_eq!(known(&at(data_dir.path())), HashSet::from([id]));
}

fn set_format_version(book: &Path, version: u64) {
    let database = redb::Database::open(book).unwrap();
    let transaction = database.begin_write().unwrap();
    let meta = redb::TableDefinition::<&str, u64>::new("meta");
    transaction.open_table(meta).unwrap().insert("format_version", version).unwrap();
    transaction.commit().unwrap();
}

#[test]
fn a_damaged_identity_is_refused_and_left_alone() {
    let data_dir = TempDir::new().unwrap();
    at(data_dir.path()).ok("stop", json!({}));
    let key = data_dir.path().join("identity.key");
    fs::write(&key, "no key").unwrap();
    refused_at(data_dir.path(), "identity");
    assert_eq!(fs::read(&key).unwrap(), b"no key");
}

/// A namespace with a file system of its own, which ends with it.
struct SmallDisk {
    holder: Child,
    mount: TempDir,
}

impl SmallDisk {
    /// Makes one. None, and a printed line, where the machine doesn't permit it; in CI that is a failure.
    #[track_caller]
    fn new(options: &str) -> Option<Self> {
        let mount = TempDir::new().unwrap();
        let script = format!(
            "mount -t tmpfs -o {options} tmpfs {} && echo mounted && cat",
            mount.path().display()
        );
        let mut holder = Command::new("unshare")
            .args(["-rm", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare is there: make test-deps installs it");
        let mut line = String::new();
        let output = holder.stdout.as_mut().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).unwrap();
        if line == "mounted\n" {
            return Some(SmallDisk { holder, mount });
        }
        let _ = holder.wait();
        skipped("this machine permits no mount namespace (unshare -rm)");
        None
    }

    fn inside(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--preserve-credentials", "-U", "-m", "-t", &self.holder.id().to_string()]);
        command
    }

    fn remount(&self, options: &str) {
        let option = format!("remount,{options}");
        let status = self.inside().args(["mount", "-o", &option]).arg(self.mount.path()).status();
        assert!(status.unwrap().success(), "remount {options}");
    }

    /// Leaves no block free.
    fn fill(&self) {
        let filler = self.mount.path().join("filler");
        let script = format!("cat /dev/zero > {} 2> /dev/null", filler.display());
        let status = self.inside().args(["sh", "-c", &script]).status();
        assert!(!status.unwrap().success(), "the disk has no end");
    }

    fn peer(&self) -> Result<Peer, Value> {
        let config = loopback(json!({ "data_dir": self.mount.path().join("data") })).to_string();
        Peer::spawn(self.inside().arg(program()).args(["peerkit", &config]))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

#[test]
fn a_full_disk_is_a_storage_error_and_nothing_acknowledged_is_lost() {
    let Some(disk) = SmallDisk::new("size=4m") else { return };
    let peer = disk.peer().unwrap_or_else(|failure| panic!("{failure:#}"));
    let mut acknowledged = HashSet::new();
    // Long addresses fill it sooner.
    let addresses: Vec<String> =
        (1..=16).map(|port| format!("/dns4/{}.example/tcp/{port}", "a".repeat(60))).collect();
    let failure = loop {
        let id = some_peer_id();
        let reply = peer.call("add_peer", json!({ "peer_id": id, "multiaddrs": addresses }));
        if reply["success"] == false {
            break reply;
        }
        acknowledged.insert(id);
        assert!(acknowledged.len() < 20_000, "the disk doesn't fill");
    };
    let failure = failed(failure, "storage");
    assert!(failure["error"].as_str().unwrap().contains("space"), "{failure:#}");
    assert_eq!(failure["retryable"], true);
    // It goes on serving from memory, and the change that failed left no trace.
    assert_eq!(known(&peer), acknowledged);
    assert!(acknowledged.len() > 100, "only {} fitted", acknowledged.len());
    peer.kill();

    disk.remount("size=16m");
    let peer = disk.peer().unwrap_or_else(|failure| panic!("{failure:#}"));
    let lost = acknowledged.difference(&known(&peer)).count();
    assert_eq!(lost, 0, "of {} acknowledged", acknowledged.len());
    peer.ok("add_peer", json!({ "peer_id": some_peer_id() }));
}

#[test]
fn a_disk_with_room_again_takes_changes_again_without_a_restart() {
    let Some(disk) = SmallDisk::new("size=4m") else { return };
    let peer = disk.peer().unwrap_or_else(|failure| panic!("{failure:#}"));
    disk.fill();
    let mut acknowledged = HashSet::new();
    let refused = loop {
        let id = some_peer_id();
        match peer.call("add_peer", json!({ "peer_id": id })) {
            reply if reply["success"] == true => acknowledged.insert(id),
            failure => {
                failed(failure, "storage");
                break id;
            }
        };
    };
    disk.remount("size=16m");
    peer.ok("add_peer", json!({ "peer_id": refused }));
    acknowledged.insert(refused);
    peer.kill();
    let peer = disk.peer().unwrap_or_else(|failure| panic!("{failure:#}"));
    assert_eq!(known(&peer), acknowledged);
}

#[test]
fn a_start_on_a_full_or_read_only_disk_is_a_storage_error() {
    for options in ["size=4k", "size=16k", "size=4m,ro"] {
        let Some(disk) = SmallDisk::new(options) else { return };
        match disk.peer() {
            Err(failure) => {
                let failure = failed(failure, "storage");
                assert!(failure["detail"]["path"].is_string(), "{options}: {failure:#}");
            }
            Ok(peer) => panic!("started on {options}: {}", peer.status),
        }
    }
}
