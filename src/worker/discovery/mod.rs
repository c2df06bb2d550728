//! Discovery: passes over the sources, automatic at an interval, or requested by a call.
//!
//! A pass asks every source that is on and waits for those that answer; what they discover between
//! passes is taken as well. `source` is what every source can do; they are `bootstrap`, `mdns`, `dht`,
//! `gossip` with `records`, and `daemons`. `sources` is the table of them. `passes` is what a pass waits
//! for, `backoff` makes passes ask the whole network less often while nothing is new. `driver` begins and
//! ends passes, `events` takes what other parts and the sources' protocols tell of.

mod backoff;
mod bootstrap;
#[cfg(feature = "daemons")]
mod daemons;
#[cfg(feature = "dht")]
mod dht;
mod driver;
mod events;
#[cfg(feature = "gossip")]
mod gossip;
#[cfg(feature = "mdns")]
mod mdns;
mod passes;
#[cfg(feature = "gossip")]
mod records;
mod source;
mod sources;
#[cfg(feature = "default")]
#[cfg(test)]
mod tests;

pub(crate) use self::driver::{Discovery, DiscoveryCommand};
