//! A network of its own for a test: hosts, which are network namespaces, on a switch, which is a bridge
//! in another one. The packets of the hosts stay there: no interface of the machine is part of it.
//!
//! Nothing is left behind (`namespace` says why), and tests that run at once don't meet.
//!
//! Hosts speak IPv4 only: without IPv6 the kernel sends nothing of its own accord, and a host's counter
//! counts packets of its programs alone. (ARP counts, and so do the IGMP reports of programs that join
//! a multicast group.)

use std::ffi::OsStr;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::namespace::{BRIDGE, Holder, QUIET};
use super::skip::skipped;
use super::{GRACE, GRACE_MS, Peer, program};

/// A host has no resolver but one given later.
const NO_RESOLVER: &str = "mount --bind /dev/null /etc/resolv.conf || exit\n";

/// Shows here and now whether ports can be made.
const SPARE_PORT: &str = "ip link add spare type veth || exit\n";

/// A switch that hosts are plugged into. Gone when it and its hosts are dropped.
pub struct Switch {
    holder: Arc<Holder>,
    ports: AtomicU32,
}

/// A machine on a switch: a network namespace with `lo` and `eth0`, and a default route over `eth0`, so that
/// whatever a program sends goes out. It has no name server but [`with_dns`](Self::with_dns)'s.
pub struct Host {
    holder: Holder,
    switch: Arc<Holder>,
    /// The switch's end of the cable.
    port: String,
    ip: Mutex<String>,
    dns: Option<Peer>,
}

impl Switch {
    /// Makes a switch. None, and a printed line, where the machine doesn't permit it; in CI that is a failure.
    #[track_caller]
    pub fn new() -> Option<Switch> {
        match Holder::new(&[QUIET, NO_RESOLVER, BRIDGE, SPARE_PORT].concat()) {
            Ok(holder) => Some(Switch { holder: Arc::new(holder), ports: 0.into() }),
            Err(why) => {
                skipped(why);
                None
            }
        }
    }

    /// Makes a host with this address, such as `10.77.0.1/24`.
    #[track_caller]
    pub fn host(&self, ip: &str) -> Host {
        let holder = self.holder.neighbour(&[QUIET, NO_RESOLVER].concat());
        let holder = holder.unwrap_or_else(|why| panic!("no host: {why}"));
        let port = self.plug(&holder, "eth0");
        let host = Host {
            holder,
            switch: Arc::clone(&self.holder),
            port,
            ip: Mutex::default(),
            dns: None,
        };
        host.holder.ip("link set eth0 up\n").unwrap();
        host.set_ip(ip);
        host
    }

    /// Runs a cable to a new interface of a host; returns our end of it.
    #[track_caller]
    fn plug(&self, host: &Holder, interface: &str) -> String {
        let port = format!("port{}", self.ports.fetch_add(1, Ordering::Relaxed) + 1);
        self.holder.plug(&port, host, interface).unwrap();
        port
    }
}

impl Host {
    /// Starts a manager with this configuration and no other defaults than its own.
    #[track_caller]
    pub fn peer(&self, config: Value) -> Peer {
        let started = self.try_peer(config);
        started.unwrap_or_else(|failure| panic!("the peer doesn't start: {failure}"))
    }

    /// Starts one as [`peer`](Self::peer) does; returns the failure of the start.
    #[track_caller]
    pub fn try_peer(&self, config: Value) -> Result<Peer, Value> {
        self.test_peer("peerkit", &config)
    }

    /// Starts a plain rust-libp2p peer. The addresses to listen at have to be among its options.
    #[track_caller]
    pub fn raw(&self, options: Value) -> Peer {
        let started = self.test_peer("raw", &options);
        started.unwrap_or_else(|failure| panic!("the raw peer doesn't start: {failure}"))
    }

    /// Starts a name server, which also asks others: `tests/support/dns_server.rs` has its options and calls.
    #[track_caller]
    pub fn dns(&self, options: Value) -> Peer {
        let started = self.test_peer("dns", &options);
        started.unwrap_or_else(|failure| panic!("the name server doesn't start: {failure}"))
    }

    /// Starts a web server at every address of the host; returns its port too.
    /// `tests/support/http_server.rs` says what pages are.
    #[track_caller]
    pub fn http(&self, pages: Value) -> (Peer, u16) {
        let options = json!({ "listen": "0.0.0.0:0", "pages": pages });
        let started = self.test_peer("http", &options);
        let server =
            started.unwrap_or_else(|failure| panic!("the server doesn't start: {failure}"));
        let port = server.status["port"].as_u64().unwrap() as u16;
        (server, port)
    }

    /// Starts a flooder of multicast DNS: `tests/support/flood.rs` has its call.
    #[track_caller]
    pub fn flood(&self) -> Peer {
        let started = self.test_peer("flood", &json!({ "ip": self.ip() }));
        started.unwrap_or_else(|failure| panic!("the flood doesn't start: {failure}"))
    }

    /// Starts a crowd of strangers: `tests/support/crowd.rs` has its options and calls.
    #[track_caller]
    pub fn crowd(&self, options: Value) -> Peer {
        let started = self.test_peer("crowd", &options);
        started.unwrap_or_else(|failure| panic!("the crowd doesn't come: {failure}"))
    }

    /// Starts a manager as [`peer`](Self::peer) does, sparing connections from trimming for [`GRACE`] only.
    #[track_caller]
    pub fn peer_with_grace(&self, config: Value) -> Peer {
        let mut command = self.command(program());
        command.env(GRACE_MS, GRACE.as_millis().to_string());
        let started = Peer::spawn(command.arg("peerkit").arg(config.to_string()));
        started.unwrap_or_else(|failure| panic!("the peer doesn't start: {failure}"))
    }

    /// Gives the host a name server of its own, which its programs ask from then on. The records are as
    /// `{"_dnsaddr.peer.test": {"TXT": ["dnsaddr=/ip4/.."]}, "peer.test": {"A": ["10.77.0.2"]}}`.
    #[track_caller]
    pub fn with_dns(mut self, records: Value) -> Host {
        self.dns = Some(self.dns(json!({ "listen": "127.0.0.1:53", "records": records })));
        self.mount("/etc/resolv.conf", b"nameserver 127.0.0.1\n");
        self
    }

    /// Puts another file in the place of one, for this host alone.
    #[track_caller]
    pub fn mount(&self, over: &str, content: &[u8]) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        let mut mount = self.command("mount");
        mount.arg("--bind").arg(file.path()).arg(over);
        assert!(mount.status().unwrap().success(), "{mount:?}");
    }

    /// Writes into a file that [`mount`](Self::mount) put there.
    #[track_caller]
    pub fn rewrite(&self, file: &str, content: &[u8]) {
        let mut shell = self.command("sh");
        shell.args(["-c", &format!("exec cat > {file}")]).stdin(Stdio::piped());
        let mut shell = shell.spawn().unwrap();
        shell.stdin.take().unwrap().write_all(content).unwrap();
        assert!(shell.wait().unwrap().success());
    }

    /// Makes an address of the switch's network one that swallows what it is sent.
    #[track_caller]
    pub fn swallow(&self, ip: &str) {
        let commands =
            format!("neighbour add {ip} lladdr 02:00:00:00:00:99 dev eth0 nud permanent\n");
        self.holder.ip(&commands).unwrap();
    }

    /// Returns the host's own name server, to change its records or to see the questions it got.
    #[track_caller]
    pub fn name_server(&self) -> &Peer {
        self.dns.as_ref().expect("`with_dns` gave it a name server")
    }

    /// Returns a command that runs any program, inside; the caller has to end it.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.holder.enter();
        command.arg("--").arg(program);
        command
    }

    /// Returns its address, without the length of the prefix.
    pub fn ip(&self) -> String {
        self.ip.lock().unwrap().split('/').next().unwrap_or_default().to_owned()
    }

    /// Moves it to another address, such as `10.77.0.9/24`, and takes the one before away.
    #[track_caller]
    pub fn set_ip(&self, new: &str) {
        let commands = format!(
            "address flush dev eth0\n\
             address add {new} dev eth0\n\
             route replace default dev eth0\n"
        );
        self.holder.ip(&commands).unwrap();
        *self.ip.lock().unwrap() = new.to_owned();
    }

    /// Adds an address beside the one it has.
    #[track_caller]
    pub fn add_ip(&self, further: &str) {
        let commands = format!("address add {further} dev eth0\n");
        self.holder.ip(&commands).unwrap();
    }

    /// Runs `ip` commands on the host, a line each.
    #[track_caller]
    pub fn ip_commands(&self, commands: &str) {
        self.holder.ip(commands).unwrap();
    }

    /// Puts the host on a further switch, with an address there.
    #[track_caller]
    pub fn plug(&self, switch: &Switch, interface: &str, ip: &str) {
        switch.plug(&self.holder, interface);
        let commands = format!("link set {interface} up\naddress add {ip} dev {interface}\n");
        self.holder.ip(&commands).unwrap();
    }

    /// Switches `eth0` on or off; off, it keeps its address and can't be used.
    #[track_caller]
    pub fn switch_eth0(&self, on: bool) {
        let commands = match on {
            false => "link set eth0 down\n",
            true => "link set eth0 up\nroute replace default dev eth0\n",
        };
        self.holder.ip(commands).unwrap();
    }

    /// Pulls the cable: the host keeps its address and receives nothing.
    #[track_caller]
    pub fn cut(&self) {
        self.switch.ip(&format!("link set {} down\n", self.port)).unwrap();
    }

    /// Plugs the cable in again.
    #[track_caller]
    pub fn mend(&self) {
        self.switch.ip(&format!("link set {} up\n", self.port)).unwrap();
    }

    /// Counts the packets that have left by `eth0`; several segments that TCP hands down at once are one.
    pub fn packets_out(&self) -> u64 {
        const SENT_PACKETS: usize = 9;
        self.holder.counters("eth0").unwrap()[SENT_PACKETS]
    }

    #[track_caller]
    fn test_peer(&self, kind: &str, options: &Value) -> Result<Peer, Value> {
        Peer::spawn(self.command(program()).arg(kind).arg(options.to_string()))
    }
}
