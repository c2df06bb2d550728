//! Programs in other languages on the libraries that `make dev-lib` made: the C tests of the contract, the
//! examples, a go-libp2p peer as the other side, and valgrind as the judge. Every test starts processes that
//! talk over real sockets of this machine; nothing here calls the Rust library.
//!
//! `make test` builds what is needed first: `make dev-lib` the libraries, `make go-peer` the Go peer.

#![allow(clippy::expect_used, reason = "the helpers of these tests are tests too")]

mod contract;
mod examples;
mod interop;
mod library;
mod peers;
mod process;
#[path = "../support/skip.rs"]
mod skip;
mod toolchain;
mod valgrind;
