//! Configuration: the keys a user may set ([`Config`]), and what follows from them.
//!
//! ```
//! use std::time::Duration;
//! use peerkit::config::{ApiAddress, Config, DhtMode, Discovery, KeySource, Limits, Log, LogLevel, Profile};
//!
//! let config = Config::new()
//!     .profile(Profile::Lan)
//!     .data_dir("/var/lib/me/peers")
//!     .identity(KeySource::file("/etc/me/node.key"))
//!     .bootstrap(["/dnsaddr/bootstrap.libp2p.io"])
//!     .discovery(Discovery::new().dht(DhtMode::Client).interval_s(60))
//!     .bootstrap_from_ipfs(true) // at the daemon's default on this machine
//!     .bootstrap_from_cluster(ApiAddress::from("http://127.0.0.1:9094"))
//!     .limits(Limits::new().max_connections(100).low_water(10))
//!     .log(Log::new().level(LogLevel::Warn))
//!     .default_timeout_ms(10_000);
//! assert_eq!(config.limits.unwrap().high_water, None); // three quarters of max_connections, then
//! assert_eq!(peerkit::MAX_TIMEOUT, Duration::from_secs(3600));
//! ```

// `keys` is the list of keys, `table` makes structs of it, with `values` and `secret` for what keys hold and
// `read` for their JSON. `resolve` puts defaults, profile, file and call together to `settings`; `check` and
// `discovery` hold what it asks of single values, `conflicts` what a second start is compared by. `data_dir`
// with `lock_file`, and `identity` are what start finds on disk; `private_key`, `key_protobuf` and `der`
// read keys. `open` runs them in order, for `run`.
// Nothing here knows the network.

mod check;
mod conflicts;
mod data_dir;
mod der;
mod discovery;
mod error;
mod identity;
mod key_protobuf;
mod keys;
mod lock_file;
mod private_key;
mod read;
mod resolve;
mod secret;
mod settings;
mod table;
#[cfg(feature = "default")]
#[cfg(test)]
mod tests;
mod values;

use libp2p::identity::Keypair;

pub use keys::{Config, Discovery, Limits, Log, MAX_TIMEOUT};
pub use secret::KeySource;
pub use values::{ApiAddress, DhtMode, LogLevel, Profile};

pub(crate) use data_dir::DataDir;
#[cfg(feature = "control")]
pub(crate) use keys::DEFAULT_TIMEOUT;
#[cfg(feature = "control")]
pub(crate) use lock_file::Owner;
pub(crate) use settings::Settings;

use identity::{Identity, load_identity};

use crate::disk::{Held, Unread};
use crate::error::Result;

/// Everything a start begins with.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Every setting, resolved and checked.
    pub settings: Settings,
    /// The data directory, locked; None where nothing is written.
    pub data_dir: Option<DataDir>,
    /// The node's key pair.
    pub keypair: Keypair,
    /// The file in the data directory that the key is in.
    pub key_file: Option<Held>,
}

/// Checks the configuration, locks the data directory, reads `config.json` and the identity.
/// Blocks on the disk; on failure the lock is released.
pub(crate) fn open(config: &Config) -> Result<Opened> {
    // Resolves once without the file: a bad call is refused before it leaves a directory behind.
    let mut settings = Settings::resolve(config, None)?;
    check::control_socket(&settings)?;
    let foreign = settings.allow_foreign_data_dir;
    let open = |path| DataDir::open(path, foreign);
    let data_dir = settings.data_dir.as_deref().map(open).transpose()?;
    if let Some(data_dir) = &data_dir {
        refuse_foreign_keys(config, data_dir)?;
    }
    if let Some(file) = data_dir.as_ref().map(DataDir::read_config).transpose()?.flatten() {
        data_dir.iter().try_for_each(|it| refuse_foreign_keys(&file.config, it))?;
        let path = file.path.clone();
        settings = Settings::resolve(config, Some(file)).map_err(|error| {
            let error = error.in_file(&path);
            match error.hint() {
                Some(_) => error,
                None => error.with_hint(
                    "the config.json in the data directory is part of this configuration",
                ),
            }
        })?;
    }
    let Identity { keypair, warning, file } = load_identity(&settings, data_dir.as_ref())?;
    settings.warnings.extend(warning);
    Ok(Opened { settings, data_dir, keypair, key_file: file })
}

/// Refuses files of keys that lie in the data directory and belong to somebody else; elsewhere the user, who names
/// them, knows whose they are.
fn refuse_foreign_keys(config: &Config, data_dir: &DataDir) -> Result<()> {
    for (key, source) in [("identity", &config.identity), ("swarm_key", &config.swarm_key)] {
        let Some(KeySource::File { file }) = source else { continue };
        let place = std::path::absolute(file).ok().and_then(|file| data_dir.place_of(&file));
        if let Some(Err(why @ (Unread::Foreign(_) | Unread::ForeignLink(_)))) =
            place.map(|place| place.open(false))
        {
            let why = format!("{} {why}", file.display());
            return Err(error::invalid(key, why)
                .with("path", file.display().to_string())
                .with_hint("make it the user's that the node runs as, or name another file"));
        }
    }
    Ok(())
}
