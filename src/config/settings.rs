//! Settings: the configuration with every default filled in and every value checked.
//!
//! Precedence is defaults < profile < `config.json` < the call. The worker and the book take their
//! numbers from here; nothing changes after start. Single values are checked in `check`; a second start
//! is compared in `conflicts`.

use std::path::{Path, PathBuf, absolute};
use std::time::Duration;

use super::check;
use super::discovery::DiscoverySettings;
use super::keys::{Config, KeyValue};
use super::read::{FileConfig, invalid};
use super::secret::{KeySource, SwarmKey};
use super::values::{LogLevel, Profile};
use crate::Multiaddr;
use crate::addr::Scope;
use crate::error::Result;
use crate::model::reply::LimitsInForce;

/// The deadline of calls that name none, where the configuration names none either.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest deadline a call may have.
pub const MAX_TIMEOUT: Duration = Duration::from_millis(3_600_000);
/// A year; much more would overflow a deadline.
const MAX_IDLE_TIMEOUT_S: u64 = 31_536_000;

/// What a run goes by.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Where things are kept, absolute; None: nothing is written.
    pub data_dir: Option<PathBuf>,
    /// Whether other processes of the user are served.
    pub control_socket: bool,
    /// The private key, if the configuration gives one.
    pub identity: Option<KeySource>,
    /// The profile in force.
    pub profile: Profile,
    /// Where to listen; empty: nowhere.
    pub listen: Vec<Multiaddr>,
    /// Whether `listen` was given: a given address that can't be had is an error.
    pub listen_explicit: bool,
    /// Addresses told to others beside the observed ones.
    pub advertise: Vec<Multiaddr>,
    /// Addresses never told to others.
    pub no_announce: Vec<Multiaddr>,
    /// How peers are found.
    pub discovery: DiscoverySettings,
    /// How many of everything.
    pub limits: LimitsInForce,
    /// The key of the private network; with it, TCP only.
    pub swarm_key: Option<SwarmKey>,
    /// What we call ourselves.
    pub agent_version: String,
    /// How long an unused connection lives; None: as long as it can.
    pub idle_timeout: Option<Duration>,
    /// The deadline of calls that name none.
    pub default_timeout: Duration,
    /// What is logged; None: nothing.
    pub log: Option<LogSettings>,
    /// What isn't wrong enough to fail but worth knowing.
    pub warnings: Vec<String>,
}

/// What is logged, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogSettings {
    /// How much.
    pub level: LogLevel,
    /// The file to append to, absolute; None: standard error.
    pub file: Option<PathBuf>,
}

impl Settings {
    /// Whether peers at public addresses are refused, in and out.
    pub(crate) fn local_only(&self) -> bool {
        self.profile == Profile::Lan
    }

    /// How far an address of anybody must reach to be told to others: on the Internet a near one is of
    /// no use to them, and says more than they need know.
    pub(crate) fn least_told(&self) -> Scope {
        match self.profile {
            Profile::Internet => Scope::Public,
            Profile::Lan | Profile::Offline => Scope::Loopback,
        }
    }

    /// Whether peerkit may dial an address of this scope without being asked to. `listed`: the user
    /// named it for that, in the bootstrap list.
    pub(crate) fn may_dial_unasked(&self, scope: Scope, listed: bool) -> bool {
        match self.profile {
            Profile::Offline => scope == Scope::Loopback,
            // A name that a remote chose is not even looked up.
            Profile::Lan => scope < Scope::Public || scope == Scope::Name && listed,
            Profile::Internet => true,
        }
    }

    /// Fills in and checks everything. Reads the swarm key's file, and asks the system for IPv6.
    pub(crate) fn resolve(given: &Config, file: Option<FileConfig>) -> Result<Settings> {
        let (config, mut warnings) = match file {
            None => (given.clone(), Vec::new()),
            Some(file) => (given.clone().over(file.config), file.warnings),
        };
        check::unbuilt(&config)?;
        let profile = config.profile.unwrap_or_default();
        warnings.extend(missing_in_profile(profile).map(str::to_owned));
        let swarm_key = config.swarm_key.as_ref().map(SwarmKey::load).transpose()?;
        let listen = match &config.listen {
            Some(listen) => check::listen(listen, swarm_key.is_some())?,
            None => check::default_listen(profile, swarm_key.is_some()),
        };
        Ok(Settings {
            data_dir: absolute_path("data_dir", config.data_dir.as_deref())?,
            control_socket: config.control_socket.unwrap_or(false),
            identity: config.identity.clone(),
            profile,
            listen,
            listen_explicit: config.listen.is_some(),
            advertise: check::addresses("advertise", &config.advertise)?,
            no_announce: check::addresses("no_announce", &config.no_announce)?,
            discovery: DiscoverySettings::resolve(&config, profile)?,
            limits: check::limits(&config.limits.clone().unwrap_or_default())?,
            swarm_key,
            agent_version: check::agent_version(config.agent_version.clone())?,
            idle_timeout: idle_timeout(&config)?,
            default_timeout: default_timeout(&config)?,
            log: log_settings(&config)?,
            warnings,
        })
    }
}

/// What a profile promises and this release doesn't have.
fn missing_in_profile(profile: Profile) -> Option<&'static str> {
    (profile == Profile::Internet).then_some(
        "profile internet: relays, hole punching and port mapping are not built yet; a node behind NAT \
         can dial, but not be dialled",
    )
}

fn idle_timeout(config: &Config) -> Result<Option<Duration>> {
    let seconds = check::bounded(
        "idle_timeout_s",
        config.idle_timeout_s.unwrap_or(0),
        0,
        MAX_IDLE_TIMEOUT_S,
    )?;
    Ok((seconds > 0).then(|| Duration::from_secs(seconds)))
}

fn default_timeout(config: &Config) -> Result<Duration> {
    let given = config.default_timeout_ms.unwrap_or(DEFAULT_TIMEOUT.as_millis() as u64);
    Ok(Duration::from_millis(check::bounded(
        "default_timeout_ms",
        given,
        1,
        MAX_TIMEOUT.as_millis() as u64,
    )?))
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

/// The path whatever the working directory becomes later. Links stay: they may not exist yet.
fn absolute_path(key: &str, path: Option<&Path>) -> Result<Option<PathBuf>> {
    let read = path.map(absolute).transpose();
    read.map_err(|error| invalid(key, format!("it is no path: {error}")))
}
