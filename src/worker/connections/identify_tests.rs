//! Tests of the pace at which a peer's identify is taken, by a clock that the test moves: what is too fast makes no
//! event, and the last state is told in the end.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::Instant;

use libp2p::identity::Keypair;
use serde_json::json;

use super::*;
use crate::events::Subscription;
use crate::model::params::EventsOptions;
use crate::worker::core::testing::core;
use crate::worker::util::clock::Clock;

struct Fixture {
    core: Core,
    clock: Clock,
    identities: Identities,
    events: Arc<Subscription>,
}

impl Fixture {
    fn new() -> Self {
        let (core, clock, _) = core(json!({ "profile": "offline" }));
        let events = core.shared.hub.subscribe(&EventsOptions::new()).unwrap();
        Fixture { core, clock, identities: Identities::default(), events }
    }

    fn connect(&mut self) -> PeerId {
        let peer = PeerId::random();
        self.connect_again(peer);
        peer
    }

    fn connect_again(&mut self, peer: PeerId) -> ConnectionId {
        self.core.connect_for_test(peer, None);
        self.core.peers.get(&peer).unwrap().connections.last().unwrap().id
    }

    fn says(&mut self, peer: PeerId, agent: &str) {
        let id = self.core.peers.get(&peer).unwrap().connections[0].id;
        self.says_on(peer, id, agent);
    }

    fn says_on(&mut self, peer_id: PeerId, connection_id: ConnectionId, agent: &str) {
        let info = identify::Info {
            public_key: Keypair::generate_ed25519().public(),
            protocol_version: String::new(),
            agent_version: agent.to_owned(),
            listen_addrs: Vec::new(),
            protocols: Vec::new(),
            observed_addr: Multiaddr::empty(),
            signed_peer_record: None,
        };
        let event = identify::Event::Received { peer_id, info, connection_id };
        self.identities.on_event(&mut self.core, event);
    }

    /// Lets time go by, and serves the timers that go off.
    fn pass(&mut self, by: Duration) {
        self.core.pass_time(&self.clock, by);
        while let Some(timer) = self.core.elapsed_timer() {
            let Timer::Identify(peer) = timer else { continue };
            self.identities.due(&mut self.core, peer);
        }
    }

    /// Takes the events of a peer: agent and `coalesced`.
    fn told(&self, peer: PeerId) -> Vec<(String, u64)> {
        let mut told = Vec::new();
        while let Ok(batch) = self.events.next(Instant::now()) {
            if batch.events.is_empty() {
                break;
            }
            let its = batch
                .events
                .iter()
                .filter(|event| event.peer_id.as_deref() == Some(peer.to_string().as_str()));
            told.extend(its.filter_map(|event| match &event.kind {
                EventKind::PeerIdentified { agent_version, coalesced, .. } => {
                    Some((agent_version.as_deref().unwrap().to_owned(), *coalesced))
                }
                _ => None,
            }));
        }
        told
    }
}

#[tokio::test]
async fn a_flood_is_told_at_its_pace_and_its_last_state_in_the_end() {
    let mut node = Fixture::new();
    let peer = node.connect();
    for number in 0..3000 {
        node.says(peer, &number.to_string());
    }
    let told = |number: u32, coalesced| (number.to_string(), coalesced);
    assert_eq!(node.told(peer), [0, 1, 2, 3].map(|number| told(number, 0)));
    node.core.taken_notes();
    node.pass(HOLD - Duration::from_millis(1));
    assert_eq!(node.told(peer), []);
    node.pass(Duration::from_millis(1));
    assert_eq!(node.told(peer), [told(2999, 2995)]);
    assert_eq!(node.core.taken_notes().len(), 1);
    let record = node.core.shared.book.get(&peer).unwrap();
    assert_eq!(record.agent_version.as_deref(), Some("2999"));
    assert_eq!(node.core.shared.hub.counts().coalesced, 2995);
    node.pass(HOLD * 60);
    assert_eq!(node.told(peer), []);
}

#[tokio::test]
async fn many_peers_that_change_slowly_for_long_have_one_event_a_second_each_and_nothing_is_kept_of_them()
 {
    let mut node = Fixture::new();
    let peers: Vec<_> = (0..20).map(|_| node.connect()).collect();
    // Ten times a second each, for two minutes.
    for round in 0..1200 {
        for peer in &peers {
            node.says(*peer, &round.to_string());
        }
        node.pass(Duration::from_millis(100));
    }
    node.pass(HOLD);
    let mut events = Vec::new();
    while let Ok(batch) = node.events.next(Instant::now()) {
        if batch.events.is_empty() {
            break;
        }
        events.extend(batch.events);
    }
    assert!(events.len() <= 20 * (120 + 1 + AT_ONCE as usize), "{}", events.len());
    for peer in &peers {
        let record = node.core.shared.book.get(peer).unwrap();
        assert_eq!(record.agent_version.as_deref(), Some("1199"), "the last");
        node.identities.peer_gone(&mut node.core, *peer, &"".into());
    }
    assert!(node.identities.peers.is_empty());
}

#[tokio::test]
async fn who_says_the_same_again_and_again_is_told_once() {
    let mut node = Fixture::new();
    let peer = node.connect();
    for _ in 0..1000 {
        node.says(peer, "a");
    }
    node.pass(HOLD * 2);
    node.says(peer, "a");
    assert_eq!(node.told(peer), [("a".to_owned(), 0)]);
    assert_eq!(node.core.shared.hub.counts().coalesced, 0);
    // All that may come at once is used up by what says nothing new.
    (0..5).for_each(|_| node.says(peer, "a"));
    // A change that is taken back within the second is none.
    for agent in ["b", "c", "a"] {
        node.says(peer, agent);
    }
    node.pass(HOLD);
    assert_eq!(node.told(peer), []);
    assert_eq!(node.core.shared.hub.counts().coalesced, 2);
    node.pass(HOLD);
    node.says(peer, "b");
    assert_eq!(node.told(peer), [("b".to_owned(), 2)]);
}

#[tokio::test]
async fn the_first_on_each_connection_is_taken_at_once_and_the_last_before_the_end() {
    let mut node = Fixture::new();
    let peer = node.connect();
    (0..100).for_each(|number| node.says(peer, &number.to_string()));
    node.told(peer);
    node.core.taken_notes();
    // Whoever waits for the peer's acceptance goes by its newest connection.
    let second = node.connect_again(peer);
    node.says_on(peer, second, "at once");
    assert_eq!(node.told(peer), [("at once".to_owned(), 96)]);
    assert_eq!(node.core.taken_notes().len(), 1);
    node.pass(HOLD);
    assert_eq!(node.told(peer), [], "what was held back was older");

    (0..100).for_each(|number| node.says(peer, &number.to_string()));
    node.told(peer);
    let text = node.core.peers.get(&peer).unwrap().text.clone();
    node.identities.peer_gone(&mut node.core, peer, &text);
    assert_eq!(node.told(peer).last().map(|(agent, _)| agent.clone()), Some("99".to_owned()));
    assert!(node.identities.peers.is_empty());
    node.pass(HOLD * 2);
    assert_eq!(node.told(peer), []);
}
