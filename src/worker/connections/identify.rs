//! Identify: takes what a remote says of itself, within bounds, since any remote can connect.

use libp2p::identify;
use libp2p::swarm::ConnectionId;

use crate::PeerId;
use crate::book::{Identified, MAX_PROTOCOLS};
use crate::model::Source;
use crate::model::event::EventKind;
use crate::worker::core::Core;
use crate::worker::core::notes::Note;
use crate::worker::core::peers::Identity;
use crate::worker::util::addresses::filter_addresses;
use crate::worker::util::budgets::Work;

/// Characters kept of a remote's agent and protocol version.
const MAX_AGENT_CHARS: usize = 256;
/// The longest name of a protocol that is kept.
const MAX_PROTOCOL_BYTES: usize = 256;

pub(crate) fn on_identify(core: &mut Core, event: identify::Event) {
    match event {
        identify::Event::Received { peer_id, info, connection_id } => {
            identified(core, peer_id, connection_id, info);
        }
        identify::Event::Error { peer_id, connection_id, .. } => {
            let state = core.peers.get_mut(&peer_id);
            if let Some(connection) = state.and_then(|state| state.connection(connection_id))
                && connection.identity == Identity::Awaited
            {
                connection.identity = Identity::Silent;
                core.note(Note::Unidentified { peer: peer_id });
            }
        }
        identify::Event::Sent { .. } | identify::Event::Pushed { .. } => {}
    }
}

fn identified(core: &mut Core, peer: PeerId, id: ConnectionId, info: identify::Info) {
    let Some(state) = core.peers.get_mut(&peer) else { return };
    let text = state.text.clone();
    let known = state.connections.iter().any(|open| open.identity == Identity::Known);
    let Some(connection) = state.connection(id) else { return };
    // Each connection tells it once; what comes after are pushes.
    let again = connection.identity == Identity::Known;
    if again && !core.shared.budgets.take(&peer, Work::Identify) {
        return;
    }
    connection.identity = Identity::Known;
    let seen_at = connection.address.parse().ok();
    let listened = info.listen_addrs.iter().cloned();
    let (listens_at, dropped) = filter_addresses(listened, peer, seen_at.as_ref());
    core.count_dropped(Source::Identify, &dropped);
    let told = Identified {
        agent_version: Some(clip(&info.agent_version, MAX_AGENT_CHARS)),
        protocol_version: Some(clip(&info.protocol_version, MAX_AGENT_CHARS)),
        protocols: protocols(&info),
        addrs: listens_at.clone(),
    };
    let book = &core.shared.book;
    let before = book.get(&peer);
    book.identified(&peer, told, core.time);
    // A remote may push its identify as often as it likes; an event is sent when something is new.
    if let Some(record) = book.get(&peer)
        && !(known && before.is_some_and(|before| before.tells_the_same(&record)))
    {
        let kind = EventKind::PeerIdentified {
            agent_version: record.agent_version.clone(),
            protocols: record.protocols.clone(),
        };
        core.shared.hub.publish(Some(text), kind);
    }
    core.note(Note::Identified { peer, listens_at });
}

fn clip(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

fn protocols(info: &identify::Info) -> Vec<String> {
    let names = info.protocols.iter().map(|protocol| protocol.as_ref());
    let names = names.filter(|name: &&str| name.len() <= MAX_PROTOCOL_BYTES);
    names.take(MAX_PROTOCOLS).map(str::to_owned).collect()
}
