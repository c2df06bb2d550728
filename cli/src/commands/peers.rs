//! `peers`, `peer`, `add` and `remove`: what the book knows.

use peerkit::reply::{PeerPage, PeerReply, Removed};
use serde_json::{Map, Value};

use super::context::{Context, present};
use super::outcome::Outcome;
use super::target;
use crate::args::{Add, OnePeer, Peers};
use crate::node::Needs;
use crate::show;

/// Makes the parameters of `list_peers` of these arguments.
pub fn params(args: &Peers) -> Map<String, Value> {
    let connected = match (args.connected, args.disconnected) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
    present([
        ("limit", args.limit.into()),
        ("offset", args.offset.into()),
        ("filter_protocol", args.protocol.clone().into()),
        ("filter_connected", connected.into()),
        ("search", args.search.clone().into()),
        ("tag", args.tag.clone().into()),
        ("sort", args.sort.name().into()),
    ])
}

/// Runs `peerkit peers`.
pub fn list(context: &Context<'_>, args: &Peers) -> Outcome {
    let node = context.open("list_peers", Needs::Book)?;
    let timeout = context.global.timeout.unwrap_or_default();
    let reply = node.call("list_peers", params(args), timeout);
    let mut told = None;
    let outcome = context.answer(&reply, |page: &PeerPage| {
        told = Some(place(page));
        if page.peers.is_empty() {
            Vec::new()
        } else {
            show::peers::table(&page.peers, show::width())
        }
    })?;
    told.iter().for_each(|told| context.note(told));
    Ok(outcome)
}

/// Tells which part of the list a page is.
pub fn place(page: &PeerPage) -> String {
    let at = &page.pagination;
    let shown = page.peers.len() as u64;
    match (at.total, shown) {
        (0, _) => "no peers".to_owned(),
        (1, 1) => "1 peer".to_owned(),
        (total, shown) if shown == total => format!("{total} peers"),
        (total, 0) => format!("no more: {total} peers"),
        (total, shown) => {
            let (first, last) = (at.offset + 1, at.offset + shown);
            let next =
                if at.has_more { format!(" (next: --offset {last})") } else { String::new() };
            format!("{first} to {last} of {total} peers{next}")
        }
    }
}

/// Runs `peerkit peer`.
pub fn one(context: &Context<'_>, args: &OnePeer) -> Outcome {
    let node = context.open("get_peer", Needs::Book)?;
    let id = target::peer_id(context, &*node, "get_peer", &args.peer)?;
    let reply = context.call(&*node, "get_peer", [("peer_id", id.into())]);
    context.answer(&reply, |peer: &PeerReply| show::peers::details(&peer.peer_info))
}

/// Runs `peerkit add`.
pub fn add(context: &Context<'_>, args: &Add) -> Outcome {
    let (addresses, mut ids): (Vec<_>, Vec<_>) =
        args.parts.iter().cloned().partition(|part| part.starts_with('/') && !is_bare_id(part));
    if ids.len() > 1 {
        let message = "one peer at a time: give one id, and addresses of it";
        let error = peerkit::Error::new(peerkit::ErrorKind::InvalidArgument, message);
        return Err(crate::node::Reply::refused("add_peer", &error).into());
    }
    let node = context.open("add_peer", Needs::Book)?;
    let id = match ids.pop() {
        Some(id) => Some(target::peer_id(context, &*node, "add_peer", &id)?),
        None => None,
    };
    let addresses = (!addresses.is_empty()).then_some(addresses);
    let params = [("peer_id", id.into()), ("multiaddrs", addresses.into())];
    let reply = context.call(&*node, "add_peer", params);
    context.answer(&reply, |peer: &PeerReply| show::peers::details(&peer.peer_info))
}

/// Tells whether something with a slash in front is an id all the same: `/p2p/12D3KooW…`, without an address.
pub fn is_bare_id(text: &str) -> bool {
    ["/p2p/", "/ipfs/"].iter().any(|part| text.starts_with(part))
}

/// Runs `peerkit remove`.
pub fn remove(context: &Context<'_>, args: &OnePeer) -> Outcome {
    let node = context.open("remove_peer", Needs::Book)?;
    let id = target::peer_id(context, &*node, "remove_peer", &args.peer)?;
    let reply = context.call(&*node, "remove_peer", [("peer_id", id.into())]);
    context.answer(&reply, |removed: &Removed| vec![format!("{} is forgotten", removed.peer_id)])
}
