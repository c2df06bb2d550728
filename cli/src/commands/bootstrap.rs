//! `bootstrap`: the list, and the peers of daemons beside this node.

use std::process::ExitCode;

use peerkit::reply::{BootstrapPeers, FromDaemon};

use super::context::{Context, first_failure};
use super::outcome::Outcome;
use crate::args::{self, Bootstrap};
use crate::node::Needs;
use crate::show::escape::escape;
use crate::show::table::{Cell, Table, cut, left};
use crate::show::{self, style};

/// Runs `peerkit bootstrap`.
pub fn run(context: &Context<'_>, args: &Bootstrap) -> Outcome {
    match args {
        Bootstrap::List => context.ask(Needs::Book, "list_bootstrap_peers", [], list),
        Bootstrap::Add(args) => change(context, "add_bootstrap_peer", args),
        Bootstrap::Rm(args) => change(context, "remove_bootstrap_peer", args),
        Bootstrap::FromIpfs(args) => from_daemon(context, "bootstrap_from_ipfs", args),
        Bootstrap::FromCluster(args) => from_daemon(context, "bootstrap_from_cluster", args),
    }
}

fn list(reply: &BootstrapPeers) -> Vec<String> {
    if reply.bootstrap_peers.is_empty() {
        show::note("the bootstrap list is empty");
    }
    reply.bootstrap_peers.iter().map(|address| escape(address).into_owned()).collect()
}

fn change(context: &Context<'_>, method: &str, args: &args::Addresses) -> Outcome {
    let node = context.open(method, Needs::Book)?;
    let mut codes: Vec<ExitCode> = Vec::new();
    for address in &args.addresses {
        let reply = context.call(&*node, method, [("multiaddr", address.clone().into())]);
        codes.push(context.answer(&reply, |reply: &BootstrapPeers| {
            let what = match (method, reply.changed) {
                ("add_bootstrap_peer", true) => "added",
                ("add_bootstrap_peer", false) => "was on the list already",
                (_, true) => "removed",
                (_, false) => "was not on the list",
            };
            vec![format!("{}  {what}", escape(address))]
        })?);
    }
    Ok(first_failure(codes))
}

fn from_daemon(context: &Context<'_>, method: &str, args: &args::FromDaemon) -> Outcome {
    let node = context.open(method, Needs::Network)?;
    let progress = context.progress("asking the daemon");
    let connect = args.no_connect.then_some(false);
    let params = [("api", args.api.clone().into()), ("connect", connect.into())];
    let reply = context.call(&*node, method, params);
    drop(progress);
    let code = context.answer(&reply, lines)?;
    if code == ExitCode::SUCCESS && !args.no_connect {
        context.note_own(&node);
    }
    Ok(code)
}

fn lines(reply: &FromDaemon) -> Vec<String> {
    let mut lines = show::peers::table(&reply.peers, show::width());
    if !reply.failed.is_empty() {
        let mut table = Table::new(&[
            left("NOT CONNECTED"),
            left("CODE"),
            cut("ADDRESS", 12),
            cut("ERROR", 12),
        ]);
        for failed in &reply.failed {
            table.row([
                Cell::new(&failed.peer_id),
                Cell::new(failed.code.as_str()).styled(style::WARN),
                Cell::of(failed.address.as_deref()),
                Cell::new(&failed.error),
            ]);
        }
        lines.push(String::new());
        lines.extend(table.lines(show::width()));
    }
    let (named, connected) = (reply.peers.len(), reply.connected.len());
    lines.push(format!("{named} named, {connected} connected, {} failed", reply.failed.len()));
    lines
}
