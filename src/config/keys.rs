//! The keys a user may set: the one list of their names, other names, types, bounds, defaults and meaning, and
//! of the setting each becomes. `table` makes structs of it.
//!
//! `read` reads them from JSON; `resolve` says what the values mean.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::secret::KeySource;
use super::settings::{DiscoverySettings, LogSettings, Settings};
use super::table::{Asks, Key, Keys, Needs, Number, keys};
use super::values::{ApiAddress, DhtMode, LogLevel, Profile};
use crate::features::cargo_feature;
use crate::model::reply::LimitsInForce;

/// The longest deadline a call may have.
pub const MAX_TIMEOUT: Duration = Duration::from_millis(Config::NUMBERS.default_timeout_ms.most);
/// The deadline of calls that name none, where the configuration names none either.
pub(crate) const DEFAULT_TIMEOUT: Duration =
    Duration::from_millis(Config::NUMBERS.default_timeout_ms.default);

keys! {
    /// The configuration that a manager is started with. Every key is optional; each says its default.
    ///
    /// ```
    /// use peerkit::config::{Config, Limits, Profile};
    ///
    /// let config = Config::new()
    ///     .profile(Profile::Offline)
    ///     .listen(["/ip4/127.0.0.1/tcp/0"])
    ///     .limits(Limits::new().max_connections(64));
    /// let same = Config::from_json(
    ///     r#"{"profile":"offline","listen":["/ip4/127.0.0.1/tcp/0"],"limits":{"max_connections":64}}"#,
    /// )?;
    /// assert_eq!(config, same);
    /// # Ok::<(), peerkit::Error>(())
    /// ```
    Config at "", becomes Settings, with ConfigNumbers {
        /// The directory of identity, peer book and lists; null: nothing is written, and the identity lasts as long as
        /// the run. `config_dir` is another name for it. Default: null.
        into data_dir: PathBuf, also config_dir;
        /// The private key: base64 of its protobuf, as Kubo and go-libp2p export it, or `{"file": path}`.
        /// Default: the one in data_dir, else a new one.
        into identity: KeySource;
        /// A set of defaults for other keys. Default: "lan".
        exact profile: Profile;
        /// Multiaddrs to listen at, at most 32; empty: don't listen. Default: TCP and QUIC, ports chosen by the
        /// system, interfaces by profile.
        list listen: Vec<String>;
        /// Multiaddrs advertised to others beside the observed ones, at most 32. Default: [].
        list advertise: Vec<String>;
        /// Multiaddrs never advertised to others, at most 32. Default: [].
        list no_announce: Vec<String>;
        /// Multiaddrs of peers to begin with, at most 256, beside the stored list. Default: [].
        list bootstrap: Vec<String> => discovery.bootstrap;
        /// The ways in which peers are discovered. Default: by profile.
        object discovery: Discovery;
        /// Take bootstrap peers from a Kubo daemon. Default: false.
        into bootstrap_from_ipfs: ApiAddress, needs "daemons" => discovery.ipfs;
        /// Take bootstrap peers from an ipfs-cluster. Default: false.
        into bootstrap_from_cluster: ApiAddress, needs "daemons" => discovery.cluster;
        /// Limits on connections and on the book.
        object limits: Limits;
        /// The pre-shared key of a private network, as text or `{"file": path}`; TCP only. Default: null.
        into swarm_key: KeySource;
        /// Serve other processes of the same user, such as `peerkit` commands, through a Unix socket in
        /// data_dir. Default: false.
        exact control_socket: bool, needs "control";
        /// Serve libp2p's perf protocol, by which peers measure how fast bytes go to this node and come from it. It
        /// spends this node's bandwidth on whoever is connected and asks: 256 MiB each way at a time, four at once.
        /// Default: false.
        exact serve_perf: bool;
        /// The agent version that identify tells peers, at most 256 bytes. Default: "peerkit/" and the version.
        into agent_version: String;
        /// The beginning of the names of peerkit's own protocols, and of the DHT's unless the profile is "internet".
        /// Default: "/peerkit".
        into protocol_prefix: String => discovery.find_peer_protocol;
        /// Close a connection that nothing has used for this many seconds; 0: never. The messages of topics
        /// subscribed to are use; announcements and pings aren't. With such a limit discovery connects to nobody
        /// for the connection's own sake.
        exact idle_timeout_s: u64, in 0..=31_536_000, default 0 => idle_timeout;
        /// The deadline of calls that name none, in milliseconds.
        exact default_timeout_ms: u64, in 1..=3_600_000, default 30_000 => default_timeout;
        /// The log: its level and its file. Default: null, for none.
        object log: Log, needs "log";
        /// Seconds for which a peer's content metadata is kept.
        unbuilt metadata_cache_ttl: u64;
        /// Seconds between two looks at a peer's pins.
        unbuilt pinset_sync_interval: u64;
    }
}

keys! {
    /// The ways in which peers are discovered.
    Discovery at "discovery.", becomes DiscoverySettings, with DiscoveryNumbers {
        /// Multicast DNS on the local network. Default: by profile.
        exact mdns: bool, needs "mdns";
        /// The Kademlia DHT. Default: by profile.
        exact dht: DhtMode, needs "dht";
        /// Gossiped announcements. Default: by profile.
        exact gossip: bool, needs "gossip";
        /// The topic on which nodes announce their addresses. Default: "/peerkit/announce/1.0.0", where "/peerkit"
        /// is `protocol_prefix`.
        into gossip_topic: String, needs "gossip";
        /// Seconds between two passes: with the default a new peer is known within half a minute. While nothing is
        /// new, only one in up to eight asks the DHT and announces this node. `discovery_interval`, outside, is
        /// another name for it.
        exact interval_s: u64, in 1..=86_400, default 30, also discovery_interval => interval;
    }
}

keys! {
    /// Limits on connections and on the book.
    Limits at "limits.", becomes LimitsInForce, with LimitsNumbers {
        /// Established connections in total. The default is few enough for the usual 1024 file descriptors of a
        /// process that has its own, pending ones included.
        exact max_connections: u32, in 1..=100_000, default 512;
        /// Established connections to one peer. The default is one each way over TCP and QUIC.
        exact max_per_peer: u32, in 1..=1_000, default 4;
        /// Connections being established, in each direction.
        exact max_pending: u32, in 1..=10_000, default 128;
        /// Inbound connections accepted in a second. A handshake costs about a third of a millisecond, so with the
        /// default a third of a core at most goes to unproven peers.
        exact max_inbound_per_s: u32, in 1..=100_000, default 1_000;
        /// Peers that discovery tries to be connected to, and what trimming leaves; `high_water` where that is
        /// less. The default is Kubo's.
        exact low_water: u32, in 0..=100_000, default 32;
        /// Connections above which the least useful are closed. Default: three quarters of `max_connections`.
        exact high_water: u32, in 1..=100_000;
        /// Records in the book. With the default it takes about 100 MB of memory when full.
        exact max_peers: u32, in 1..=10_000_000, default 100_000;
    }
}

keys! {
    /// The log: its level and its file.
    Log at "log.", becomes LogSettings, with LogNumbers {
        /// The least severe events that are logged. Default: "info".
        exact level: LogLevel;
        /// The file to append to; null: standard error. Default: null.
        into file: PathBuf;
    }
}

impl Config {
    /// Returns the deadline of a start that names none; out of bounds it counts as not given here, and is refused when
    /// the settings are resolved.
    pub(crate) fn start_timeout(&self) -> Duration {
        let given = self.default_timeout_ms.map(Duration::from_millis);
        given.filter(|given| *given <= MAX_TIMEOUT).unwrap_or(DEFAULT_TIMEOUT)
    }
}

impl Asks for Log {}

/// Lists every key, each object before the keys in it.
pub(super) fn every_key() -> impl Iterator<Item = &'static Key> {
    Config::KEYS.iter().flat_map(|key| std::iter::once(key).chain(key.inside))
}
