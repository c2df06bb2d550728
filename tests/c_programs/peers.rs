//! Live peers to talk to: the Go peer of `tests/interop/go`, and `watch` of `examples/c`.

use std::process::Command;

use serde_json::{Value, json};

use crate::process::Talker;
use crate::toolchain::{go_peer, program};

/// The address over a transport among those a peer listens on; each ends in `/p2p/` and its id.
fn over(addrs: &[String], transport: &str) -> String {
    let found = addrs.iter().find(|addr| addr.contains(transport));
    found.unwrap_or_else(|| panic!("no {transport} in {addrs:?}")).clone()
}

/// A go-libp2p peer.
pub(crate) struct GoPeer {
    talker: Talker,
    pub(crate) id: String,
    addrs: Vec<String>,
}

impl GoPeer {
    pub(crate) fn start(flags: &[&str]) -> Self {
        let mut talker = Talker::start(Command::new(go_peer()).args(flags));
        let ready: Value = serde_json::from_str(&talker.line()).expect("the Go peer speaks JSON");
        let addrs = ready["addrs"].as_array().into_iter().flatten();
        GoPeer {
            talker,
            id: ready["peer_id"].as_str().expect("peer_id is text").to_owned(),
            addrs: addrs.filter_map(Value::as_str).map(str::to_owned).collect(),
        }
    }

    pub(crate) fn tcp(&self) -> String {
        over(&self.addrs, "/tcp/")
    }

    pub(crate) fn quic(&self) -> String {
        over(&self.addrs, "/quic-v1")
    }

    /// Gives it a command, which must succeed.
    pub(crate) fn ask(&mut self, command: Value) -> Value {
        let answer = self.try_ask(&command);
        assert_eq!(answer["ok"], true, "{command}: {answer}");
        answer
    }

    pub(crate) fn try_ask(&mut self, command: &Value) -> Value {
        self.talker.say(&command.to_string());
        serde_json::from_str(&self.talker.line()).expect("the Go peer speaks JSON")
    }

    /// Returns everything it knows of a peer it is connected to.
    pub(crate) fn peer(&mut self, id: &str) -> Value {
        let peers = self.ask(json!({"cmd": "peers"}));
        let found =
            peers["peers"].as_array().into_iter().flatten().find(|peer| peer["peer_id"] == *id);
        found.unwrap_or_else(|| panic!("the Go peer isn't connected to {id}: {peers}")).clone()
    }
}

/// A process of ours that runs `watch`.
pub(crate) struct Watch {
    pub(crate) talker: Talker,
    pub(crate) id: String,
    addrs: Vec<String>,
}

impl Watch {
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::run(Command::new(program("examples/c/watch.c")).args(args))
    }

    /// The same, by a command that runs it.
    pub(crate) fn run(command: &mut Command) -> Self {
        let mut talker = Talker::start(command);
        let addrs: Vec<_> = (0..2)
            .map(|_| {
                talker.wait_for("listen /").split_once("listen ").expect("it's there").1.to_owned()
            })
            .collect();
        let id = addrs[0].rsplit('/').next().unwrap_or_default().to_owned();
        Watch { talker, id, addrs }
    }

    pub(crate) fn tcp(&self) -> String {
        over(&self.addrs, "/tcp/")
    }

    pub(crate) fn quic(&self) -> String {
        over(&self.addrs, "/quic-v1")
    }

    /// The row of a peer in its table of peers.
    pub(crate) fn row(&mut self, id: &str) -> String {
        self.talker.say("peers");
        self.talker.wait_for(&id[id.len() - 8..])
    }

    /// Stops it; it must end well.
    pub(crate) fn stop(mut self) -> String {
        self.talker.say("stop");
        self.talker.wait_for("stopped");
        self.talker.end()
    }
}
