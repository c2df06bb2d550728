//! Networks of their own for measurements: hosts, which are network namespaces, on a switch, which is a
//! bridge in another one. What a host's counters count was sent by the programs in it: it has no IPv6, of
//! which the kernel would speak by itself, and no name server that
//! answers. (ARP counts, and IGMP's reports.)
//!
//! A namespace lasts as long as a process that does nothing but read from this one, so nothing is left
//! behind. tests/support/netns.rs is the like for tests.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;

use crate::Result;

/// How namespaces are made and entered: as root, or as who may be root in a user namespace.
type Way = (&'static [&'static str], &'static [&'static str]);
const WAYS: [Way; 2] = [
    (&["--net", "--mount"], &["--net", "--mount"]),
    (
        &["--user", "--map-root-user", "--net", "--mount"],
        &["--user", "--preserve-credentials", "--net", "--mount"],
    ),
];

const ANY: &str = "
    v6=/proc/sys/net/ipv6/conf/all/disable_ipv6
    [ ! -e $v6 ] || echo 1 > $v6 || exit
    ip link set lo up || exit
";

/// Multicast goes to every port, whoever joined the group. The hosts have its resolv.conf too.
const BRIDGE: &str = "
    ip link add bridge type bridge mcast_snooping 0 && ip link set bridge up || exit
    f=$(mktemp) && echo nameserver 127.0.0.1 > $f && mount --bind $f /etc/resolv.conf && rm $f || exit
";

/// A switch that hosts are plugged into.
pub struct Switch {
    holder: Arc<Holder>,
    way: Way,
    ports: u8,
}

/// A machine on a switch, with `lo` and `eth0`, and everything else beyond `eth0`.
pub struct Host {
    holder: Holder,
    way: Way,
    /// Its address at `eth0`.
    pub ip: String,
    _switch: Arc<Holder>,
}

/// What went through an interface: bytes with all headers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counters {
    pub bytes_in: f64,
    pub bytes_out: f64,
    pub packets_out: f64,
}

impl Switch {
    /// Fails where the machine doesn't permit it.
    pub fn new() -> Result<Switch> {
        let mut reasons = Vec::new();
        for way in WAYS {
            let mut unshare = Command::new("unshare");
            unshare.args(way.0);
            match Holder::start(unshare, &[ANY, BRIDGE].concat()) {
                Ok(holder) => return Ok(Switch { holder: Arc::new(holder), way, ports: 0 }),
                Err(why) => reasons.push(why.to_string()),
            }
        }
        Err(format!("network namespaces can't be made here: {}", reasons.join("; ")).into())
    }

    /// A further host, at the next address of 10.77.0.0/24.
    pub fn host(&mut self) -> Result<Host> {
        let mut unshare = self.holder.enter(self.way);
        unshare.args(["unshare", "--net", "--mount"]);
        let holder = Holder::start(unshare, ANY)?;
        self.ports += 1;
        let (port, pid) = (self.ports, holder.child.id());
        let ip = format!("10.77.0.{port}");
        ip_commands(
            self.holder.enter(self.way),
            &format!(
                "link add port{port} type veth peer name eth0 netns {pid}\n\
                 link set port{port} master bridge up\n"
            ),
        )?;
        ip_commands(
            holder.enter(self.way),
            &format!(
                "link set eth0 up\naddress add {ip}/24 dev eth0\nroute add default dev eth0\n"
            ),
        )?;
        Ok(Host { holder, way: self.way, ip, _switch: Arc::clone(&self.holder) })
    }
}

impl Host {
    /// Any program, inside.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.holder.enter(self.way);
        command.arg("--").arg(program);
        command
    }

    /// What has gone through its interface `lo` or `eth0`.
    pub fn counters(&self, interface: &str) -> Result<Counters> {
        let path = format!("/proc/{}/net/dev", self.holder.child.id());
        let text = std::fs::read_to_string(&path)?;
        let line = text.lines().find_map(|line| {
            line.trim_start().strip_prefix(interface).and_then(|rest| rest.strip_prefix(':'))
        });
        let line = line.ok_or_else(|| format!("no {interface} in {path}"))?;
        let numbers: Vec<f64> =
            line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        let number = |at: usize| numbers.get(at).copied().unwrap_or(f64::NAN);
        Ok(Counters { bytes_in: number(0), bytes_out: number(8), packets_out: number(9) })
    }
}

/// A process that keeps namespaces alive.
struct Holder {
    child: Child,
    /// Its end is the end of the process.
    _pipe: ChildStdin,
}

impl Holder {
    /// By a command that makes namespaces and runs a program there; the script sets them up.
    fn start(mut make: Command, script: &str) -> Result<Holder> {
        make.args(["sh", "-c", &format!("{script}\necho ready && exec cat")]);
        make.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = make.spawn()?;
        let (Some(pipe), Some(output), Some(mut errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err("no pipes".into());
        };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        if line == "ready\n" {
            return Ok(Holder { child, _pipe: pipe });
        }
        let mut why = String::new();
        errors.read_to_string(&mut why)?;
        child.wait()?;
        Err(why.trim().into())
    }

    /// The beginning of a command that runs in its namespaces, as the process it starts.
    fn enter(&self, way: Way) -> Command {
        let mut command = Command::new("nsenter");
        command.args(way.1).arg("--wd").arg(format!("--target={}", self.child.id()));
        command
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ip_commands(mut inside: Command, commands: &str) -> Result<()> {
    let mut ip = inside.args(["ip", "-batch", "-"]).stdin(Stdio::piped()).spawn()?;
    if let Some(mut input) = ip.stdin.take() {
        input.write_all(commands.as_bytes())?;
    }
    match ip.wait()?.success() {
        true => Ok(()),
        false => Err(format!("ip: {commands}").into()),
    }
}
