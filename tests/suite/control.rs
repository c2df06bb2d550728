//! One node for one data directory: its owner serves other processes through the control socket, and a
//! process that looks for an owner finds it, or learns why there is none. The owner's bounds are tested
//! in `control_bounds`.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use peerkit::ErrorKind;
use peerkit::control::Client;
use peerkit::event::Kind;
use peerkit::params::EventsOptions;
use serde_json::json;
use tempfile::TempDir;

use crate::support::control::{Bare, Owner, Pretender, SOON, call, keys, ok, wait_for};
use crate::support::servers::SilentServer;
use crate::support::{Peer, failed, loopback, program, some_peer_id, succeeded};

#[test]
fn another_process_calls_and_hears_as_the_owner_itself() {
    let (owner, other) = (Owner::start(), Peer::start());
    let client = owner.attach();
    assert_eq!((client.peer_id(), client.pid()), (owner.peer.id(), owner.peer.pid()));
    assert_eq!(client.version(), peerkit::VERSION);
    let events = client.events(&EventsOptions::new().kinds([Kind::PeerConnected])).unwrap();

    let connected = ok(&client, "connect_peer", json!({ "multiaddr": other.at("tcp") }));
    assert_eq!(connected["peer_id"], other.id());
    wait_for(&events, "peer_connected");
    let theirs = ok(&client, "get_peer_info", json!({ "peer_id": other.id() }));
    assert_eq!(theirs["method"], "get_peer");
    assert_eq!(theirs["peer_info"]["connected"], true);
    assert_eq!(owner.peer.info(other.id())["connected"], true);

    let failure = call(&client, "ping_peer", json!({ "peer_id": some_peer_id() }), SOON).unwrap();
    failed(failure, "peer_not_found");
    failed(call(&client, "no_such", json!({}), SOON).unwrap(), "unknown_method");
    failed(call(&client, "status", json!({}), SOON * 1000).unwrap(), "invalid_argument");
    let future = client.events(&EventsOptions::new().since(1 << 40)).unwrap_err();
    assert_eq!(future.kind(), ErrorKind::InvalidArgument);
    assert!(future.detail()["last_seq"].is_u64(), "{future:?}");
}

#[test]
fn a_timeout_of_zero_is_no_default_at_the_owner() {
    let (owner, silent) = (Owner::start(), SilentServer::new());
    let client = owner.attach();
    let connect = json!({ "multiaddr": silent.address() });
    for timeout in [Duration::ZERO, Duration::from_nanos(1)] {
        let started = Instant::now();
        failed(call(&client, "connect_peer", connect.clone(), timeout).unwrap(), "dial_timeout");
        assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    }
}

#[test]
fn the_socket_is_its_owners_alone_and_goes_with_the_run() {
    let dir = TempDir::new().unwrap();
    let config = loopback(keys(dir.path())).to_string();
    let careless = ["-c", "umask 0; exec \"$0\" peerkit \"$1\""];
    let mut command = Command::new("sh");
    let peer = Peer::spawn(command.args(careless).arg(program()).arg(config)).unwrap();
    let owner = Owner { peer, dir };
    let client = owner.attach();
    let events = client.events(&EventsOptions::new()).unwrap();
    let file = fs::metadata(owner.socket()).unwrap();
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    let lock = fs::read_to_string(owner.dir.path().join("lock")).unwrap();
    assert_eq!(lock, format!("{}\n{}\n", owner.peer.pid(), owner.socket().display()));

    owner.peer.ok("stop", json!({}));
    assert!(!owner.socket().exists());
    wait_for(&events, "stopped");
    assert_eq!(events.next(SOON).unwrap_err().kind(), ErrorKind::Closed);
    let gone = call(&client, "status", json!({}), SOON).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::Closed);
    let nobody = Client::attach(owner.dir.path(), SOON).unwrap_err();
    assert_eq!(nobody.kind(), ErrorKind::NotRunning);
    let nothing = Client::attach(owner.dir.path().join("none"), SOON).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::NotRunning);
}

#[test]
fn a_process_that_dies_is_no_owner_and_the_next_one_takes_its_place() {
    let owner = Owner::start();
    let client = owner.attach();
    owner.peer.kill();
    assert!(owner.socket().exists(), "nobody removed it");
    assert_eq!(Client::attach(owner.dir.path(), SOON).unwrap_err().kind(), ErrorKind::NotRunning);

    let heir = Peer::with(keys(owner.dir.path()));
    assert_eq!(owner.attach().pid(), heir.pid());
    // A client stays with the owner it attached to.
    let gone = call(&client, "status", json!({}), SOON).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::Closed);
}

#[test]
fn a_client_survives_a_restart_within_the_owners_process() {
    let owner = Owner::start();
    let client = owner.attach();
    ok(&client, "status", json!({}));
    owner.peer.ok("stop", json!({}));
    succeeded(owner.peer.call("start", json!({ "config": loopback(keys(owner.dir.path())) })));
    ok(&client, "status", json!({}));
}

#[test]
fn who_attaches_never_keeps_an_owner_from_starting() {
    let owner = Owner::start();
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    let _ = Client::attach(owner.dir.path(), Duration::from_millis(1));
                }
            });
        }
        let restarts = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..20 {
                owner.peer.ok("stop", json!({}));
                let config = loopback(keys(owner.dir.path()));
                succeeded(owner.peer.call("start", json!({ "config": config })));
            }
        }));
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        restarts.unwrap();
    });
}

#[test]
fn a_path_too_long_for_a_socket_becomes_one_in_a_directory_of_the_users_own() {
    let (scratch, runtime) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fs::set_permissions(runtime.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let dir = scratch.path().join("d".repeat(120));
    let config = loopback(keys(&dir)).to_string();
    let serves_in = |variable: &str, place: &Path| {
        let mut command = Command::new(program());
        command.args(["peerkit", &config]).env_remove("XDG_RUNTIME_DIR").env(variable, place);
        let peer = Peer::spawn(&mut command).unwrap();
        let lock = fs::read_to_string(dir.join("lock")).unwrap();
        let socket = PathBuf::from(lock.lines().nth(1).unwrap());
        assert!(socket.starts_with(place), "{}", socket.display());
        assert_eq!(Client::attach(&dir, SOON).unwrap().pid(), peer.pid());
        peer.ok("stop", json!({}));
        assert!(!socket.exists());
    };
    serves_in("XDG_RUNTIME_DIR", runtime.path());
    serves_in("TMPDIR", scratch.path());
}

#[test]
fn a_data_directory_that_is_moved_under_its_owner_is_attached_to_where_it_is() {
    let (scratch, owner) = (TempDir::new().unwrap(), Owner::start());
    let old = owner.dir.path().to_owned();
    let short = scratch.path().join("short");
    let long = scratch.path().join("d".repeat(120));
    let mut last = old.clone();
    for place in [&short, &long] {
        fs::rename(&last, place).unwrap();
        last.clone_from(place);
        let client = Client::attach(place, SOON).unwrap();
        assert_eq!(client.pid(), owner.peer.pid());
        ok(&client, "status", json!({}));
        let nobody = Client::attach(&old, SOON).unwrap_err();
        assert_eq!(nobody.kind(), ErrorKind::NotRunning);
    }
    // Another one at the old place is another one.
    let heir = Peer::with(keys(&old));
    assert_eq!(Client::attach(&long, SOON).unwrap().pid(), owner.peer.pid());
    assert_eq!(Client::attach(&old, SOON).unwrap().pid(), heir.pid());
}

#[test]
fn an_owner_that_serves_nobody_is_named() {
    let dir = TempDir::new().unwrap();
    let peer = Peer::with(json!({ "data_dir": dir.path() }));
    let began = Instant::now();
    for timeout in [Duration::from_millis(100), SOON] {
        let locked = Client::attach(dir.path(), timeout).unwrap_err();
        assert_eq!(locked.kind(), ErrorKind::DataDirLocked);
        assert_eq!(locked.detail()["pid"], peer.pid());
        assert!(locked.hint().unwrap().contains("control_socket"));
    }
    assert!(began.elapsed() < SOON / 2, "an owner that starts isn't waited for that long");
    // The owner says so too when it is asked for what it doesn't do.
    let config = json!({ "control_socket": true });
    let conflict = failed(peer.call("start", json!({ "config": config })), "config_conflict");
    assert_eq!(conflict["detail"]["keys"], json!(["control_socket"]));
}

#[test]
fn an_owner_that_is_still_starting_is_waited_for() {
    let mut pretender = Pretender::new();
    let dir = pretender.dir.path().to_owned();
    let attaching = std::thread::spawn(move || Client::attach(&dir, SOON));
    std::thread::sleep(Duration::from_millis(200));
    assert!(!attaching.is_finished());
    pretender.serve(&json!({
        "peerkit": 1, "version": "7.8.9", "peer_id": "x", "pid": 7, "default_timeout_ms": 1, "more": [],
    }));
    assert_eq!(attaching.join().unwrap().unwrap().version(), "7.8.9");
}

#[test]
fn versions_that_do_not_understand_each_other_say_so() {
    let owner = Owner::start();
    for hello in [r#"{"peerkit":2,"version":"9.0.0"}"#, "GET / HTTP/1.1"] {
        let mut stranger = Bare::connect(&owner.socket());
        stranger.say(hello);
        let answer = stranger.hear();
        assert_eq!((&answer["peerkit"], &answer["code"]), (&json!(1), &json!("unsupported")));
        assert!(answer["error"].as_str().unwrap().contains("peerkit"), "{answer}");
        assert!(stranger.is_over());
    }

    for (hello, version) in [
        (json!({ "peerkit": 2, "error": "version 2 only", "version": "9.0.0" }), "peerkit 9.0.0"),
        (
            json!({ "peerkit": 2, "version": "9.0.0", "peer_id": "", "pid": 1, "default_timeout_ms": 1 }),
            "version 1",
        ),
    ] {
        let mut pretender = Pretender::new();
        pretender.serve(&hello);
        let error = Client::attach(pretender.dir.path(), SOON).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(
            (&error.detail()["protocol"], &error.detail()["owner_protocol"]),
            (&json!(1), &json!(2))
        );
        assert!(
            error.message().contains(version) && error.message().contains("version 2"),
            "{error}"
        );
    }
}
