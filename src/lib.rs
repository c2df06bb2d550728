//! peerkit: an embeddable, sync-first libp2p peer manager.
//!
//! A program that links it gets a real libp2p node in its own process. Every call blocks with a
//! deadline; there is no async runtime to own and no daemon to run. There is one manager in a
//! process: [`PeerManager::start`] returns it to every caller.
//!
//! ```
//! # fn main() -> peerkit::Result<()> {
//! use std::time::Duration;
//! use peerkit::params::{ConnectPeer, ListPeers};
//! use peerkit::{Config, PeerManager, Profile};
//!
//! let manager = PeerManager::start(&Config::new().profile(Profile::Offline), None)?;
//!
//! let nobody = ConnectPeer::at("/ip4/127.0.0.1/tcp/1");
//! let error = manager.connect_peer(nobody, Duration::from_secs(5)).unwrap_err();
//! println!("{}: {error} {:?}", error.kind(), error.detail()["attempts"]);
//!
//! for peer in manager.list_peers(ListPeers::new().filter_connected(true))?.peers {
//!     println!("{} {:?}", peer.peer_id, peer.latency_ms);
//! }
//! manager.stop(None)?;
//! # Ok(())
//! # }
//! ```
//!
//! # Overview
//! [`PeerManager`] has a method for each operation. The parameters are in [`params`], the answers in
//! [`reply`], the events meanwhile in [`event`]. Each failure has one of the kinds of [`ErrorKind`].
//! [`Config`] says how a node is started; [`config`] has all its keys. [`ops`] serves the same operations by
//! name and as JSON, and [`control`] those of a node in another process.
//!
//! # Features
//! All but `capi` are on by default. What needs one that a build is without is
//! [`Unsupported`](ErrorKind::Unsupported), and the error names it.
//!
//! | feature | |
//! |---|---|
//! | `dht` | the Kademlia DHT: peers and who has some content are found by it |
//! | `gossip` | gossipsub: topics and messages, and signed peer records |
//! | `mdns` | multicast DNS: peers on the same network |
//! | `daemons` | the peers of a Kubo daemon or an ipfs-cluster |
//! | `metrics` | OpenMetrics text |
//! | `control` | the control socket, and the client of one |
//! | `log` | the log of what the node decides, to standard error or a file |
//! | `quic` | QUIC beside TCP |
//! | `dns` | names in addresses |
//! | `capi` | the functions of the C ABI, for `make lib`; a Rust program that has them exports them |

// To read the source: `manager` is the facade; it reads the `book` and sends commands to the `worker`,
// which owns the swarm; `run` is the life of a node, from its start to its end, and `worker::Shared` what
// facade and worker have in common; `process` holds the one slot; `ops` is the table of operations and
// `ffi` their C face. ARCHITECTURE.md has the picture.

#![cfg_attr(docsrs, feature(doc_cfg))]
// A build without some feature is left with what only that one uses; the build with all of them finds what
// nothing uses.
#![cfg_attr(not(all(feature = "default", feature = "capi")), allow(dead_code, unused_variables))]

mod addr;
pub mod admission;
mod book;
mod bootstrap;
mod clock;
pub mod config;
#[cfg(feature = "control")]
pub mod control;
#[cfg(not(feature = "control"))]
#[path = "control/unsupported.rs"]
mod control;
#[cfg_attr(not(feature = "daemons"), path = "daemon/absent.rs")]
mod daemon;
mod discovery_log;
mod disk;
mod error;
mod events;
mod features;
#[cfg(feature = "capi")]
mod ffi;
mod handle;
#[cfg_attr(not(feature = "log"), path = "log/absent.rs")]
mod log;
mod manager;
mod model;
pub mod ops;
mod os;
mod process;
mod run;
pub mod text;
mod worker;

pub use self::addr::parse_peer_id;
pub use self::clock::Timestamp;
pub use self::config::{Config, MAX_TIMEOUT, Profile};
#[cfg(feature = "daemons")]
pub use self::daemon::is_loopback_api;
pub use self::error::{Error, ErrorKind, Result};
pub use self::manager::{EventIter, Events, PeerManager};
pub use self::model::{
    Attempt, ConnectionInfo, DialStage, Direction, LastDisconnect, LastError, PeerInfo, PeerRow,
    Policy, Source, Text, TransportKind, event, params, reply,
};
pub use libp2p::PeerId;
pub use multiaddr::Multiaddr;

/// The version of the library, such as "0.1.0".
///
/// ```
/// println!("peerkit {}, C ABI {}", peerkit::VERSION, peerkit::ABI_VERSION);
/// ```
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The version of the C ABI; it rises when a program compiled against an older header could break.
pub const ABI_VERSION: u32 = 1;

/// Checks that everything a Rust program holds may go to any thread.
const _: () = {
    const fn shared<T: Send + Sync + 'static>() {}
    shared::<Config>();
    shared::<Error>();
    shared::<PeerManager>();
    shared::<Events>();
    shared::<EventIter<'static>>();
    #[cfg(feature = "control")]
    {
        shared::<control::Client>();
        shared::<control::RemoteEvents>();
    }
    shared::<event::Event>();
    shared::<PeerInfo>();
    shared::<params::Publish>();
    shared::<reply::Summary>();
    shared::<ops::Operation>();
};

#[cfg(all(doctest, feature = "default"))]
#[doc = include_str!("../README.md")]
struct ReadmeIsTested;
