//! Passes in process, by a clock that the tests move.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use crossbeam_channel::Receiver;
use libp2p::identity::Keypair;
use serde_json::{Value, json};

use super::passes::WINDOW;
use super::{Discovery, DiscoveryCommand};
use crate::Multiaddr;
use crate::PeerId;
use crate::discovery_log::Snapshot;
use crate::error::Result;
use crate::model::Source;
use crate::worker::core::Core;
use crate::worker::core::calls::Ending;
use crate::worker::core::notes::{ListedDial, ListedDialEnd, Note, Opened};
use crate::worker::core::testing::{core, terms};
use crate::worker::core::timers::Timer;
use crate::worker::util::clock::Clock;

struct Bench {
    core: Core,
    clock: Clock,
    discovery: Discovery,
}

impl Bench {
    fn new(discovery: Value, bootstrap: &[String]) -> Self {
        let config =
            json!({ "profile": "offline", "discovery": discovery, "bootstrap": bootstrap });
        let (mut core, clock, keypair) = core(config);
        core.begin_turn();
        let mut discovery = Discovery::new(&keypair, &core.shared.settings);
        discovery.begin(&mut core);
        Bench { core, clock, discovery }
    }

    /// Lets time go by, and serves timers; returns the dials that were asked for.
    fn wait(&mut self, by: Duration) -> Vec<ListedDial> {
        self.core.pass_time(&self.clock, by);
        while let Some(timer) = self.core.elapsed_timer() {
            match timer {
                Timer::Pass => self.discovery.pass_due(&mut self.core),
                Timer::PassEnd => self.discovery.end_pass_if_over(&mut self.core),
                Timer::Deadline(call) => {
                    self.discovery.ended(&mut self.core, call, Ending::Deadline)
                }
                _ => {}
            }
        }
        let dials = self.core.taken_notes().into_iter().filter_map(|note| match note {
            Note::DialListed(dial) => Some(dial),
            _ => None,
        });
        dials.collect()
    }

    fn dials_end(&mut self, dials: &[ListedDial]) {
        for dial in dials {
            let end = ListedDialEnd { ticket: dial.ticket, answered: None, connected: false };
            self.discovery.listed_dial_ended(&mut self.core, &end);
        }
    }

    fn discover(&mut self, limit: u64) -> Receiver<Result<Snapshot>> {
        let (terms, answer) = terms(&self.core, Duration::from_secs(60));
        let command = DiscoveryCommand::Discover { limit, terms };
        self.discovery.command(&mut self.core, command);
        answer
    }

    fn note(&self, source: Source) -> String {
        self.core.shared.discovery.snapshot().sources[&source].note.clone().unwrap_or_default()
    }
}

fn listed() -> (PeerId, String) {
    let peer = Keypair::generate_ed25519().public().to_peer_id();
    (peer, format!("/ip4/127.0.0.1/tcp/9/p2p/{peer}"))
}

#[tokio::test]
async fn passes_come_at_the_interval_and_wait_for_their_dials() {
    let (_, address) = listed();
    let mut bench = Bench::new(json!({ "interval_s": 30 }), &[address]);
    let dials = bench.wait(Duration::ZERO);
    assert_eq!(dials.len(), 1, "the first pass begins with the run");
    bench.wait(Duration::from_secs(10));
    assert!(bench.discovery.pass.is_some(), "the dial isn't over");
    bench.dials_end(&dials);
    assert!(bench.discovery.pass.is_none());
    bench.wait(Duration::from_secs(20) - Duration::from_millis(1));
    assert_eq!(bench.discovery.passes, 1);
    bench.wait(Duration::from_millis(1));
    assert_eq!(bench.discovery.passes, 2);
    bench.wait(Duration::from_secs(20));
    assert!(bench.discovery.pass.is_none(), "a pass ends after 20 s whatever it waits for");
}

#[tokio::test]
async fn a_stopped_discovery_asks_nobody_until_it_is_started_again() {
    let (_, address) = listed();
    let mut bench = Bench::new(json!({}), &[address]);
    bench.wait(Duration::ZERO);
    bench.discovery.set_active(&mut bench.core, false);
    let notes = bench.core.taken_notes();
    assert!(notes.iter().any(|note| matches!(note, Note::AutomaticDialsUnwanted)));
    assert!(bench.discovery.pass.is_none() && !bench.discovery.is_looking(&bench.core));
    assert!(bench.wait(Duration::from_secs(3600)).is_empty());
    bench.discovery.set_active(&mut bench.core, true);
    assert_eq!(bench.wait(Duration::ZERO).len(), 1);
}

#[tokio::test]
async fn a_call_s_pass_ends_with_its_goal_or_its_window() {
    let mut bench = Bench::new(json!({ "gossip": true }), &[]);
    bench.discovery.set_active(&mut bench.core, false);
    let [all, one] = [bench.discover(9), bench.discover(1)];
    assert!(all.is_empty() && one.is_empty() && bench.discovery.is_looking(&bench.core));
    let address: Multiaddr = "/ip4/127.0.0.1/tcp/9".parse().unwrap();
    bench.core.discovered(Source::Gossip, PeerId::random(), &[address]);
    bench.discovery.discovered(&mut bench.core, true);
    assert_eq!(one.try_recv().unwrap().unwrap().found.len(), 1);
    bench.wait(WINDOW - Duration::from_millis(1));
    assert!(all.is_empty());
    bench.wait(Duration::from_millis(1));
    assert!(!all.try_recv().unwrap().unwrap().passing);
    assert!(!bench.discovery.is_looking(&bench.core));
}

#[tokio::test]
async fn passes_leave_the_dht_out_while_nothing_is_new() {
    let mut bench = Bench::new(json!({ "dht": "client", "interval_s": 10 }), &[]);
    let address: Multiaddr = "/ip4/127.0.0.1/tcp/9".parse().unwrap();
    bench.core.dht().unwrap().add(&PeerId::random(), &[address]);
    let asks = |bench: &mut Bench, after: u64| {
        bench.wait(Duration::from_secs(after));
        let asks = !bench.note(Source::Dht).contains("left out");
        // Nobody answers its queries here.
        bench.discovery.break_off_pass(&mut bench.core);
        asks
    };
    let asked: Vec<bool> =
        (0..8).map(|pass| asks(&mut bench, if pass == 0 { 0 } else { 10 })).collect();
    assert_eq!(asked, [true, false, true, false, false, false, true, false]);
    bench.discovery.opened(&Opened { peer: PeerId::random(), origin: None, first: true });
    assert!(asks(&mut bench, 10), "a new peer is news");
    assert!(!asks(&mut bench, 10));
}

#[tokio::test]
async fn bootstrap_peers_wait_their_turn_but_for_the_first_pass_and_a_call_s() {
    let (peer, address) = listed();
    let mut bench = Bench::new(json!({ "interval_s": 30 }), &[address]);
    let back_off = |bench: &mut Bench| {
        let time = bench.core.time;
        bench.core.shared.book.back_off(&peer, time, |_| Duration::from_secs(100));
    };
    back_off(&mut bench);
    let dials = bench.wait(Duration::ZERO);
    assert_eq!(dials.len(), 1, "an earlier run's wait doesn't keep the first dial back");
    bench.dials_end(&dials);
    assert!(bench.wait(Duration::from_secs(30)).is_empty(), "its turn hasn't come");
    let _answer = bench.discover(1);
    let dials = bench.wait(Duration::ZERO);
    assert_eq!(dials.len(), 1, "a call asks");
    bench.dials_end(&dials);
    assert!(bench.wait(Duration::from_secs(60)).is_empty());
    assert_eq!(bench.wait(Duration::from_secs(30)).len(), 1, "its turn has come");
}

#[tokio::test]
async fn a_first_peer_of_the_dht_gives_occasion_to_a_pass_but_not_to_one_after_the_other() {
    let mut bench = Bench::new(json!({ "dht": "client", "interval_s": 3600 }), &[]);
    bench.wait(Duration::ZERO);
    bench.wait(Duration::from_secs(20));
    assert!(bench.discovery.pass.is_none());
    let protocol = bench.core.shared.settings.discovery.dht_protocol.clone();
    let comes = |bench: &mut Bench| {
        let peer = PeerId::random();
        bench.core.connect_for_test(peer, None);
        bench.core.speaks_for_test(peer, &protocol);
        let listens_at = vec!["/ip4/127.0.0.1/tcp/9".parse().unwrap()];
        bench.discovery.identified(&mut bench.core, peer, listens_at);
        peer
    };
    let first = comes(&mut bench);
    bench.wait(Duration::from_millis(200));
    assert_eq!(bench.discovery.passes, 2);
    bench.discovery.break_off_pass(&mut bench.core);
    bench.core.dht().unwrap().remove(&first);
    comes(&mut bench);
    bench.wait(Duration::from_secs(4));
    assert_eq!(bench.discovery.passes, 2, "a remote doesn't decide how often we look around");
    bench.wait(Duration::from_secs(1));
    assert_eq!(bench.discovery.passes, 3);
}

#[tokio::test]
async fn a_change_of_network_lets_a_bootstrap_peer_be_dialled_at_once() {
    let (peer, address) = listed();
    let mut bench = Bench::new(json!({ "interval_s": 30 }), &[address]);
    let dials = bench.wait(Duration::ZERO);
    bench.dials_end(&dials);
    let time = bench.core.time;
    bench.core.shared.book.back_off(&peer, time, |_| Duration::from_secs(3600));
    assert!(bench.wait(Duration::from_secs(30)).is_empty(), "its turn hasn't come");
    assert_eq!(bench.core.shared.book.forget_waits(), 1);
    let (terms, answer) = terms(&bench.core, Duration::from_secs(60));
    let command = DiscoveryCommand::NetworkChanged { terms };
    bench.discovery.command(&mut bench.core, command);
    let dials = bench.wait(Duration::ZERO);
    assert_eq!((dials.len(), answer.is_empty()), (1, true));
    bench.dials_end(&dials);
    assert!(answer.try_recv().unwrap().is_ok(), "the pass is over");
    assert_eq!(bench.core.shared.book.forget_waits(), 0);
}
