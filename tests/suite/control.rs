//! One node for one data directory: its owner serves other processes through the control socket, to
//! its own user alone, within bounds, and for as long as it runs. The clients are the library's own,
//! and for what that never does, bare sockets.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use peerkit::control::{Client, RemoteEvents};
use peerkit::event::EventBatch;
use peerkit::params::EventsOptions;
use peerkit::{ErrorKind, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::servers::SilentServer;
use crate::support::{Peer, eventually, failed, loopback, program, some_peer_id, succeeded};

const SOON: Duration = Duration::from_secs(10);

/// A node that serves others, and its directory.
struct Owner {
    peer: Peer,
    dir: TempDir,
}

impl Owner {
    fn start() -> Owner {
        let dir = TempDir::new().unwrap();
        Owner { peer: Peer::with(keys(dir.path())), dir }
    }

    fn attach(&self) -> Client {
        Client::attach(self.dir.path(), SOON).unwrap()
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("control.sock")
    }
}

fn keys(dir: &Path) -> Value {
    json!({ "data_dir": dir, "control_socket": true })
}

fn call(client: &Client, method: &str, params: Value, timeout: Duration) -> Result<Value> {
    let reply = client.call(method, params.as_object().unwrap().clone(), timeout)?;
    Ok(serde_json::from_str(&reply).unwrap())
}

fn ok(client: &Client, method: &str, params: Value) -> Value {
    succeeded(call(client, method, params, SOON).unwrap())
}

/// Waits for an event of this kind.
fn wait_for(events: &RemoteEvents, kind: &str) {
    let until = Instant::now() + SOON;
    while Instant::now() < until {
        let batch = events.next(SOON).unwrap();
        if batch.events.iter().any(|event| event.kind.name() == kind) {
            return;
        }
    }
    panic!("no {kind}");
}

/// A client that says what it likes.
struct Bare(BufReader<UnixStream>);

impl Bare {
    fn connect(socket: &Path) -> Bare {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        Bare(BufReader::new(stream))
    }

    fn greeted(socket: &Path) -> Bare {
        let mut bare = Bare::connect(socket);
        bare.say(&json!({ "peerkit": 1, "version": "test" }).to_string());
        assert_eq!(bare.hear()["peerkit"], 1);
        bare
    }

    fn say(&mut self, line: &str) {
        self.0.get_mut().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// Whether the server has closed.
    fn is_over(&mut self) -> bool {
        // What was still being said to it makes the end an error.
        self.0.read_line(&mut String::new()).map_or(true, |read| read == 0)
    }
}

#[test]
fn another_process_calls_and_hears_as_the_owner_itself() {
    let (owner, other) = (Owner::start(), Peer::start());
    let client = owner.attach();
    assert_eq!((client.peer_id(), client.pid()), (owner.peer.id(), owner.peer.pid()));
    assert_eq!(client.version(), peerkit::VERSION);
    let events = client.events(&EventsOptions::new().kinds(["peer_connected"])).unwrap();

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
fn the_socket_is_its_owners_alone_and_goes_with_the_run() {
    let owner = Owner::start();
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
    let nothing = Client::attach(&owner.dir.path().join("none"), SOON).unwrap_err();
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
fn a_path_too_long_for_a_socket_becomes_one_in_the_runtime_directory() {
    let (scratch, runtime) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fs::set_permissions(runtime.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let dir = scratch.path().join("d".repeat(120));
    let config = loopback(keys(&dir)).to_string();
    let command = || {
        let mut command = Command::new(program());
        command.args(["peerkit", &config]).env_remove("XDG_RUNTIME_DIR");
        command
    };
    let refused = Peer::spawn(&mut command()).err().expect("there is no place for it");
    failed(refused, "config_invalid");

    let peer = Peer::spawn(command().env("XDG_RUNTIME_DIR", runtime.path())).unwrap();
    let lock = fs::read_to_string(dir.join("lock")).unwrap();
    let socket = PathBuf::from(lock.lines().nth(1).unwrap());
    assert_eq!(socket.parent(), Some(runtime.path()));
    assert_eq!(Client::attach(&dir, SOON).unwrap().pid(), peer.pid());
    peer.ok("stop", json!({}));
    assert!(!socket.exists());
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
    // The owner says so too where it is asked for what it doesn't do.
    let config = json!({ "control_socket": true });
    let conflict = failed(peer.call("start", json!({ "config": config })), "config_conflict");
    assert_eq!(conflict["detail"]["keys"], json!(["control_socket"]));
}

/// One who has a directory's lock and whatever it says of itself.
struct Pretender {
    dir: TempDir,
    lock: fs::File,
}

impl Pretender {
    fn new() -> Pretender {
        let dir = TempDir::new().unwrap();
        let mut lock = fs::File::create_new(dir.path().join("lock")).unwrap();
        lock.try_lock().unwrap();
        lock.write_all(b"1\n").unwrap();
        Pretender { dir, lock }
    }

    /// Names a socket, at which the first to come hears this line.
    fn serve(&mut self, line: &Value) {
        let socket = self.dir.path().join("s");
        let listener = UnixListener::bind(&socket).unwrap();
        let line = format!("{line}\n");
        std::thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            client.write_all(line.as_bytes()).unwrap();
            // Until it has heard.
            let _ = BufReader::new(client).lines().count();
        });
        self.lock.write_all(format!("{}\n", socket.display()).as_bytes()).unwrap();
    }
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

#[test]
fn an_owner_that_hangs_is_a_timeout() {
    let owner = Owner::start();
    owner.peer.freeze();
    let error = Client::attach(owner.dir.path(), Duration::from_millis(200)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    owner.peer.thaw();
    owner.attach();
}

#[test]
fn a_request_that_is_wrong_is_answered_and_one_that_is_too_long_is_the_last() {
    let owner = Owner::start();
    let mut bare = Bare::greeted(&owner.socket());
    for wrong in ["", "[]", "{}", r#"{"call":"status","params":7}"#, "\u{feff}{}"] {
        bare.say(wrong);
        failed(bare.hear(), "invalid_argument");
    }
    // It isn't waited for the end of a line that is too long.
    let endless = " ".repeat((1 << 20) + 4097);
    bare.0.get_mut().write_all(endless.as_bytes()).unwrap();
    failed(bare.hear(), "invalid_argument");
    assert!(bare.is_over());

    let client = owner.attach();
    let search = |length| {
        let query = json!({ "query": "x".repeat(length) });
        call(&client, "search_peers", query, SOON).unwrap()
    };
    assert_eq!(search(1 << 20)["success"], true);
    let refused = search((1 << 20) + 4096);
    assert_eq!((&refused["code"], &refused["peers"]), (&json!("invalid_argument"), &json!([])));
    ok(&client, "status", json!({}));
}

#[test]
fn the_65th_connection_is_told_that_the_owner_is_busy() {
    let owner = Owner::start();
    let mut served: Vec<Bare> = (0..64).map(|_| Bare::greeted(&owner.socket())).collect();
    let mut late = Bare::connect(&owner.socket());
    assert_eq!(late.hear()["code"], "busy");
    assert!(late.is_over());
    assert_eq!(Client::attach(owner.dir.path(), SOON).unwrap_err().kind(), ErrorKind::Busy);
    served.pop();
    eventually(SOON, "there is room again", || Client::attach(owner.dir.path(), SOON).is_ok());
    for bare in &mut served {
        bare.say(r#"{"call":"status"}"#);
        succeeded(bare.hear());
    }
}

/// The threads that serve connections.
fn sessions(owner: &Owner) -> usize {
    let tasks = fs::read_dir(format!("/proc/{}/task", owner.peer.pid())).unwrap();
    // A thread may end between being listed and being asked.
    let names = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.filter(|name| name.trim() == "peerkit-session").count()
}

/// A call that lasts a minute if nobody ends it.
fn long_call(silent: &SilentServer, token: Option<u64>) -> String {
    let params = json!({ "multiaddr": silent.address(), "cancel_token": token });
    json!({ "call": "connect_peer", "params": params, "timeout_ms": 60_000 }).to_string()
}

#[test]
fn a_client_that_goes_away_takes_its_call_along() {
    let (owner, silent) = (Owner::start(), SilentServer::new());
    let mut bare = Bare::greeted(&owner.socket());
    bare.say(&long_call(&silent, None));
    let _dial = silent.accept();
    assert_eq!(sessions(&owner), 1);
    drop(bare);
    eventually(SOON, "its thread has ended", || sessions(&owner) == 0);
}

#[test]
fn a_client_that_only_has_said_everything_is_answered() {
    let (owner, other) = (Owner::start(), Peer::start());
    let mut bare = Bare::greeted(&owner.socket());
    bare.say(
        &json!({ "call": "connect_peer", "params": { "multiaddr": other.at("tcp") } }).to_string(),
    );
    bare.0.get_ref().shutdown(Shutdown::Write).unwrap();
    succeeded(bare.hear());
    assert!(bare.is_over());
}

#[test]
fn a_token_of_the_clients_own_is_kept() {
    let owner = Owner::start();
    let silent = [SilentServer::new(), SilentServer::new()];
    let [first, mut second] = [0, 1].map(|at| {
        let mut bare = Bare::greeted(&owner.socket());
        bare.say(&long_call(&silent[at], Some(5)));
        bare
    });
    let _dials = silent.each_ref().map(SilentServer::accept);
    drop(first);
    // What two calls share isn't one connection's to end.
    second.0.get_ref().set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    assert!(second.0.read_line(&mut String::new()).is_err(), "it still waits");
    second.0.get_ref().set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(owner.peer.ok("cancel", json!({ "token": 5 }))["reply"]["cancelled"], 2);
    failed(second.hear(), "cancelled");
}

#[test]
fn an_event_reader_that_sleeps_loses_the_oldest_and_holds_up_nobody() {
    let owner = Owner::start();
    let client = owner.attach();
    let sleeper = client.events(&EventsOptions::new().kinds(["peer_discovered"])).unwrap();
    let host = "x".repeat(60);
    let addresses: Vec<String> = (1..=16)
        .map(|port| format!("/dns4/{host}.{host}.{host}.{host}.example/tcp/{port}"))
        .collect();
    // More than the subscription's 8 MiB and what fits into the socket.
    const PEERS: usize = 3000;
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                for _ in 0..PEERS / 10 {
                    let peer = json!({ "peer_id": some_peer_id(), "multiaddrs": addresses });
                    ok(&client, "add_peer", peer);
                }
            });
        }
    });
    let (mut told, mut lost) = (0, 0);
    while told + lost < PEERS as u64 {
        let EventBatch { events, lagged, .. } = sleeper.next(SOON).unwrap();
        assert!(!events.is_empty(), "{told} told, {lost} lost");
        told += events.len() as u64;
        lost += lagged;
    }
    assert!(told > 0 && lost > 0, "{told} told, {lost} lost");
    assert_eq!(told + lost, PEERS as u64);
}

#[test]
fn a_stop_waits_for_no_client() {
    let (owner, silent) = (Owner::start(), SilentServer::new());
    let client = owner.attach();
    let mut waiting = Bare::greeted(&owner.socket());
    waiting.say(&long_call(&silent, None));
    let _dial = silent.accept();
    // Asks for more than fits into the socket, and reads nothing.
    let mut deaf = Bare::greeted(&owner.socket());
    let status = r#"{"call":"status"}"#;
    deaf.0.get_ref().set_nonblocking(true).unwrap();
    let full = |deaf: &mut Bare| deaf.0.get_mut().write_all(format!("{status}\n").as_bytes());
    eventually(SOON, "the owner is stuck in a reply", || full(&mut deaf).is_err());
    let _half = UnixStream::connect(owner.socket()).unwrap();
    ok(&client, "status", json!({}));

    let began = Instant::now();
    owner.peer.ok("stop", json!({}));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    failed(waiting.hear(), "closed");
    assert!(waiting.is_over());
    eventually(SOON, "every thread has ended", || sessions(&owner) == 0);
}

#[test]
fn restarts_with_clients_leak_no_thread_and_no_descriptor() {
    let owner = Owner::start();
    let count =
        |what: &str| fs::read_dir(format!("/proc/{}/{what}", owner.peer.pid())).unwrap().count();
    let restart = || {
        let client = owner.attach();
        let events = client.events(&EventsOptions::new()).unwrap();
        ok(&client, "status", json!({}));
        owner.peer.ok("stop", json!({}));
        succeeded(owner.peer.call("start", json!({ "config": loopback(keys(owner.dir.path())) })));
        drop(events);
    };
    restart();
    let (threads, descriptors) = (count("task"), count("fd"));
    (0..20).for_each(|_| restart());
    let settled = || count("task") <= threads && count("fd") <= descriptors;
    eventually(SOON, "as many as before", settled);
}
