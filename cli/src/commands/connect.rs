//! `connect`, `disconnect` and `ping`.

use std::process::ExitCode;
use std::thread;

use peerkit::reply::{Connected, Disconnected, Pinged};
use serde_json::Value;

use super::context::{Context, first_failure};
use super::outcome::{Failure, Outcome};
use super::peers::is_bare_id;
use super::target;
use crate::args::{self, OnePeer};
use crate::node::{Needs, Node, Reply};
use crate::show::escape::escape;
use crate::show::{self, failure, style, time};

/// The most connects at once.
const AT_ONCE: usize = 8;

/// A peer to connect to.
#[derive(Debug, Clone, PartialEq)]
struct Target {
    peer: Option<String>,
    address: Option<String>,
}

/// Reads what was typed: an id takes the address after it, unless that one names another peer.
fn targets(words: &[String]) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    for word in words {
        if !word.starts_with('/') || is_bare_id(word) {
            targets.push(Target { peer: Some(word.clone()), address: None });
            continue;
        }
        match targets.last_mut() {
            Some(Target { peer: Some(peer), address: address @ None }) if fits(peer, word) => {
                *address = Some(word.clone());
            }
            _ => targets.push(Target { peer: None, address: Some(word.clone()) }),
        }
    }
    targets
}

/// Tells whether an address can be one of this peer: it names that one, or none.
fn fits(peer: &str, address: &str) -> bool {
    let named = ["/p2p/", "/ipfs/"].iter().find_map(|part| address.rsplit_once(part));
    match (named, peerkit::parse_peer_id(peer)) {
        (None, _) => true,
        (Some((_, named)), Ok(peer)) => peerkit::parse_peer_id(named).is_ok_and(|id| id == peer),
        (Some((_, named)), Err(_)) => named.ends_with(peer.trim_start_matches(['…', '.'])),
    }
}

/// Runs `peerkit connect`.
pub fn connect(context: &Context<'_>, args: &args::Connect) -> Outcome {
    let targets = targets(&args.targets);
    let node = context.open("connect_peer", Needs::Network)?;
    let what = match &targets[..] {
        [one] => one.address.clone().or(one.peer.clone()).unwrap_or_default(),
        several => format!("{} peers", several.len()),
    };
    let mut codes: Vec<ExitCode> = Vec::new();
    for some in targets.chunks(AT_ONCE) {
        let progress = context.progress(&format!("connecting to {what}"));
        let replies: Vec<Reply> = thread::scope(|scope| {
            let node = &*node;
            let spawn = |target| {
                thread::Builder::new().spawn_scoped(scope, move || dial(context, node, target))
            };
            let calls: Vec<_> = some.iter().map(|target| (target, spawn(target))).collect();
            let replies = calls.into_iter().map(|(target, call)| match call {
                Ok(call) => call.join().ok(),
                // For want of a thread it's this one's turn, while the others dial.
                Err(_) => Some(dial(context, node, target)),
            });
            replies.flatten().collect()
        });
        drop(progress);
        for reply in replies {
            codes.push(context.answer(&reply, connected)?);
        }
    }
    if codes.contains(&ExitCode::SUCCESS) {
        context.note_own(&node);
    }
    Ok(first_failure(codes))
}

fn dial(context: &Context<'_>, node: &dyn Node, target: &Target) -> Reply {
    let peer = match &target.peer {
        Some(peer) => match target::peer_id(context, node, "connect_peer", peer) {
            Ok(id) => Some(id),
            Err(Failure::Reply(reply)) => return reply,
            Err(Failure::Output(_)) => None,
        },
        None => None,
    };
    let params = [("peer_id", peer.into()), ("multiaddr", target.address.clone().into())];
    context.call(node, "connect_peer", params)
}

fn connected(reply: &Connected) -> Vec<String> {
    let good = style::GOOD;
    let how = match reply.already_connected {
        true => "already connected".to_owned(),
        false => format!("connected in {}", time::ms(reply.duration_ms)),
    };
    let via = show::name(&reply.transport);
    let mut lines = vec![format!(
        "{good}{how}{good:#}  {}  {} ({via})",
        escape(&reply.peer_id),
        escape(&reply.address)
    )];
    // There is nothing more to tell where one address did it at once.
    if reply.attempts.len() > 1 {
        lines.extend(failure::attempt_lines(&reply.attempts));
    }
    lines
}

/// Runs `peerkit disconnect`.
pub fn disconnect(context: &Context<'_>, args: &OnePeer) -> Outcome {
    let node = context.open("disconnect_peer", Needs::Book)?;
    let id = target::peer_id(context, &*node, "disconnect_peer", &args.peer)?;
    let reply = context.call(&*node, "disconnect_peer", [("peer_id", id.into())]);
    context.answer(&reply, |reply: &Disconnected| {
        let what = if reply.was_connected { "disconnected" } else { "was not connected" };
        vec![format!("{}  {what}", reply.peer_id)]
    })
}

/// Runs `peerkit ping`. A node that runs for this alone is connected to nobody, so it connects first.
pub fn ping(context: &Context<'_>, args: &args::Ping) -> Outcome {
    let node = context.open("ping_peer", Needs::Network)?;
    let id = target::peer_id(context, &*node, "ping_peer", &args.peer)?;
    if node.is_own() {
        let _progress = context.progress("connecting");
        let reply = context.call(&*node, "connect_peer", [("peer_id", Value::from(&*id))]);
        if !reply.is_success() {
            return Err(reply.into());
        }
    }
    let progress = context.progress("waiting for the answers");
    let params = [("peer_id", id.into()), ("count", args.count.into())];
    let reply = context.call(&*node, "ping_peer", params);
    drop(progress);
    context.answer(&reply, pinged)
}

fn pinged(reply: &Pinged) -> Vec<String> {
    let rtts = &reply.rtts_ms;
    let each = rtts.iter().map(|rtt| format!("answer in {}", time::ms(*rtt)));
    let mut lines: Vec<String> = each.collect();
    let mut all = format!("{} sent, {} answered", reply.sent, reply.received);
    if !rtts.is_empty() {
        let least = rtts.iter().copied().fold(f64::INFINITY, f64::min);
        let most = rtts.iter().copied().fold(0.0, f64::max);
        let mean = rtts.iter().sum::<f64>() / rtts.len() as f64;
        let [least, mean, most] = [least, mean, most].map(time::ms);
        all = format!("{all}; least {least}, mean {mean}, most {most}");
    }
    lines.push(all);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp";
    const OTHER: &str = "12D3KooWSCufgHzV4fCwRijfH2k3abrpAJxTKxEvN1FDuRXA2U9x";

    fn read(words: &[&str]) -> Vec<(bool, bool)> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let targets = targets(&words);
        targets.iter().map(|target| (target.peer.is_some(), target.address.is_some())).collect()
    }

    #[test]
    fn an_id_takes_the_address_after_it_unless_that_is_anothers() {
        let whose = |id: &str| format!("/ip4/192.0.2.1/tcp/1/p2p/{id}");
        assert_eq!(read(&[ID]), [(true, false)]);
        assert_eq!(read(&[&whose(ID)]), [(false, true)]);
        assert_eq!(read(&[ID, "/ip4/192.0.2.1/tcp/1"]), [(true, true)]);
        assert_eq!(read(&[ID, &whose(ID)]), [(true, true)]);
        assert_eq!(read(&[ID, &whose(OTHER)]), [(true, false), (false, true)]);
        assert_eq!(read(&[ID, OTHER, "/ip4/192.0.2.1/tcp/1"]), [(true, false), (true, true)]);
        assert_eq!(read(&[&format!("/p2p/{ID}")]), [(true, false)]);
        assert_eq!(read(&["vnc6iDEp", &whose(ID)]), [(true, true)]);
    }
}
