//! The connected peers. Takes the swarm's connections into the table and the book, and sends events:
//! a peer is connected while it has a connection, so `peer_connected` comes at its first and
//! `peer_disconnected` at its last.
//!
//! `identify` takes what peers say of themselves, `closed` tells why a connection ended, `trim` closes
//! what is too many, which `crowd` chooses, `refusals` tells of those that weren't let in; `disconnect`, `ping` and `bandwidth` are the calls about a connected peer.

mod bandwidth;
mod closed;
mod crowd;
mod disconnect;
mod identify;
mod ping;
mod refusals;
mod trim;

use libp2p::core::ConnectedPoint;
use libp2p::identify::Event as IdentifyEvent;
use libp2p::swarm::{ConnectionError, ConnectionId};

use self::bandwidth::Measurements;
use self::disconnect::Disconnects;
use self::identify::Identities;
use self::ping::Pings;
use self::refusals::Refusals;
use super::core::Core;
use super::core::calls::{CallId, Ending};
use super::core::notes::{Closed, DialOutcome, Note, Opened};
use super::core::peers::{Connection, Identity};
use super::protocols::perf::Outcome;
use super::protocols::ping::Event as PingEvent;
use super::reply::Terms;
use crate::book::{Discovered, Origin};
use crate::model::event::{DisconnectReason, EventKind};
use crate::model::reply::{Bandwidth, Pinged};
use crate::model::{ConnectionInfo, DialStage, Direction, LastDisconnect, Source, Text};
use crate::text::visible;
use crate::{Multiaddr, PeerId, addr, admission};

pub(crate) use self::trim::{make_room, trim};

/// Characters kept of a transport's error.
const MAX_ERROR_CHARS: usize = 300;

/// Calls about connected peers.
pub(crate) enum ConnectionsCommand {
    /// Answers whether there was a connection. With `forget`, no remote is told of the peer any more.
    Disconnect {
        peer: PeerId,
        forget: bool,
        terms: Terms<bool>,
    },
    Ping {
        peer: PeerId,
        count: u32,
        terms: Terms<Pinged>,
    },
    MeasureBandwidth {
        peer: PeerId,
        upload_bytes: u64,
        download_bytes: u64,
        terms: Terms<Bandwidth>,
    },
}

/// What connected peers said of themselves, and the calls that wait for something of one. The connections stand in
/// the core.
#[derive(Default)]
pub(crate) struct Connections {
    disconnects: Disconnects,
    identities: Identities,
    measurements: Measurements,
    pings: Pings,
    refusals: Refusals,
}

impl Connections {
    pub(crate) fn command(&mut self, core: &mut Core, command: ConnectionsCommand) {
        match command {
            ConnectionsCommand::Disconnect { peer, forget, terms } => {
                if forget {
                    core.note(Note::Forgotten { peer });
                }
                self.disconnects.begin(core, peer, terms);
            }
            ConnectionsCommand::Ping { peer, count, terms } => {
                self.pings.begin(core, peer, count, terms);
            }
            ConnectionsCommand::MeasureBandwidth { peer, upload_bytes, download_bytes, terms } => {
                self.measurements.begin(core, peer, (upload_bytes, download_bytes), terms);
            }
        }
    }

    /// Ends a call of this part before its work is done.
    pub(crate) fn ended(&mut self, core: &mut Core, call: CallId, why: Ending) {
        self.disconnects.ended(core, call, why);
        self.measurements.ended(core, call, why);
        self.pings.ended(core, call, why);
    }

    /// Drops all calls, which are answered `closed`.
    pub(crate) fn drop_calls(&mut self) {
        (self.disconnects, self.pings) = (Disconnects::default(), Pings::default());
        self.measurements = Measurements::default();
    }

    /// Takes an established connection; `outcome` is that of the dial that led to it.
    pub(crate) fn on_established(
        &mut self,
        core: &mut Core,
        peer: PeerId,
        id: ConnectionId,
        endpoint: &ConnectedPoint,
        outcome: DialOutcome,
    ) {
        let DialOutcome { origin, counted, wanted } = outcome;
        // The user may have disconnected the peer while the dial was under way.
        let book = &core.shared.book;
        if !wanted || origin.is_some_and(|origin| !book.admits(&peer, origin)) {
            tracing::info!(%peer, %id, "closes a connection that nobody wants any more");
            core.swarm.close_connection(id);
            return;
        }
        add(core, peer, id, endpoint, origin);
        if origin.is_some() && !counted {
            core.shared.book.dial_started(&peer, core.time);
        }
        trim(core);
    }

    pub(crate) fn on_closed(
        &mut self,
        core: &mut Core,
        peer: PeerId,
        id: ConnectionId,
        cause: Option<&ConnectionError>,
    ) {
        // A connection that was closed because nobody wanted it was never noted.
        let Some((connection, gone)) = core.peers.remove(&peer, id) else { return };
        // A protocol that found the peer over a budget has the swarm close its connections.
        let over = core.shared.budgets.refuses(&peer);
        let unasked = over.filter(|_| cause.is_none()).map(|_| DisconnectReason::OverBudget);
        let ours = connection.closing.or(unasked);
        let (reason, inferred) = closed::reason(ours, cause);
        if let Some(state) = &gone {
            self.identities.peer_gone(core, peer, &state.text);
        }
        let disconnect = gone.is_some().then_some(LastDisconnect { reason, at: core.time });
        core.shared.book.connection_closed(&peer, connection.number, disconnect);
        let mut last = None;
        if let Some(state) = gone {
            tracing::info!(%peer, ?reason, inferred, "peer disconnected");
            let text = |cause: &ConnectionError| -> String {
                visible(&cause.to_string()).chars().take(MAX_ERROR_CHARS).collect()
            };
            let error = match reason {
                DisconnectReason::OverBudget => over.map(|over| over.to_string()),
                _ => cause.map(text),
            };
            let kind = EventKind::PeerDisconnected { reason, inferred, error };
            core.shared.hub.publish(Some(state.text), kind);
            let stage = match cause.is_some_and(closed::is_muxer_mismatch) {
                true => DialStage::Muxer,
                false => DialStage::Accept,
            };
            last = Some((reason, stage));
            self.pings.peer_gone(core, &peer);
        }
        self.disconnects.connection_gone(core, connection.number);
        self.measurements.connection_gone(core, id);
        core.note(Note::Closed(Closed { peer, origin: connection.origin, last }));
    }

    /// Hears that inbound connections were refused, or that they may be told of.
    pub(crate) fn on_refused(&mut self, core: &mut Core) {
        self.refusals.look(core);
    }

    pub(crate) fn on_identify(&mut self, core: &mut Core, event: IdentifyEvent) {
        self.identities.on_event(core, event);
    }

    /// Takes what a peer said too fast and was held back.
    pub(crate) fn identify_due(&mut self, core: &mut Core, peer: PeerId) {
        self.identities.due(core, peer);
    }

    pub(crate) fn on_ping(&mut self, core: &mut Core, event: PingEvent) {
        self.pings.on_event(core, event);
    }

    pub(crate) fn on_perf(&mut self, core: &mut Core, outcome: &Outcome) {
        self.measurements.on_outcome(core, outcome);
    }
}

/// Enters a connection into the table and the book, and tells of it.
fn add(
    core: &mut Core,
    peer: PeerId,
    id: ConnectionId,
    endpoint: &ConnectedPoint,
    origin: Option<Origin>,
) {
    let remote = addr::without_peer_id(endpoint.get_remote_address());
    let direction = match endpoint {
        ConnectedPoint::Listener { .. } => Direction::Inbound,
        ConnectedPoint::Dialer { .. } => Direction::Outbound,
    };
    let info = ConnectionInfo {
        address: remote.to_string().into(),
        direction,
        transport: addr::transport_kind(&remote),
        opened_at: core.time,
    };
    let connection = Connection {
        number: core.peers.next_number(),
        id,
        address: info.address.clone(),
        source: admission::Source::from(addr::ip_of(&remote)),
        direction,
        transport: info.transport,
        since: core.now,
        identity: Identity::Awaited,
        origin,
        closing: None,
    };
    // The facade puts down that the user gave an address, on disk before it answers.
    let dialled = (direction == Direction::Outbound).then_some(&remote);
    let source = source(core, &peer, origin);
    let found = core.shared.book.discovered(
        &peer,
        source,
        dialled.map_or(&[], std::slice::from_ref),
        core.time,
    );
    core.shared.book.connected(&peer, connection.number, info.clone(), source, core.time);
    let first = core.peers.insert(peer, connection);
    if first {
        tell_connected(core, peer, info, origin, (found, source), dialled);
    }
    core.note(Note::Opened(Opened { peer, origin, first }));
}

/// Returns the source that the connection is of the peer. A bootstrap peer stays in the book, so a dial
/// of the list makes one only of a peer that the list names now, not of another that answered.
fn source(core: &Core, peer: &PeerId, origin: Option<Origin>) -> Source {
    match origin {
        None => Source::Inbound,
        Some(Origin::Call) => Source::Identify,
        Some(Origin::Bootstrap) if !core.shared.bootstrap.names(peer) => Source::Identify,
        Some(origin) => origin.source(),
    }
}

/// Tells of a peer's first connection.
fn tell_connected(
    core: &mut Core,
    peer: PeerId,
    info: ConnectionInfo,
    origin: Option<Origin>,
    (found, source): (Discovered, Source),
    dialled: Option<&Multiaddr>,
) {
    let text: Text = peer.to_string().into();
    let ConnectionInfo { address, direction, transport, .. } = info;
    tracing::info!(%peer, %address, ?direction, ?origin, "peer connected");
    if let (Discovered::New, Some(origin)) = (found, origin.filter(|origin| origin.is_automatic()))
    {
        core.count_discovery(origin.source(), peer, true);
    }
    if found != Discovered::Known {
        let multiaddrs = dialled.iter().map(|address| address.to_string().into()).collect();
        let source = origin.map_or(source, Origin::source);
        let kind = EventKind::PeerDiscovered { source, multiaddrs };
        core.shared.hub.publish(Some(text.clone()), kind);
    }
    let kind = EventKind::PeerConnected { address, direction, transport };
    core.shared.hub.publish(Some(text), kind);
}

#[cfg(all(test, feature = "dns"))]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use libp2p::core::Endpoint;
    use libp2p::core::transport::PortUse;
    use serde_json::json;

    use super::*;
    use crate::worker::core::testing::core;

    /// A listed name may lead to several peers, none of which the list names.
    #[tokio::test]
    async fn a_peer_that_answered_for_a_listed_name_was_discovered_by_the_list() {
        let listed = json!(["/dnsaddr/bootstrap.libp2p.io"]);
        let mut core = core(json!({ "profile": "offline", "bootstrap": listed })).0;
        let endpoint = ConnectedPoint::Dialer {
            address: "/ip4/127.0.0.1/tcp/1".parse().unwrap(),
            role_override: Endpoint::Dialer,
            port_use: PortUse::New,
        };
        let outcome = DialOutcome { origin: Some(Origin::Bootstrap), counted: false, wanted: true };
        let (peer, id) = (PeerId::random(), ConnectionId::new_unchecked(1));
        Connections::default().on_established(&mut core, peer, id, &endpoint, outcome);
        let events = core.shared.hub.recent();
        let told = events.iter().find_map(|event| match &event.kind {
            EventKind::PeerDiscovered { source, .. } => Some(*source),
            _ => None,
        });
        assert_eq!(told, Some(Source::Bootstrap));
    }
}
