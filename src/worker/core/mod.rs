//! The core: what every part of the worker needs. The swarm, the table of connections, the calls that
//! wait, the timers, the time, and the notes by which parts inform one another. It knows no part.

pub(crate) mod calls;
pub(crate) mod notes;
pub(crate) mod peers;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod timers;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libp2p::swarm::Swarm;

use self::calls::{CallId, Calls, Owner};
use self::notes::{AddressChange, Note};
use self::peers::Peers;
use self::timers::{Timer, Timers};
use super::behaviour::Behaviour;
use super::protocols::kad::Dht;
use super::reply::{Reply, Terms};
use super::shared::Shared;
use super::transport::terms::DialTerms;
use super::util::addresses::Dropped;
use super::util::clock::{Clock, jumped};
use crate::book::Discovered;
use crate::clock::Timestamp;
use crate::config::Settings;
use crate::error::{Error, ErrorKind, Result};
use crate::model::event::{DisconnectReason, EventKind};
use crate::model::{Source, Text};
use crate::{Multiaddr, PeerId, addr, features};

pub(crate) struct Core {
    clock: Clock,
    /// The time, as of the beginning of this turn.
    pub now: Instant,
    /// The same moment by the wall clock.
    pub time: Timestamp,
    pub swarm: Swarm<Behaviour>,
    pub shared: Arc<Shared>,
    pub dial_terms: DialTerms,
    pub peers: Peers,
    pub calls: Calls,
    pub timers: Timers,
    pub notes: VecDeque<Note>,
}

impl Core {
    pub(crate) fn new(
        swarm: Swarm<Behaviour>,
        shared: Arc<Shared>,
        dial_terms: DialTerms,
        clock: Clock,
    ) -> Self {
        Core {
            now: clock.now(),
            time: clock.time(),
            clock,
            swarm,
            shared,
            dial_terms,
            peers: Peers::default(),
            calls: Calls::default(),
            timers: Timers::default(),
            notes: VecDeque::new(),
        }
    }

    /// Reads the clock for this turn of the loop. Where the wall clock jumped, what was noted by the clock
    /// before is put right before anything goes by it.
    pub(crate) fn begin_turn(&mut self) {
        let before = (self.now, self.time);
        (self.now, self.time) = (self.clock.now(), self.clock.time());
        if jumped(before, (self.now, self.time)) {
            tracing::warn!("the clock was set, or this machine slept");
            self.shared.book.clock_jumped(self.time);
            self.shared.discovery.clock_jumped(self.time);
            self.note(Note::SurroundingsChanged);
        }
    }

    /// Returns the clock, for what runs between turns.
    pub(crate) fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// Forgets that dials failed: what kept them from succeeding here may be over.
    pub(crate) fn forget_waits(&mut self) {
        let waited = self.shared.book.forget_waits();
        tracing::info!(waited, "this machine is on another network: peers are dialled again");
        self.note(Note::SurroundingsChanged);
    }

    pub(crate) fn note(&mut self, note: Note) {
        self.notes.push_back(note);
    }

    /// Registers a call that is to wait; where too many wait already, answers it `busy`.
    pub(crate) fn register<T>(
        &mut self,
        owner: Owner,
        terms: Terms<T>,
    ) -> Option<(CallId, Instant, Reply<T>)> {
        let (call, deadline, reply) = self.calls.register(owner, terms)?;
        self.timers.set(deadline, Timer::Deadline(call));
        Some((call, deadline, reply))
    }

    /// Forgets a call that is about to be answered.
    pub(crate) fn finish(&mut self, call: CallId) {
        self.calls.remove(call);
        self.timers.clear(Timer::Deadline(call));
    }

    /// Closes every connection to a peer, and aborts dials to it.
    pub(crate) fn close_peer(&mut self, peer: &PeerId, reason: DisconnectReason) {
        if let Some(state) = self.peers.get_mut(peer) {
            state.close_all(reason);
        }
        // An error here means "not connected"; a pending dial is aborted all the same.
        let _ = self.swarm.disconnect_peer_id(*peer);
    }

    /// Takes a peer that a source discovered: into the book, the statistics, and out as an event. Its
    /// addresses were filtered already.
    pub(crate) fn discovered(&mut self, source: Source, peer: PeerId, addresses: &[Multiaddr]) {
        let log = &self.shared.discovery;
        if peer == self.shared.peer_id {
            return log.dropped(source, "own_id", 1);
        }
        if addresses.is_empty() {
            return log.dropped(source, "no_address", 1);
        }
        let new = match self.shared.book.discovered(&peer, source, addresses, self.time) {
            Discovered::New => true,
            Discovered::Known => false,
            Discovered::Refused => return log.dropped(source, "book_full", 1),
        };
        self.count_discovery(source, peer, new);
        if new {
            let text = |address: &Multiaddr| addr::without_peer_id(address).to_string().into();
            let multiaddrs: Vec<Text> = addresses.iter().map(text).collect();
            let kind = EventKind::PeerDiscovered { source, multiaddrs };
            self.shared.hub.publish(Some(peer.to_string().into()), kind);
        }
    }

    /// Counts a peer that a source discovered and that is in the book now; `new`: it wasn't before.
    pub(crate) fn count_discovery(&mut self, source: Source, peer: PeerId, new: bool) {
        self.shared.discovery.received(source, peer, new, self.time);
        self.note(Note::Discovered { peer, new });
    }

    /// Counts the addresses of a source that were filtered out.
    pub(crate) fn count_dropped(&self, source: Source, dropped: &Dropped) {
        for (reason, count) in dropped.by_reason() {
            self.shared.discovery.dropped(source, reason, count);
        }
    }

    /// Tells of an external address that came or went.
    pub(crate) fn external_addr(&mut self, address: &Multiaddr, active: bool) {
        let address = address.to_string().into();
        self.shared.hub.publish(None, EventKind::ExternalAddr { address, active });
        self.note(Note::AddressesChanged(AddressChange::External));
    }

    /// Returns the DHT's behaviour, where the configuration has it on.
    pub(crate) fn dht(&mut self) -> Option<&mut Dht> {
        #[cfg(feature = "dht")]
        return self.swarm.behaviour_mut().dht.as_mut();
        #[cfg(not(feature = "dht"))]
        None
    }

    /// Returns the DHT, where its routing table has a peer to ask.
    pub(crate) fn dht_with_peers(&mut self) -> Result<&mut Dht> {
        features::DHT.require("the DHT")?;
        let Some(dht) = self.dht() else {
            return Err(Error::new(ErrorKind::Unsupported, "the DHT is off")
                .with_hint("set discovery.dht to \"server\", \"client\" or \"auto\""));
        };
        if dht.len() == 0 {
            let error = "no peer that takes part in the DHT is known";
            return Err(Error::new(ErrorKind::NotConnected, error).with_hint(
                "connect to a peer of the DHT first, or add one to the bootstrap list",
            ));
        }
        Ok(dht)
    }

    /// Returns the connected peers that speak the find-peer protocol, except the wanted one.
    pub(crate) fn askable(&self, wanted: &PeerId, most: usize) -> Vec<PeerId> {
        let protocol = self.shared.settings.discovery.find_peer_protocol.as_str();
        let book = &self.shared.book;
        let speaks = |peer: &PeerId| book.get(peer).is_some_and(|record| record.speaks(protocol));
        let asked = self.peers.iter().map(|(peer, _)| peer);
        asked.filter(|peer| *peer != wanted && speaks(peer)).take(most).copied().collect()
    }

    /// Tells whether there is anybody to ask where a peer is.
    pub(crate) fn can_look_up(&mut self, peer: &PeerId) -> bool {
        self.dht_with_peers().is_ok() || !self.askable(peer, 1).is_empty()
    }

    /// Returns the time since a moment of this run.
    pub(crate) fn since(&self, moment: Instant) -> Duration {
        self.now.saturating_duration_since(moment)
    }
}

/// Advertises a listen address where identify doesn't by itself.
pub(crate) fn advertise(swarm: &mut Swarm<Behaviour>, settings: &Settings, address: &Multiaddr) {
    if !settings.no_announce.is_empty() && !settings.no_announce.contains(address) {
        swarm.add_external_address(address.clone());
    }
}
