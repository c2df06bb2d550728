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

/// The longest timeout a call may have, and a subscription may be waited for: an hour. A longer one is
/// `invalid_argument`.
pub const MAX_TIMEOUT: Duration = Duration::from_millis(Config::NUMBERS.default_timeout_ms.most);
/// The deadline of calls that name none, where the configuration names none either.
pub(crate) const DEFAULT_TIMEOUT: Duration =
    Duration::from_millis(Config::NUMBERS.default_timeout_ms.default);

keys! {
    /// The configuration that a manager is started with. Every key is optional; each says its default. With a
    /// `data_dir`, the keys of `config.json` in it count where these leave one out. Values are checked by the start.
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
        /// True where `data_dir` may belong to another user, as a container's volume does: that user is then trusted with
        /// all that is in it. Has no effect in `config.json`. Default: false.
        exact allow_foreign_data_dir: bool;
        /// The private key: base64 of its protobuf, as Kubo and go-libp2p export it, or `{"file": path}`.
        /// Default: the one in data_dir, else a new one.
        into identity: KeySource;
        /// The profile, a set of defaults for other keys. Default: "lan".
        exact profile: Profile;
        /// Multiaddrs to listen at, without `/p2p/`, at most 32; empty: don't listen. One that can't be had fails the
        /// start. Default: TCP and QUIC, ports chosen by the system, interfaces by profile.
        list listen: Vec<String>;
        /// Multiaddrs of this node that are advertised to others beside those it listens at, at most 32; they also count
        /// as external addresses, at which it can be reached. Default: [].
        list advertise: Vec<String>;
        /// Multiaddrs of this node that are never advertised to others, at most 32. Default: [].
        list no_announce: Vec<String>;
        /// Multiaddrs of peers to begin with, each with its `/p2p/` part (a `/dnsaddr/` needs none), at most 256, beside
        /// the stored list. Default: [].
        list bootstrap: Vec<String> => discovery.bootstrap;
        /// The ways in which peers are discovered. Default: by profile.
        object discovery: Discovery;
        /// The API of a Kubo daemon, whose peers each pass of discovery takes over. Default: false.
        into bootstrap_from_ipfs: ApiAddress, needs "daemons" => discovery.ipfs;
        /// The API of an ipfs-cluster, whose members each pass of discovery takes over. Default: false.
        into bootstrap_from_cluster: ApiAddress, needs "daemons" => discovery.cluster;
        /// Limits on connections and on the book.
        object limits: Limits;
        /// The pre-shared key of a private network, as text or `{"file": path}`, in the form of Kubo's `swarm.key`: the
        /// line `/key/swarm/psk/1.0.0/`, then `/base16/` or `/base64/`, then 32 bytes so encoded. With it, TCP only.
        /// Default: null.
        into swarm_key: KeySource;
        /// True to serve other processes of the same user, such as `peerkit` commands, through a Unix socket; needs
        /// data_dir. Default: false.
        exact control_socket: bool, needs "control";
        /// Serve libp2p's perf protocol, by which peers measure how fast bytes go to this node and come from it. It
        /// spends this node's bandwidth on whoever is connected and asks: 256 MiB each way at a time, four at once.
        /// Default: false.
        exact serve_perf: bool;
        /// The agent version that identify tells peers, at most 256 bytes. Default: "peerkit/" and the version.
        into agent_version: String;
        /// The beginning of the names of peerkit's own protocols and of the DHT's, like "/name", at most 128 bytes.
        /// Default: "/peerkit"; but the DHT of profile "internet" is the public one where this key isn't given.
        into protocol_prefix: String => discovery.find_peer_protocol;
        /// Seconds after which a connection that nothing uses is closed; 0: never. The messages of topics
        /// subscribed to are use; gossiped peer records and pings aren't. With such a limit discovery connects to nobody
        /// for the connection's own sake.
        exact idle_timeout_s: u64, in 0..=31_536_000, default 0 => idle_timeout;
        /// The deadline of calls that name none, in milliseconds.
        exact default_timeout_ms: u64, in 1..=3_600_000, default 30_000 => default_timeout;
        /// The log: its level and its file. Default: null, for none.
        object log: Log, needs "log";
        /// Seconds for which a peer's content metadata is kept. Not built yet: `unsupported`.
        unbuilt metadata_cache_ttl: u64;
        /// Seconds between two looks at a peer's pins. Not built yet: `unsupported`.
        unbuilt pinset_sync_interval: u64;
    }
}

keys! {
    /// The ways in which peers are discovered.
    Discovery at "discovery.", becomes DiscoverySettings, with DiscoveryNumbers {
        /// Multicast DNS on the local network. Default: true with profile "lan", else false.
        exact mdns: bool, needs "mdns";
        /// The part this node takes in the Kademlia DHT. Default: "server" with profile "lan", "auto" with "internet",
        /// "off" with "offline".
        exact dht: DhtMode, needs "dht";
        /// Signed peer records, gossiped between nodes. Default: false with profile "offline", else true.
        exact gossip: bool, needs "gossip";
        /// The topic on which nodes publish their peer records, 1 to 128 bytes. Default: "/peerkit/announce/1.0.0", where
        /// "/peerkit" is `protocol_prefix`.
        into gossip_topic: String, needs "gossip";
        /// Seconds between two passes: with the default a new peer is known within half a minute. While nothing is
        /// new, only one in up to eight asks the DHT and publishes this node's record. `discovery_interval`, outside this
        /// object, is another name for it.
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
