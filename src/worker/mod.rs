//! The worker: one task that owns the libp2p swarm. Only here are libp2p's swarm and tokio named.
//!
//! It takes commands from the facade, events from the swarm, from multicast DNS and from daemons, and
//! its own timers, one at a time, and never waits for anything else: the book is memory, the disk has
//! a thread of its own, and answers and events go into queues that never block.
//!
//! `core` has what every part needs. The parts stand beside it, a room each: `connections`, `dialing`,
//! `lookup`, `discovery`, `pubsub`, `content`. None knows another: a part informs others by notes, and
//! `dispatch`, the loop, the only file that knows all parts, hands each note round.
//! `behaviour` and `transport` put libp2p together, `protocols` are behaviours of our own; `bind` is
//! the start, `shared` what the facade and the worker have in common.

mod behaviour;
mod bind;
mod command;
mod connections;
#[cfg(feature = "dht")]
mod content;
mod core;
mod dialing;
mod discovery;
mod dispatch;
mod lookup;
#[cfg_attr(not(feature = "metrics"), path = "metrics/absent.rs")]
mod metrics;
mod protocols;
#[cfg(feature = "gossip")]
mod pubsub;
mod reply;
mod shared;
mod transport;
mod util;

pub(crate) use self::bind::bind;
pub(crate) use self::command::{Command, CommandQueue};
pub(crate) use self::connections::ConnectionsCommand;
#[cfg(feature = "dht")]
pub(crate) use self::content::ContentCommand;
pub(crate) use self::dialing::{DialingCommand, Target};
pub(crate) use self::discovery::DiscoveryCommand;
pub(crate) use self::lookup::LookupCommand;
#[cfg(feature = "gossip")]
pub(crate) use self::protocols::gossipsub::config::MAX_TOPIC_BYTES;
#[cfg(feature = "gossip")]
pub(crate) use self::pubsub::PubsubCommand;
pub(crate) use self::reply::{Reply, Terms, dead};
pub(crate) use self::shared::Shared;
