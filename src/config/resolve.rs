//! Resolves the configuration to the settings of a run: fills in defaults and checks every value.
//!
//! Precedence is defaults < profile < `config.json` < the call. Single values are checked in `check`, what
//! finds peers in `discovery`.

use std::path::{Path, PathBuf, absolute};
use std::time::Duration;

use super::error::invalid;
use super::keys::Config;
use super::read::FileConfig;
use super::secret::SwarmKey;
use super::settings::{LogSettings, Settings};
use super::table::Keys;
use super::values::Profile;
use super::{check, discovery};
use crate::error::Result;

impl Settings {
    /// Fills in and checks everything. Reads the swarm key's file, and asks the system for IPv6.
    pub(crate) fn resolve(given: &Config, file: Option<FileConfig>) -> Result<Settings> {
        let (config, mut warnings) = match file {
            None => (given.clone(), Vec::new()),
            Some(file) => (given.clone().over(file.config), file.warnings),
        };
        check::missing(&config)?;
        let profile = config.profile.unwrap_or_default();
        warnings.extend(missing_in_profile(profile).map(str::to_owned));
        let swarm_key = config.swarm_key.as_ref().map(SwarmKey::load).transpose()?;
        let listen = match &config.listen {
            Some(listen) => check::listen(listen, swarm_key.is_some())?,
            None => check::default_listen(profile, swarm_key.is_some()),
        };
        let numbers = Config::NUMBERS;
        let idle_timeout_s = numbers.idle_timeout_s.or_default(config.idle_timeout_s)?;
        let default_timeout_ms =
            numbers.default_timeout_ms.or_default(config.default_timeout_ms)?;
        Ok(Settings {
            data_dir: absolute_path("data_dir", config.data_dir.as_deref())?,
            allow_foreign_data_dir: config.allow_foreign_data_dir.unwrap_or(false),
            control_socket: config.control_socket.unwrap_or(false),
            identity: config.identity.clone(),
            profile,
            listen,
            listen_explicit: config.listen.is_some(),
            advertise: check::addresses("advertise", &config.advertise)?,
            no_announce: check::addresses("no_announce", &config.no_announce)?,
            discovery: discovery::resolve(&config, profile)?,
            limits: check::limits(&config.limits.clone().unwrap_or_default())?,
            swarm_key,
            serve_perf: config.serve_perf.unwrap_or(false),
            agent_version: check::agent_version(config.agent_version.clone())?,
            idle_timeout: (idle_timeout_s > 0).then(|| Duration::from_secs(idle_timeout_s)),
            default_timeout: Duration::from_millis(default_timeout_ms),
            log: log_settings(&config)?,
            warnings,
        })
    }
}

/// Names the features of a profile that this release doesn't have.
fn missing_in_profile(profile: Profile) -> Option<&'static str> {
    (profile == Profile::Internet).then_some(
        "profile internet: relays, hole punching and port mapping are not built yet; a node behind NAT \
         can dial, but not be dialled",
    )
}

fn log_settings(config: &Config) -> Result<Option<LogSettings>> {
    let Some(log) = &config.log else {
        return Ok(None);
    };
    Ok(Some(LogSettings {
        level: log.level.unwrap_or_default(),
        file: absolute_path("log.file", log.file.as_deref())?,
    }))
}

/// Makes the path absolute, for the working directory may change. Links stay: they may not exist yet.
fn absolute_path(key: &str, path: Option<&Path>) -> Result<Option<PathBuf>> {
    let read = path.map(absolute).transpose();
    read.map_err(|error| invalid(key, format!("it is no path: {error}")))
}
