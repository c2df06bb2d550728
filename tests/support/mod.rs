//! Shared by the tests: peers as processes of their own that are killed with the test, servers that
//! aren't peers, and waits with a deadline. Nothing here sleeps to let something happen.

#![allow(clippy::unwrap_used, clippy::expect_used)]

pub mod attacker;
pub mod control;
pub mod dice;
pub mod go_peer;
pub mod js_peer;
pub mod namespace;
pub mod netns;
pub mod preload;
pub mod record;
pub mod servers;
pub mod shortage;
pub mod skip;
pub mod stream;
pub mod threads;
pub mod visitor;
pub mod wrong_clock;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The time for a call where the test doesn't care.
pub const PLENTY: u64 = 20_000;
/// Spares a connection from trimming, at a node of [`Peer::with_grace`], which takes it from [`GRACE_MS`] of its
/// environment: nodes built with `fault-injection` do.
pub const GRACE: Duration = Duration::from_secs(2);
pub const GRACE_MS: &str = "PEERKIT_TRIM_GRACE_MS";
/// The time after a call's own deadline at which its answer may come on a machine that is busy.
const SLACK: Duration = Duration::from_secs(20);

/// A peer in a process of its own; killed when dropped.
pub struct Peer {
    /// The line it printed at its start: the status of a manager, id and addresses of a raw peer.
    pub status: Value,
    child: Mutex<Child>,
    input: Mutex<ChildStdin>,
    waiting: Waiting,
    last_id: AtomicU64,
    /// Events pulled and not yet asked for.
    events: Mutex<Vec<Value>>,
}

/// The senders for answers awaited, by the number of the call; None once the peer has ended.
type Waiting = Arc<Mutex<Option<HashMap<u64, Sender<Value>>>>>;

/// A call under way.
pub struct Pending {
    answer: Receiver<Value>,
    what: String,
    until: Instant,
}

impl Peer {
    /// Starts a manager that listens on loopback, TCP and QUIC, and keeps nothing.
    #[track_caller]
    pub fn start() -> Peer {
        Peer::with(json!({}))
    }

    /// Starts one as [`start`](Self::start) does, with further keys of the configuration, or other values.
    #[track_caller]
    pub fn with(config: Value) -> Peer {
        match Peer::try_with(config) {
            Ok(peer) => peer,
            Err(failure) => panic!("the peer doesn't start: {failure}"),
        }
    }

    /// Starts one as [`with`](Self::with) does; returns the failure of the start.
    #[track_caller]
    pub fn try_with(config: Value) -> Result<Peer, Value> {
        Peer::spawn(Command::new(program()).arg("peerkit").arg(loopback(config).to_string()))
    }

    /// Starts one as [`with`](Self::with) does, sparing connections from trimming for [`GRACE`] only.
    #[track_caller]
    pub fn with_grace(config: Value) -> Peer {
        let mut command = Command::new(program());
        command.env(GRACE_MS, GRACE.as_millis().to_string());
        let started = Peer::spawn(command.arg("peerkit").arg(loopback(config).to_string()));
        started.unwrap_or_else(|failure| panic!("the peer doesn't start: {failure}"))
    }

    /// Starts a plain rust-libp2p peer; `tests/support/raw_peer.rs` has its options.
    #[track_caller]
    pub fn raw(options: Value) -> Peer {
        let started = Peer::spawn(Command::new(program()).arg("raw").arg(options.to_string()));
        started.unwrap_or_else(|failure| panic!("the raw peer doesn't start: {failure}"))
    }

    /// Starts a crowd of strangers; `tests/support/crowd.rs` has its options and calls.
    #[track_caller]
    pub fn crowd(options: Value) -> Peer {
        let started = Peer::spawn(Command::new(program()).arg("crowd").arg(options.to_string()));
        started.unwrap_or_else(|failure| panic!("the crowd doesn't come: {failure}"))
    }

    /// Starts a peer by a command that ends in running the program.
    #[track_caller]
    pub fn spawn(command: &mut Command) -> Result<Peer, Value> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let waiting = Waiting::new(Mutex::new(Some(HashMap::new())));
        let (first_line, status) = channel();
        let answers = Arc::clone(&waiting);
        std::thread::spawn(move || deliver(output, &first_line, &answers));
        let status = match status.recv_timeout(Duration::from_secs(60)) {
            Ok(status) => status,
            Err(RecvTimeoutError::Timeout) => panic!("the peer said nothing for a minute"),
            Err(RecvTimeoutError::Disconnected) => panic!("the peer ended: {:?}", child.wait()),
        };
        let peer = Peer {
            status,
            child: Mutex::new(child),
            input: Mutex::new(input),
            waiting,
            last_id: AtomicU64::new(0),
            events: Mutex::new(Vec::new()),
        };
        if peer.status["success"] == false { Err(peer.status.clone()) } else { Ok(peer) }
    }

    pub fn id(&self) -> &str {
        self.status["peer_id"].as_str().unwrap()
    }

    /// Returns the peers this one knows of, or those of them with this status.
    #[track_caller]
    pub fn ids(&self, status: Option<&str>) -> Vec<String> {
        let peers = self.ok("get_peers", json!({ "status": status }))["peers"].clone();
        let ids = peers.as_array().unwrap().iter().map(|peer| peer["peer_id"].as_str().unwrap());
        ids.map(str::to_owned).collect()
    }

    pub fn pid(&self) -> u32 {
        self.child.lock().unwrap().id()
    }

    /// Returns its address over this transport ("tcp" or "quic-v1"), with its id at the end.
    #[track_caller]
    pub fn at(&self, transport: &str) -> String {
        let addresses = self.status["listen_addrs"].as_array().unwrap();
        let mut addresses = addresses.iter().map(|address| address.as_str().unwrap());
        let found = addresses.find(|address| address.contains(&format!("/{transport}")));
        found.unwrap_or_else(|| panic!("no {transport} address: {}", self.status)).to_owned()
    }

    /// Returns its address as [`at`](Self::at) does, without the id.
    #[track_caller]
    pub fn bare(&self, transport: &str) -> String {
        self.at(transport).split("/p2p/").next().unwrap().to_owned()
    }

    /// Calls and waits for the reply.
    #[track_caller]
    pub fn call(&self, method: &str, params: Value) -> Value {
        self.call_within(PLENTY, method, params)
    }

    /// Calls as [`call`](Self::call) does, with a deadline for the call itself.
    #[track_caller]
    pub fn call_within(&self, timeout_ms: u64, method: &str, params: Value) -> Value {
        self.begin(timeout_ms, method, params).reply()
    }

    /// Calls and doesn't wait.
    pub fn begin(&self, timeout_ms: u64, method: &str, params: Value) -> Pending {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let request =
            json!({ "id": id, "call": method, "params": params, "timeout_ms": timeout_ms });
        let (sender, answer) = channel();
        if let Some(waiting) = &mut *self.waiting.lock().unwrap() {
            waiting.insert(id, sender);
        }
        // If nobody reads any more, the end of the peer's output answers.
        let _ = writeln!(self.input.lock().unwrap(), "{request}");
        let until = Instant::now() + Duration::from_millis(timeout_ms) + SLACK;
        Pending { answer, what: format!("{method} {params}"), until }
    }

    /// Calls, and returns the reply, which has to be a success.
    #[track_caller]
    pub fn ok(&self, method: &str, params: Value) -> Value {
        succeeded(self.call(method, params))
    }

    /// Connects to an address; returns the reply, which has to be a success.
    #[track_caller]
    pub fn connect(&self, address: &str) -> Value {
        self.ok("connect_peer", json!({ "multiaddr": address }))
    }

    /// Returns everything it knows of a peer.
    #[track_caller]
    pub fn info(&self, peer_id: &str) -> Value {
        self.ok("get_peer", json!({ "peer_id": peer_id }))["peer_info"].clone()
    }

    /// Waits until it publishes an event that is wanted, and takes that. Events passed over stay for later.
    #[track_caller]
    pub fn wait_event(&self, within: Duration, wanted: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + within;
        loop {
            let mut seen = self.events.lock().unwrap();
            if let Some(at) = seen.iter().position(&wanted) {
                return seen.remove(at);
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no such event within {within:?}, only {seen:#?}");
            drop(seen);
            let batch =
                succeeded(self.call_within(left.as_millis() as u64 + 1, "events", json!({})));
            let batch = batch["reply"]["events"].as_array().unwrap().clone();
            self.events.lock().unwrap().extend(batch);
        }
    }

    /// Waits for an event of this kind about this peer.
    #[track_caller]
    pub fn wait_for(&self, kind: &str, peer_id: &str) -> Value {
        let wanted = |event: &Value| event["event"] == kind && event["peer_id"] == peer_id;
        self.wait_event(Duration::from_secs(20), wanted)
    }

    /// Returns the events queued by now, and those passed over.
    #[track_caller]
    pub fn events_so_far(&self) -> Vec<Value> {
        let mut events = std::mem::take(&mut *self.events.lock().unwrap());
        loop {
            let batch = self.call_within(0, "events", json!({}));
            if batch["code"] == "closed" {
                return events;
            }
            match succeeded(batch)["reply"]["events"].as_array().unwrap() {
                none if none.is_empty() => return events,
                some => events.extend(some.iter().cloned()),
            }
        }
    }

    /// `kill -9`; returns when the process is gone.
    pub fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Stops the process where it stands, as a machine that hangs.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    /// Sends its process a signal.
    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").arg(signal).arg(self.pid().to_string()).status();
        assert!(status.unwrap().success(), "kill {signal} {}", self.pid());
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Hands each line of a peer's output to the call it answers.
fn deliver(output: BufReader<impl std::io::Read>, first: &Sender<Value>, answers: &Waiting) {
    for line in output.lines() {
        let Ok(line) = line else { break };
        let mut line: Value = serde_json::from_str(&line).expect("a peer prints JSON lines");
        let Some(id) = line["id"].as_u64() else {
            let _ = first.send(line);
            continue;
        };
        let sender = answers.lock().unwrap().as_mut().and_then(|waiting| waiting.remove(&id));
        if let Some(sender) = sender {
            let _ = sender.send(line["reply"].take());
        }
    }
    // Callers that still wait learn that no answer will come.
    *answers.lock().unwrap() = None;
}

impl Pending {
    /// Waits for the reply; a call that doesn't end is a failure of the test.
    #[track_caller]
    pub fn reply(self) -> Value {
        match self.answer.recv_timeout(self.until.saturating_duration_since(Instant::now())) {
            Ok(reply) => reply,
            Err(RecvTimeoutError::Timeout) => panic!("no answer in time: {}", self.what),
            Err(RecvTimeoutError::Disconnected) => panic!("the peer died during: {}", self.what),
        }
    }

    /// Waits for the reply; None where the peer died first.
    #[track_caller]
    pub fn reply_if_alive(self) -> Option<Value> {
        match self.answer.recv_timeout(self.until.saturating_duration_since(Instant::now())) {
            Ok(reply) => Some(reply),
            Err(RecvTimeoutError::Timeout) => panic!("no answer in time: {}", self.what),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Tells whether it is still under way after this time.
    pub fn still_waits_after(&self, time: Duration) -> bool {
        matches!(self.answer.recv_timeout(time), Err(RecvTimeoutError::Timeout))
    }
}

/// Returns the path of the program `test-peer`, which `cargo test` builds with the tests.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let program = profile.join("examples").join("test-peer");
    assert!(
        program.exists(),
        "{} is missing: cargo build --all-features --example test-peer",
        program.display()
    );
    program
}

/// Returns a configuration for tests: loopback only, with these keys over it.
pub fn loopback(keys: Value) -> Value {
    let mut config = json!({
        "profile": "offline",
        "listen": ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"],
    });
    for (key, value) in keys.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

/// Returns the reply of a call that has to succeed.
#[track_caller]
pub fn succeeded(reply: Value) -> Value {
    assert_eq!(reply["success"], true, "{reply:#}");
    reply
}

/// Returns the reply of a call that has to fail with this code.
#[track_caller]
pub fn failed(reply: Value, code: &str) -> Value {
    assert_eq!(reply["code"], code, "{reply:#}");
    assert_eq!(reply["success"], false, "{reply:#}");
    assert!(reply["error"].as_str().is_some_and(|error| !error.is_empty()), "{reply:#}");
    reply
}

/// Returns the attempts of a failed connect.
#[track_caller]
pub fn attempts(failure: &Value) -> &Vec<Value> {
    failure["detail"]["attempts"].as_array().unwrap_or_else(|| panic!("no attempts: {failure:#}"))
}

/// Makes a peer id nobody has, of a keypair that nobody keeps.
pub fn some_peer_id() -> String {
    libp2p::identity::Keypair::generate_ed25519().public().to_peer_id().to_string()
}

/// Waits, with a deadline, for what no event tells.
#[track_caller]
pub fn eventually(within: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + within;
    while !holds() {
        assert!(Instant::now() < until, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
