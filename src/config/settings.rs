//! What a run goes by: the configuration with every default filled in and every value checked.
//!
//! `resolve` makes it; the worker and the book take their numbers from here. Nothing changes after start, and
//! a second start is compared with it in `conflicts`.

use std::path::PathBuf;
use std::time::Duration;

use super::secret::{KeySource, SwarmKey};
use super::values::{DhtMode, LogLevel, Profile};
use crate::Multiaddr;
use crate::addr::Scope;
use crate::bootstrap::Entry;
use crate::daemon::Api;
use crate::model::reply::LimitsInForce;

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

/// How peers are found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DiscoverySettings {
    pub mdns: bool,
    pub dht: DhtMode,
    pub gossip: bool,
    /// The topic of signed announcements.
    pub gossip_topic: String,
    /// Between two passes.
    pub interval: Duration,
    /// The entries of the configuration, beside the stored list.
    pub bootstrap: Vec<Entry>,
    /// The Kubo daemon whose peers each pass takes.
    pub ipfs: Option<Api>,
    /// The ipfs-cluster whose members each pass takes.
    pub cluster: Option<Api>,
    /// The name of the DHT.
    pub dht_protocol: String,
    /// The protocol by which connected peers are asked where a peer is.
    pub exchange_protocol: String,
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
}
