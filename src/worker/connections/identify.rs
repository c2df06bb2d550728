//! Identify: takes what a remote says of itself, within bounds, since any remote can connect.
//!
//! A remote may push its identify as often as it likes. What comes faster than once a second is held back, and the
//! last of it taken when the second is over: it costs next to nothing, makes no event, and the state told in the
//! end is the remote's last one. The first identify of each connection is taken at once; a handshake is what it costs.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use libp2p::identify;
use libp2p::swarm::ConnectionId;

use crate::admission::TokenBucket;
use crate::book::{Identified, MAX_PROTOCOLS};
use crate::model::event::EventKind;
use crate::model::{Source, Text};
use crate::worker::core::Core;
use crate::worker::core::notes::Note;
use crate::worker::core::peers::Identity;
use crate::worker::core::timers::Timer;
use crate::worker::util::addresses::filter_addresses;
use crate::{Multiaddr, PeerId};

/// Characters kept of a remote's agent and protocol version.
const MAX_AGENT_CHARS: usize = 256;
/// The longest name of a protocol that is kept.
const MAX_PROTOCOL_BYTES: usize = 256;
/// The pace at which a peer's identify is taken, and how many are at once: a node that starts changes some times.
const PER_SECOND: u32 = 1;
const AT_ONCE: u32 = 4;
/// The time for which one that comes faster is held back.
const HOLD: Duration = Duration::from_secs(1);

/// What each connected peer said last, and how fast it says it.
#[derive(Default)]
pub(super) struct Identities {
    peers: HashMap<PeerId, Said>,
    hasher: RandomState,
}

struct Said {
    pace: TokenBucket,
    /// Stands for the last that it said, taken or held back.
    last: u64,
    held: Option<Box<Told>>,
    /// Changes since the last event that have none.
    coalesced: u64,
}

/// One identify.
struct Told {
    info: identify::Info,
    /// The address at which the peer is seen on that connection.
    seen_at: Option<Multiaddr>,
}

impl Identities {
    pub(super) fn on_event(&mut self, core: &mut Core, event: identify::Event) {
        match event {
            identify::Event::Received { peer_id, info, connection_id } => {
                self.received(core, peer_id, connection_id, info);
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

    fn received(&mut self, core: &mut Core, peer: PeerId, id: ConnectionId, info: identify::Info) {
        let Some(state) = core.peers.get_mut(&peer) else { return };
        let known = state.connections.iter().any(|open| open.identity == Identity::Known);
        let Some(connection) = state.connection(id) else { return };
        let first = std::mem::replace(&mut connection.identity, Identity::Known) != Identity::Known;
        let address = connection.address.clone();
        let digest = digest(&self.hasher, &info);
        let said = self.peers.entry(peer).or_insert_with(|| Said {
            pace: TokenBucket::new(PER_SECOND, AT_ONCE),
            last: digest,
            held: None,
            coalesced: 0,
        });
        let in_pace = said.pace.take(core.now);
        let again = std::mem::replace(&mut said.last, digest) == digest;
        if !in_pace && !first && again {
            return;
        }
        let told = Told { info, seen_at: address.parse().ok() };
        if in_pace || first {
            if said.held.take().is_some() {
                core.timers.clear(Timer::Identify(peer));
                said.left_out(core);
            }
            return said.take(core, peer, told, known);
        }
        match said.held.replace(Box::new(told)) {
            Some(_) => said.left_out(core),
            None => core.timers.set(core.now + HOLD, Timer::Identify(peer)),
        }
    }

    /// Takes what was held back: its time is over.
    pub(super) fn due(&mut self, core: &mut Core, peer: PeerId) {
        let Some(said) = self.peers.get_mut(&peer) else { return };
        said.pace.take(core.now);
        if let Some(held) = said.held.take() {
            said.take(core, peer, *held, true);
        }
    }

    /// Tells the last that a peer said before its last connection ended.
    pub(super) fn peer_gone(&mut self, core: &mut Core, peer: PeerId, text: &Text) {
        let Some(mut said) = self.peers.remove(&peer) else { return };
        if let Some(held) = said.held.take() {
            core.timers.clear(Timer::Identify(peer));
            said.enter(core, peer, text.clone(), *held, true);
        }
    }
}

impl Said {
    fn left_out(&mut self, core: &Core) {
        self.coalesced += 1;
        core.shared.hub.coalesced();
    }

    fn take(&mut self, core: &mut Core, peer: PeerId, told: Told, known: bool) {
        let Some(text) = core.peers.get(&peer).map(|state| state.text.clone()) else { return };
        let listens_at = self.enter(core, peer, text, told, known);
        core.note(Note::Identified { peer, listens_at });
    }

    /// Enters it into the book, and tells of it if it is new: `known` is who said something before. Returns the
    /// addresses that are taken of it.
    fn enter(
        &mut self,
        core: &Core,
        peer: PeerId,
        text: Text,
        told: Told,
        known: bool,
    ) -> Vec<Multiaddr> {
        let Told { info, seen_at } = told;
        let (agent, version) = (&info.agent_version, &info.protocol_version);
        let (agent_version, protocol_version) = (Some(clip(agent)), Some(clip(version)));
        let protocols = protocols(&info);
        let (listens_at, dropped) = filter_addresses(info.listen_addrs, peer, seen_at.as_ref());
        core.count_dropped(Source::Identify, &dropped);
        let addrs = listens_at.clone();
        let book = &core.shared.book;
        let before = book.get(&peer);
        let told = Identified { agent_version, protocol_version, protocols, addrs };
        book.identified(&peer, told, core.time);
        if let Some(record) = book.get(&peer)
            && !(known && before.is_some_and(|before| before.tells_the_same(&record)))
        {
            let kind = EventKind::PeerIdentified {
                agent_version: record.agent_version.clone(),
                protocols: record.protocols.clone(),
                coalesced: std::mem::take(&mut self.coalesced),
            };
            core.shared.hub.publish(Some(text), kind);
        }
        listens_at
    }
}

/// Makes a number of all that is taken of an identify. A remote that finds two with the same fools itself alone.
fn digest(hasher: &RandomState, info: &identify::Info) -> u64 {
    let protocols: Vec<_> = info.protocols.iter().map(AsRef::<str>::as_ref).collect();
    hasher.hash_one((&info.agent_version, &info.protocol_version, protocols, &info.listen_addrs))
}

fn clip(text: &str) -> String {
    text.chars().take(MAX_AGENT_CHARS).collect()
}

fn protocols(info: &identify::Info) -> Vec<String> {
    let names = info.protocols.iter().map(|protocol| protocol.as_ref());
    let names = names.filter(|name: &&str| name.len() <= MAX_PROTOCOL_BYTES);
    names.take(MAX_PROTOCOLS).map(str::to_owned).collect()
}

#[cfg(test)]
#[path = "identify_tests.rs"]
mod tests;
