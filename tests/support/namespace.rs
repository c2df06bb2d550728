//! Network namespaces for the tests and the benches: made, entered, joined by a cable and counted.
//! `netns` makes hosts and switches of them for tests, benches/src/netns.rs for measurements.
//!
//! No namespace has a name. Each lasts as long as a process that does nothing but read from this one: when this one
//! ends, by a panic or `kill -9` too, its pipe closes and everything is gone.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

/// The commands that make and enter a namespace: as root, or as a user who may be root in a user namespace.
type Way = (&'static [&'static str], &'static [&'static str]);
const WAYS: [Way; 2] = [
    (&["--net", "--mount"], &["--net", "--mount"]),
    (
        &["--user", "--map-root-user", "--net", "--mount"],
        &["--user", "--preserve-credentials", "--net", "--mount"],
    ),
];

/// Shell: no IPv6 where the kernel has it, and loopback. Without IPv6 the kernel sends nothing of its own accord.
pub const QUIET: &str = "
    v6=/proc/sys/net/ipv6/conf/all/disable_ipv6
    [ ! -e $v6 ] || echo 1 > $v6 || exit
    ip link set lo up || exit
";

/// Shell: a bridge named `bridge`. Multicast goes to every port, whoever joined the group.
pub const BRIDGE: &str = "
    ip link add bridge type bridge mcast_snooping 0 && ip link set bridge up || exit
";

/// A process that keeps a namespace alive.
pub struct Holder {
    child: Child,
    way: Way,
    /// Once it closes, the process ends.
    _pipe: ChildStdin,
}

impl Holder {
    /// Makes a namespace that the script sets up; tells why not where the machine doesn't permit it.
    pub fn new(script: &str) -> Result<Holder, String> {
        let mut reasons = Vec::new();
        for way in WAYS {
            let mut unshare = Command::new("unshare");
            unshare.args(way.0);
            match Holder::start(unshare, way, script) {
                Ok(holder) => return Ok(holder),
                Err(why) => reasons.push(why),
            }
        }
        Err(format!("network namespaces can't be made here: {}", reasons.join("; ")))
    }

    /// Makes a further namespace that knows this one, so that a cable can join them.
    pub fn neighbour(&self, script: &str) -> Result<Holder, String> {
        let mut unshare = self.enter();
        unshare.args(["unshare", "--net", "--mount"]);
        Holder::start(unshare, self.way, script)
    }

    /// Starts it by a command that makes a namespace and runs a program there.
    fn start(mut make: Command, way: Way, script: &str) -> Result<Holder, String> {
        make.args(["sh", "-c", &format!("{script}\necho ready && exec cat")]);
        make.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = make.spawn().map_err(|error| format!("{make:?}: {error}"))?;
        let (Some(pipe), Some(output), Some(mut errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err("no pipes".to_owned());
        };
        let mut line = String::new();
        let _ = BufReader::new(output).read_line(&mut line);
        if line == "ready\n" {
            return Ok(Holder { child, way, _pipe: pipe });
        }
        let mut why = String::new();
        let _ = errors.read_to_string(&mut why);
        let _ = child.wait();
        Err(why.trim().to_owned())
    }

    /// Returns the beginning of a command that runs in it, as the process it starts.
    pub fn enter(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(self.way.1).arg("--wd").arg(format!("--target={}", self.child.id()));
        command
    }

    /// Runs `ip` commands in it, all in one run.
    pub fn ip(&self, commands: &str) -> Result<(), String> {
        let failed = |why: &dyn std::fmt::Display| format!("ip: {commands}: {why}");
        let mut ip = self.enter();
        let ip = ip.args(["ip", "-batch", "-"]).stdin(Stdio::piped()).spawn();
        let mut ip = ip.map_err(|error| failed(&error))?;
        if let Some(mut input) = ip.stdin.take() {
            input.write_all(commands.as_bytes()).map_err(|error| failed(&error))?;
        }
        match ip.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(failed(&status)),
            Err(error) => Err(failed(&error)),
        }
    }

    /// Runs a cable from a port of the bridge in this one to a new interface in another.
    pub fn plug(&self, port: &str, other: &Holder, interface: &str) -> Result<(), String> {
        let pid = other.child.id();
        self.ip(&format!(
            "link add {port} type veth peer name {interface} netns {pid}\n\
             link set {port} master bridge up\n"
        ))
    }

    /// Returns the counters of an interface in it, as they stand in `/proc/net/dev`.
    pub fn counters(&self, interface: &str) -> Result<Vec<u64>, String> {
        let path = format!("/proc/{}/net/dev", self.child.id());
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let line = text.lines().find_map(|line| {
            line.trim_start().strip_prefix(interface).and_then(|rest| rest.strip_prefix(':'))
        });
        let line = line.ok_or_else(|| format!("no {interface} in {path}"))?;
        Ok(line.split_whitespace().filter_map(|number| number.parse().ok()).collect())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
