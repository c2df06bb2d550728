//! Connects and automatic dials in process, by a clock that the tests move.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use crossbeam_channel::Receiver;
use serde_json::json;

use super::*;
use crate::book::{LONGEST_WAIT, UserChange};
use crate::config::MAX_TIMEOUT;
use crate::error::{Error, Result};
use crate::model::DialStage;
use crate::model::event::DisconnectReason;
use crate::worker::core::peers::{GRACE, IDENTIFY_PATIENCE, Identity};
use crate::worker::core::testing::{core, terms};
use crate::worker::core::timers::Timer;
use crate::worker::util::clock::Clock;

const ADDRESS: &str = "/ip4/127.0.0.1/tcp/9";

struct Bench {
    core: Core,
    clock: Clock,
    dialing: Dialing,
}

impl Bench {
    fn new() -> Self {
        let (mut core, clock, _) = core(json!({ "profile": "offline" }));
        core.shared.discovery.set_active(true);
        core.begin_turn();
        Bench { core, clock, dialing: Dialing::default() }
    }

    fn connect(
        &mut self,
        peer: PeerId,
        timeout: Duration,
    ) -> (CallId, Receiver<Result<Connected>>) {
        let (terms, answer) = terms(&self.core, timeout);
        let target = Target { peer: Some(peer), address: Some(ADDRESS.parse().unwrap()) };
        self.dialing.command(&mut self.core, DialingCommand::Connect { target, terms });
        let calls = self.dialing.connects.matching(|c| c.target.peer == Some(peer));
        (calls[0], answer)
    }

    /// Lets the dial under way lead to a connection.
    fn lands(&mut self, peer: PeerId) -> DialOutcome {
        let connection = self.dialing.dials.any_for_test().unwrap();
        let address = &ADDRESS.parse().unwrap();
        let established =
            Established { connection, peer, address, took: Duration::ZERO, errors: &[] };
        let outcome = self.dialing.on_established(&mut self.core, &established);
        self.core.connect_for_test(peer, outcome.origin);
        self.dialing.opened(&mut self.core, peer);
        outcome
    }

    fn identity(&mut self, peer: PeerId, identity: Identity) {
        let state = self.core.peers.get_mut(&peer).unwrap();
        state.connections.iter_mut().for_each(|open| open.identity = identity);
        self.dialing.settle_acceptance(&mut self.core, peer);
    }

    /// Lets time go by, and serves the timers that go off.
    fn wait(&mut self, by: Duration) {
        self.core.pass_time(&self.clock, by);
        while let Some(timer) = self.core.elapsed_timer() {
            match timer {
                Timer::Acceptance(peer) => self.dialing.settle_acceptance(&mut self.core, peer),
                Timer::Deadline(call) => self.dialing.ended(&mut self.core, call, Ending::Deadline),
                Timer::AutoDial => self.dialing.look(&mut self.core),
                Timer::Surroundings => self.dialing.look_around(&mut self.core),
                _ => {}
            }
        }
    }

    fn known(&mut self) -> PeerId {
        let peer = PeerId::random();
        let address: Multiaddr = ADDRESS.parse().unwrap();
        self.core.shared.book.discovered(&peer, Source::Mdns, &[address], self.core.time);
        peer
    }

    fn dials_to(&self, peer: &PeerId) -> bool {
        self.dialing.dials.any_to(peer)
    }

    /// Lets the dial under way fail, for nobody answers.
    fn fails(&mut self) {
        let connection = self.dialing.dials.any_for_test().unwrap();
        self.dialing.on_dial_error(&mut self.core, connection, &DialError::Aborted);
    }
}

fn error(answer: &Receiver<Result<Connected>>) -> Error {
    answer.try_recv().expect("answered").expect_err("an error")
}

#[tokio::test]
async fn identify_is_acceptance_at_once() {
    let (mut bench, peer) = (Bench::new(), PeerId::random());
    let (_, answer) = bench.connect(peer, MAX_TIMEOUT);
    let outcome = bench.lands(peer);
    assert_eq!((outcome.origin, outcome.wanted), (Some(Origin::Call), true));
    assert!(answer.is_empty());
    bench.identity(peer, Identity::Known);
    let connected = answer.try_recv().unwrap().unwrap();
    assert!(!connected.already_connected && connected.attempts.len() == 1);
}

#[tokio::test]
async fn a_peer_without_identify_has_accepted_after_the_grace_period() {
    let (mut bench, peer) = (Bench::new(), PeerId::random());
    let (_, answer) = bench.connect(peer, MAX_TIMEOUT);
    bench.lands(peer);
    bench.identity(peer, Identity::Silent);
    bench.wait(GRACE - Duration::from_millis(1));
    assert!(answer.is_empty());
    bench.wait(Duration::from_millis(1));
    assert!(answer.try_recv().unwrap().is_ok());
}

#[tokio::test]
async fn a_peer_whose_identify_never_comes_has_accepted_after_its_patience() {
    let (mut bench, peer) = (Bench::new(), PeerId::random());
    let (_, answer) = bench.connect(peer, MAX_TIMEOUT);
    bench.lands(peer);
    bench.wait(GRACE);
    assert!(answer.is_empty());
    bench.wait(IDENTIFY_PATIENCE - GRACE);
    assert!(answer.try_recv().unwrap().is_ok());
}

#[tokio::test]
async fn who_closes_in_the_grace_period_has_not_accepted() {
    let (mut bench, peer) = (Bench::new(), PeerId::random());
    let (_, answer) = bench.connect(peer, MAX_TIMEOUT);
    bench.lands(peer);
    let last = Some((DisconnectReason::RemoteClosed, DialStage::Accept));
    let closed = Closed { peer, origin: Some(Origin::Call), last };
    bench.dialing.closed(&mut bench.core, &closed);
    let error = error(&answer);
    assert_eq!(error.kind(), ErrorKind::DialFailed);
    assert_eq!(error.detail()["attempts"][0]["stage"], "accept");
}

#[tokio::test]
async fn a_call_hears_of_its_dial_s_end_a_moment_after_its_deadline() {
    let (mut bench, peer) = (Bench::new(), PeerId::random());
    let (_, answer) = bench.connect(peer, Duration::from_secs(3));
    bench.wait(Duration::from_secs(3));
    assert!(answer.is_empty(), "the dial's own report is about to come");
    bench.wait(Duration::from_millis(200));
    assert_eq!(error(&answer).kind(), ErrorKind::DialTimeout);
    assert!(!bench.dials_to(&peer), "nobody waits for the dial any more");
}

#[tokio::test]
async fn a_cancelled_call_gives_its_dial_up_and_a_joined_one_keeps_it() {
    let (mut bench, peer) = (Bench::new(), PeerId::random());
    let (first, cancelled) = bench.connect(peer, MAX_TIMEOUT);
    let (terms, joined) = terms(&bench.core, MAX_TIMEOUT);
    let target = Target { peer: Some(peer), address: None };
    bench.dialing.command(&mut bench.core, DialingCommand::Connect { target, terms });
    bench.dialing.ended(&mut bench.core, first, Ending::Cancelled);
    assert_eq!(error(&cancelled).kind(), ErrorKind::Cancelled);
    assert!(bench.dials_to(&peer) && joined.is_empty());
    let [second] = *bench.dialing.connects.matching(|_| true) else { panic!("one waits") };
    bench.dialing.ended(&mut bench.core, second, Ending::Cancelled);
    assert!(!bench.dials_to(&peer));
}

#[tokio::test]
async fn an_automatic_dial_s_waits_double_and_a_success_ends_them() {
    let mut bench = Bench::new();
    let peer = bench.known();
    bench.dialing.discovered(&mut bench.core, &peer);
    bench.wait(Duration::from_millis(50));
    for wait in [5, 10, 20] {
        assert!(bench.dials_to(&peer));
        bench.fails();
        bench.wait(Duration::from_secs(wait) - Duration::from_millis(1));
        assert!(!bench.dials_to(&peer), "{wait}");
        bench.wait(Duration::from_millis(1));
    }
    assert_eq!(bench.lands(peer).origin, Some(Origin::Auto));
    assert_eq!(bench.core.shared.book.get(&peer).unwrap().next_retry_at, None);
}

/// Lets automatic dials of a peer fail until its wait is this long.
fn fails_until(bench: &mut Bench, peer: &PeerId, wait: Duration) {
    while auto::back_off(&mut bench.core, peer) != Some(wait) {}
}

#[tokio::test]
async fn a_clock_that_is_set_ends_the_waits_that_went_by_it() {
    for shift in [-86_400, 86_400] {
        let mut bench = Bench::new();
        let peer = bench.known();
        fails_until(&mut bench, &peer, LONGEST_WAIT);
        bench.wait(Duration::from_secs(60));
        assert!(bench.core.taken_notes().is_empty() && !bench.dials_to(&peer));
        let set = bench.core.time.as_micros() + shift * 1_000_000;
        bench.clock.set(crate::Timestamp::from_micros(set));
        bench.wait(Duration::from_secs(10));
        let record = bench.core.shared.book.get(&peer).unwrap();
        assert_eq!((record.next_retry_at, record.last_seen <= Some(bench.core.time)), (None, true));
        assert!(matches!(bench.core.taken_notes()[..], [Note::SurroundingsChanged]));
    }
}

#[tokio::test]
async fn who_is_connected_to_nobody_waits_for_half_a_minute_at_most() {
    let mut bench = Bench::new();
    let peer = bench.known();
    fails_until(&mut bench, &peer, LONGEST_WAIT);
    bench.dialing.begin(&mut bench.core);
    for _ in 0..3 {
        bench.wait(Duration::from_secs(10));
    }
    assert!(bench.dials_to(&peer));
    bench.fails();
    let waits = |bench: &Bench| bench.core.shared.book.get(&peer).unwrap().next_retry_at;
    bench.wait(Duration::from_secs(10));
    assert!(waits(&bench).unwrap() <= bench.core.time.after(Duration::from_secs(20)));

    // Once somebody is connected, a peer that doesn't answer is left alone.
    let other = PeerId::random();
    bench.core.connect_for_test(other, None);
    fails_until(&mut bench, &peer, LONGEST_WAIT);
    bench.wait(Duration::from_secs(600));
    assert!(!bench.dials_to(&peer) && waits(&bench).unwrap() > bench.core.time);
}

#[tokio::test]
async fn a_first_address_lets_peers_be_dialled_and_one_that_a_remote_told_does_not() {
    let mut bench = Bench::new();
    let peer = bench.known();
    bench.core.connect_for_test(PeerId::random(), None);
    fails_until(&mut bench, &peer, LONGEST_WAIT);
    bench.dialing.begin(&mut bench.core);
    for told in [AddressChange::External, AddressChange::ListenRemoved] {
        bench.dialing.addresses_changed(&mut bench.core, told);
        bench.wait(Duration::from_secs(20));
        assert!(bench.core.shared.book.get(&peer).unwrap().next_retry_at.is_some(), "{told:?}");
    }
    bench.dialing.addresses_changed(&mut bench.core, AddressChange::ListenAdded);
    bench.wait(Duration::from_secs(1));
    assert_eq!(bench.core.shared.book.get(&peer).unwrap().next_retry_at, None);
    let notes = bench.core.taken_notes();
    assert!(notes.iter().any(|note| matches!(note, Note::SurroundingsChanged)));
    bench.dialing.surroundings_changed(&mut bench.core);
    bench.wait(Duration::from_millis(50));
    assert!(bench.dials_to(&peer));
}

#[tokio::test]
async fn nobody_whom_the_user_disconnected_is_dialled_by_itself_and_a_call_still_can() {
    let mut bench = Bench::new();
    let peer = bench.known();
    bench.core.shared.book.apply(&UserChange::DisableDial { id: peer, dial_disabled: true });
    bench.dialing.look(&mut bench.core);
    let listed =
        ListedDial { peer: Some(peer), addresses: vec![ADDRESS.parse().unwrap()], ticket: 1 };
    bench.dialing.dial_listed(&mut bench.core, listed);
    assert!(!bench.dials_to(&peer));
    let ended = bench.core.taken_notes();
    assert!(
        matches!(&ended[..], [Note::ListedDialEnded(end)] if end.ticket == 1 && !end.connected)
    );
    let (_, answer) = bench.connect(peer, MAX_TIMEOUT);
    assert!(bench.dials_to(&peer) && answer.is_empty());
}

#[tokio::test]
async fn peers_never_reached_are_dialled_at_a_rate() {
    let mut bench = Bench::new();
    for _ in 0..200 {
        bench.known();
    }
    let mut dialled = 0;
    for _ in 0..8 {
        bench.dialing.look(&mut bench.core);
        while bench.dialing.dials.automatic() > 0 {
            bench.fails();
            dialled += 1;
        }
    }
    assert_eq!(dialled, 32, "at once");
    bench.wait(Duration::from_secs(1));
    bench.dialing.look(&mut bench.core);
    assert_eq!(bench.dialing.dials.automatic(), 4, "and four a second");
}

#[tokio::test]
async fn a_query_s_dial_that_nobody_registered_is_refused() {
    let mut bench = Bench::new();
    let opts = libp2p::swarm::dial_opts::DialOpts::unknown_peer_id()
        .address(ADDRESS.parse().unwrap())
        .build();
    let refused = bench.core.swarm.dial(opts);
    assert!(matches!(refused, Err(DialError::Denied { .. })), "{refused:?}");
}
