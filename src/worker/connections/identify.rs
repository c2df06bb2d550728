//! Identify: what a remote tells of itself, cut down to what can be kept of a stranger.

use libp2p::identify;

use crate::PeerId;
use crate::book::{Identified, MAX_PROTOCOLS};
use crate::clock;
use crate::model::Source;
use crate::model::event::EventKind;
use crate::worker::Worker;
use crate::worker::connections::peer::Identity;
use crate::worker::util::addresses::useful;
use libp2p::swarm::ConnectionId;

/// Characters kept of a remote's agent and protocol version.
const MAX_AGENT_CHARS: usize = 256;
/// A protocol name longer than this is left out.
const MAX_PROTOCOL_BYTES: usize = 256;

impl Worker {
    pub(crate) fn on_identify(&mut self, event: identify::Event) {
        match event {
            identify::Event::Received { peer_id, info, connection_id } => {
                self.identified(peer_id, connection_id, info);
            }
            identify::Event::Error { peer_id, connection_id, .. } => {
                let state = self.peers.get_mut(&peer_id);
                if let Some(connection) = state.and_then(|state| state.connection(connection_id))
                    && connection.identity == Identity::Awaited
                {
                    connection.identity = Identity::Silent;
                    self.settle_acceptance(peer_id);
                }
            }
            identify::Event::Sent { .. } | identify::Event::Pushed { .. } => {}
        }
    }

    fn identified(&mut self, peer: PeerId, id: ConnectionId, info: identify::Info) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        let text = state.text.clone();
        let known = state.connections.iter().any(|open| open.identity == Identity::Known);
        let Some(connection) = state.connection(id) else { return };
        connection.identity = Identity::Known;
        let seen_at = connection.address.parse().ok();
        let listened = info.listen_addrs.iter().cloned();
        let (addrs, dropped) = useful(listened, peer, seen_at.as_ref());
        for (reason, count) in dropped.by_reason() {
            self.run.discovery.dropped(Source::Identify, reason, count);
        }
        let listens_at = addrs.clone();
        let told = Identified {
            agent_version: Some(clip(&info.agent_version, MAX_AGENT_CHARS)),
            protocol_version: Some(clip(&info.protocol_version, MAX_AGENT_CHARS)),
            protocols: protocols(&info),
            addrs,
        };
        let before = self.run.book.get(&peer);
        self.run.book.identified(&peer, told, clock::now());
        // A remote may tell again as often as it likes; subscribers hear of it when it is news.
        if let Some(record) = self.run.book.get(&peer)
            && !(known && before.is_some_and(|before| before.tells_the_same(&record)))
        {
            let kind = EventKind::PeerIdentified {
                agent_version: record.agent_version.clone(),
                protocols: record.protocols.clone(),
            };
            self.run.hub.publish(Some(text), kind);
        }
        self.settle_acceptance(peer);
        self.takes_part_in_dht(peer, listens_at);
    }
}

fn clip(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

fn protocols(info: &identify::Info) -> Vec<String> {
    let names = info.protocols.iter().map(|protocol| protocol.as_ref());
    let names = names.filter(|name: &&str| name.len() <= MAX_PROTOCOL_BYTES);
    names.take(MAX_PROTOCOLS).map(str::to_owned).collect()
}
