//! Identify: what a remote tells of itself, cut down to what can be kept of a stranger.

use libp2p::identify;

use super::Worker;
use super::peer::Identity;
use crate::book::{Identified, MAX_PROTOCOLS};
use crate::clock;
use crate::model::event::EventKind;
use crate::{Multiaddr, PeerId, addr};
use libp2p::swarm::ConnectionId;

/// Characters kept of a remote's agent and protocol version.
const MAX_AGENT_CHARS: usize = 256;
/// A protocol name longer than this is left out.
const MAX_PROTOCOL_BYTES: usize = 256;
/// An address longer than this is left out.
const MAX_ADDRESS_BYTES: usize = 512;
/// Addresses kept of what one remote says of itself.
const MAX_ADDRESSES: usize = 16;

impl Worker {
    pub(super) fn on_identify(&mut self, event: identify::Event) {
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
        let told = Identified {
            agent_version: Some(clip(&info.agent_version, MAX_AGENT_CHARS)),
            protocol_version: Some(clip(&info.protocol_version, MAX_AGENT_CHARS)),
            protocols: protocols(&info),
            addrs: addresses(&info, peer, connection.address.parse().ok().as_ref()),
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
        self.takes_part_in_dht(peer);
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

/// What of a remote's own addresses can be of use: none of a smaller scope than the address it
/// was seen at, since a stranger's loopback or private addresses lead somewhere else from here.
fn addresses(info: &identify::Info, peer: PeerId, seen_at: Option<&Multiaddr>) -> Vec<Multiaddr> {
    let least = seen_at.map(addr::scope);
    let told = info.listen_addrs.iter().filter(|address| address.len() <= MAX_ADDRESS_BYTES);
    let told = told.filter(|address| addr::peer_id_of(address).is_none_or(|named| named == peer));
    let told = told.map(addr::without_peer_id);
    let useful = told.filter(|address| {
        addr::is_dialable(address) && least.is_none_or(|least| addr::scope(address) >= least)
    });
    useful.take(MAX_ADDRESSES).collect()
}
