//! Checks of single values, and the defaults that depend on the machine: listen addresses, address lists,
//! limits, and the keys that ask for what this build is without.
//!
//! Called by `resolve`, and `open` for what it asks beyond.

use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};

use multiaddr::Protocol;

use super::error::{invalid, invalid_by};
use super::keys::{Config, Limits};
use super::settings::Settings;
use super::table::{Key, Keys, Needs, Number};
use super::values::Profile;
use crate::Multiaddr;
use crate::addr::{parse_address, transport_of};
use crate::error::{Error, ErrorKind, Result};
use crate::features;
use crate::model::reply::LimitsInForce;

/// The longest list of addresses in any key.
const MAX_ADDRESSES: usize = 32;

/// Gives the limits in force, defaults filled in and each within its bounds.
pub(super) fn limits(given: &Limits) -> Result<LimitsInForce> {
    let bounds = Limits::NUMBERS;
    let max_connections = bounds.max_connections.or_default(given.max_connections)?;
    let three_quarters = (u64::from(max_connections) * 3 / 4).max(1) as u32;
    // Either water mark alone stands for what it says, whatever the other's default.
    let default = three_quarters.max(given.low_water.unwrap_or(0)).min(bounds.high_water.most);
    let high_water = bounds.high_water.check(given.high_water.unwrap_or(default))?;
    let low_water = Number { most: high_water, ..bounds.low_water };
    Ok(LimitsInForce {
        max_connections,
        low_water: low_water.check(given.low_water.unwrap_or(low_water.default.min(high_water)))?,
        high_water,
        max_per_peer: bounds.max_per_peer.or_default(given.max_per_peer)?,
        max_pending: bounds.max_pending.or_default(given.max_pending)?,
        max_inbound_per_s: bounds.max_inbound_per_s.or_default(given.max_inbound_per_s)?,
        max_peers: bounds.max_peers.or_default(given.max_peers)?,
    })
}

/// Checks the text that every peer is sent.
pub(super) fn agent_version(given: Option<String>) -> Result<String> {
    const MAX_BYTES: usize = 256;

    let text = given.unwrap_or_else(|| format!("peerkit/{}", env!("CARGO_PKG_VERSION")));
    if text.is_empty() || text.len() > MAX_BYTES {
        return Err(invalid("agent_version", format!("it must have 1 to {MAX_BYTES} bytes")));
    }
    if text.contains(char::is_control) {
        return Err(invalid("agent_version", "it must not have control characters"));
    }
    Ok(text)
}

/// Refuses keys that ask for what this build is without. Values that ask for nothing pass.
pub(super) fn missing(config: &Config) -> Result<()> {
    let missing = config.asking().into_iter().find(|key| !key.needs.are_met());
    let error = match missing {
        Some(Key { name, needs: Needs::Feature(feature), .. }) => {
            feature.absent(&format!("`{name}`")).with("key", *name)
        }
        Some(Key { name, .. }) => not_here(name, "its feature isn't built yet"),
        None if cfg!(not(unix)) && config.control_socket == Some(true) => {
            not_here("control_socket", "there are no Unix sockets on this system")
        }
        None => return Ok(()),
    };
    Err(error)
}

fn not_here(key: &str, why: &str) -> Error {
    let message = format!("`{key}`: {why} in peerkit {}", env!("CARGO_PKG_VERSION"));
    Error::new(ErrorKind::Unsupported, message)
        .with("key", key)
        .with_hint(format!("leave `{key}` out"))
}

/// Refuses a control socket without a directory by which others find it.
pub(super) fn control_socket(settings: &Settings) -> Result<()> {
    match settings.control_socket && settings.data_dir.is_none() {
        true => Err(invalid("control_socket", "it needs a `data_dir`, by which others find it")
            .with_hint("give a data_dir, or leave `control_socket` out")),
        false => Ok(()),
    }
}

/// Gives the addresses a profile listens at when none are given: each of TCP and, without a swarm key,
/// QUIC, on IPv4 and where the machine has it IPv6.
pub(super) fn default_listen(profile: Profile, private_network: bool) -> Vec<Multiaddr> {
    let quic = features::QUIC.built && !private_network;
    let (v4, v6) = match profile {
        Profile::Offline => (Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST),
        Profile::Lan | Profile::Internet => (Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED),
    };
    let hosts = [Some(Protocol::Ip4(v4)), has_ipv6(v6).then_some(Protocol::Ip6(v6))];
    let mut addresses = Vec::new();
    for host in hosts.into_iter().flatten() {
        addresses.push(Multiaddr::from_iter([host.clone(), Protocol::Tcp(0)]));
        if quic {
            addresses.push(Multiaddr::from_iter([host, Protocol::Udp(0), Protocol::QuicV1]));
        }
    }
    addresses
}

/// Binds a socket, the only reliable test: IPv6 may be compiled in, yet switched off.
fn has_ipv6(ip: Ipv6Addr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

/// Reads and checks the addresses given to listen at.
pub(super) fn listen(given: &[String], private_network: bool) -> Result<Vec<Multiaddr>> {
    let addresses = read_addresses("listen", given)?;
    for address in &addresses {
        listenable(address, private_network)?;
    }
    Ok(addresses)
}

fn listenable(address: &Multiaddr, private_network: bool) -> Result<()> {
    let refused = |why: &str| {
        Err(invalid("listen", format!("{address} {why}")).with("multiaddr", address.to_string()))
    };
    let past_the_swarm_key = address.iter().any(|part| {
        matches!(part, Protocol::QuicV1 | Protocol::Quic | Protocol::Ws(_) | Protocol::Wss(_))
    });
    if private_network && past_the_swarm_key {
        return refused("can't be used with `swarm_key`: only TCP has pre-shared keys");
    }
    match transport_of(address) {
        Some(_) if is_name(address) => {
            refused("names a host; give the IP address of an interface, or 0.0.0.0 for all")
        }
        Some(_) => match features::missing_for(address) {
            None => Ok(()),
            Some(feature) => Err(feature
                .absent(&format!("`listen`: {address}"))
                .with("key", "listen")
                .with("multiaddr", address.to_string())),
        },
        None => {
            let message = format!(
                "`listen`: {address} isn't TCP or QUIC (/udp/…/quic-v1), which are all there is yet"
            );
            Err(Error::new(ErrorKind::Unsupported, message)
                .with("key", "listen")
                .with("multiaddr", address.to_string()))
        }
    }
}

fn is_name(address: &Multiaddr) -> bool {
    !matches!(address.iter().next(), Some(Protocol::Ip4(_) | Protocol::Ip6(_)))
}

/// Reads a key that holds addresses to advertise, or not to.
pub(super) fn addresses(key: &str, given: &Option<Vec<String>>) -> Result<Vec<Multiaddr>> {
    read_addresses(key, given.as_deref().unwrap_or_default())
}

/// Reads a list of whole addresses without a peer id.
fn read_addresses(key: &str, given: &[String]) -> Result<Vec<Multiaddr>> {
    if given.len() > MAX_ADDRESSES {
        return Err(invalid(
            key,
            format!("{} addresses are too many; at most {MAX_ADDRESSES}", given.len()),
        ));
    }
    given.iter().map(|text| own_address(key, text)).collect()
}

fn own_address(key: &str, text: &str) -> Result<Multiaddr> {
    let read =
        parse_address(text).map_err(|error| invalid_by(key, &error).with("multiaddr", text))?;
    if read.peer_id.is_some() {
        let why = format!("{text} has a /p2p/ part; it is one's own address");
        return Err(invalid(key, why).with("multiaddr", text));
    }
    if read.addr.iter().any(|part| matches!(part, Protocol::Ipcidr(_))) {
        let message = format!(
            "`{key}`: {text} is an address range, which isn't built yet; give single addresses"
        );
        return Err(Error::new(ErrorKind::Unsupported, message)
            .with("key", key)
            .with("multiaddr", text));
    }
    Ok(read.addr)
}
