//! A core for unit tests of parts: a real swarm that nobody polls, a real book, and a clock that stands
//! still until the test moves it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;
use libp2p::identity::Keypair;
use libp2p::swarm::ConnectionId;
use serde_json::Value;

use super::Core;
use super::notes::Note;
use super::peers::{Connection, Identity};
use super::timers::Timer;
use crate::PeerId;
use crate::book::{Book, Identified, Origin};
use crate::bootstrap::BootstrapList;
use crate::config::{Config, Settings};
use crate::error::Result;
use crate::model::{ConnectionInfo, Direction, Source, TransportKind};
use crate::worker::behaviour;
use crate::worker::reply::{Reply, Terms};
use crate::worker::shared::Shared;
use crate::worker::transport::terms::DialTerms;
use crate::worker::util::clock::Clock;

/// Makes a core with this configuration. Must be called on a runtime.
pub(crate) fn core(config: Value) -> (Core, Clock, Keypair) {
    let config = Config::from_json(&config.to_string()).unwrap();
    let settings = Settings::resolve(&config, None).unwrap();
    let keypair = Keypair::generate_ed25519();
    let book = Arc::new(Book::new(settings.limits.max_peers as usize));
    let (list, _) = BootstrapList::open(None, settings.discovery.bootstrap.clone()).unwrap();
    let shared = Arc::new(Shared::new(settings, keypair.public().to_peer_id(), book, list));
    let clock = Clock::stopped();
    let terms = DialTerms::new(clock.clone());
    let swarm = behaviour::swarm(&shared, &keypair, &terms, &clock, Arc::default());
    (Core::new(swarm.unwrap(), shared, terms, clock.clone()), clock, keypair)
}

/// Makes the terms of a call that has `timeout`, and the receiver of its answer.
pub(crate) fn terms<T>(core: &Core, timeout: Duration) -> (Terms<T>, Receiver<Result<T>>) {
    let (reply, answer) = Reply::channel();
    (Terms { deadline: core.now + timeout, cancel_token: None, reply }, answer)
}

impl Core {
    /// Lets time go by. The caller serves the timers that went off.
    pub(crate) fn pass_time(&mut self, clock: &Clock, by: Duration) {
        clock.advance(by);
        self.begin_turn();
    }

    /// Takes out the next timer that went off.
    pub(crate) fn elapsed_timer(&mut self) -> Option<Timer> {
        self.timers.pop_elapsed(self.now)
    }

    /// Takes out the notes pushed by now.
    pub(crate) fn taken_notes(&mut self) -> Vec<Note> {
        self.notes.drain(..).collect()
    }

    /// Connects a peer as far as the table and the book know.
    pub(crate) fn connect_for_test(&mut self, peer: PeerId, origin: Option<Origin>) -> u64 {
        let number = self.peers.next_number();
        let address = format!("/ip4/127.0.0.1/tcp/{}", 1000 + number);
        let direction = if origin.is_some() { Direction::Outbound } else { Direction::Inbound };
        let info = ConnectionInfo {
            address: address.as_str().into(),
            direction,
            transport: TransportKind::Tcp,
            opened_at: self.time,
        };
        let source = origin.map_or(Source::Inbound, Origin::source);
        self.shared.book.connected(&peer, number, info, source, self.time);
        let connection = Connection {
            number,
            id: ConnectionId::new_unchecked(usize::MAX - number as usize),
            address: address.into(),
            source: crate::admission::Source::Local,
            direction,
            transport: TransportKind::Tcp,
            since: self.now,
            identity: Identity::Awaited,
            origin,
            closing: None,
        };
        self.peers.insert(peer, connection);
        number
    }

    /// Notes that a connected peer speaks a protocol, as its identify would.
    pub(crate) fn speaks_for_test(&mut self, peer: PeerId, protocol: &str) {
        let told = Identified { protocols: vec![protocol.to_owned()], ..Identified::default() };
        self.shared.book.identified(&peer, told, self.time);
    }
}
