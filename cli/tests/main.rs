//! Tests of the program, each of which drives `peerkit` processes.

mod mcp;
mod support;
