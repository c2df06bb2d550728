//! The processes the driver starts, and the kernel's figures of them.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::PathBuf;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::netns::Host;
use crate::{Result, clocks, line};

/// Limits that stand in no measurement's way: nothing is dialled for `low_water`, nothing trimmed, since
/// `high_water` is three quarters of `max_connections`.
const LIMITS: &str = r#"{"max_connections":20000,"low_water":0,"max_pending":10000,"max_inbound_per_s":100000,"max_peers":2000000}"#;

/// A process that takes commands as lines of JSON. It is killed when dropped.
pub struct Child {
    process: std::process::Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    /// Its first line.
    pub ready: Value,
}

impl Child {
    fn spawn(command: &mut Command) -> Result<Child> {
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = spawned.map_err(|error| format!("can't run {command:?}: {error}"))?;
        let (input, output) = (process.stdin.take(), process.stdout.take());
        let (Some(input), Some(output)) = (input, output) else {
            return Err("no pipes".into());
        };
        let mut child =
            Child { process, input, output: BufReader::new(output).lines(), ready: Value::Null };
        child.ready = child.read()?;
        Ok(child)
    }

    /// Starts an embedding program with a manager on the loopback that listens at `listen`, by default
    /// over TCP and QUIC.
    pub fn node(listen: Option<&str>, data_dir: Option<&str>) -> Result<Child> {
        let mut config = json!({ "profile": "offline" });
        config["data_dir"] = json!(data_dir);
        Child::unlimited(listen, config)
    }

    /// Starts the same, taking part in a DHT. It dials nobody.
    pub fn node_in_dht(listen: Option<&str>) -> Result<Child> {
        Child::unlimited(listen, json!({ "profile": "offline", "discovery": { "dht": "server" } }))
    }

    fn unlimited(listen: Option<&str>, mut config: Value) -> Result<Child> {
        config["limits"] = serde_json::from_str(LIMITS)?;
        if let Some(listen) = listen {
            config["listen"] = json!([listen]);
        }
        Child::node_with(&config.to_string())
    }

    /// Starts an embedding program with a manager of this configuration.
    pub fn node_with(config: &str) -> Result<Child> {
        Child::node_at(None, config)
    }

    /// Starts the same on a host of its own, where one is given.
    pub fn node_at(host: Option<&Host>, config: &str) -> Result<Child> {
        let program = std::env::current_exe()?.with_file_name("bench-node");
        Child::spawn(inside(host, program).arg(config))
    }

    /// Starts this program in one of its other roles.
    pub fn role(arguments: &[&str]) -> Result<Child> {
        Child::role_at(None, arguments)
    }

    /// Starts the same on a host of its own, where one is given.
    pub fn role_at(host: Option<&Host>, arguments: &[&str]) -> Result<Child> {
        Child::spawn(inside(host, std::env::current_exe()?).args(arguments))
    }

    /// Starts `peerkit serve` on the loopback, which asks no token.
    pub fn server(data_dir: &str) -> Result<Child> {
        let config =
            json!({ "profile": "offline", "limits": serde_json::from_str::<Value>(LIMITS)? });
        let file = format!("{data_dir}.json");
        std::fs::write(&file, config.to_string())?;
        let fixed =
            ["serve", "--json", "--http", "127.0.0.1:0", "--insecure-loopback", "--data-dir"];
        let mut command = Command::new(crate::http::program()?);
        Child::spawn(command.args(fixed).args([data_dir, "--config", &file]))
    }

    /// Starts `peerkit serve` with this configuration, at a port of the loopback, and a token for who acts.
    pub fn server_at(host: Option<&Host>, data_dir: &str, config: &Value) -> Result<Child> {
        let file = format!("{data_dir}.json");
        std::fs::write(&file, config.to_string())?;
        let fixed = ["serve", "--json", "--http", "127.0.0.1:0", "--data-dir"];
        let mut command = inside(host, crate::http::program()?);
        Child::spawn(command.args(fixed).args([data_dir, "--config", &file]))
    }

    /// Starts a go-libp2p peer.
    pub fn go() -> Result<Child> {
        let default = "tests/interop/go/bin/interop".into();
        let program = std::env::var_os("PEERKIT_GO_PEER").map_or(default, PathBuf::from);
        Child::spawn(&mut Command::new(program))
    }

    /// Sends a command and waits for its answer.
    pub fn ask(&mut self, command: &Value) -> Result<Value> {
        self.send(command)?;
        self.answer().map_err(|error| format!("{command}: {error}").into())
    }

    /// Sends a command, for the answer to which [`answer`](Self::answer) waits: others may get commands
    /// meanwhile.
    pub fn send(&mut self, command: &Value) -> Result<()> {
        Ok(writeln!(self.input, "{command}")?)
    }

    pub fn answer(&mut self) -> Result<Value> {
        let answer = self.read()?;
        match answer.get("error").and_then(Value::as_str) {
            Some(error) => Err(error.into()),
            None => Ok(answer),
        }
    }

    fn read(&mut self) -> Result<Value> {
        let line = self.output.next().ok_or("a process of the bench ended")??;
        Ok(serde_json::from_str(&line)?)
    }

    /// Ends it in good order.
    pub fn quit(mut self) -> Result<()> {
        writeln!(self.input, "{}", json!({ "cmd": "quit" }))?;
        self.process.wait()?;
        Ok(())
    }

    /// Returns the first address it listens at that contains `part`, with its id.
    pub fn address(&self, part: &str) -> Result<String> {
        let addresses = self.ready["addrs"].as_array().into_iter().flatten();
        let found = addresses.filter_map(Value::as_str).find(|a| a.contains(part));
        let found = found.ok_or_else(|| format!("no {part} in {}", self.ready))?;
        Ok(found.to_owned())
    }

    pub fn peer_id(&self) -> Result<&str> {
        line::text(&self.ready, "peer_id")
    }

    /// Returns its memory in KiB: a line of /proc/PID/smaps_rollup such as "Rss" or "Anonymous".
    pub fn memory_kib(&self, what: &str) -> Result<f64> {
        let path = format!("/proc/{}/smaps_rollup", self.process.id());
        let text = std::fs::read_to_string(&path)?;
        let line = text.lines().find(|line| line.starts_with(&format!("{what}:")));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        Ok(number.ok_or_else(|| format!("no {what} in {path}"))?.parse()?)
    }

    /// Begins to measure the most memory it has, by [`peak_kib`](Self::peak_kib); returns what it has now.
    pub fn begin_peak(&self) -> Result<f64> {
        let now = self.memory_kib("Rss")?;
        std::fs::write(format!("/proc/{}/clear_refs", self.process.id()), "5")?;
        Ok(now)
    }

    /// Returns the most memory it had since then.
    pub fn peak_kib(&self) -> Result<f64> {
        let path = format!("/proc/{}/status", self.process.id());
        let text = std::fs::read_to_string(&path)?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        Ok(number.ok_or_else(|| format!("no VmHWM in {path}"))?.parse()?)
    }

    /// Returns the processor time its threads have used, in seconds; of threads that have ended, nothing.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let mut ns = 0.0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
            let on_cpu = text.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok());
            ns += on_cpu.ok_or("no schedstat")?;
        }
        Ok(ns / 1e9)
    }

    /// Returns the processor time it has used, threads that have ended included, to a hundredth of a second.
    pub fn cpu_seconds_of_all(&self) -> Result<f64> {
        let path = format!("/proc/{}/stat", self.process.id());
        let text = std::fs::read_to_string(&path)?;
        // After the name, which may hold anything: the state is the third field, user and system time are
        // the 14th and 15th.
        let fields = text.rsplit_once(')').map(|(_, fields)| fields.split_whitespace());
        let times =
            fields.map(|fields| fields.skip(11).take(2).filter_map(|n| n.parse::<f64>().ok()));
        let ticks: f64 = times.ok_or_else(|| format!("no times in {path}"))?.sum();
        Ok(ticks / clocks::ticks_per_second())
    }
}

/// Returns the command of a program, on a host of its own where one is given.
fn inside(host: Option<&Host>, program: PathBuf) -> Command {
    match host {
        Some(host) => host.command(program),
        None => Command::new(program),
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A directory for one measurement, removed when dropped. On the disk the build is on: /tmp may be
/// memory.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Result<Scratch> {
        let name = format!("bench-{name}-{}", std::process::id());
        let path = std::env::current_exe()?.with_file_name(name);
        std::fs::create_dir_all(&path)?;
        Ok(Scratch(path))
    }

    pub fn path(&self) -> String {
        self.0.join("data").display().to_string()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Writes progress to standard error.
pub fn progress(text: &str) {
    eprintln!("bench: {text}");
}
