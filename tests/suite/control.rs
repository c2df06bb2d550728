//! One node for one data directory: its owner serves other processes through the control socket, to
//! its own user alone, within bounds, and for as long as it runs. The clients are the library's own,
//! and for what that never does, bare sockets.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
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
