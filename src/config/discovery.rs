//! Resolves the keys by which peers are discovered: `discovery`, `bootstrap`, `bootstrap_from_*` and
//! `protocol_prefix`, with the profile's defaults filled in.
//!
//! Called by `resolve`; the worker goes by what comes out.

use std::time::Duration;

use super::error::{invalid, invalid_by};
use super::keys::{Config, Discovery};
use super::settings::DiscoverySettings;
use super::table::Keys;
#[cfg(feature = "daemons")]
use super::values::ApiAddress;
use super::values::{DhtMode, Profile};
use crate::bootstrap::Entry;
use crate::daemon::Api;
use crate::error::Result;
use crate::features::{DHT, GOSSIP, MDNS};

/// Begins the names of peerkit's own protocols.
const PREFIX: &str = "/peerkit";
/// The public DHT's protocol (libp2p specs, kad-dht).
const PUBLIC_DHT: &str = "/ipfs/kad/1.0.0";
/// The longest protocol prefix, and the longest topic, in bytes.
const MAX_NAME_BYTES: usize = 128;
/// Bootstrap addresses in the configuration; the stored list has a limit of its own.
const MAX_BOOTSTRAP: usize = 256;

/// Fills in and checks the settings of discovery.
pub(super) fn resolve(config: &Config, profile: Profile) -> Result<DiscoverySettings> {
    let given = config.discovery.clone().unwrap_or_default();
    let prefix = protocol_prefix(config.protocol_prefix.as_deref())?;
    let (mdns, dht, gossip) = sources(profile);
    let [ipfs, cluster] = daemons(config)?;
    let interval_s = Discovery::NUMBERS.interval_s.or_default(given.interval_s)?;
    Ok(DiscoverySettings {
        mdns: given.mdns.unwrap_or(mdns),
        dht: given.dht.unwrap_or(dht),
        gossip: given.gossip.unwrap_or(gossip),
        gossip_topic: topic(given.gossip_topic, prefix)?,
        interval: Duration::from_secs(interval_s),
        bootstrap: bootstrap(config.bootstrap.as_deref().unwrap_or_default())?,
        ipfs,
        cluster,
        dht_protocol: match (profile, &config.protocol_prefix) {
            (Profile::Internet, None) => PUBLIC_DHT.to_owned(),
            _ => format!("{prefix}/kad/1.0.0"),
        },
        find_peer_protocol: format!("{prefix}/find-peer/1.0.0"),
    })
}

/// Lists what a profile has on: multicast DNS, the DHT, gossip. Those that this build is without are off.
fn sources(profile: Profile) -> (bool, DhtMode, bool) {
    // On a local network every node can be reached, so every node may answer.
    let (mdns, dht, gossip) = match profile {
        Profile::Offline => (false, DhtMode::Off, false),
        Profile::Lan => (true, DhtMode::Server, true),
        Profile::Internet => (false, DhtMode::Auto, true),
    };
    let dht = if DHT.built { dht } else { DhtMode::Off };
    (mdns && MDNS.built, dht, gossip && GOSSIP.built)
}

fn protocol_prefix(given: Option<&str>) -> Result<&str> {
    let prefix = given.unwrap_or(PREFIX);
    let plain = prefix.bytes().all(|byte| byte.is_ascii_graphic());
    if !prefix.starts_with('/') || prefix.ends_with('/') || prefix.len() > MAX_NAME_BYTES || !plain
    {
        let why = "it must look like /name: a slash first, none last, no spaces";
        return Err(invalid("protocol_prefix", why));
    }
    Ok(prefix)
}

fn topic(given: Option<String>, prefix: &str) -> Result<String> {
    let topic = given.unwrap_or_else(|| format!("{prefix}/announce/1.0.0"));
    if topic.is_empty() || topic.len() > MAX_NAME_BYTES || topic.contains(char::is_control) {
        let why = format!("it must have 1 to {MAX_NAME_BYTES} bytes and no control characters");
        return Err(invalid("discovery.gossip_topic", why));
    }
    Ok(topic)
}

fn bootstrap(given: &[String]) -> Result<Vec<Entry>> {
    if given.len() > MAX_BOOTSTRAP {
        let why = format!("{} addresses are too many; at most {MAX_BOOTSTRAP}", given.len());
        return Err(invalid("bootstrap", why));
    }
    let entry = |text: &String| {
        Entry::parse(text).map_err(|error| match error.detail().contains_key("feature") {
            true => error.with("key", "bootstrap"),
            false => invalid_by("bootstrap", &error).with("multiaddr", text.as_str()),
        })
    };
    given.iter().map(entry).collect()
}

/// Reads which daemons passes ask: Kubo, ipfs-cluster.
#[cfg(feature = "daemons")]
fn daemons(config: &Config) -> Result<[Option<Api>; 2]> {
    let Config { bootstrap_from_ipfs: ipfs, bootstrap_from_cluster: cluster, .. } = config;
    Ok([
        api("bootstrap_from_ipfs", ipfs.as_ref(), Api::kubo_default)?,
        api("bootstrap_from_cluster", cluster.as_ref(), Api::cluster_default)?,
    ])
}

/// Gives none: a key that asks for one was refused.
#[cfg(not(feature = "daemons"))]
fn daemons(_: &Config) -> Result<[Option<Api>; 2]> {
    Ok([None, None])
}

#[cfg(feature = "daemons")]
fn api(key: &str, given: Option<&ApiAddress>, default: fn() -> Api) -> Result<Option<Api>> {
    match given {
        None | Some(ApiAddress::On(false)) => Ok(None),
        Some(ApiAddress::On(true)) => Ok(Some(default())),
        Some(ApiAddress::At(text)) if text.is_empty() => Ok(None),
        Some(ApiAddress::At(text)) => Api::parse(text).map(Some).map_err(|error| {
            let invalid = invalid_by(key, &error);
            match text.to_ascii_lowercase().as_str() {
                truth @ ("true" | "false") => {
                    invalid.with_hint(format!("write it without quotes: {truth}"))
                }
                _ => invalid,
            }
        }),
    }
}
