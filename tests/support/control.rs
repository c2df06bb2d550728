//! Both sides of a control socket: an owner that serves one, a client that sends any line, and a
//! pretender that owns a directory and writes anything into its lock.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use peerkit::Result;
use peerkit::control::{Client, RemoteEvents};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Peer, succeeded};

pub const SOON: Duration = Duration::from_secs(10);

/// A node that serves others, and its directory.
pub struct Owner {
    pub peer: Peer,
    pub dir: TempDir,
}

impl Owner {
    pub fn start() -> Owner {
        let dir = TempDir::new().unwrap();
        Owner { peer: Peer::with(keys(dir.path())), dir }
    }

    pub fn attach(&self) -> Client {
        Client::attach(self.dir.path(), SOON).unwrap()
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("control.sock")
    }
}

pub fn keys(dir: &Path) -> Value {
    json!({ "data_dir": dir, "control_socket": true })
}

pub fn call(client: &Client, method: &str, params: Value, timeout: Duration) -> Result<Value> {
    let reply = client.call(method, params.as_object().unwrap().clone(), timeout)?;
    Ok(serde_json::from_str(&reply).unwrap())
}

pub fn ok(client: &Client, method: &str, params: Value) -> Value {
    succeeded(call(client, method, params, SOON).unwrap())
}

/// Waits for an event of this kind.
pub fn wait_for(events: &RemoteEvents, kind: &str) {
    let until = Instant::now() + SOON;
    while Instant::now() < until {
        let batch = events.next(SOON).unwrap();
        if batch.events.iter().any(|event| event.kind.name() == kind) {
            return;
        }
    }
    panic!("no {kind}");
}

/// A client that sends any line.
pub struct Bare(pub BufReader<UnixStream>);

impl Bare {
    pub fn connect(socket: &Path) -> Bare {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        Bare(BufReader::new(stream))
    }

    pub fn greeted(socket: &Path) -> Bare {
        let mut bare = Bare::connect(socket);
        bare.say(&json!({ "peerkit": 1, "version": "test" }).to_string());
        assert_eq!(bare.hear()["peerkit"], 1);
        bare
    }

    pub fn say(&mut self, line: &str) {
        self.0.get_mut().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    pub fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// Tells whether the server has closed.
    pub fn is_over(&mut self) -> bool {
        // A reset counts as the end: the server closed with bytes of ours unread, or of its own unsent.
        self.0.read_line(&mut String::new()).map_or(true, |read| read == 0)
    }
}

/// A process that has a directory's lock and writes anything into it.
pub struct Pretender {
    pub dir: TempDir,
    lock: fs::File,
}

impl Pretender {
    pub fn new() -> Pretender {
        let dir = TempDir::new().unwrap();
        let mut lock = fs::File::create_new(dir.path().join("lock")).unwrap();
        lock.try_lock().unwrap();
        lock.write_all(b"1\n").unwrap();
        Pretender { dir, lock }
    }

    /// Names a socket, at which the first client receives this line.
    pub fn serve(&mut self, line: &Value) {
        let socket = self.dir.path().join("s");
        let listener = UnixListener::bind(&socket).unwrap();
        let line = format!("{line}\n");
        std::thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            client.write_all(line.as_bytes()).unwrap();
            // Waits until the client has received it and closes.
            let _ = BufReader::new(client).lines().count();
        });
        self.lock.write_all(format!("{}\n", socket.display()).as_bytes()).unwrap();
    }
}

/// Counts the threads that serve connections.
pub fn sessions(owner: &Owner) -> usize {
    let tasks = fs::read_dir(format!("/proc/{}/task", owner.peer.pid())).unwrap();
    // A thread may end between being listed and being asked.
    let names = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.filter(|name| name.trim() == "peerkit-session").count()
}
