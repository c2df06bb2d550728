//! The code that the two programs of the benchmarks share.
//!
//! `bench` is the driver; `bench-node` is a process that embeds libpeerkit through its C ABI and
//! nothing else, so that its memory is that of an embedding program. Everything measured runs in a
//! process of its own and takes commands as lines of JSON (`child`, `line`), on a network of its own
//! where that can be had (`netns`, `nets`); `abi` is the C library, `load` and `readers` the uses that
//! programs make of it, `raw` and `member` plain rust-libp2p, `reference` the bare lock and JSON;
//! `stats` and `table` show the outcome. The parts are in `connect`, `pages`, `reads`, `events`,
//! `discovery`, `lookups`, `idle`, `memory`, `http` and `attack`.

pub mod abi;
pub mod attack;
pub mod child;
pub mod clocks;
pub mod connect;
pub mod discovery;
pub mod events;
pub mod http;
pub mod idle;
pub mod line;
pub mod load;
pub mod lookups;
pub mod member;
pub mod memory;
#[path = "../../tests/support/namespace.rs"]
mod namespace;
pub mod netns;
pub mod nets;
pub mod pages;
pub mod raw;
pub mod readers;
pub mod reads;
pub mod records;
pub mod reference;
pub mod stats;
pub mod table;

/// Any error ends the run; nobody handles it.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
