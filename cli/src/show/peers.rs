//! Peers, for people: as rows of a table, and one with everything known of it.

use peerkit::reply::Provider;
use peerkit::{Direction, PeerInfo, PeerRow};

use super::ids::Ids;
use super::names::name;
use super::style;
use super::table::{Cell, Fields, Table, cut, left, right};
use super::time::{self, relative};

/// Shows peers as a table.
pub fn table(peers: &[PeerRow], width: Option<usize>) -> Vec<String> {
    let ids = Ids::of(peers.iter().map(|peer| &*peer.peer_id), width.is_none());
    let now = time::now();
    let columns = [
        left("PEER"),
        left("STATUS"),
        left("VIA"),
        right("LATENCY"),
        right("LAST SEEN"),
        cut("AGENT", 8),
        cut("ADDRESS", 12),
    ];
    let mut table = Table::new(&columns);
    for peer in peers {
        table.row([
            Cell::new(ids.show(&peer.peer_id)),
            connected(peer.connected),
            Cell::of(via(peer)),
            Cell::of(peer.latency_ms.map(time::ms)),
            Cell::of(peer.last_seen.map(|at| relative(at, now))),
            Cell::of(peer.agent_version.as_deref()),
            Cell::of(peer.multiaddrs.first()),
        ]);
    }
    table.lines(width)
}

fn connected(connected: bool) -> Cell {
    if connected { Cell::new("connected").styled(style::GOOD) } else { Cell::of(None::<&str>) }
}

fn via(peer: &PeerRow) -> Option<String> {
    let transport = name(&peer.transport?);
    Some(match peer.direction? {
        Direction::Inbound => format!("{transport} in"),
        Direction::Outbound => format!("{transport} out"),
    })
}

/// Shows everything known of a peer.
pub fn details(peer: &PeerInfo) -> Vec<String> {
    let row = &peer.row;
    let now = time::now();
    let when = |at: peerkit::Timestamp| format!("{} ({})", relative(at, now), time::utc(at));
    let mut fields = Fields::new();
    fields.add("peer id", &row.peer_id);
    match row.connected {
        true => fields.styled("status", "connected", style::GOOD),
        false => fields.add("status", "not connected"),
    }
    fields.list(
        "connections",
        peer.connections.iter().map(|connection| {
            let (direction, transport) = (name(&connection.direction), name(&connection.transport));
            let since = relative(connection.opened_at, now);
            format!("{} ({transport}, {direction}, opened {since})", connection.address)
        }),
    );
    fields.list("addresses", row.multiaddrs.iter());
    fields.option("agent", row.agent_version.as_deref());
    fields.option("protocol version", row.protocol_version.as_deref());
    fields.list("protocols", row.protocols.iter());
    fields.option("latency", row.latency_ms.map(time::ms));
    fields.option("last seen", row.last_seen.map(when));
    fields.option("first seen", row.first_seen.map(when));
    let sources: Vec<_> = peer.sources.iter().map(name).collect();
    fields.option("known from", (!sources.is_empty()).then(|| sources.join(", ")));
    let connects =
        format!("{} asked for, {} came about", row.connection_attempts, row.successful_connections);
    fields.add("connects", connects);
    fields.option("last connected", row.last_successful_connection.map(when));
    if let Some(end) = &peer.last_disconnect {
        fields.add("last disconnect", format!("{}, {}", name(&end.reason), when(end.at)));
    }
    if let Some(error) = &peer.last_error {
        let text = format!("{} [{}], {}", error.message, error.code, when(error.at));
        fields.styled("last error", text, style::WARN);
    }
    fields.option("next retry", peer.next_retry_at.map(when));
    fields.add("policy", name(&peer.policy));
    let tags = peer.tags.iter().map(|(tag, weight)| format!("{tag} ({weight})"));
    fields.list("tags", tags);
    let metadata = peer.metadata.iter().map(|(key, value)| format!("{key} = {value}"));
    fields.list("metadata", metadata);
    if row.cluster_peer {
        fields.add("cluster", "member of the ipfs-cluster beside this node");
    }
    fields.lines()
}

/// Shows peers that say to have some content.
pub fn providers(peers: &[Provider], width: Option<usize>) -> Vec<String> {
    let ids = Ids::of(peers.iter().map(|peer| &*peer.peer_id), width.is_none());
    let mut table = Table::new(&[left("PEER"), cut("ADDRESS", 12)]);
    for peer in peers {
        table.row([Cell::new(ids.show(&peer.peer_id)), Cell::of(peer.multiaddrs.first())]);
    }
    table.lines(width)
}
