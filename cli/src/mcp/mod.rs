//! The MCP server: the operations as tools for agents, over standard input and output, or over HTTP where `http`
//! mounts it.
//!
//! `tools` says which tools there are, `offer` and `schema` make of them what a client sees, `run` runs them, `events`
//! is the one that is no operation, `shorten` bounds what they answer; `server` is what a client talks to, `stdio` and
//! `http` the transports, `message` what both read (`id` finds who asked, also in what is no JSON).

mod events;
mod http;
mod id;
mod message;
mod offer;
mod run;
mod schema;
mod server;
mod shorten;
mod stdio;
mod tools;

#[cfg(test)]
pub use self::tools::of_operation as tool_of;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use peerkit::{Error, ErrorKind};
use rmcp::ServiceExt;
use rmcp::service::ServerInitializeError;

pub use self::http::{End, Http, http_service};
pub use self::message::{Read, Refused, read as read_message, refuse_doubled};
pub use self::run::MAX_THREADS;
use self::server::Server;
use self::stdio::Stdio;
use crate::args::Mcp;
use crate::guard::Guarded;
use crate::node::{Host, Setup};
use crate::show::escape::escape;
use crate::threads::{self, Threads};
use crate::{show, signals};

/// The threads of the runtime: one client doesn't keep more busy.
const WORKERS: usize = 2;

/// Runs `peerkit mcp`: serves MCP on standard input and output until the client goes away or a signal comes. Nothing
/// else is written to standard output.
pub fn serve_stdio(args: &Mcp, setup: Setup) -> Result<ExitCode, Error> {
    let end = signals::wait_for_end()?;
    let host = Host::start(setup.clone(), show::note)?;
    if let Some(error) = host.failure() {
        // Every reply says so too; this is for whoever looks into the client's log.
        let error = error.to_string();
        let _ = writeln!(io::stderr(), "peerkit: the node can't start yet: {}", escape(&error));
    }
    let node = Arc::new(Guarded::new(host.node(), &setup, args.read_only));
    let server = Server::new(node, Threads::start(MAX_THREADS)?)?;
    let runtime = threads::runtime(WORKERS, true)?;
    let served = runtime.block_on(async {
        tokio::select! {
            served = serve(server) => served,
            () = end.arrival() => Ok(()),
        }
    });
    // A read of standard input, or a call, may still be under way; the node's end ends the calls.
    runtime.shutdown_background();
    drop(host);
    served.map(|()| ExitCode::SUCCESS)
}

async fn serve(server: Server) -> Result<(), Error> {
    let streams = Stdio::open();
    loop {
        match server.clone().serve(streams.clone()).await {
            Ok(running) => {
                let _ = running.waiting().await;
                return Ok(());
            }
            // A notification or a response, to which nobody waits for an answer: the session still is to begin.
            Err(ServerInitializeError::ExpectedInitializeRequest(_)) => {}
            // It had second thoughts.
            Err(ServerInitializeError::ConnectionClosed(_) | ServerInitializeError::Cancelled) => {
                return Ok(());
            }
            Err(error) => {
                let message = format!("the client does not speak MCP: {error}");
                return Err(Error::new(ErrorKind::Protocol, message));
            }
        }
    }
}
