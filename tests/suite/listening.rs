//! Listening where the machine refuses something that is only nice to have, and what is told where an
//! address can't be had.

use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::netns::{Host, Switch};
use crate::support::{Peer, eventually, failed, loopback, program};

/// Address families and errors of Linux.
const AF_INET6: &str = "10";
const AF_NETLINK: &str = "16";
const EACCES: &str = "13";
const EAFNOSUPPORT: &str = "97";

/// A program that runs another without sockets of one family.
struct Refuse(TempDir);

impl Refuse {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/refuse.c");
        let mut compile = Command::new("cc");
        compile.arg(source).arg("-o").arg(dir.path().join("refuse"));
        assert!(compile.status().unwrap().success(), "{compile:?}");
        Refuse(dir)
    }

    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("refuse")
    }

    /// Starts a peer on the host; the kernel refuses it sockets of this family.
    fn peer(&self, host: &Host, [family, error]: [&str; 2], config: &Value) -> Peer {
        let mut command = host.command(self.path());
        command.args([family, error]).arg(program()).arg("peerkit").arg(config.to_string());
        Peer::spawn(&mut command).unwrap_or_else(|failure| panic!("it doesn't start: {failure}"))
    }
}

fn listens_at(peer: &Peer) -> Vec<String> {
    let addresses = peer.ok("status", json!({}))["listen_addrs"].clone();
    serde_json::from_value(addresses).unwrap()
}

fn warnings(peer: &Peer) -> String {
    peer.ok("status", json!({}))["warnings"].to_string()
}

#[test]
fn profile_lan_works_where_interfaces_can_not_be_watched() {
    let Some(switch) = Switch::new() else { return };
    let hosts = ["10.77.0.1/24", "10.77.0.2/24"].map(|ip| switch.host(ip));
    let discovery = json!({ "gossip": false, "dht": "off", "interval_s": 1 });
    let lan = json!({ "profile": "lan", "discovery": discovery });
    let refuse = Refuse::new();
    let a = refuse.peer(&hosts[0], [AF_NETLINK, EAFNOSUPPORT], &lan);
    let b = hosts[1].peer(lan);
    let own = |part: &str| {
        let found = listens_at(&a)
            .into_iter()
            .find(|at| at.starts_with("/ip4/10.77.0.1/") && at.contains(part));
        found.unwrap_or_else(|| panic!("{:?}", listens_at(&a)))
    };
    assert!(warnings(&a).contains("can't be watched"), "{}", warnings(&a));
    assert!(!warnings(&b).contains("watched"), "{}", warnings(&b));

    // Multicast DNS tells each of the other.
    for (peer, other) in [(&a, &b), (&b, &a)] {
        eventually(Duration::from_secs(10), "they have found each other", || {
            peer.call("get_peer", json!({ "peer_id": other.id() }))["peer_info"]["connected"]
                == true
        });
    }
    for transport in ["/tcp/", "/quic-v1/"] {
        b.ok("disconnect_peer", json!({ "peer_id": a.id() }));
        b.connect(&own(transport));
    }
    a.ok("disconnect_peer", json!({ "peer_id": b.id() }));
    let quic = b.status["listen_addrs"].as_array().unwrap().iter().map(|at| at.as_str().unwrap());
    let quic = quic.into_iter().find(|at| at.contains("/10.77.0.2/udp/")).unwrap();
    a.connect(quic);

    // An address that comes is listened on, one that goes isn't told any more.
    hosts[0].add_ip("10.77.0.9/24");
    let has = |ip: &str| listens_at(&a).iter().any(|at| at.contains(&format!("/{ip}/tcp/")));
    eventually(Duration::from_secs(15), "the further address is found", || has("10.77.0.9"));
    hosts[0].set_ip("10.77.0.9/24");
    eventually(Duration::from_secs(15), "the first address is gone", || !has("10.77.0.1"));
    assert!(has("10.77.0.9"));
}

#[test]
fn a_sandbox_without_netlink_and_proc_still_listens() {
    let Some(switch) = Switch::new() else { return };
    let hosts = ["10.77.0.1/24", "10.77.0.2/24"].map(|ip| switch.host(ip));
    let config = |listen: &[&str]| {
        let discovery = json!({ "mdns": false, "gossip": false, "dht": "off" });
        json!({ "profile": "lan", "listen": listen, "discovery": discovery })
    };
    let mut hide = hosts[0].command("mount");
    assert!(hide.args(["-t", "tmpfs", "none", "/proc"]).status().unwrap().success());
    let refuse = Refuse::new();
    let a = refuse.peer(&hosts[0], [AF_NETLINK, EACCES], &config(&["/ip4/0.0.0.0/tcp/0"]));
    let ports: Vec<_> =
        listens_at(&a).iter().map(|at| at.split('/').nth(4).unwrap().to_owned()).collect();
    assert!(ports.len() == 2 && ports[0] == ports[1], "{:?}", listens_at(&a));
    let b = hosts[1].peer(config(&["/ip4/10.77.0.2/tcp/0"]));
    let at = listens_at(&a).into_iter().find(|at| at.contains("/10.77.0.1/")).unwrap();
    b.connect(&at);
}

#[test]
fn a_node_in_a_sandbox_may_start_before_its_network() {
    let Some(switch) = Switch::new() else { return };
    let host = switch.host("10.77.0.1/24");
    host.ip_commands("address flush dev lo\naddress flush dev eth0\n");
    let discovery = json!({ "mdns": false, "gossip": false, "dht": "off" });
    let lan = json!({ "profile": "lan", "discovery": discovery });
    let a = Refuse::new().peer(&host, [AF_NETLINK, EAFNOSUPPORT], &lan);
    assert_eq!(listens_at(&a), [""; 0]);
    host.set_ip("10.77.0.1/24");
    let listens = || listens_at(&a).iter().filter(|at| at.contains("/10.77.0.1/")).count() == 2;
    eventually(Duration::from_secs(15), "it listens by TCP and QUIC", listens);
}

#[test]
fn each_reason_why_an_address_can_not_be_had_is_told() {
    let refused = |config: Value| {
        let failure = Peer::try_with(config).err().expect("it can't be had");
        failed(failure.clone(), "listen_failed");
        let text = |key: &str| failure[key].as_str().unwrap_or_default().to_owned();
        (text("error"), text("hint"))
    };
    for part in ["tcp/0", "udp/0/quic-v1", "tcp/4001"] {
        let (error, hint) = refused(json!({ "listen": [format!("/ip4/192.0.2.77/{part}")] }));
        assert!(error.ends_with("this machine has no such address"), "{error}");
        assert!(hint.contains("127.0.0.1") && !hint.contains("port"), "{hint}");
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let (error, hint) = refused(json!({ "listen": [format!("/ip4/127.0.0.1/tcp/{port}")] }));
    assert!(error.contains("another process has that port") && hint.contains("port 0"), "{error}");

    let refuse = Refuse::new();
    let mut command = Command::new(refuse.path());
    command.args([AF_INET6, EAFNOSUPPORT]).arg(program()).arg("peerkit");
    command.arg(loopback(json!({ "listen": ["/ip6/::1/tcp/0"] })).to_string());
    let failure = Peer::spawn(&mut command).err().expect("it can't be had");
    failed(failure.clone(), "listen_failed");
    assert!(failure["error"].as_str().unwrap().contains("there is no IPv6 here"), "{failure:#}");
    assert!(failure["hint"].as_str().unwrap().contains("RestrictAddressFamilies"), "{failure:#}");
}

#[test]
fn a_port_that_another_program_has_for_ipv4_is_free_for_ipv6() {
    if UdpSocket::bind("[::1]:0").is_err() {
        return crate::support::skip::skipped("this machine has no IPv6");
    }
    let tcp = TcpListener::bind("0.0.0.0:0").unwrap();
    let udp = UdpSocket::bind("0.0.0.0:0").unwrap();
    let port = |at: std::io::Result<std::net::SocketAddr>| at.unwrap().port();
    let (tcp, udp) = (port(tcp.local_addr()), port(udp.local_addr()));
    let listen = [format!("/ip6/::/tcp/{tcp}"), format!("/ip6/::/udp/{udp}/quic-v1")];
    let peer = Peer::with(json!({ "listen": listen }));
    assert!(listens_at(&peer).iter().any(|at| at.contains(&format!("/tcp/{tcp}/"))));
    assert!(listens_at(&peer).iter().any(|at| at.contains(&format!("/udp/{udp}/"))));
    // The port that peerkit has by now isn't free.
    failed(Peer::try_with(json!({ "listen": listen })).err().unwrap(), "listen_failed");
}

#[test]
fn an_ipv4_address_in_an_ipv6_one_is_the_ipv4_address_wherever_it_comes_in() {
    let mapped = |address: &str| address.replace("/ip4/127.0.0.1/", "/ip6/::ffff:127.0.0.1/");
    let b = Peer::with(
        json!({ "listen": [mapped("/ip4/127.0.0.1/tcp/0"), mapped("/ip4/127.0.0.1/udp/0/quic-v1")] }),
    );
    let a = Peer::start();
    for transport in ["tcp", "quic-v1"] {
        assert!(b.at(transport).starts_with("/ip4/127.0.0.1/"));
        let connected = a.connect(&mapped(&b.at(transport)));
        assert_eq!(connected["address"], b.bare(transport));
        a.ok("disconnect_peer", json!({ "peer_id": b.id() }));
    }
    let multiaddrs = [mapped(&b.bare("tcp"))];
    let c = Peer::start();
    c.ok("add_peer", json!({ "peer_id": b.id(), "multiaddrs": multiaddrs }));
    assert_eq!(c.info(b.id())["multiaddrs"], json!([b.bare("tcp")]));
    c.ok("connect_peer", json!({ "peer_id": b.id() }));

    let d = Peer::with(json!({ "bootstrap": [mapped(&b.at("tcp"))] }));
    d.wait_for("peer_connected", b.id());
}
