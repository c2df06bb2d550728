//! The wire format: the queries and answers of libp2p's multicast DNS, read and written with
//! hickory-proto. No socket and no clock here; the service (`mod.rs`) hands in bytes.
//!
//! An answer is a PTR record to an instance of the service, and additional records about the
//! instance: one TXT record with all its `dnsaddr=` strings, SRV and A. rust-libp2p reads the TXT
//! records only, and names its own instances with a bare label; go-libp2p's zeroconf passes over an
//! instance that isn't named under the service, or has no SRV and A, and of several TXT records
//! keeps the last (`client.go`, `mainloop`). Read here is any TXT record of any instance, in whatever
//! section, with as many strings as it has.
//!
//! Spec: <https://github.com/libp2p/specs/blob/master/discovery/mdns.md>

use std::net::{IpAddr, Ipv4Addr};

use hickory_proto::ProtoError;
use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::Refusal;
use crate::addr::ip_of;
use crate::addr::{self, Address};
use crate::{Multiaddr, PeerId};

/// The longest packet read (RFC 6762 section 17).
pub(crate) const MAX_BYTES: usize = 9000;
/// Questions and records of one packet. rust-libp2p sends up to 30, go-libp2p 6.
const MAX_RECORDS: usize = 64;
/// Peers heeded of one packet; an honest one names one.
pub(crate) const MAX_PEERS: usize = 8;
/// Addresses heeded of one peer. None is longer than its [`MAX_STRING_BYTES`].
pub(crate) const MAX_ADDRESSES: usize = 16;
/// The longest string of a TXT record (RFC 1035 section 3.3).
const MAX_STRING_BYTES: usize = 255;
/// Bytes of our own strings together, so that an answer fits an Ethernet frame: ten addresses or so.
const MAX_ADVERTISED_BYTES: usize = 1100;
/// Time that others may remember us, in seconds (RFC 6762 section 10, for records that name a host).
const TTL: u32 = 120;

const HEADER_BYTES: usize = 12;
const SERVICE: [&str; 3] = ["_p2p", "_udp", "local"];
/// The service's own label as it stands in every packet that concerns it, never compressed away.
const MARK: &[u8] = b"\x04_p2p";
const PREFIX: &str = "dnsaddr=";

/// The one question: who is there? Its id is 0 (RFC 6762 section 18.1).
pub(crate) const QUERY: &[u8] =
    b"\0\0\0\0\0\x01\0\0\0\0\0\0\x04_p2p\x04_udp\x05local\0\0\x0c\0\x01";

/// Tells whether a packet names our service at all. Cheap: most of what a network's printers and
/// televisions say to one another ends here.
pub(crate) fn concerns_us(bytes: &[u8]) -> bool {
    bytes.windows(MARK.len()).any(|part| part[0] == MARK[0] && part.eq_ignore_ascii_case(MARK))
}

/// A packet that could be read.
pub(crate) struct Packet(Message);

/// The content of an answer.
#[derive(Default)]
pub(crate) struct Told {
    pub peers: Vec<(PeerId, Vec<Multiaddr>)>,
    /// True where it names this node.
    pub own: bool,
    /// Addresses that can't be read, dialled, or belong to another network.
    pub refused: u64,
    /// Peers and addresses over [`MAX_PEERS`] and [`MAX_ADDRESSES`].
    pub surplus: u64,
}

impl Packet {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let header = bytes.get(..HEADER_BYTES).ok_or(Refusal::Malformed)?;
        let counts = header[4..].chunks_exact(2);
        let records: usize =
            counts.map(|count| usize::from(u16::from_be_bytes([count[0], count[1]]))).sum();
        // Before hickory sees it: it reserves memory for as many questions as the header says.
        if records > MAX_RECORDS {
            return Err(Refusal::Oversize);
        }
        let message = Message::from_vec(bytes).map_err(|_| Refusal::Malformed)?;
        let plain = message.op_code == OpCode::Query
            && message.metadata.response_code == ResponseCode::NoError;
        if plain { Ok(Packet(message)) } else { Err(Refusal::Malformed) }
    }

    pub(crate) fn is_query(&self) -> bool {
        self.0.message_type == MessageType::Query
    }

    /// Tells whether it asks who is there, or for `instance`.
    pub(crate) fn asks_for(&self, instance: &Name) -> bool {
        self.0.queries.iter().any(|query| {
            let ptr = matches!(query.query_type, RecordType::PTR | RecordType::ANY);
            ptr && is_service(query.name.iter()) || query.name == *instance
        })
    }

    /// Returns the peers it names, with those of their addresses that are `usable`.
    pub(crate) fn told(&self, local: &PeerId, usable: impl Fn(&Multiaddr) -> bool) -> Told {
        let mut told = Told::default();
        for string in self.strings() {
            let Some(text) = string.strip_prefix(PREFIX.as_bytes()) else { continue };
            let text = std::str::from_utf8(text).ok();
            match text.and_then(|text| addr::parse_address(text).ok()) {
                Some(Address { peer_id: Some(peer), .. }) if peer == *local => told.own = true,
                Some(Address { peer_id: Some(peer), addr })
                    if addr::is_dialable(&addr) && usable(&addr) =>
                {
                    told.add(peer, addr);
                }
                _ => told.refused += 1,
            }
        }
        told
    }

    /// Returns the strings of every TXT record about an instance: one named under the service, or one
    /// that a PTR record names. A TTL of 0 says goodbye: such records are left out.
    fn strings(&self) -> impl Iterator<Item = &[u8]> {
        let living = || self.0.all_sections().filter(|record| record.ttl > 0);
        let pointers = living().filter_map(|record| match &record.data {
            RData::PTR(to) if is_service(record.name.iter()) => Some(&to.0),
            _ => None,
        });
        let named: Vec<&Name> = pointers.collect();
        let texts = living().filter_map(move |record| match &record.data {
            RData::TXT(text) if is_instance(&record.name) || named.contains(&&record.name) => {
                Some(text)
            }
            _ => None,
        });
        texts.flat_map(|text| text.txt_data.iter().map(|string| &**string))
    }
}

impl Told {
    fn add(&mut self, peer: PeerId, addr: Multiaddr) {
        let at = self.peers.iter().position(|(known, _)| *known == peer);
        if at.is_none() && self.peers.len() == MAX_PEERS {
            self.surplus += 1;
            return;
        }
        let at = at.unwrap_or_else(|| {
            self.peers.push((peer, Vec::new()));
            self.peers.len() - 1
        });
        let addresses = &mut self.peers[at].1;
        if addresses.contains(&addr) {
            return;
        }
        if addresses.len() == MAX_ADDRESSES {
            self.surplus += 1;
        } else {
            addresses.push(addr);
        }
    }
}

fn is_service<'a>(labels: impl Iterator<Item = &'a [u8]>) -> bool {
    let lower = labels.map(<[u8]>::to_ascii_lowercase);
    lower.eq(SERVICE.iter().map(|label| label.as_bytes()))
}

fn is_instance(name: &Name) -> bool {
    let mut labels = name.iter();
    labels.next().is_some() && is_service(labels)
}

/// Ourselves on one interface: a name, and the answer under it.
///
/// The name says nothing about us and is new whenever our addresses are: go-libp2p reports a name it
/// knows only when its TTL has run out, whatever the name now stands for.
pub(crate) struct Instance {
    pub name: Name,
    pub answer: Vec<u8>,
}

impl Instance {
    /// Makes a name and the answer; None where there is no address to advertise.
    pub(crate) fn new(
        local: &PeerId,
        ip: Ipv4Addr,
        addresses: &[Multiaddr],
    ) -> Result<Option<Self>, ProtoError> {
        let strings = strings(local, addresses);
        if strings.is_empty() {
            return Ok(None);
        }
        let label = random_label()?;
        let labels = |own: &[&str]| Name::from_labels(own.iter().map(|label| label.as_bytes()));
        let [service, protocol, domain] = SERVICE;
        let service_name = labels(&SERVICE)?;
        let name = labels(&[&label, service, protocol, domain])?;
        let host = labels(&[&label, domain])?;

        let mut message = Message::response(0, OpCode::Query);
        message.metadata.authoritative = true;
        let pointer = RData::PTR(PTR(name.clone()));
        message.add_answer(Record::from_rdata(service_name, TTL, pointer));
        let mut about = |name: &Name, data| {
            let mut record = Record::from_rdata(name.clone(), TTL, data);
            // Nobody else has records of this name (RFC 6762 section 10.2).
            record.mdns_cache_flush = true;
            message.add_additional(record);
        };
        about(&name, RData::SRV(SRV::new(0, 0, port(addresses), host.clone())));
        about(&name, RData::TXT(TXT::new(strings)));
        about(&host, RData::A(A(ip)));
        let ipv6 = addresses.iter().find_map(|addr| match ip_of(addr) {
            Some(IpAddr::V6(ip)) => Some(ip),
            _ => None,
        });
        if let Some(ip) = ipv6 {
            about(&host, RData::AAAA(AAAA(ip)));
        }
        Ok(Some(Instance { name, answer: message.to_vec()? }))
    }
}

/// Returns the strings of our TXT record: as many addresses as fit, the first ones.
fn strings(local: &PeerId, addresses: &[Multiaddr]) -> Vec<String> {
    let mut left = MAX_ADVERTISED_BYTES;
    let strings = addresses.iter().map(|addr| format!("{PREFIX}{addr}/p2p/{local}"));
    let strings = strings.filter(|string| string.len() <= MAX_STRING_BYTES);
    let fitting = strings.take_while(|string| {
        let fits = left > string.len();
        left = left.saturating_sub(string.len() + 1);
        fits
    });
    fitting.take(MAX_ADDRESSES).collect()
}

/// Returns the port for the SRV record, which nobody dials: TXT has the addresses.
fn port(addresses: &[Multiaddr]) -> u16 {
    addresses.iter().find_map(addr::port_of).unwrap_or_default()
}

/// Makes a random name of 32 to 63 letters and digits, as the specification asks.
fn random_label() -> Result<String, ProtoError> {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    const LEAST: usize = 32;

    let mut random = [0; 64];
    getrandom::fill(&mut random).map_err(|_| ProtoError::Message("no randomness to be had"))?;
    let length = LEAST + usize::from(random[63]) % LEAST;
    let letter = |byte: &u8| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]);
    Ok(random[..length].iter().map(letter).collect())
}
