//! Tests of the program, each of which drives `peerkit` processes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod dashboard;
