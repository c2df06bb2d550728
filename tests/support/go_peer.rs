//! A go-libp2p peer (`tests/interop/go`, built by `make go-peer`): its flags are in `main.go`, its commands in
//! `commands.go`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

/// One that is killed when dropped.
pub struct GoPeer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    ready: Value,
}

impl GoPeer {
    /// Starts one on loopback, TCP and QUIC.
    #[track_caller]
    pub fn start(flags: &[&str]) -> GoPeer {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/go/bin/interop");
        assert!(program.exists(), "there is no Go peer: run `make go-peer`");
        let mut go = Command::new(program);
        let mut child =
            go.args(flags).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (output, ready) = (BufReader::new(output), Value::Null);
        let mut peer = GoPeer { child, input, output, ready };
        peer.ready = peer.line();
        peer
    }

    pub fn id(&self) -> &str {
        self.ready["peer_id"].as_str().unwrap()
    }

    /// Returns its address over this transport ("tcp" or "quic-v1"), with its id at the end.
    #[track_caller]
    pub fn at(&self, transport: &str) -> String {
        let mut addresses = self.ready["addrs"].as_array().unwrap().iter().map(Value::as_str);
        let has = |address: &Option<&str>| {
            address.is_some_and(|address| address.contains(&format!("/{transport}")))
        };
        addresses.find(has).flatten().unwrap().to_owned()
    }

    /// Gives it a command; returns its answer, good or bad.
    #[track_caller]
    pub fn ask(&mut self, command: &Value) -> Value {
        writeln!(self.input, "{command}").unwrap();
        self.line()
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).expect("the Go peer speaks JSON")
    }
}

impl Drop for GoPeer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
