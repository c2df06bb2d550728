//! Finds the peer that is meant: an id in any form, or the end of a known one's, as lists show it. The end must be
//! that of one known peer only; a remote can choose its id's end, so two that match are never chosen between.

use peerkit::reply::SearchResult;
use peerkit::{Error, ErrorKind};
use serde_json::Value;

use super::context::Context;
use super::outcome::Failure;
use crate::node::{Node, Reply};

/// The least of an id that may be typed for it.
const LEAST: usize = 6;
/// As many candidates are listed.
const LISTED: usize = 8;

/// Gives the id of the peer that is meant, to call `method` for. What can't be an id's end goes on as it is: the
/// operation says best what is wrong with it.
pub fn peer_id(
    context: &Context<'_>,
    node: &dyn Node,
    method: &str,
    text: &str,
) -> Result<String, Failure> {
    if peerkit::parse_peer_id(text).is_ok() {
        return Ok(text.to_owned());
    }
    let end = text.strip_prefix('…').or_else(|| text.strip_prefix("...")).unwrap_or(text);
    if end.len() < LEAST || !end.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(text.to_owned());
    }
    let params = [("query", Value::from(end)), ("limit", 10_000.into())];
    let reply = context.call(node, "search_peers", params);
    let Ok(result) = serde_json::from_str::<SearchResult>(reply.json()) else {
        return Err(if reply.is_success() { Failure::from(unknown(end)) } else { reply.into() });
    };
    let rows = result.found.peers.iter().map(|peer| &*peer.peer_id);
    let matches: Vec<&str> = rows.filter(|id| id.ends_with(end)).collect();
    let error = match matches[..] {
        [one] if !result.found.truncated => return Ok(one.to_owned()),
        [] if !result.found.truncated => unknown(end),
        _ => several(end, &matches),
    };
    Err(Reply::refused(method, &error).into())
}

fn unknown(end: &str) -> Error {
    // Text that never could be part of an id is a typing error, not a peer that isn't there.
    let could_be = end.bytes().all(|byte| byte.is_ascii_alphanumeric() && !b"0OIl".contains(&byte));
    let kind = if could_be { ErrorKind::PeerNotFound } else { ErrorKind::InvalidPeerId };
    let message = format!("`{end}` is no peer id, and no known peer's id ends in it");
    Error::new(kind, message).with_hint("`peerkit peers` lists those known")
}

fn several(end: &str, matches: &[&str]) -> Error {
    let listed: Vec<_> = matches.iter().take(LISTED).map(|id| Value::from(*id)).collect();
    Error::new(ErrorKind::InvalidArgument, format!("several known peers' ids end in `{end}`"))
        .with("candidates", listed)
        .with_hint("give more of the id")
}
