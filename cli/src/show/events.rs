//! Events and messages, for people: a line each.

use peerkit::event::{Event, EventKind};

use super::escape::escape;
use super::ids::Ids;
use super::names::name;
use super::style;
use super::time;

/// Writes an event as a line.
pub fn line(event: &Event, ids: &Ids) -> String {
    let (dim, head) = (
        style::DIM,
        match event.kind {
            EventKind::PeerConnected { .. } => style::GOOD,
            EventKind::PeerDisconnected { .. }
            | EventKind::DialFailed { .. }
            | EventKind::ConnectionsRefused { .. } => style::WARN,
            _ => style::HEADER,
        },
    );
    let who = event.peer_id.as_ref().map(|id| format!("  {}", escape(&ids.show(id))));
    let what = what(&event.kind);
    let what = if what.is_empty() { what } else { format!("  {}", escape(&what)) };
    format!(
        "{dim}{} #{}{dim:#}  {head}{}{head:#}{}{what}",
        time::utc(event.timestamp),
        event.seq,
        event.kind.name(),
        who.unwrap_or_default(),
    )
}

fn what(kind: &EventKind) -> String {
    let active = |active: &bool| if *active { "" } else { " (gone)" };
    match kind {
        EventKind::PeerDiscovered { source, multiaddrs, .. } => {
            let first = multiaddrs.first().map(|address| format!(" at {address}"));
            format!("by {}{}", name(source), first.unwrap_or_default())
        }
        EventKind::PeerConnected { address, direction, transport, .. } => {
            format!("{address} ({}, {})", name(transport), name(direction))
        }
        EventKind::PeerIdentified { agent_version, protocols, .. } => {
            let agent = agent_version.as_deref().unwrap_or("(no agent)");
            format!("{agent} ({} protocols)", protocols.len())
        }
        EventKind::PeerDisconnected { reason, error, .. } => {
            let error = error.as_ref().map(|error| format!(": {error}"));
            format!("{}{}", name(reason), error.unwrap_or_default())
        }
        EventKind::DialFailed { code, error, source, .. } => {
            format!("{code}: {error} (dialled for {})", name(source))
        }
        EventKind::ConnectionsRefused { reasons, .. } => {
            let reasons = reasons.iter().map(|(reason, count)| format!("{reason} {count}"));
            reasons.collect::<Vec<_>>().join(", ")
        }
        EventKind::ListenAddr { address, active: on, .. } => format!("{address}{}", active(on)),
        EventKind::ExternalAddr { address, active: on, .. } => format!("{address}{}", active(on)),
        EventKind::Discovery { found, duration_ms, .. } => {
            let found: Vec<_> =
                found.iter().map(|(source, count)| format!("{} {count}", name(source))).collect();
            let found = if found.is_empty() { "nobody".to_owned() } else { found.join(", ") };
            format!("found {found} in {}", time::ms(*duration_ms))
        }
        EventKind::Message { topic, data, .. } => {
            format!("{topic}: {}", String::from_utf8_lossy(data))
        }
        EventKind::Stopped { code, .. } => code.to_string(),
        // A kind that this program doesn't know has its name at least.
        _ => String::new(),
    }
}

/// Writes a message of a topic as a line: who, and what.
pub fn message(event: &Event, data: &[u8], ids: &Ids) -> String {
    let head = style::HEADER;
    let who = event.peer_id.as_deref().map_or("?".to_owned(), |id| ids.show(id));
    format!("{head}{}{head:#}  {}", escape(&who), escape(&String::from_utf8_lossy(data)))
}
