//! A js-libp2p peer (`tests/interop/js`), which is started, asked and killed as any other: `calls.mjs`
//! has the calls it takes, `host.mjs` its options. `make js-peer` installs its packages.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use serde_json::Value;

use super::Peer;
use super::netns::Host;

impl Peer {
    /// Starts a js-libp2p peer on loopback, TCP only, which serves the DHT of peerkit.
    #[track_caller]
    pub fn js(options: Value) -> Peer {
        started(Command::new(node()), &options)
    }

    /// Starts several at once: each takes a second to load.
    #[track_caller]
    pub fn several_js<const N: usize>(options: [Value; N]) -> [Peer; N] {
        std::thread::scope(|scope| {
            options
                .map(|options| scope.spawn(|| Peer::js(options)))
                .map(|peer| peer.join().unwrap())
        })
    }
}

impl Host {
    /// Starts a js-libp2p peer. The addresses to listen at have to be among its options.
    #[track_caller]
    pub fn js(&self, options: Value) -> Peer {
        started(self.command(node()), &options)
    }
}

#[track_caller]
fn started(mut node: Command, options: &Value) -> Peer {
    let installed = changed("node_modules/.installed");
    assert!(
        installed.is_some() && installed >= changed("package-lock.json"),
        "the js peer's packages are missing or old: run `make js-peer`"
    );
    let started = Peer::spawn(node.arg(file("main.mjs")).arg(options.to_string()));
    started.unwrap_or_else(|failure| panic!("the js peer doesn't start: {failure}"))
}

/// Returns the Node among its packages.
fn node() -> PathBuf {
    file("node_modules/.bin/node")
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/js").join(name)
}

fn changed(name: &str) -> Option<SystemTime> {
    file(name).metadata().and_then(|metadata| metadata.modified()).ok()
}
