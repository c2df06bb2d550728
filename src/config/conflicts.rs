//! A second start beside a running manager: which of the keys it names have another value there.
//!
//! Keys it doesn't name don't matter, nor does how a value is written: a key file counts by the key in
//! it, a path by where it leads. Called by `process`.

use std::fs;
use std::path::{Path, PathBuf};

use super::identity::keypair_from;
use super::keys::{Config, Log};
use super::settings::{LogSettings, Settings};
use crate::PeerId;
use crate::error::Result;

/// For each key: its name, and whether `given` names it while `ours` and `theirs` differ in it.
macro_rules! differing {
    ($prefix:literal, $given:expr, $ours:expr, $theirs:expr, $($key:ident),*) => {
        [$((
            concat!($prefix, stringify!($key)),
            $given.$key.is_some() && $ours.$key != $theirs.$key,
        )),*]
    };
}

impl Settings {
    /// The keys that `given` names with another value than these running settings have, sorted.
    /// `running` is the running node's id. Secrets are compared, never shown.
    ///
    /// # Errors
    /// Those of a start, where `given` wouldn't do for any.
    #[rustfmt::skip] // the lists of keys
    pub(crate) fn conflicts(&self, given: &Config, running: &PeerId) -> Result<Vec<String>> {
        let theirs = Settings::resolve(given, None)?;
        let limits = given.limits.clone().unwrap_or_default();
        let discovery = given.discovery.clone().unwrap_or_default();
        let (ours, other) = (&self.discovery, &theirs.discovery);
        let mut keys = Vec::new();
        keys.extend(differing!("", given, self, theirs,
            advertise, agent_version, control_socket, listen, no_announce, profile, swarm_key));
        keys.extend(differing!("limits.", limits, self.limits, theirs.limits,
            high_water, low_water, max_connections, max_inbound_per_s, max_peers, max_pending, max_per_peer));
        keys.extend(differing!("discovery.", discovery, self.discovery, theirs.discovery,
            dht, gossip, gossip_topic, mdns));
        keys.extend(differing!("", given, self.discovery, theirs.discovery, bootstrap));
        keys.extend([
            ("bootstrap_from_cluster", given.bootstrap_from_cluster.is_some() && ours.cluster != other.cluster),
            ("bootstrap_from_ipfs", given.bootstrap_from_ipfs.is_some() && ours.ipfs != other.ipfs),
            ("discovery.interval_s", discovery.interval_s.is_some() && ours.interval != other.interval),
            ("protocol_prefix", given.protocol_prefix.is_some() && ours.exchange_protocol != other.exchange_protocol),
            ("data_dir", given.data_dir.is_some() && !same_path(&self.data_dir, &theirs.data_dir)),
            ("default_timeout_ms", given.default_timeout_ms.is_some() && self.default_timeout != theirs.default_timeout),
            ("idle_timeout_s", given.idle_timeout_s.is_some() && self.idle_timeout != theirs.idle_timeout),
            ("identity", other_identity(given, running)?),
        ]);
        keys.extend(log_keys(given, self.log.as_ref(), theirs.log.as_ref()));
        let mut found: Vec<_> = keys.into_iter().filter(|key| key.1).map(|key| key.0.to_owned()).collect();
        found.sort_unstable();
        Ok(found)
    }
}

fn other_identity(given: &Config, running: &PeerId) -> Result<bool> {
    let keypair = given.identity.as_ref().map(keypair_from).transpose()?;
    Ok(keypair.is_some_and(|keypair| keypair.public().to_peer_id() != *running))
}

fn log_keys(
    given: &Config,
    ours: Option<&LogSettings>,
    theirs: Option<&LogSettings>,
) -> [(&'static str, bool); 3] {
    let level = |log: Option<&LogSettings>| log.map(|log| log.level);
    let file = |log: Option<&LogSettings>| log.and_then(|log| log.file.clone());
    // An empty `log` names nothing inside, yet asks for a log.
    let asks_for_one = given.log == Some(Log::new()) && ours.is_none();
    let log = given.log.clone().unwrap_or_default();
    let other_file = !same_path(&file(ours), &file(theirs));
    [
        ("log", asks_for_one),
        ("log.file", log.file.is_some() && other_file),
        ("log.level", log.level.is_some() && level(ours) != level(theirs)),
    ]
}

/// Whether two paths lead to one place, by whatever links.
fn same_path(ours: &Option<PathBuf>, theirs: &Option<PathBuf>) -> bool {
    ours.as_deref().map(real_path) == theirs.as_deref().map(real_path)
}

/// The path without links, as far as it exists: the last part may not yet.
fn real_path(path: &Path) -> PathBuf {
    let in_real_parent = || Some(fs::canonicalize(path.parent()?).ok()?.join(path.file_name()?));
    fs::canonicalize(path).ok().or_else(in_real_parent).unwrap_or_else(|| path.to_owned())
}
