//! Tests of the program, each of which drives `peerkit` processes.

mod commands;
mod mcp;
mod output;
mod support;
mod watch;
