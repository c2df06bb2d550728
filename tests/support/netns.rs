//! A network of its own for a test: hosts, which are network namespaces, on a switch, which is a bridge in
//! another one. What the hosts send stays there: no interface of the machine is part of it.
//!
//! No namespace has a name. Each lasts as long as a process that does nothing but read from the test: when the
//! test ends, by a panic or `kill -9` too, its pipe closes and everything is gone. So nothing is left behind, and
//! tests that run at once don't meet.
//!
//! Hosts speak IPv4 only: without IPv6 the kernel sends nothing of its own accord, and what a host's counter
//! counts was sent by its programs. (ARP counts, and so do the IGMP reports of who joins a multicast group.)

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{Peer, program};

/// How namespaces are made and entered: as root, or as who may be root in a user namespace.
type Way = (&'static [&'static str], &'static [&'static str]);
const WAYS: [Way; 2] = [
    (&["--net", "--mount"], &["--net", "--mount"]),
    (
        &["--user", "--map-root-user", "--net", "--mount"],
        &["--user", "--preserve-credentials", "--net", "--mount"],
    ),
];

/// Every namespace: no IPv6 where the kernel has it, loopback, and no resolver but one given later.
const ANY: &str = "
    v6=/proc/sys/net/ipv6/conf/all/disable_ipv6
    [ ! -e $v6 ] || echo 1 > $v6 || exit
    ip link set lo up && mount --bind /dev/null /etc/resolv.conf || exit
";

/// The switch: multicast goes to every port, whoever joined the group. The spare interface shows here and now
/// whether ports can be made.
const BRIDGE: &str = "
    ip link add bridge type bridge mcast_snooping 0 && ip link set bridge up || exit
    ip link add spare type veth || exit
";

/// A switch that hosts are plugged into. Gone when it and its hosts are dropped.
pub struct Switch {
    holder: Arc<Holder>,
    way: Way,
    ports: AtomicU32,
}

/// A machine on a switch: a network namespace with `lo` and `eth0`, and a default route over `eth0`, so that
/// whatever a program sends goes out. It has no name server but [`with_dns`](Self::with_dns)'s.
pub struct Host {
    holder: Holder,
    way: Way,
    switch: Arc<Holder>,
    /// The switch's end of the cable.
    port: String,
    ip: Mutex<String>,
    dns: Option<Peer>,
}

impl Switch {
    /// None, and a printed line, where the machine doesn't permit it.
    pub fn new() -> Option<Switch> {
        let mut reasons = Vec::new();
        for way in WAYS {
            let mut unshare = Command::new("unshare");
            unshare.args(way.0);
            match Holder::start(unshare, &[ANY, BRIDGE].concat()) {
                Ok(holder) => {
                    return Some(Switch { holder: Arc::new(holder), way, ports: 0.into() });
                }
                Err(why) => reasons.push(why),
            }
        }
        // Not by `eprintln!`, which is heard from tests that fail only.
        let why = reasons.join("; ");
        let line = format!("skipped: network namespaces can't be made here: {why}\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
        None
    }

    /// A host with this address, such as `10.77.0.1/24`.
    #[track_caller]
    pub fn host(&self, ip: &str) -> Host {
        let mut unshare = self.holder.enter(self.way);
        unshare.args(["unshare", "--net", "--mount"]);
        let holder = Holder::start(unshare, ANY).unwrap_or_else(|why| panic!("no host: {why}"));
        let port = self.plug(&holder, "eth0");
        let host = Host {
            holder,
            way: self.way,
            switch: Arc::clone(&self.holder),
            port,
            ip: Mutex::default(),
            dns: None,
        };
        ip_commands(host.holder.enter(self.way), "link set eth0 up\n");
        host.set_ip(ip);
        host
    }

    /// Runs a cable to a new interface of a host; gives our end of it.
    #[track_caller]
    fn plug(&self, host: &Holder, interface: &str) -> String {
        let port = format!("port{}", self.ports.fetch_add(1, Ordering::Relaxed) + 1);
        let pid = host.child.id();
        let plug = format!(
            "link add {port} type veth peer name {interface} netns {pid}\n\
             link set {port} master bridge up\n"
        );
        ip_commands(self.holder.enter(self.way), &plug);
        port
    }
}

impl Host {
    /// A manager with this configuration and no other defaults than its own.
    #[track_caller]
    pub fn peer(&self, config: Value) -> Peer {
        let started = self.try_peer(config);
        started.unwrap_or_else(|failure| panic!("the peer doesn't start: {failure}"))
    }

    /// As [`peer`](Self::peer), giving the failure of the start.
    #[track_caller]
    pub fn try_peer(&self, config: Value) -> Result<Peer, Value> {
        self.test_peer("peerkit", &config)
    }

    /// A plain rust-libp2p peer. Where it listens has to be among its options.
    #[track_caller]
    pub fn raw(&self, options: Value) -> Peer {
        let started = self.test_peer("raw", &options);
        started.unwrap_or_else(|failure| panic!("the raw peer doesn't start: {failure}"))
    }

    /// A name server, or who asks one: `tests/support/dns_server.rs` says what it can be told.
    #[track_caller]
    pub fn dns(&self, options: Value) -> Peer {
        let started = self.test_peer("dns", &options);
        started.unwrap_or_else(|failure| panic!("the name server doesn't start: {failure}"))
    }

    /// One who floods multicast DNS: `tests/support/flood.rs` says how.
    #[track_caller]
    pub fn flood(&self) -> Peer {
        let started = self.test_peer("flood", &json!({ "ip": self.ip() }));
        started.unwrap_or_else(|failure| panic!("the flood doesn't start: {failure}"))
    }

    /// The host with a name server of its own, which its programs ask from then on. The records are as
    /// `{"_dnsaddr.peer.test": {"TXT": ["dnsaddr=/ip4/.."]}, "peer.test": {"A": ["10.77.0.2"]}}`.
    #[track_caller]
    pub fn with_dns(mut self, records: Value) -> Host {
        self.dns = Some(self.dns(json!({ "listen": "127.0.0.1:53", "records": records })));
        let mut resolv_conf = tempfile::NamedTempFile::new().unwrap();
        resolv_conf.write_all(b"nameserver 127.0.0.1\n").unwrap();
        let mut mount = self.command("mount");
        mount.arg("--bind").arg(resolv_conf.path()).arg("/etc/resolv.conf");
        assert!(mount.status().unwrap().success(), "{mount:?}");
        self
    }

    /// The host's own name server, to change what it knows or to see what it was asked.
    #[track_caller]
    pub fn name_server(&self) -> &Peer {
        self.dns.as_ref().expect("`with_dns` gave it a name server")
    }

    /// Any program, inside; it's to be ended by whoever runs it.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.holder.enter(self.way);
        command.arg("--").arg(program);
        command
    }

    /// Its address, without the length of the prefix.
    pub fn ip(&self) -> String {
        self.ip.lock().unwrap().split('/').next().unwrap_or_default().to_owned()
    }

    /// It's at another address from now on, such as `10.77.0.9/24`, and no more at the one before.
    #[track_caller]
    pub fn set_ip(&self, new: &str) {
        let commands = format!(
            "address flush dev eth0\n\
             address add {new} dev eth0\n\
             route replace default dev eth0\n"
        );
        ip_commands(self.holder.enter(self.way), &commands);
        *self.ip.lock().unwrap() = new.to_owned();
    }

    /// A further address beside the one it has.
    #[track_caller]
    pub fn add_ip(&self, further: &str) {
        let commands = format!("address add {further} dev eth0\n");
        ip_commands(self.holder.enter(self.way), &commands);
    }

    /// Puts the host on a further switch, with an address there.
    #[track_caller]
    pub fn plug(&self, switch: &Switch, interface: &str, ip: &str) {
        switch.plug(&self.holder, interface);
        let commands = format!("link set {interface} up\naddress add {ip} dev {interface}\n");
        ip_commands(self.holder.enter(self.way), &commands);
    }

    /// Switches `eth0` on or off; off, it keeps its address and can't be used.
    #[track_caller]
    pub fn switch_eth0(&self, on: bool) {
        let commands = match on {
            false => "link set eth0 down\n",
            true => "link set eth0 up\nroute replace default dev eth0\n",
        };
        ip_commands(self.holder.enter(self.way), commands);
    }

    /// Pulls the cable: the host keeps its address and hears nothing.
    #[track_caller]
    pub fn cut(&self) {
        ip_commands(self.switch.enter(self.way), &format!("link set {} down\n", self.port));
    }

    /// Plugs the cable in again.
    #[track_caller]
    pub fn mend(&self) {
        ip_commands(self.switch.enter(self.way), &format!("link set {} up\n", self.port));
    }

    /// How many packets have left by `eth0`; several segments that TCP hands down at once are one.
    pub fn packets_out(&self) -> u64 {
        const SENT_PACKETS: usize = 9;
        let counters = format!("/proc/{}/net/dev", self.holder.child.id());
        let counters = std::fs::read_to_string(counters).unwrap();
        let eth0 = counters.lines().find_map(|line| line.trim_start().strip_prefix("eth0:"));
        eth0.unwrap().split_whitespace().nth(SENT_PACKETS).unwrap().parse().unwrap()
    }

    #[track_caller]
    fn test_peer(&self, kind: &str, options: &Value) -> Result<Peer, Value> {
        Peer::spawn(self.command(program()).arg(kind).arg(options.to_string()))
    }
}

/// A process that keeps namespaces alive for as long as the test lives.
struct Holder {
    child: Child,
    /// Its end is the end of the process.
    _pipe: ChildStdin,
}

impl Holder {
    /// By a command that makes namespaces and runs a program there. The script sets them up; why it can't is
    /// the error.
    fn start(mut make: Command, script: &str) -> Result<Holder, String> {
        make.args(["sh", "-c", &format!("{script}\necho ready && exec cat")]);
        make.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = make.spawn().map_err(|error| format!("{make:?}: {error}"))?;
        let pipe = child.stdin.take().unwrap();
        let (output, mut errors) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let mut line = String::new();
        let _ = BufReader::new(output).read_line(&mut line);
        if line == "ready\n" {
            return Ok(Holder { child, _pipe: pipe });
        }
        let mut why = String::new();
        let _ = errors.read_to_string(&mut why);
        let _ = child.wait();
        Err(why.trim().to_owned())
    }

    /// The beginning of a command that runs in its namespaces.
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

/// Gives `ip` commands, all in one run of it.
#[track_caller]
fn ip_commands(mut inside: Command, commands: &str) {
    let mut ip = inside.args(["ip", "-batch", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    ip.stdin.take().unwrap().write_all(commands.as_bytes()).unwrap();
    assert!(ip.wait().unwrap().success(), "ip: {commands}");
}
