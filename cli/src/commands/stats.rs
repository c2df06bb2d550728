//! `status`, `stats`, `summary` and `metrics`: the node itself.

use peerkit::reply::{StatsReply, Status, Summary};
use serde::Deserialize;

use super::context::Context;
use super::outcome::Outcome;
use crate::node::Needs;
use crate::show::{self, escape};

/// Runs `peerkit status`: of a node that runs, else there is none to tell of.
pub fn status(context: &Context<'_>) -> Outcome {
    context.ask(Needs::Running, "status", [], |status: &Status| show::node::status(status))
}

/// Runs `peerkit stats`.
pub fn stats(context: &Context<'_>) -> Outcome {
    let shown = |reply: &StatsReply| show::node::stats(&reply.stats);
    context.ask(Needs::Book, "get_peer_stats", [], shown)
}

/// Runs `peerkit summary`.
pub fn summary(context: &Context<'_>) -> Outcome {
    let shown = |reply: &Summary| show::node::summary(reply, show::width());
    context.ask(Needs::Book, "get_peers_summary", [], shown)
}

/// The part of `get_metrics` that is read.
#[derive(Deserialize)]
struct Metrics {
    metrics: String,
}

/// Runs `peerkit metrics`: the text as a scraper would get it.
pub fn metrics(context: &Context<'_>) -> Outcome {
    let shown = |reply: &Metrics| vec![escape::escape_lines(&reply.metrics)];
    context.ask(Needs::Running, "get_metrics", [], shown)
}
