//! `peerkit run`: the node in the foreground.

use std::process::ExitCode;
use std::time::Duration;

use peerkit::Error;
use serde_json::Map;

use crate::args::Global;
use crate::hints::{Door, reworded};
use crate::node::{Host, Setup};
use crate::{show, signals};

/// Runs the node until a signal ends it.
pub fn run(global: &Global, setup: Setup) -> Result<ExitCode, Error> {
    let end = signals::wait_for_end()?;
    let host = Host::start(setup, show::note)?;
    let status = host.node().call("status", Map::new(), Duration::ZERO);
    let status = reworded(status, Door::Command);
    if global.json {
        show::line(status.json());
    } else {
        show::started(&status, host.attached_to());
    }
    end.wait();
    Ok(ExitCode::SUCCESS)
}
