//! The keys a user may set: objects of optional keys with builder methods, and how each object is read
//! from JSON and layered over another. The declarations stand here and nowhere else.
//!
//! What the JSON text is and what becomes of unknown keys is for `read`; what the values mean is for
//! `settings`, the only module that looks at them.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde_json::Value;

use super::read::{Unknown, invalid, read_object};
use super::secret::KeySource;
use super::settings::{DEFAULT_TIMEOUT, MAX_TIMEOUT};
use super::values::{ApiAddress, DhtMode, LogLevel, Profile};
use crate::error::Result;

/// A value that a key may have.
pub(super) trait KeyValue: Sized + Clone {
    /// Reads it from the JSON that stands at `key`.
    fn read(value: Value, key: &str, unknown: &mut Unknown<'_>) -> Result<Self>;

    /// This value where another was set with less precedence.
    fn over(self, _under: Self) -> Self {
        self
    }
}

macro_rules! plain_values {
    ($($ty:ty),*) => { $(
        impl KeyValue for $ty {
            fn read(value: Value, key: &str, _: &mut Unknown<'_>) -> Result<Self> {
                serde_json::from_value(value).map_err(|error| invalid(key, error))
            }
        }
    )* };
}

plain_values!(bool, u32, u64, String, PathBuf, Vec<String>, Profile, DhtMode, LogLevel);

/// Declares an object of keys that are all optional: the struct, its builder methods, and how it is
/// read and layered. A builder takes the value itself (`exact`), something that becomes it (`into`),
/// or a list of things that become texts (`lists`).
macro_rules! keys {
    (
        $(#[$meta:meta])* $name:ident {
            exact { $( $(#[$emeta:meta])* $exact:ident : $ety:ty, )* }
            into { $( $(#[$imeta:meta])* $into:ident : $ity:ty, )* }
            lists { $( $(#[$lmeta:meta])* $list:ident, )* }
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, JsonSchema)]
        #[non_exhaustive]
        pub struct $name {
            $( $(#[$emeta])* pub $exact: Option<$ety>, )*
            $( $(#[$imeta])* pub $into: Option<$ity>, )*
            $( $(#[$lmeta])* pub $list: Option<Vec<String>>, )*
        }

        impl $name {
            pub(super) const KEYS: &'static [&'static str] =
                &[ $( stringify!($exact), )* $( stringify!($into), )* $( stringify!($list), )* ];

            /// Nothing set.
            pub fn new() -> Self {
                Self::default()
            }
            $(
                #[doc = concat!("Sets [`", stringify!($exact), "`](Self::", stringify!($exact), ").")]
                #[must_use]
                pub fn $exact(mut self, value: $ety) -> Self {
                    self.$exact = Some(value);
                    self
                }
            )*
            $(
                #[doc = concat!("Sets [`", stringify!($into), "`](Self::", stringify!($into), ").")]
                #[must_use]
                pub fn $into(mut self, value: impl Into<$ity>) -> Self {
                    self.$into = Some(value.into());
                    self
                }
            )*
            $(
                #[doc = concat!("Sets [`", stringify!($list), "`](Self::", stringify!($list), ").")]
                #[must_use]
                pub fn $list(mut self, values: impl IntoIterator<Item = impl Into<String>>) -> Self {
                    self.$list = Some(values.into_iter().map(Into::into).collect());
                    self
                }
            )*
        }

        impl KeyValue for $name {
            fn read(value: Value, at: &str, unknown: &mut Unknown<'_>) -> Result<Self> {
                let Value::Object(object) = value else {
                    return Err(invalid(at, "it must be an object"));
                };
                let mut read = Self::default();
                for (key, value) in object {
                    let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                    match key.as_str() {
                        known if !Self::KEYS.contains(&known) => unknown.meet(&path)?,
                        _ if value.is_null() => {}
                        $( stringify!($exact) => read.$exact = Some(KeyValue::read(value, &path, unknown)?), )*
                        $( stringify!($into) => read.$into = Some(KeyValue::read(value, &path, unknown)?), )*
                        $( stringify!($list) => read.$list = Some(KeyValue::read(value, &path, unknown)?), )*
                        _ => {}
                    }
                }
                Ok(read)
            }

            fn over(self, under: Self) -> Self {
                Self {
                    $( $exact: layer(self.$exact, under.$exact), )*
                    $( $into: layer(self.$into, under.$into), )*
                    $( $list: layer(self.$list, under.$list), )*
                }
            }
        }
    };
}

fn layer<T: KeyValue>(over: Option<T>, under: Option<T>) -> Option<T> {
    match (over, under) {
        (Some(over), Some(under)) => Some(over.over(under)),
        (over, under) => over.or(under),
    }
}

keys! {
    /// What a manager is started with. Every key is optional; each says its default.
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
    Config {
        exact {
            /// A set of defaults for other keys ("lan").
            profile: Profile,
            /// Serve other processes of the same user, such as `peerkit` commands, through a Unix socket in
            /// data_dir (false).
            control_socket: bool,
            /// Close a connection that nothing has used for so many seconds; 0: never (0). The messages
            /// of topics subscribed to are use; announcements and pings aren't. With such a limit discovery
            /// connects to nobody for the connection's own sake.
            #[schemars(range(max = 31_536_000))]
            idle_timeout_s: u64,
            /// The deadline of calls that name none, in milliseconds (30000).
            #[schemars(range(min = 1, max = 3_600_000))]
            default_timeout_ms: u64,
            /// Seconds for which a peer's content metadata is kept.
            metadata_cache_ttl: u64,
            /// Seconds between two looks at a peer's pins.
            pinset_sync_interval: u64,
        }
        into {
            /// Where identity, peer book and lists live; null: nothing is written, and the identity
            /// lasts as long as the run (null). `config_dir` is another name for it.
            data_dir: PathBuf,
            /// The private key: base64 of its protobuf, as Kubo and go-libp2p export it, or
            /// `{"file": path}` (the one in data_dir, else a new one).
            identity: KeySource,
            /// How peers are found (by profile).
            discovery: Discovery,
            /// Take bootstrap peers from a Kubo daemon (false).
            bootstrap_from_ipfs: ApiAddress,
            /// Take bootstrap peers from an ipfs-cluster (false).
            bootstrap_from_cluster: ApiAddress,
            /// How many of everything.
            limits: Limits,
            /// The pre-shared key of a private network, as text or `{"file": path}`; TCP only (null).
            swarm_key: KeySource,
            /// What we call ourselves, at most 256 bytes ("peerkit/" and the version).
            agent_version: String,
            /// In front of the names of peerkit's own protocols, and of the DHT's unless the profile is "internet"
            /// ("/peerkit").
            protocol_prefix: String,
            /// What is logged, and where to (null: nothing).
            log: Log,
        }
        lists {
            /// Multiaddrs to listen at, at most 32; empty: don't listen (TCP and QUIC, ports chosen by the
            /// system, interfaces by profile).
            listen,
            /// Multiaddrs told to others beside the observed ones, at most 32 ([]).
            advertise,
            /// Multiaddrs never told to others, at most 32 ([]).
            no_announce,
            /// Multiaddrs of peers to begin with, beside the stored list ([]).
            bootstrap,
        }
    }
}

keys! {
    /// How peers are found.
    Discovery {
        exact {
            /// By multicast DNS on the local network.
            mdns: bool,
            /// By the Kademlia DHT.
            dht: DhtMode,
            /// By gossiped announcements.
            gossip: bool,
            /// Seconds between two passes, 1 to 86400 (30). While nothing is new, only one in up to eight asks
            /// the DHT and announces this node. `discovery_interval`, outside, is another name.
            #[schemars(range(min = 1, max = 86_400))]
            interval_s: u64,
        }
        into {
            /// The topic on which nodes announce their addresses ("/peerkit/announce/1.0.0").
            gossip_topic: String,
        }
        lists {}
    }
}

keys! {
    /// How many of everything.
    Limits {
        exact {
            /// Established connections, all told (512).
            #[schemars(range(min = 1, max = 100_000))]
            max_connections: u32,
            /// Established connections to one peer (4).
            #[schemars(range(min = 1, max = 1_000))]
            max_per_peer: u32,
            /// Connections being established, in each direction (128).
            #[schemars(range(min = 1, max = 10_000))]
            max_pending: u32,
            /// Inbound connections accepted in a second (1000).
            #[schemars(range(min = 1, max = 100_000))]
            max_inbound_per_s: u32,
            /// Peers that discovery tries to be connected to, and what trimming leaves (32, or `high_water`
            /// where that is less).
            #[schemars(range(min = 0, max = 100_000))]
            low_water: u32,
            /// Connections above which the least useful are closed (three quarters of `max_connections`).
            #[schemars(range(min = 1, max = 100_000))]
            high_water: u32,
            /// Records in the book (100000).
            #[schemars(range(min = 1, max = 10_000_000))]
            max_peers: u32,
        }
        into {}
        lists {}
    }
}

keys! {
    /// What is logged, and where to.
    Log {
        exact {
            /// How much ("info").
            level: LogLevel,
        }
        into {
            /// The file to append to (null: standard error).
            file: PathBuf,
        }
        lists {}
    }
}

impl Config {
    /// Reads the JSON object that `peerkit_start` takes. A null is as good as a key not given.
    ///
    /// # Errors
    /// [`ErrorKind::ConfigInvalid`](crate::ErrorKind::ConfigInvalid) for what is no JSON object, for an unknown key (`detail.key`, and
    /// the nearest known one in `detail.nearest`) and for a value of the wrong type (`detail.key`).
    pub fn from_json(text: &str) -> Result<Config> {
        read_object(text.as_bytes(), &mut Unknown::Refuse)
    }

    /// The deadline of a start that names none; out of bounds it counts as not given here, and is
    /// refused when the settings are resolved.
    pub(crate) fn start_timeout(&self) -> Duration {
        let given = self.default_timeout_ms.map(Duration::from_millis);
        given.filter(|given| *given <= MAX_TIMEOUT).unwrap_or(DEFAULT_TIMEOUT)
    }
}
