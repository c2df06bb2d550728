//! Tests of the program, each of which drives `peerkit` processes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod arrows;
mod commands;
mod dashboard;
mod http_doors;
mod http_events;
mod http_load;
mod http_metrics;
mod http_node_down;
mod http_openapi;
mod http_routes;
mod http_security;
mod inputs;
mod mcp;
mod mcp_raw;
mod moved;
mod output;
mod shortage;
mod signals;
mod socket;
mod support;
mod watch;
