//! The settings of a run: the configuration with every default filled in and every value checked.
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

/// The settings of a run.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The data directory, absolute; None: nothing is written.
    pub data_dir: Option<PathBuf>,
    /// True where the data directory may be another user's.
    pub allow_foreign_data_dir: bool,
    /// True where other processes of the user are served.
    pub control_socket: bool,
    /// The private key, if the configuration gives one.
    pub identity: Option<KeySource>,
    /// The profile in force.
    pub profile: Profile,
    /// Addresses to listen at; empty: none.
    pub listen: Vec<Multiaddr>,
    /// True where `listen` was given: an address in it that can't be had is an error.
    pub listen_explicit: bool,
    /// Addresses advertised to others beside the observed ones.
    pub advertise: Vec<Multiaddr>,
    /// Addresses never advertised to others.
    pub no_announce: Vec<Multiaddr>,
    /// The settings of discovery.
    pub discovery: DiscoverySettings,
    /// The limits in force.
    pub limits: LimitsInForce,
    /// The key of the private network; with it, TCP only.
    pub swarm_key: Option<SwarmKey>,
    /// True where peers may measure the bandwidth to this node, at its cost.
    pub serve_perf: bool,
    /// The agent version that identify tells peers.
    pub agent_version: String,
    /// The time after which an unused connection is closed; None: never.
    pub idle_timeout: Option<Duration>,
    /// The deadline of calls that name none.
    pub default_timeout: Duration,
    /// The log; None: nothing is logged.
    pub log: Option<LogSettings>,
    /// Warnings: not wrong enough to fail, but worth knowing.
    pub warnings: Vec<String>,
}

/// The settings of discovery.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DiscoverySettings {
    pub mdns: bool,
    pub dht: DhtMode,
    pub gossip: bool,
    /// The topic of signed peer records.
    pub gossip_topic: String,
    /// The time between two passes.
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
    pub find_peer_protocol: String,
}

/// The log: its level and its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogSettings {
    /// The least severe events that are logged.
    pub level: LogLevel,
    /// The file to append to, absolute; None: standard error.
    pub file: Option<PathBuf>,
}

impl Settings {
    /// Tells whether peers at public addresses are refused, in and out.
    pub(crate) fn local_only(&self) -> bool {
        self.profile == Profile::Lan
    }

    /// Gives the least scope of an address that is advertised to others: on the Internet one of less is of no use to
    /// them, and says more than they need to know.
    pub(crate) fn least_advertised(&self) -> Scope {
        match self.profile {
            Profile::Internet => Scope::Public,
            Profile::Lan | Profile::Offline => Scope::Loopback,
        }
    }

    /// Tells whether peerkit may dial an address of this scope on its own. `listed`: the user
    /// named it for that, in the bootstrap list.
    pub(crate) fn may_dial_automatically(&self, scope: Scope, listed: bool) -> bool {
        match self.profile {
            Profile::Offline => scope == Scope::Loopback,
            // A name that a remote chose is not even looked up.
            Profile::Lan => scope < Scope::Public || scope == Scope::Name && listed,
            Profile::Internet => true,
        }
    }
}
