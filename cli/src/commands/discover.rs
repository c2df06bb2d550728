//! `discover`, `find`, `provide` and `providers`: what asks others where somebody or something is.

use std::process::ExitCode;

use peerkit::reply::{Discovery, PeerFound, Provided, Providers};
use serde_json::Value;

use super::context::Context;
use super::outcome::Outcome;
use super::target;
use crate::args::{self, Content, Discover, DiscoverWhat, OnePeer};
use crate::node::Needs;
use crate::show::escape::escape;
use crate::show::{self, time};

/// Runs `peerkit discover`.
pub fn run(context: &Context<'_>, args: &Discover) -> Outcome {
    let shown = |reply: &Discovery| show::node::discovery(reply, show::width());
    match args.what {
        // A node that ran for this alone would start or stop nothing that lasts.
        Some(DiscoverWhat::Start) => context.ask(Needs::Running, "start_discovery", [], shown),
        Some(DiscoverWhat::Stop) => context.ask(Needs::Running, "stop_discovery", [], shown),
        Some(DiscoverWhat::Status) => context.ask(Needs::Running, "get_discovery", [], shown),
        None => {
            let node = context.open("discover_peers", Needs::Network)?;
            let progress = context.progress("looking for peers");
            let reply = context.call(&*node, "discover_peers", [("limit", args.limit.into())]);
            drop(progress);
            context.answer(&reply, shown)
        }
    }
}

/// Runs `peerkit find`.
pub fn find(context: &Context<'_>, args: &OnePeer) -> Outcome {
    let node = context.open("find_peer", Needs::Network)?;
    let id = target::peer_id(context, &*node, "find_peer", &args.peer)?;
    let progress = context.progress("asking where it is");
    let reply = context.call(&*node, "find_peer", [("peer_id", id.into())]);
    drop(progress);
    let mut lookups = Vec::new();
    let code = context.answer(&reply, |found: &PeerFound| {
        lookups = show::node::lookups(&found.lookups);
        found.multiaddrs.iter().map(|address| escape(address).into_owned()).collect()
    })?;
    show::failure::print(&lookups);
    Ok(code)
}

/// Runs `peerkit provide`.
pub fn provide(context: &Context<'_>, args: &Content) -> Outcome {
    let node = context.open("provide", Needs::Network)?;
    let progress = context.progress("telling the DHT");
    let reply = context.call(&*node, "provide", [("cid", Value::from(&*args.cid))]);
    drop(progress);
    let code = context.answer(&reply, |done: &Provided| {
        vec![format!("{}  told in {}", escape(&done.cid), time::ms(done.duration_ms))]
    })?;
    if code == ExitCode::SUCCESS {
        context.note_own(&node);
    }
    Ok(code)
}

/// Runs `peerkit providers`.
pub fn providers(context: &Context<'_>, args: &args::Providers) -> Outcome {
    let node = context.open("find_providers", Needs::Network)?;
    let progress = context.progress("asking the DHT");
    let params = [("cid", Value::from(&*args.cid)), ("limit", args.limit.into())];
    let reply = context.call(&*node, "find_providers", params);
    drop(progress);
    let mut none = false;
    let code = context.answer(&reply, |found: &Providers| {
        none = found.peers.is_empty();
        if none { Vec::new() } else { show::peers::providers(&found.peers, show::width()) }
    })?;
    if none {
        context.note("nobody");
    }
    Ok(code)
}
