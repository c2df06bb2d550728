//! The MCP server: the operations as tools for agents.

use std::process::ExitCode;

use peerkit::Error;

use crate::args::Mcp;
use crate::node::{Host, Setup};

/// `peerkit mcp`: serves MCP on standard input and output until the client goes away.
pub fn serve_stdio(_args: &Mcp, setup: Setup) -> Result<ExitCode, Error> {
    let _host = Host::start(setup)?;
    Ok(ExitCode::SUCCESS)
}
