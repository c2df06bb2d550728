//! Real sockets, in a network namespace of their own: nothing here touches the machine's interfaces.
//!
//! Each test runs its own binary again under `unshare -n`, with two links pk0 and pk1, and there the
//! test's body. Where namespaces aren't permitted it says so and passes; in CI it fails.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::time::timeout;

#[path = "../../../../../tests/support/skip.rs"]
mod skip;

use self::skip::skipped;
use crate::worker::util::clock::Clock;

use super::super::pace::{BURST_FRAMES, FRAMES_PER_SECOND};
use super::super::packet::{Instance, MAX_PEERS, QUERY};
use super::super::socket::{GROUP, PORT, Socket, interfaces};
use super::super::{Discovered, Mdns};
use super::{addr, peer};
use crate::Multiaddr;

/// The variable that is set in the namespace.
const INSIDE: &str = "PEERKIT_NETNS";
const PK0: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const PK1: Ipv4Addr = Ipv4Addr::new(10, 77, 1, 1);
/// An address of this machine's that is of neither link.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 5);
const SOON: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(60);

const SET_UP: &str = "set -e
ip link set lo up
ip addr add 203.0.113.5/32 dev lo
for n in 0 1; do
    ip link add pk$n type veth peer name far$n
    ip addr add 10.77.$n.1/24 dev pk$n
    ip -6 addr add 2001:db9:$n::1/64 dev pk$n nodad
    ip link set pk$n up
    ip link set far$n up
done";
/// The exit codes where there is no namespace, and where it can't be set up.
const UNSHARE_FAILED: i32 = 1;
const NOT_PERMITTED: i32 = 77;

fn in_namespace(test: &str, body: impl Future<Output = ()>) {
    if std::env::var_os(INSIDE).is_some() {
        // Runs only ever in the namespace made for it.
        wait_for(&["pk0", "pk1"]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { timeout(PATIENCE, body).await.unwrap() });
        return;
    }
    for flags in ["-n", "-rn"] {
        let Ok(output) = run_again(test, flags) else { break };
        match output.status.code() {
            Some(0) => return,
            Some(UNSHARE_FAILED | NOT_PERMITTED) => {}
            _ => panic!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            ),
        }
    }
    skipped("this machine permits no network namespace (unshare -n, ip link add)");
}

fn run_again(test: &str, flags: &str) -> io::Result<Output> {
    let module = module_path!().split_once("::").unwrap().1;
    let script = format!(
        "({SET_UP}) || exit {NOT_PERMITTED}\nexec \"$0\" --exact {module}::{test} --nocapture"
    );
    let mut command = Command::new("unshare");
    command.args([flags, "sh", "-c", &script]).arg(std::env::current_exe().unwrap());
    command.env(INSIDE, "1").output()
}

/// Waits for these interfaces and no others; the kernel calls one up a moment after it is.
fn wait_for(names: &[&str]) {
    let started = Instant::now();
    loop {
        let up: Vec<String> = interfaces().unwrap().into_iter().map(|each| each.name).collect();
        if up == names {
            return;
        }
        assert!(started.elapsed() < SOON, "{up:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Returns the addresses of a node that listens everywhere.
fn listening(port: u16) -> Vec<Multiaddr> {
    let ips = ["ip4/127.0.0.1", "ip4/10.77.0.1", "ip4/10.77.1.1", "ip6/::1", "ip6/2001:db9:1::1"];
    ips.iter().map(|ip| addr(&format!("/{ip}/tcp/{port}"))).collect()
}

async fn hear(mdns: &mut Mdns, count: usize) -> Vec<Discovered> {
    let mut heard = Vec::new();
    let enough = async {
        while heard.len() < count {
            heard.push(mdns.next().await);
        }
    };
    let _ = timeout(SOON, enough).await;
    heard
}

/// Lets time pass for a service.
async fn pass(mdns: &mut Mdns, time: Duration) -> Vec<Discovered> {
    let mut heard = Vec::new();
    let _ = timeout(time, async {
        loop {
            heard.push(mdns.next().await);
        }
    })
    .await;
    heard
}

/// Opens a plain socket that multicasts on a link.
fn stranger(source: Ipv4Addr, link: Ipv4Addr) -> UdpSocket {
    let socket = UdpSocket::bind((source, 0)).unwrap();
    SockRef::from(&socket).set_multicast_if_v4(&link).unwrap();
    socket
}

fn shout(socket: &UdpSocket, packet: &[u8]) {
    socket.send_to(packet, SocketAddrV4::new(GROUP, PORT)).unwrap();
}

fn answer(n: u8, addresses: &[&str]) -> Vec<u8> {
    let addresses: Vec<Multiaddr> = addresses.iter().map(|text| addr(text)).collect();
    Instance::new(&peer(n), PK0, &addresses).unwrap().unwrap().answer
}

fn by_port(mut heard: Vec<Discovered>) -> Vec<Vec<Multiaddr>> {
    heard.sort_by_key(|heard| heard.addresses[0].to_string());
    heard.into_iter().map(|heard| heard.addresses).collect()
}

/// Returns the addresses that a node which listens at `port` advertises on each link.
fn wanted(port: u16) -> Vec<Vec<Multiaddr>> {
    let ips: [&[&str]; 2] = [&["ip4/10.77.0.1"], &["ip4/10.77.1.1", "ip6/2001:db9:1::1"]];
    let told = |ip: &&str| addr(&format!("/{ip}/tcp/{port}"));
    ips.iter().map(|ips| ips.iter().map(told).collect()).collect()
}

#[test]
fn two_nodes_on_one_machine_find_one_another_on_every_link() {
    in_namespace("two_nodes_on_one_machine_find_one_another_on_every_link", async {
        let (mut a, mut b) =
            (Mdns::new(peer(1), Clock::default()), Mdns::new(peer(2), Clock::default()));
        a.set_addresses(&listening(4001));
        b.set_addresses(&listening(4002));
        // Only one asks: it is answered, and the other discovers it, since it advertises itself too.
        a.query();
        let (mut at_a, mut at_b) = (Vec::new(), Vec::new());
        let both = async {
            while at_a.len() < 2 || at_b.len() < 2 {
                tokio::select! {
                    heard = a.next() => at_a.push(heard),
                    heard = b.next() => at_b.push(heard),
                }
            }
        };
        timeout(SOON, both).await.unwrap();
        assert!(at_a.iter().all(|heard| heard.peer == peer(2)), "{at_a:?}");
        assert!(at_b.iter().all(|heard| heard.peer == peer(1)), "{at_b:?}");
        assert_eq!((by_port(at_a), by_port(at_b)), (wanted(4002), wanted(4001)));
        for report in [a.report(), b.report()] {
            assert!(
                report.interfaces.iter().all(|each| each.received >= 1 && each.error.is_none())
            );
            assert!(report.dropped.keys().all(|reason| *reason == "own_id"), "{report:?}");
        }
    });
}

#[test]
fn each_link_is_heard_by_its_own_socket_only() {
    in_namespace("each_link_is_heard_by_its_own_socket_only", async {
        let mut a = Mdns::new(peer(1), Clock::default());
        shout(&stranger(PK1, PK1), &answer(2, &["/ip4/10.77.1.9/tcp/1", "/ip4/10.77.0.9/tcp/1"]));
        let heard = hear(&mut a, 1).await;
        assert_eq!(heard[0].addresses, [addr("/ip4/10.77.1.9/tcp/1")]);
        let report = a.report();
        let counts = report.interfaces.iter().map(|each| (each.name.as_str(), each.received));
        assert_eq!(counts.collect::<Vec<_>>(), [("pk0", 0), ("pk1", 1)]);
        assert_eq!(report.dropped, [("address", 1)].into(), "pk0's socket got nothing");
    });
}

#[test]
fn what_strangers_make_up_is_dropped_and_counted() {
    in_namespace("what_strangers_make_up_is_dropped_and_counted", async {
        let mut a = Mdns::new(peer(1), Clock::default());
        a.set_addresses(&listening(4001));
        let near = stranger(PK0, PK0);
        shout(&stranger(ELSEWHERE, PK0), &answer(2, &["/ip4/10.77.0.9/tcp/1"]));
        shout(&near, &answer(1, &["/ip4/10.77.0.9/tcp/1"]));
        shout(&near, &answer(3, &["/ip4/127.0.0.1/tcp/1", "/ip4/1.1.1.1/tcp/1"]));
        shout(&near, b"\0\0\x84\0\0\x01\0\0\0\0\0\0\x04_p2p");
        shout(&near, b"\0\0\x84\0\xff\0\0\0\0\0\0\0\x04_p2p");
        shout(&near, &[QUERY, &[0; 9001]].concat());
        shout(&near, b"somebody's printer");
        // The last is honest, so all before it has been read.
        shout(&near, &answer(4, &["/ip4/10.77.0.9/tcp/1"]));
        let heard = hear(&mut a, 1).await;
        assert_eq!(
            heard,
            [Discovered { peer: peer(4), addresses: vec![addr("/ip4/10.77.0.9/tcp/1")] }]
        );
        let mut dropped = a.report().dropped;
        // Our own unsolicited answer may have come in between.
        assert!(dropped.remove("own_id") >= Some(1));
        let wanted = [("address", 2), ("malformed", 1), ("off_link", 1), ("oversize", 2)];
        assert_eq!(dropped, wanted.into());
    });
}

/// Sends made-up answers as fast as a plain socket can.
fn flood() -> std::thread::JoinHandle<()> {
    const FLOOD: usize = 100_000;
    std::thread::spawn(|| {
        let socket = stranger(PK0, PK0);
        // Few keys, many addresses: making keys would be the slower part.
        let fake = |n| answer(3 + (n % 250) as u8, &[&format!("/ip4/10.77.0.9/tcp/{n}")]);
        let packets: Vec<_> = (0..1000).map(fake).collect();
        (0..FLOOD).for_each(|n| shout(&socket, &packets[n % packets.len()]));
    })
}

/// Spawns another task on the same runtime, which counts the turns it gets.
fn neighbour() -> Arc<AtomicU64> {
    let turns = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&turns);
    tokio::spawn(async move {
        loop {
            tokio::task::yield_now().await;
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    turns
}

#[test]
fn a_flood_of_answers_is_bounded_and_starves_nobody() {
    /// Packets that tokio lets a task read before another has its turn, and ours on top.
    const READS_PER_TURN: u64 = 128 + 32;
    in_namespace("a_flood_of_answers_is_bounded_and_starves_nobody", async {
        let (mut a, mut b) =
            (Mdns::new(peer(1), Clock::default()), Mdns::new(peer(2), Clock::default()));
        b.set_addresses(&listening(4002));
        let (started, flood, turns) = (Instant::now(), flood(), neighbour());
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        let (mut told, mut other_link) = (0, false);
        while !flood.is_finished() || !other_link && started.elapsed() < 3 * SOON {
            tokio::select! {
                heard = a.next() => {
                    told += 1;
                    other_link |= heard.addresses[0] == addr("/ip4/10.77.1.1/tcp/4002");
                }
                heard = b.next() => drop(heard),
                _ = ticks.tick() => a.query(),
            }
        }
        let (report, took) = (a.report(), started.elapsed());
        let allowed = f64::from(BURST_FRAMES) + took.as_secs_f64() * f64::from(FRAMES_PER_SECOND);
        assert!(report.dropped["rate"] > 1000, "{report:?}");
        // Two links, of which the other is all but silent.
        assert!(report.received as f64 <= allowed + 10.0, "{} > {allowed}", report.received);
        assert!(told <= report.received && a.ready.len() <= MAX_PEERS);
        assert!(other_link, "the other link is heard all the same");
        let (read, turns) =
            (report.received + report.dropped["rate"], turns.load(Ordering::Relaxed));
        println!("{report:?}, told {told} in {took:?}; {turns} turns of another task");
        assert!(read <= turns * READS_PER_TURN, "{read} packets in {turns} turns");
    });
}

#[test]
fn a_flood_of_questions_is_answered_once_a_second() {
    in_namespace("a_flood_of_questions_is_answered_once_a_second", async {
        let mut a = Mdns::new(peer(1), Clock::default());
        a.set_addresses(&listening(4001));
        let mut listener = Mdns::new(peer(2), Clock::default());
        let near = stranger(PK0, PK0);
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(2500) {
            shout(&near, QUERY);
            shout(&stranger(ELSEWHERE, PK1), QUERY);
            tokio::join!(
                pass(&mut a, Duration::from_millis(5)),
                pass(&mut listener, Duration::from_millis(5))
            );
        }
        let heard: Vec<u64> =
            listener.report().interfaces.iter().map(|each| each.received).collect();
        // On pk1 nobody of that network asked: the one answer there is the unsolicited first one.
        let most = started.elapsed().as_secs() + 1;
        assert!((2..=most).contains(&heard[0]) && heard[1] == 1, "{heard:?}");
        assert!(a.report().dropped["off_link"] > 10);
    });
}

#[test]
fn interfaces_come_and_go_and_sockets_go_with_their_owner() {
    in_namespace("interfaces_come_and_go_and_sockets_go_with_their_owner", async {
        let ip = |arguments: &str| {
            assert!(Command::new("ip").args(arguments.split(' ')).status().unwrap().success());
        };
        let names = |mdns: &Mdns| {
            let report = mdns.report();
            report.interfaces.into_iter().map(|each| each.name).collect::<Vec<_>>()
        };
        let (mut a, mut b) =
            (Mdns::new(peer(1), Clock::default()), Mdns::new(peer(2), Clock::default()));
        ip("link set pk0 down");
        wait_for(&["pk1"]);
        b.set_addresses(&listening(4002));
        a.query();
        assert_eq!((names(&a), names(&b)), (vec!["pk1".to_owned()], vec!["pk1".to_owned()]));
        ip("link set pk0 up");
        wait_for(&["pk0", "pk1"]);
        ip("addr add 10.77.5.1/24 dev pk1");
        b.set_addresses(&[addr("/ip4/10.77.5.1/tcp/1"), addr("/ip4/10.77.0.1/tcp/1")]);
        a.query();
        let heard = tokio::select! {
            heard = hear(&mut a, 2) => heard,
            told = b.next() => panic!("{told:?}"),
        };
        let wanted = [addr("/ip4/10.77.0.1/tcp/1"), addr("/ip4/10.77.5.1/tcp/1")];
        assert_eq!(by_port(heard).concat(), wanted);

        let open =
            || std::fs::read_to_string("/proc/self/net/udp").unwrap().matches(":14E9").count();
        assert_eq!(open(), 4, "port 5353, two services of two links");
        drop((a, b));
        assert_eq!(open(), 0);
    });
}

#[test]
fn an_interface_that_cannot_be_joined_is_reported() {
    in_namespace("an_interface_that_cannot_be_joined_is_reported", async {
        // A socket that doesn't share the port keeps all others out.
        let selfish = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)).unwrap();
        let mut a = Mdns::new(peer(1), Clock::default());
        a.set_addresses(&listening(4001));
        a.query();
        assert!(a.report().interfaces.iter().all(|each| each.error.is_some()), "{:?}", a.report());
        drop(selfish);
        a.query();
        assert!(a.report().interfaces.iter().all(|each| each.error.is_none()), "{:?}", a.report());
        assert!(Socket::open(PK0).is_ok(), "and we share it");
    });
}
