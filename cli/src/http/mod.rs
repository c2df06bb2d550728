//! The HTTP interface: REST, events, metrics, MCP and the dashboard, over one node.
//!
//! `server` accepts connections: `connections` says whom, `budget` bounds what they have of memory, `backlog` and `stall`
//! how late they may be, `unparsed` refuses what is no request, `sending` follows a request to its end, `refusals` counts;
//! `middleware` lets requests in (`hosts`, `caller` by its `token`, `room`); `routes` is
//! the table of what they can ask for, `router` leads them there, `accept` says what they can read; `calls` runs an operation (`params`) and `shape` and
//! `status` make its reply a response; `events`, `metrics` (in the form of `exposition`), `openapi`, `access`, `pages` and `agents` (MCP) answer what
//! is no operation. `app` is the state they share.

mod accept;
mod access;
mod agents;
mod app;
mod backlog;
mod budget;
mod caller;
mod calls;
mod connections;
mod events;
mod exposition;
mod hosts;
mod metrics;
mod middleware;
mod openapi;
mod pages;
mod params;
mod refusals;
mod room;
mod router;
mod routes;
mod sending;
mod server;
mod shape;
mod stall;
mod status;
mod token;
mod unparsed;

#[cfg(test)]
pub use self::routes::of_operation as routes_of;

use std::io::IsTerminal;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use peerkit::{Error, ErrorKind};
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tower_http::catch_panic::CatchPanicLayer;

use self::app::App;
use crate::args::{Global, Serve};
use crate::hints::{Door, reworded};
use crate::mcp::{self, End};
use crate::node::{Host, Setup};
use crate::threads::{self, Threads};
use crate::{show, signals};

/// The time that blocking calls may take at the very end.
const LAST_CALLS: Duration = Duration::from_secs(1);

/// Runs `peerkit serve`: the node, and its interface, until a signal ends it.
pub fn serve(global: &Global, args: &Serve, setup: Setup) -> Result<ExitCode, Error> {
    let end = signals::wait_for_end()?;
    // First of all, so that a port which is taken is told before a node starts.
    let listener = bind(args.http)?;
    let bound = listener.local_addr().map_err(|error| no_listener(args.http, &error))?;
    let workers = available_parallelism().map_or(1, NonZero::get);
    let runtime = threads::runtime(workers, false)?;
    let threads = Threads::start(room::MAX_ACTING + room::READERS + mcp::MAX_THREADS)?;
    let (stop, ending) = watch::channel(false);
    let host = Host::start(setup.clone(), show::note)?;
    let app = Arc::new(App::new(args, bound, host.node(), &setup, threads, ending)?);
    app.token.check()?;
    let (router, end_agents) = router(&app)?;
    let server = {
        let _inside = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener);
        let listener = listener.map_err(|error| no_listener(args.http, &error))?;
        runtime.spawn(server::serve(listener, Arc::clone(&app), router))
    };
    announce(global, &app, &host, hosts::reached_at(bound));
    end.wait();
    let _ = stop.send(true);
    end_agents();
    let _ = runtime.block_on(server);
    // Calls that still wait are answered `closed` by the node's end.
    drop(host);
    app.threads.finish(LAST_CALLS);
    app.large.finish(LAST_CALLS);
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

/// Makes the service of everything there is, and what ends the streams of agents.
fn router(app: &Arc<App>) -> Result<(Router, End), Error> {
    let (agents, end_agents) = agents::route(app)?;
    let router = router::router(app)
        .merge(agents)
        .layer(CatchPanicLayer::custom(|_| status::panicked()))
        .layer(from_fn_with_state(Arc::clone(app), middleware::handle));
    Ok((router, end_agents))
}

fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    let listener = TcpListener::bind(address);
    let listener = listener.and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener.map_err(|error| no_listener(address, &error))
}

fn no_listener(address: SocketAddr, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::ListenFailed, format!("can't listen on {address}: {error}"))
        .with("address", address.to_string())
        .with_hint("give another address with --http; port 0 lets the system choose a port")
}

/// Says where it serves. The token is shown to a person at a terminal alone: standard output may be a log.
fn announce(global: &Global, app: &App, host: &Host, reached: SocketAddr) {
    let status = host.node().call("status", Map::new(), Duration::ZERO);
    let status = reworded(status, Door::Command);
    let token = app.token.get();
    if global.json {
        let mut line = Map::new();
        let mut put = |name: &str, value: Value| line.insert(name.to_owned(), value);
        let fields = status.object();
        let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
        put("http", format!("http://{reached}").into());
        put("mcp", format!("http://{reached}/mcp").into());
        put("token_file", app.token.file().display().to_string().into());
        put("peer_id", field("peer_id"));
        let addresses = field("listen_addrs");
        put("listen_addrs", if addresses.is_null() { json!([]) } else { addresses });
        put("attached_to", host.attached_to().into());
        if !status.is_success() {
            for name in ["error", "code", "hint"] {
                put(name, field(name));
            }
        } else if let Err(error) = &token {
            put("error", error.message().into());
            put("code", error.kind().as_str().into());
            put("hint", error.hint().into());
        }
        show::line(&Value::Object(line).to_string());
        return;
    }
    if status.is_success() {
        show::started(&status, host.attached_to());
    } else {
        show::note("the node can't run; this server goes on, and tries again");
        show::started(&status, None);
    }
    match token {
        Ok(token) if std::io::stdout().is_terminal() => {
            show::line(&format!("open http://{reached}/#token={token}"));
        }
        Ok(_) => {
            show::line(&format!("open http://{reached}/"));
            show::line(&format!("the token is in {}", app.token.file().display()));
        }
        Err(error) => {
            show::line(&format!("open http://{reached}/"));
            show::line(&format!("nobody can act: {error}"));
        }
    }
}
