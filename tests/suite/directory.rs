//! The data directory is this user's: what others planted in it is neither used nor written to, a name that leads
//! nowhere isn't an empty file, and a book whose file is lost under the running node isn't a book that keeps its word.
//! docs/data-directory.md promises it.

use std::collections::HashSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::skip::skipped;
use crate::support::{Peer, eventually, failed, some_peer_id};

/// A user of nothing.
const OTHER: u32 = 65534;
const SOON: Duration = Duration::from_secs(20);
const FILES: [&str; 5] =
    ["identity.key", "book.redb", "config.json", "bootstrap_peers.txt", "lock"];

#[track_caller]
fn at(data_dir: &Path) -> Peer {
    Peer::with(json!({ "data_dir": data_dir }))
}

/// Returns the failure of a start there with these keys too, which names this file.
#[track_caller]
fn refused(data_dir: &Path, keys: Value, code: &str, file: &Path) -> Value {
    let mut config = keys;
    config["data_dir"] = json!(data_dir);
    let failure = match Peer::try_with(config) {
        Ok(peer) => panic!("started: {}", peer.status),
        Err(failure) => failed(failure, code),
    };
    assert_eq!(failure["detail"]["path"], json!(file), "{failure:#}");
    assert!(failure["error"].as_str().unwrap().contains(file.to_str().unwrap()), "{failure:#}");
    assert!(failure["hint"].is_string(), "{failure:#}");
    failure
}

/// Gives a file, or a link itself, to another user. False, and a printed line, where only root may.
#[track_caller]
fn given_away(path: &Path) -> bool {
    let given = lchown(path, Some(OTHER), None).is_ok();
    if !given {
        skipped("only root may give a file away");
    }
    given
}

/// Makes a directory in which a node has run, and returns it and the node's id.
fn used(scratch: &TempDir) -> (PathBuf, String) {
    let dir = scratch.path().join("data");
    let peer = at(&dir);
    peer.ok("add_bootstrap_peer", json!({ "multiaddr": "/dnsaddr/example.com" }));
    peer.ok("stop", json!({}));
    fs::write(dir.join("config.json"), "{}").unwrap();
    (dir, peer.id().to_owned())
}

fn known(peer: &Peer) -> HashSet<String> {
    peer.ids(None).into_iter().collect()
}

#[track_caller]
fn add(peer: &Peer) -> String {
    let id = some_peer_id();
    peer.ok("add_peer", json!({ "peer_id": id }));
    id
}

fn warnings(peer: &Peer) -> Vec<String> {
    let status = peer.ok("status", json!({}));
    let warnings = status["warnings"].as_array().unwrap().iter();
    warnings.map(|warning| warning.as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn await_warning(peer: &Peer, text: &str) {
    eventually(SOON, text, || warnings(peer).iter().any(|warning| warning.contains(text)));
}

#[test]
fn a_directory_of_another_user_is_refused_whatever_is_planted_in_it() {
    let scratch = TempDir::new().unwrap();
    let (planted, precious) = (scratch.path().join("planted"), scratch.path().join("precious"));
    fs::write(&precious, "precious").unwrap();
    fs::create_dir(&planted).unwrap();
    symlink(&precious, planted.join("lock")).unwrap();
    let log = json!({ "log": { "file": precious, "level": "trace" } });
    fs::write(planted.join("config.json"), log.to_string()).unwrap();
    fs::set_permissions(&planted, Permissions::from_mode(0o755)).unwrap();
    if !given_away(&planted) {
        return;
    }
    for file in ["lock", "config.json"] {
        assert!(given_away(&planted.join(file)));
    }
    let failure = refused(&planted, json!({}), "storage", &planted);
    assert!(failure["hint"].as_str().unwrap().contains("allow_foreign_data_dir"), "{failure:#}");
    // With the key its owner is trusted, and still no lock is a link.
    let allowed = json!({ "allow_foreign_data_dir": true });
    refused(&planted, allowed.clone(), "storage", &planted.join("lock"));
    assert_eq!(fs::read(&precious).unwrap(), b"precious");
    assert_eq!(fs::read_dir(&planted).unwrap().count(), 2, "nothing was made");

    // Which key it is stands in the call alone.
    fs::write(planted.join("config.json"), allowed.to_string()).unwrap();
    fs::remove_file(planted.join("lock")).unwrap();
    refused(&planted, json!({}), "storage", &planted);
    let volume = Peer::with(json!({ "data_dir": planted, "allow_foreign_data_dir": true }));
    let told = warnings(&volume);
    assert!(
        told.iter().any(|it| it.contains("`allow_foreign_data_dir` has no effect")),
        "{told:?}"
    );
    volume.ok("stop", json!({}));
    // What a third user owns isn't used there either.
    chown(planted.join("identity.key"), Some(1), None).unwrap();
    refused(&planted, allowed, "identity", &planted.join("identity.key"));
}

#[test]
fn in_a_directory_of_ones_own_a_file_or_link_of_another_user_is_refused() {
    let scratch = TempDir::new().unwrap();
    let (dir, id) = used(&scratch);
    for name in FILES {
        let (file, elsewhere) = (dir.join(name), scratch.path().join(name));
        let code = if name == "identity.key" { "identity" } else { "storage" };
        if !given_away(&file) {
            return;
        }
        let before = fs::read(&file).unwrap();
        let failure = refused(&dir, json!({}), code, &file);
        assert!(failure["error"].as_str().unwrap().contains("uid 65534"), "{failure:#}");
        chown(&file, Some(0), None).unwrap();
        fs::rename(&file, &elsewhere).unwrap();
        symlink(&elsewhere, &file).unwrap();
        assert!(given_away(&file));
        refused(&dir, json!({}), code, &file);
        fs::remove_file(&file).unwrap();
        fs::rename(&elsewhere, &file).unwrap();
        assert_eq!(fs::read(&file).unwrap(), before, "{name} was left as it was");
    }
    // Keys and a log that `config.json` names beside itself are files of the directory too.
    fs::copy(dir.join("identity.key"), dir.join("my.key")).unwrap();
    fs::write(dir.join("my.log"), "").unwrap();
    for (name, key) in [
        ("my.key", json!({ "identity": { "file": "my.key" } })),
        ("my.log", json!({ "log": { "file": "my.log" } })),
    ] {
        fs::write(dir.join("config.json"), key.to_string()).unwrap();
        assert!(given_away(&dir.join(name)));
        refused(&dir, json!({}), "config_invalid", &dir.join(name));
        chown(dir.join(name), Some(0), None).unwrap();
        assert_eq!(at(&dir).id(), id);
    }
}

#[test]
fn a_lock_that_no_peerkit_wrote_is_refused_and_left_as_it_is() {
    let scratch = TempDir::new().unwrap();
    let (dir, _) = used(&scratch);
    let (lock, precious) = (dir.join("lock"), scratch.path().join("precious"));
    for text in ["precious\n", "12\nprecious", "{\"pid\": 12}"] {
        fs::write(&lock, text).unwrap();
        refused(&dir, json!({}), "storage", &lock);
        assert_eq!(fs::read_to_string(&lock).unwrap(), text);
    }
    fs::rename(&lock, &precious).unwrap();
    symlink(&precious, &lock).unwrap();
    let before = fs::read(&precious).unwrap();
    refused(&dir, json!({}), "storage", &lock);
    assert_eq!(fs::read(&precious).unwrap(), before);
    fs::remove_file(&lock).unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(&lock).status().unwrap();
    assert!(pipe.success());
    refused(&dir, json!({}), "storage", &lock);
    fs::remove_file(&lock).unwrap();
    at(&dir);
}

#[test]
fn only_no_such_name_is_an_absent_file() {
    let scratch = TempDir::new().unwrap();
    let (dir, id) = used(&scratch);
    let (unmounted, file) = (scratch.path().join("volume"), scratch.path().join("file"));
    fs::write(&file, "").unwrap();
    for name in FILES {
        let (path, aside) = (dir.join(name), dir.join("aside"));
        let code = if name == "identity.key" { "identity" } else { "storage" };
        fs::rename(&path, &aside).unwrap();
        // A volume that isn't mounted; a directory that is a file; links in a circle.
        for target in [unmounted.join(name), file.join(name), path.clone()] {
            symlink(&target, &path).unwrap();
            refused(&dir, json!({}), code, &path);
            assert_eq!(fs::read_link(&path).unwrap(), target, "the link stays");
            fs::remove_file(&path).unwrap();
        }
        assert!(!unmounted.exists());
        fs::rename(&aside, &path).unwrap();
    }
    let log = dir.join("peerkit.log");
    symlink(unmounted.join("log"), &log).unwrap();
    refused(&dir, json!({ "log": { "file": log } }), "config_invalid", &log);
    let elsewhere = scratch.path().join("peerkit.log");
    symlink(unmounted.join("log"), &elsewhere).unwrap();
    refused(&dir, json!({ "log": { "file": elsewhere } }), "config_invalid", &elsewhere);
    let link = scratch.path().join("link");
    symlink(&unmounted, &link).unwrap();
    refused(&link, json!({}), "storage", &link);

    // What is truly absent is made, or is empty; and a link of one's own that leads to a file is that file.
    fs::create_dir(&unmounted).unwrap();
    fs::set_permissions(&unmounted, Permissions::from_mode(0o700)).unwrap();
    for name in ["config.json", "bootstrap_peers.txt", "lock"] {
        fs::remove_file(dir.join(name)).unwrap();
    }
    for name in ["identity.key", "book.redb"] {
        fs::rename(dir.join(name), unmounted.join(name)).unwrap();
        symlink(unmounted.join(name), dir.join(name)).unwrap();
    }
    let peer = at(&dir);
    assert_eq!(peer.id(), id);
    let added = add(&peer);
    peer.kill();
    let peer = at(&dir);
    assert_eq!(known(&peer), HashSet::from([added]));
    // The volume is unmounted under the node.
    fs::rename(unmounted.join("book.redb"), unmounted.join("aside")).unwrap();
    failed(peer.call("add_peer", json!({ "peer_id": some_peer_id() })), "storage");
    assert!(dir.join("book.redb").is_symlink() && !unmounted.join("book.redb").exists());
}

#[test]
fn a_slip_of_the_pen_in_config_json_starts_no_node_with_the_defaults() {
    let scratch = TempDir::new().unwrap();
    let (dir, _) = used(&scratch);
    let file = dir.join("config.json");
    for (text, key, nearest) in [
        (json!({ "profil": "offline" }), "profil", "profile"),
        (
            json!({ "limits": { "max_conections": 3 } }),
            "limits.max_conections",
            "limits.max_connections",
        ),
        (json!({ "python": 1, "lisen": [] }), "lisen", "listen"),
    ] {
        fs::write(&file, text.to_string()).unwrap();
        let failure = refused(&dir, json!({}), "config_invalid", &file);
        assert_eq!(failure["detail"]["key"], key, "{failure:#}");
        assert_eq!(failure["detail"]["nearest"], nearest, "{failure:#}");
        assert!(failure["error"].as_str().unwrap().contains("did you mean"), "{failure:#}");
    }
    fs::write(&file, json!({ "peer_scoring_weights": {} }).to_string()).unwrap();
    let told = warnings(&at(&dir));
    assert!(told.iter().any(|it| it.contains("unknown key `peer_scoring_weights`")), "{told:?}");
}

#[test]
fn a_book_that_is_removed_under_the_node_is_written_anew_and_nothing_acknowledged_is_lost() {
    let scratch = TempDir::new().unwrap();
    let (dir, _) = used(&scratch);
    let book = dir.join("book.redb");
    let peer = at(&dir);
    let mut acknowledged = HashSet::from([add(&peer), add(&peer)]);
    fs::remove_file(&book).unwrap();
    let refused = some_peer_id();
    let failure = failed(peer.call("add_peer", json!({ "peer_id": refused })), "storage");
    assert_eq!(failure["detail"]["path"], json!(book), "{failure:#}");
    assert_eq!(failure["retryable"], true);
    peer.ok("add_peer", json!({ "peer_id": refused }));
    acknowledged.insert(refused);
    await_warning(&peer, "written anew from memory");
    assert_eq!(known(&peer), acknowledged);
    peer.kill();
    let peer = at(&dir);
    assert_eq!(known(&peer), acknowledged);

    // Nobody changes anything: it comes back by itself.
    fs::rename(&book, scratch.path().join("moved")).unwrap();
    await_warning(&peer, "written anew from memory");
    peer.kill();
    assert_eq!(known(&at(&dir)), acknowledged);
}

#[test]
fn a_file_that_takes_the_place_of_the_book_is_left_alone_and_nothing_is_acknowledged() {
    let scratch = TempDir::new().unwrap();
    let (dir, _) = used(&scratch);
    let (book, copy) = (dir.join("book.redb"), scratch.path().join("copy"));
    fs::copy(&book, &copy).unwrap();
    let peer = at(&dir);
    let mut acknowledged = HashSet::from([add(&peer)]);
    // As a backup is restored.
    fs::rename(&copy, &book).unwrap();
    let foreign = fs::read(&book).unwrap();
    for _ in 0..2 {
        let failure = peer.call("add_peer", json!({ "peer_id": some_peer_id() }));
        let failure = failed(failure, "storage");
        assert!(failure["error"].as_str().unwrap().contains("another file"), "{failure:#}");
    }
    await_warning(&peer, "another file is in its place");
    assert!(fs::read(&book).unwrap() == foreign, "the file was written to");
    assert_eq!(known(&peer), acknowledged);
    fs::remove_file(&book).unwrap();
    await_warning(&peer, "written anew from memory");
    acknowledged.insert(add(&peer));
    assert!(!warnings(&peer).iter().any(|it| it.contains("another file")), "it is mended");
    peer.kill();
    assert_eq!(known(&at(&dir)), acknowledged);
}

#[test]
fn a_directory_that_is_moved_under_the_node_keeps_its_book() {
    let scratch = TempDir::new().unwrap();
    let (dir, _) = used(&scratch);
    let moved = scratch.path().join("moved");
    let peer = at(&dir);
    let mut acknowledged = HashSet::from([add(&peer)]);
    fs::rename(&dir, &moved).unwrap();
    acknowledged.insert(add(&peer));
    // Another one in the old place is another node's, and is left to it.
    let heir = at(&dir);
    let (heirs, ours) = (add(&heir), add(&peer));
    acknowledged.insert(ours);
    peer.kill();
    heir.kill();
    assert_eq!(known(&at(&moved)), acknowledged);
    assert_eq!(known(&at(&dir)), HashSet::from([heirs]));
}

#[test]
fn a_lock_or_a_key_that_is_lost_under_the_node_is_told() {
    let scratch = TempDir::new().unwrap();
    let (dir, id) = used(&scratch);
    let peer = at(&dir);
    let told = |name: &str| {
        let path = dir.join(name).display().to_string();
        warnings(&peer).iter().any(|warning| warning.starts_with(&path))
    };
    for name in ["identity.key", "lock"] {
        assert!(!told(name));
        fs::rename(dir.join(name), dir.join("aside")).unwrap();
        assert!(told(name));
        fs::write(dir.join(name), "").unwrap();
        assert!(told(name));
        fs::rename(dir.join("aside"), dir.join(name)).unwrap();
        assert!(!told(name));
    }
    // A node that locks the directory anew may make the book that isn't there: this one makes none beside it.
    for name in ["lock", "book.redb"] {
        fs::remove_file(dir.join(name)).unwrap();
    }
    fs::write(dir.join("lock"), "").unwrap();
    for _ in 0..2 {
        let failure = peer.call("add_peer", json!({ "peer_id": some_peer_id() }));
        failed(failure, "storage");
    }
    assert!(!dir.join("book.redb").exists());
    let second = at(&dir);
    assert_eq!((second.id(), known(&second)), (&*id, HashSet::new()));
    let kept = add(&second);
    failed(peer.call("add_peer", json!({ "peer_id": some_peer_id() })), "storage");
    peer.ok("stop", json!({}));
    second.kill();
    assert_eq!(known(&at(&dir)), HashSet::from([kept]));
}

#[test]
fn a_node_that_has_stopped_holds_nothing_of_its_directory() {
    let scratch = TempDir::new().unwrap();
    let (dir, _) = used(&scratch);
    let peer = at(&dir);
    let open = || {
        let all = fs::read_dir(format!("/proc/{}/fd", peer.pid())).unwrap();
        let open = all.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        open.filter(|path| path.starts_with(&dir)).count()
    };
    assert!(open() > 0, "this way of looking works");
    peer.ok("stop", json!({}));
    assert_eq!(open(), 0);
}
