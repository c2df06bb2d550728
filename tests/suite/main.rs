//! Tests of peerkit's promises, one module for each kind of promise. Every peer is a process of its own
//! (`tests/support`), so the tests run at once; `hammer` runs in one of its own too.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/mod.rs"]
mod support;

mod bandwidth;
mod bootstrap;
mod catalogue;
mod clock;
mod clock_told;
mod connecting;
mod control;
mod control_bounds;
mod control_budget;
mod daemons;
mod dead_peers;
mod dht;
mod directory;
mod durability;
mod events;
mod events_churn;
mod failures;
mod forks;
mod gossip;
mod hammer;
mod hold_off;
mod hostile;
mod hostile_dht;
mod house;
mod js;
mod lan;
mod lifecycle;
mod limits;
mod listening;
mod metrics;
mod names;
mod namespaces;
mod passes;
mod private_network;
mod promises;
mod reachability;
mod shortage;
mod snapshots;
mod texts;
mod trimming;
mod waits;
