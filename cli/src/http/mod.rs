//! The HTTP interface: REST, events, metrics, MCP and the dashboard, over one node.

use std::process::ExitCode;

use peerkit::Error;

use crate::args::{Global, Serve};
use crate::node::{Host, Setup};
use crate::signals;

/// `peerkit serve`: runs the node and serves it until a signal ends it.
pub fn serve(_global: &Global, _args: &Serve, setup: Setup) -> Result<ExitCode, Error> {
    let end = signals::wait_for_end()?;
    let _host = Host::start(setup)?;
    end.wait();
    Ok(ExitCode::SUCCESS)
}
