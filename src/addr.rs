//! Reads peer ids and addresses, in every form a user may have, and tells what an address runs over;
//! how far it reaches is in `scope`. The one place for it: rust-libp2p's own parsers refuse the CIDv1
//! forms, take texts that are no peer id (`11`), and take the empty address.
//!
//! Nothing here touches the network or the book. The manager and the configuration call it with what
//! users give, the worker with what remotes advertise.

use std::net::IpAddr;

use libp2p::identity::{ParseError, PublicKey};
use multiaddr::Protocol;

use crate::error::{Error, ErrorKind, Result};
use crate::model::TransportKind;
use crate::{Multiaddr, PeerId, features};

mod scope;
#[cfg(test)]
mod tests;

pub(crate) use scope::{Scope, is_public_ip, scope};

/// The longest text read as a peer id, in bytes. Real ones have 46 to 90; the time to decode one grows
/// with the square of its length.
const MAX_PEER_ID_BYTES: usize = 512;
/// The longest text read as an address, in bytes.
const MAX_ADDRESS_BYTES: usize = 2048;
/// The part of a refused text that an error quotes, in characters.
const QUOTED_CHARS: usize = 100;

const CID_VERSION_1: u64 = 1;
const CODEC_LIBP2P_KEY: u64 = 0x72;
const MULTIHASH_IDENTITY: u64 = 0;
const SHA2_256_BYTES: usize = 32;

/// An address as a user or a remote gave it, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// The address to dial, without the `/p2p/` part of the peer itself. A relay's stays.
    pub addr: Multiaddr,
    /// The peer that should answer there, if the address names one.
    pub peer_id: Option<PeerId>,
}

/// Reads a peer id: base58 (`12D3KooW…`, `16Uiu2…`, `Qm…`), a CIDv1 of a libp2p key in any multibase
/// (`bafz…`, `k51…`), with `/p2p/` or the older `/ipfs/` in front, or a whole multiaddr that ends in one.
///
/// # Errors
/// [`ErrorKind::InvalidPeerId`] for everything else, white space around it included, and for a text
/// of the right form that holds no public key.
///
/// ```
/// let id = peerkit::parse_peer_id("/p2p/12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA")?;
/// assert_eq!(id.to_base58(), "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA");
/// # Ok::<(), peerkit::Error>(())
/// ```
pub fn parse_peer_id(text: &str) -> Result<PeerId> {
    let read = if text.starts_with('/') { id_in_address(text) } else { decode_id(text) };
    read.map_err(|why| {
        let message = format!("{} is no peer id: {why}", quote(text));
        Error::new(ErrorKind::InvalidPeerId, message).with("peer_id", shorten(text))
    })
}

/// Reads a peer id as [`parse_peer_id`] does, without the check that costs more than everything else:
/// that it holds a public key. Good enough to look up what was checked before.
pub(crate) fn peer_id_to_look_up(text: &str) -> Option<PeerId> {
    if !text.starts_with('1') && !text.starts_with("Qm") || text.len() > MAX_PEER_ID_BYTES {
        return None;
    }
    let multihash = multibase::Base::Base58Btc.decode(text).ok()?;
    PeerId::from_bytes(&multihash).ok()
}

/// Reads an address, with or without the peer's id at its end.
pub(crate) fn parse_address(text: &str) -> Result<Address> {
    read_address(text).map_err(|why| {
        let message = format!("{} is no address: {why}", quote(text));
        Error::new(ErrorKind::InvalidMultiaddr, message).with("multiaddr", shorten(text))
    })
}

/// Returns the address with `/p2p/` and the id at its end, once.
pub(crate) fn with_peer_id(addr: &Multiaddr, peer_id: &PeerId) -> Multiaddr {
    let end = Protocol::P2p(*peer_id);
    if addr.iter().last().as_ref() == Some(&end) {
        return addr.clone();
    }
    addr.clone().with(end)
}

/// Returns the address without a trailing `/p2p/` component.
pub(crate) fn without_peer_id(addr: &Multiaddr) -> Multiaddr {
    let mut addr = addr.clone();
    if peer_id_of(&addr).is_some() {
        addr.pop();
    }
    addr
}

/// Returns the peer that a trailing `/p2p/` component names.
pub(crate) fn peer_id_of(addr: &Multiaddr) -> Option<PeerId> {
    match addr.iter().last() {
        Some(Protocol::P2p(peer)) => Some(peer),
        _ => None,
    }
}

/// Returns the address with an IPv4 address in the place of an IPv6 one that only stands for it
/// (`::ffff:192.0.2.1`, RFC 4291 section 2.5.5.2). Such an address can't be dialled or listened on as it is:
/// libp2p's IPv6 sockets are IPv6 only. Whatever way an address comes in by, it is made this one.
pub(crate) fn canonical(addr: Multiaddr) -> Multiaddr {
    let mapped = match addr.iter().next() {
        Some(Protocol::Ip6(ip)) => ip.to_ipv4_mapped(),
        _ => None,
    };
    mapped.and_then(|ip| addr.replace(0, |_| Some(Protocol::Ip4(ip)))).unwrap_or(addr)
}

/// Returns the IP address a resolved multiaddr begins with.
pub(crate) fn ip_of(addr: &Multiaddr) -> Option<IpAddr> {
    match addr.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    }
}

/// Returns the first port in an address, of TCP or UDP.
pub(crate) fn port_of(addr: &Multiaddr) -> Option<u16> {
    addr.iter().find_map(|part| match part {
        Protocol::Tcp(port) | Protocol::Udp(port) => Some(port),
        _ => None,
    })
}

/// Returns the transport of a connection to or from this address.
pub(crate) fn transport_kind(addr: &Multiaddr) -> TransportKind {
    transport_of(addr).unwrap_or(TransportKind::Other)
}

/// Returns the transport over which peerkit dials an address, in a build with every feature; None for one it
/// can't dial, and for `/dnsaddr/`, which names its transport only once resolved. A `/p2p/` at the end makes
/// no difference.
pub(crate) fn transport_of(addr: &Multiaddr) -> Option<TransportKind> {
    use Protocol::{Dns, Dns4, Dns6, Ip4, Ip6, QuicV1, Tcp, Udp};

    let mut parts = addr.iter();
    let (Ip4(_) | Ip6(_) | Dns(_) | Dns4(_) | Dns6(_)) = parts.next()? else {
        return None;
    };
    let transport = match parts.next()? {
        Tcp(_) => TransportKind::Tcp,
        // rust-libp2p's QUIC refuses anything behind quic-v1, a certhash too.
        Udp(_) if parts.next() == Some(QuicV1) => TransportKind::Quic,
        _ => return None,
    };
    ends_here(parts).then_some(transport)
}

/// Tells whether this build can dial an address, perhaps only after it is resolved.
pub(crate) fn is_dialable(addr: &Multiaddr) -> bool {
    let mut parts = addr.iter();
    let known = match parts.next() {
        Some(Protocol::Dnsaddr(_)) => ends_here(parts),
        _ => transport_of(addr).is_some(),
    };
    known && features::missing_for(addr).is_none()
}

/// Tells whether nothing but a peer id is left.
fn ends_here<'a>(mut parts: impl Iterator<Item = Protocol<'a>>) -> bool {
    match parts.next() {
        None => true,
        Some(Protocol::P2p(_)) => parts.next().is_none(),
        Some(_) => false,
    }
}

// Each `Err` below is a reason, worded as the end of a sentence; the public functions put it in an `Error`.

fn id_in_address(text: &str) -> Result<PeerId, String> {
    check_text(text, MAX_ADDRESS_BYTES)?;
    let mut parts = components(text)?;
    match take_target(&mut parts)? {
        Some(id) => Ok(id),
        None if parts.contains(&Protocol::P2pCircuit) => {
            Err("the address names a relay, but no peer behind it".to_owned())
        }
        None => Err("the address has no /p2p/ part".to_owned()),
    }
}

fn read_address(text: &str) -> Result<Address, String> {
    check_text(text, MAX_ADDRESS_BYTES)?;
    let mut parts = components(text)?;
    let peer_id = take_target(&mut parts)?;
    if parts.is_empty() {
        return Err("it names a peer, but no transport such as /ip4/192.0.2.1/tcp/4001".to_owned());
    }
    let addr = canonical(parts.into_iter().collect());
    Ok(Address { addr, peer_id })
}

/// Takes the id of the peer an address leads to off its end.
fn take_target(parts: &mut Vec<Protocol<'_>>) -> Result<Option<PeerId>, String> {
    let stray = parts
        .windows(2)
        .any(|pair| matches!(pair, [Protocol::P2p(_), next] if *next != Protocol::P2pCircuit));
    if stray {
        return Err("a /p2p/ part may stand only at its end or before /p2p-circuit".to_owned());
    }
    let Some(&Protocol::P2p(id)) = parts.last() else {
        return Ok(None);
    };
    parts.pop();
    Ok(Some(id))
}

/// Takes an address apart, reading the ids in it ourselves.
fn components(text: &str) -> Result<Vec<Protocol<'_>>, String> {
    let Some(rest) = text.strip_prefix('/') else {
        return Err("an address begins with a slash".to_owned());
    };
    let mut parts = rest.split('/').peekable();
    let mut read = Vec::new();
    while let Some(&name) = parts.peek() {
        let value = parts.clone().nth(1);
        let part = match (name, value) {
            ("p2p" | "ipfs", Some(id)) => {
                parts.nth(1);
                Protocol::P2p(decode_id(id).map_err(|why| format!("in its /{name}/ part, {why}"))?)
            }
            _ => Protocol::from_str_parts(parts.by_ref())
                .map_err(|error| explain(name, value, &error))?,
        };
        check_name(&part)?;
        read.push(part);
    }
    Ok(read)
}

/// Explains why one component of an address can't be read.
fn explain(name: &str, value: Option<&str>, error: &multiaddr::Error) -> String {
    use multiaddr::Error::{InvalidProtocolString, UnknownProtocolString};

    match (error, name, value) {
        (_, "", _) => "it has an empty part (two slashes in a row, or one at its end)".to_owned(),
        (UnknownProtocolString(_), ..) => format!("{} is no protocol known here", quote(name)),
        (InvalidProtocolString, _, None) => format!("nothing follows /{name}"),
        (_, "tcp" | "udp", Some(port)) => {
            format!("{} is no port; ports go from 0 to 65535", quote(port))
        }
        (_, "ip4", Some(ip)) => format!("{} is no IPv4 address", quote(ip)),
        (_, "ip6", Some(ip)) => format!("{} is no IPv6 address", quote(ip)),
        _ => format!("its /{name}/ part can't be read: {error}"),
    }
}

/// Refuses names that no resolver takes; multiaddr's own parser takes even the empty one.
fn check_name(part: &Protocol<'_>) -> Result<(), String> {
    const MAX_NAME_BYTES: usize = 253;

    let (Protocol::Dns(name)
    | Protocol::Dns4(name)
    | Protocol::Dns6(name)
    | Protocol::Dnsaddr(name)) = part
    else {
        return Ok(());
    };
    let odd = |c: char| c.is_whitespace() || c.is_control();
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.contains(odd) {
        return Err(format!("{} is no host name", quote(name)));
    }
    Ok(())
}

/// Decodes one peer id and makes sure that it is one.
fn decode_id(text: &str) -> Result<PeerId, String> {
    check_text(text, MAX_PEER_ID_BYTES)?;
    // The rule of the peer id specification: a text that begins so is base58, all else is a CID.
    let multihash = if text.starts_with('1') || text.starts_with("Qm") {
        let decoded = multibase::Base::Base58Btc.decode(text);
        decoded.map_err(|_| "it has a character that base58 doesn't use".to_owned())?
    } else {
        multihash_of_cid(text)?
    };
    let id = PeerId::from_bytes(&multihash).map_err(|error| match error {
        ParseError::UnsupportedCode(MULTIHASH_IDENTITY) => {
            "its key is too long to stand in an id".to_owned()
        }
        ParseError::UnsupportedCode(code) => {
            format!("its hash function 0x{code:x} isn't used for peer ids")
        }
        _ => "it is cut short or damaged".to_owned(),
    })?;
    check_hash(&id)?;
    Ok(id)
}

/// Returns the multihash in a CIDv1 of a libp2p key.
fn multihash_of_cid(text: &str) -> Result<Vec<u8>, String> {
    let unknown =
        "it begins like neither a base58 id (12D3KooW…, 16Uiu2…, Qm…) nor a CID (bafz…, k51…)";
    let (_, bytes) = multibase::decode(text).map_err(|error| match error {
        multibase::Error::UnknownBase(_) => unknown.to_owned(),
        multibase::Error::InvalidBaseString => {
            "it is no CID: a character doesn't fit its base".to_owned()
        }
    })?;
    let (version, rest) = varint(&bytes).ok_or("it is cut short or damaged")?;
    if version != CID_VERSION_1 {
        return Err("it is no CID of version 1".to_owned());
    }
    let (codec, multihash) = varint(rest).ok_or("it is cut short or damaged")?;
    match codec {
        CODEC_LIBP2P_KEY => Ok(multihash.to_vec()),
        0x70 => {
            Err("it is the CID of a file or directory (dag-pb), not of a libp2p key".to_owned())
        }
        0x55 => Err("it is the CID of raw data, not of a libp2p key".to_owned()),
        0x71 => Err("it is the CID of dag-cbor data, not of a libp2p key".to_owned()),
        other => Err(format!("it is a CID of codec 0x{other:x}, not of a libp2p key (0x72)")),
    }
}

/// Reads the unsigned varint at the front; returns it and what follows it.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    const MAX_BYTES: usize = 9;

    let mut value = 0;
    for (index, byte) in bytes.iter().take(MAX_BYTES).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

/// Refuses a well-formed multihash that can be no peer's: rust-libp2p takes any.
fn check_hash(id: &PeerId) -> Result<(), String> {
    let hash = id.as_ref();
    if hash.code() != MULTIHASH_IDENTITY {
        return match hash.digest().len() {
            SHA2_256_BYTES => Ok(()),
            length => Err(format!("its SHA-256 hash has {length} bytes instead of 32")),
        };
    }
    match PublicKey::try_decode_protobuf(hash.digest()) {
        Ok(key) if key.to_peer_id() == *id => Ok(()),
        _ => Err("it holds no public key".to_owned()),
    }
}

fn check_text(text: &str, max_bytes: usize) -> Result<(), String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    if text.len() > max_bytes {
        return Err(format!("it has {} bytes, at most {max_bytes} are read", text.len()));
    }
    if text.trim() != text {
        return Err("it has white space around it".to_owned());
    }
    Ok(())
}

/// Returns the text as an error may show it: bounded, and with no character that garbles a terminal.
fn quote(text: &str) -> String {
    format!("`{}`", shorten(text))
}

fn shorten(text: &str) -> String {
    let mut shown: String = text.chars().take(QUOTED_CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(QUOTED_CHARS).is_some() {
        shown.push('…');
    }
    shown
}
