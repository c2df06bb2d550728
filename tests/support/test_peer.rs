//! One peer as a process of its own, which the tests start, talk to, freeze and kill.
//!
//! `test-peer peerkit CONFIG_JSON` runs a manager: it prints its status, or the failure of the start,
//! as one JSON line, and then answers each request `{"id": N, "call": NAME, "params": {..},
//! "timeout_ms": N}` on standard input with a line `{"id": N, "reply": {..}}`, many at a time. NAME is
//! an operation of the catalogue or one of those in [`Host::answer`]. `test-peer raw OPTIONS_JSON` runs
//! a plain rust-libp2p peer: see `raw_peer`. `test-peer dns OPTIONS_JSON` runs a name server: see
//! `dns_server`. `test-peer http OPTIONS_JSON` runs a web server: see `http_server`. `test-peer flood
//! OPTIONS_JSON` floods multicast DNS: see `flood`. `test-peer crowd OPTIONS_JSON` is a crowd of strangers: see
//! `crowd`. The end of the input ends each.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod crowd;
mod dns_server;
mod each_connection;
mod flood;
mod http_server;
mod raw_gossip;
mod raw_kad;
mod raw_peer;
mod raw_perf;
mod raw_push;
mod record;

use std::io::{BufRead, Write};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use peerkit::params::EventsOptions;
use peerkit::{Config, Error, Events, PeerManager, ops};
use serde_json::{Map, Value, json};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["peerkit", config] => peerkit_peer(config),
        ["raw", options] => raw_peer::run(options),
        ["dns", options] => dns_server::run(options),
        ["http", options] => http_server::run(options),
        ["flood", options] => flood::run(options),
        ["crowd", options] => crowd::run(options),
        _ => panic!(
            "usage: test-peer peerkit CONFIG_JSON | raw, dns, http, flood or crowd OPTIONS_JSON"
        ),
    }
}

fn peerkit_peer(config: &str) {
    let host = Arc::new(Host::default());
    let started = host.start(config);
    let failed = started["success"] == false;
    print_line(&started);
    if failed {
        return;
    }
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        let request: Value = serde_json::from_str(&line).expect("a request is JSON");
        let (host, its) = (Arc::clone(&host), request.clone());
        let answer = move || {
            let reply = host.answer(&its);
            print_line(&json!({ "id": its["id"], "reply": reply }));
        };
        // Where the system gives no thread, which is what some tests are about, the next request waits.
        if std::thread::Builder::new().spawn(answer.clone()).is_err() {
            answer();
        }
    }
}

fn print_line(line: &Value) {
    let mut out = std::io::stdout().lock();
    // The parent may be gone; then so is the reader.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

#[derive(Default)]
struct Host {
    manager: Mutex<Option<PeerManager>>,
    /// The subscription that `start` makes, shared by all who ask for "events".
    events: Mutex<Option<Arc<Events>>>,
    /// The subscriptions made by "open_events".
    opened: Mutex<Vec<Arc<Events>>>,
}

impl Host {
    fn answer(&self, request: &Value) -> Value {
        let params = request["params"].as_object().cloned().unwrap_or_default();
        let wait = Duration::from_millis(request["timeout_ms"].as_u64().unwrap_or(0));
        let timeout = (!wait.is_zero()).then_some(wait);
        match request["call"].as_str().unwrap_or_default() {
            "start" => self.start(&params["config"].to_string()),
            "start_in_threads" => start_in_threads(&params),
            "current" => outcome(PeerManager::current().map(|manager| manager.handle())),
            "handle" => json!(self.manager().handle()),
            "stop" => outcome(self.manager().stop(timeout)),
            "cancel" => outcome(self.manager().cancel(params["token"].as_u64().unwrap_or(0))),
            "events" => outcome(self.events().next(wait)),
            "last_seq" => outcome(self.manager().events().map(|events| events.last_seq())),
            "open_events" => self.open_events(params),
            "events_of" => outcome(self.opened(&params).next(wait)),
            #[cfg(feature = "fault-injection")]
            "inject_panic" => outcome(self.manager().inject_worker_panic()),
            "at_once" => self.at_once(&params),
            name => self.operation(name, params, timeout),
        }
    }

    fn start(&self, config: &str) -> Value {
        let started = Config::from_json(config)
            .and_then(|config| PeerManager::start(&config, None))
            .and_then(|manager| Ok((since_its_start(&manager)?, manager)));
        match started {
            Ok((events, manager)) => {
                *self.events.lock().unwrap() = Some(Arc::new(events));
                *self.manager.lock().unwrap() = Some(manager);
                self.operation("status", Map::new(), None)
            }
            Err(error) => failure(&error),
        }
    }

    /// Runs an operation that may not wait: its timeout is zero, which no `timeout_ms` is.
    fn at_once(&self, params: &Map<String, Value>) -> Value {
        let name = params["method"].as_str().expect("the name of an operation");
        let params = params["params"].as_object().cloned().unwrap_or_default();
        self.operation(name, params, Some(Duration::ZERO))
    }

    fn operation(
        &self,
        name: &str,
        params: Map<String, Value>,
        timeout: Option<Duration>,
    ) -> Value {
        match ops::find(name) {
            Ok(operation) => {
                let reply = operation.call(&self.manager(), params, timeout);
                serde_json::from_str(&reply).expect("a reply is JSON")
            }
            Err(error) => failure(&error),
        }
    }

    /// Opens a further subscription; returns its number for "events_of".
    fn open_events(&self, options: Map<String, Value>) -> Value {
        let options = serde_json::from_value(options.into()).expect("options of a subscription");
        outcome(self.manager().events_with(options).map(|events| {
            let mut opened = self.opened.lock().unwrap();
            let last_seq = events.last_seq();
            opened.push(Arc::new(events));
            json!({ "id": opened.len() - 1, "last_seq": last_seq })
        }))
    }

    fn manager(&self) -> PeerManager {
        self.manager.lock().unwrap().clone().expect("the manager was started")
    }

    fn opened(&self, params: &Map<String, Value>) -> Arc<Events> {
        let id = params["id"].as_u64().unwrap() as usize;
        Arc::clone(&self.opened.lock().unwrap()[id])
    }

    fn events(&self) -> Arc<Events> {
        self.events.lock().unwrap().clone().expect("the manager was started")
    }
}

/// Subscribes to everything that has happened since the manager began to listen.
fn since_its_start(manager: &PeerManager) -> peerkit::Result<Events> {
    let all = manager.events_with(EventsOptions::new().since(0))?.next(Duration::ZERO)?.events;
    let listening = all.iter().take_while(|event| event.kind.name() == "listen_addr").count();
    manager.events_with(EventsOptions::new().since(listening as u64))
}

/// Starts from many threads at once; returns what each got: a handle, or a code.
fn start_in_threads(params: &Map<String, Value>) -> Value {
    let threads = params["threads"].as_u64().unwrap_or(0) as usize;
    let config = Config::from_json(&params["config"].to_string()).expect("a good configuration");
    let barrier = Barrier::new(threads);
    let start = || {
        barrier.wait();
        let started = PeerManager::start_or_join(&config, None);
        outcome(started.map(|(manager, already)| json!([manager.handle(), already])))
    };
    let outcomes = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(start)).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    json!(outcomes)
}

/// Shapes the outcome of a call outside the catalogue as the others: the reply, or `success: false` and
/// the code.
fn outcome(result: peerkit::Result<impl serde::Serialize>) -> Value {
    match result {
        Ok(reply) => json!({ "success": true, "reply": reply }),
        Err(error) => failure(&error),
    }
}

fn failure(error: &Error) -> Value {
    json!({
        "success": false,
        "code": error.kind().as_str(),
        "error": error.message(),
        "hint": error.hint(),
        "detail": error.detail(),
    })
}
