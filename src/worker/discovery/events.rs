//! Takes what is told to discovery: the notes of other parts, and the events of the protocols that its
//! sources use.

use std::time::Duration;

#[cfg(feature = "gossip")]
use libp2p::gossipsub::{MessageAcceptance, TopicHash};
#[cfg(feature = "dht")]
use libp2p::kad::{self, QueryId};

#[cfg(feature = "daemons")]
use super::daemons::Answered;
use super::driver::Discovery;
use super::passes::Pending;
use super::sources::Arrived;
use crate::book::Origin;
use crate::worker::core::Core;
use crate::worker::core::notes::{AddressChange, Closed, ListedDialEnd, Opened};
use crate::{Multiaddr, PeerId};

/// Time that a pass waits for identify of a bootstrap peer that has just been connected, while the DHT
/// has no peers: it may be the first.
const TELLING: Duration = Duration::from_secs(1);
/// Time that a pass waits to begin after a first peer of the DHT, which often comes with others.
const SOON: Duration = Duration::from_millis(200);
/// Least time from the beginning of a pass to one that a first peer of the DHT gives occasion to.
const LEAST_INTERVAL: Duration = Duration::from_secs(5);

impl Discovery {
    /// Takes an event from beside the swarm.
    pub(crate) fn on_arrived(&mut self, core: &mut Core, arrived: Arrived) {
        match arrived {
            #[cfg(feature = "mdns")]
            Arrived::Mdns(told) => self.sources.mdns.discovered(core, &told),
            #[cfg(feature = "daemons")]
            Arrived::Daemon(answered) => self.daemon_answered(core, answered),
        }
    }

    /// Takes note of a peer that a source discovered, `new` where the book didn't know it.
    pub(crate) fn discovered(&mut self, core: &mut Core, new: bool) {
        if new {
            self.backoff.reset();
            self.check_goals(core);
        }
    }

    /// Takes note of a connection; one of a query of the DHT doesn't reset the backoff.
    pub(crate) fn opened(&mut self, opened: &Opened) {
        if opened.first && opened.origin != Some(Origin::Query) {
            self.backoff.reset();
        }
    }

    pub(crate) fn closed(&mut self, closed: &Closed) {
        if closed.last.is_some() {
            self.sources.table().for_each(|source| source.peer_gone(&closed.peer));
            if closed.origin != Some(Origin::Query) {
                self.backoff.reset();
            }
        }
    }

    pub(crate) fn addresses_changed(&mut self, core: &mut Core, change: AddressChange) {
        self.backoff.reset();
        if change != AddressChange::External {
            self.sources.table().for_each(|source| source.addresses_changed(core));
        }
        if change == AddressChange::ListenAdded {
            self.sources.table().for_each(|source| source.network_changed(core));
        }
    }

    /// Takes note that the clock jumped or that this machine is on another network. Who is connected to nobody
    /// has everybody asked at once.
    pub(crate) fn surroundings_changed(&mut self, core: &mut Core) {
        self.backoff.reset();
        if core.peers.is_empty() && self.pass.is_none() {
            self.pass_in_turn(core);
        }
    }

    /// Takes note of a peer whose identify says which protocols it speaks.
    pub(crate) fn identified(&mut self, core: &mut Core, peer: PeerId, listens_at: Vec<Multiaddr>) {
        let mut first = false;
        for source in self.sources.table() {
            if source.identified(core, peer, &listens_at) {
                first = true;
                if let Some(pass) = &mut self.pass {
                    source.ask(core, pass);
                }
            }
        }
        if !first {
            return;
        }
        // The DHT has a first peer, which may know others.
        self.backoff.reset();
        if self.pass.is_some() {
            return;
        }
        // A remote decides when it joins the DHT, so it mustn't decide how often passes begin.
        self.pass_in_turn(core);
    }

    /// Has a pass begin soon, but not too soon after the one before.
    fn pass_in_turn(&mut self, core: &mut Core) {
        let last = self.last_begun.map(|begun| begun + LEAST_INTERVAL);
        let wait = last.map_or(SOON, |at| at.saturating_duration_since(core.now));
        self.pass_soon(core, wait.max(SOON));
    }

    /// Takes note of the end of a dial to a bootstrap peer.
    pub(crate) fn listed_dial_ended(&mut self, core: &mut Core, end: &ListedDialEnd) {
        self.sources.bootstrap.dial_ended(end);
        if let Some(pass) = &mut self.pass
            && end.connected
            && self.sources.table().any(|source| source.knows_nobody(core))
        {
            pass.extend_window(core.now + TELLING);
        }
        self.arrived(core, Pending::Dial(end.ticket));
    }
}

#[cfg(feature = "dht")]
impl Discovery {
    /// A search of the DHT came to a part of its result, or to its end.
    pub(crate) fn searched(
        &mut self,
        core: &mut Core,
        query: QueryId,
        found: Vec<kad::PeerInfo>,
        last: bool,
    ) {
        self.sources.dht.searched(core, found);
        if last {
            self.arrived(core, Pending::Query(query));
        }
    }
}

#[cfg(feature = "gossip")]
impl Discovery {
    /// Tells whether gossip on this topic is for discovery.
    pub(crate) fn is_topic(&self, topic: &TopicHash) -> bool {
        self.sources.gossip.is_topic(topic)
    }

    /// Takes a peer's record that a neighbour handed on.
    pub(crate) fn on_record(
        &mut self,
        core: &mut Core,
        from: &PeerId,
        data: &[u8],
    ) -> MessageAcceptance {
        self.sources.gossip.on_record(core, from, data)
    }

    /// Publishes this node's record soon to a peer that has just subscribed.
    pub(crate) fn on_subscribed(&mut self, core: &mut Core, topic: &TopicHash) {
        if self.is_topic(topic) {
            self.sources.gossip.publish_soon(core);
        }
    }

    /// Publishes this node's record, unless that was done meanwhile.
    pub(crate) fn record_due(&mut self, core: &mut Core) {
        self.sources.gossip.publish_if_due(core);
    }
}

#[cfg(feature = "mdns")]
impl Discovery {
    /// A network that came has had time to settle.
    pub(crate) fn query_mdns(&mut self) {
        self.sources.mdns.query();
    }
}

#[cfg(feature = "daemons")]
impl Discovery {
    fn daemon_answered(&mut self, core: &mut Core, answered: Answered) {
        let source = answered.source;
        let number = self.sources.daemon(source).answered(core, answered);
        if let Some(pass) = &self.pass
            && number == Some(pass.number)
        {
            self.arrived(core, Pending::Daemon(source));
        }
    }
}
