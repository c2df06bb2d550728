//! The steps of a look-up in process, by a clock that the tests move.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use crossbeam_channel::Receiver;
use serde_json::json;

use super::*;
use crate::error::Result;
use crate::worker::core::testing::{core, terms};
use crate::worker::util::clock::Clock;

const ADDRESS: &str = "/ip4/127.0.0.1/tcp/9";

struct Bench {
    core: Core,
    clock: Clock,
    lookups: Lookups,
    wanted: PeerId,
}

impl Bench {
    /// A node with the DHT on.
    fn new() -> Self {
        let config = json!({ "profile": "offline", "discovery": { "dht": "client" } });
        let (core, clock, _) = core(config);
        Bench { core, clock, lookups: Lookups::default(), wanted: PeerId::random() }
    }

    fn with_a_peer_of_the_dht(mut self) -> Self {
        let address: Multiaddr = ADDRESS.parse().unwrap();
        self.core.dht().unwrap().add(&PeerId::random(), &[address]);
        self
    }

    fn with_a_peer_to_ask(mut self) -> Self {
        let peer = PeerId::random();
        self.core.connect_for_test(peer, None);
        let protocol = self.core.shared.settings.discovery.find_peer_protocol.clone();
        self.core.speaks_for_test(peer, &protocol);
        self
    }

    fn find(&mut self, timeout: Duration) -> Receiver<Result<PeerFound>> {
        let (terms, answer) = terms(&self.core, timeout);
        let peer = self.wanted;
        self.lookups.command(&mut self.core, LookupCommand::FindPeer { peer, terms });
        answer
    }

    fn wait(&mut self, by: Duration) {
        self.core.pass_time(&self.clock, by);
        while let Some(timer) = self.core.elapsed_timer() {
            match timer {
                Timer::LookupStep(call) => self.lookups.step_timed_out(&mut self.core, call),
                Timer::Deadline(call) => self.lookups.ended(&mut self.core, call, Ending::Deadline),
                _ => {}
            }
        }
    }
}

fn steps(error: &Error) -> Vec<String> {
    let steps = error.detail()["lookups"].as_array().unwrap().clone();
    steps.iter().map(|step| format!("{}: {}", step["source"], step["error"])).collect()
}

#[tokio::test]
async fn with_nobody_to_ask_the_answer_comes_at_once() {
    let mut bench = Bench::new();
    let error = bench.find(Duration::from_secs(60)).try_recv().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PeerNotFound);
    let [dht, peers] = &*steps(&error) else { panic!("{error:?}") };
    assert!(dht.contains("no peer that takes part in the DHT is known"), "{dht}");
    assert!(peers.contains("no connected peer answers such a question"), "{peers}");
}

#[tokio::test]
async fn the_dht_has_ten_seconds_and_the_connected_peers_three() {
    let mut bench = Bench::new().with_a_peer_of_the_dht().with_a_peer_to_ask();
    let answer = bench.find(Duration::from_secs(60));
    bench.wait(DHT_PATIENCE - Duration::from_millis(1));
    assert!(matches!(bench.lookups.searches.values().next().unwrap().stage, Stage::Dht(_)));
    bench.wait(Duration::from_millis(1));
    assert!(matches!(bench.lookups.searches.values().next().unwrap().stage, Stage::Peers(_)));
    bench.wait(PEERS_PATIENCE - Duration::from_millis(1));
    assert!(answer.is_empty());
    bench.wait(Duration::from_millis(1));
    let error = answer.try_recv().unwrap().unwrap_err();
    let [dht, peers] = &*steps(&error) else { panic!("{error:?}") };
    assert!(dht.contains("had not found the peer in time"), "{dht}");
    assert!(peers.contains("no connected peer answered in time"), "{peers}");
    assert!(bench.lookups.is_empty());
}

#[tokio::test]
async fn a_short_call_leaves_half_its_time_to_the_connected_peers() {
    let mut bench = Bench::new().with_a_peer_of_the_dht().with_a_peer_to_ask();
    let answer = bench.find(Duration::from_secs(4));
    bench.wait(Duration::from_secs(2));
    assert!(matches!(bench.lookups.searches.values().next().unwrap().stage, Stage::Peers(_)));
    bench.wait(Duration::from_secs(2));
    assert_eq!(answer.try_recv().unwrap().unwrap_err().kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn what_a_remote_of_the_dht_tells_is_the_answer() {
    let mut bench = Bench::new().with_a_peer_of_the_dht();
    let answer = bench.find(Duration::from_secs(60));
    let told: Multiaddr = "/ip4/127.0.0.1/tcp/77".parse().unwrap();
    bench.lookups.located(&mut bench.core, PeerId::random(), std::slice::from_ref(&told));
    assert!(answer.is_empty(), "another peer");
    bench.lookups.located(&mut bench.core, bench.wanted, &[told]);
    let found = answer.try_recv().unwrap().unwrap();
    assert_eq!((found.found_by, found.lookups.len()), (Source::Dht, 1));
    assert!(bench.core.shared.book.get(&bench.wanted).is_some());
}

#[tokio::test]
async fn what_the_book_has_is_an_answer_when_nobody_who_was_asked_knows() {
    let mut bench = Bench::new();
    let address: Multiaddr = ADDRESS.parse().unwrap();
    let (book, time) = (&bench.core.shared.book, bench.core.time);
    book.discovered(&bench.wanted, Source::Gossip, &[address], time);
    let found = bench.find(Duration::from_secs(9)).try_recv().unwrap().unwrap();
    assert_eq!((found.found_by, found.multiaddrs.len()), (Source::Book, 1));
    assert!(found.lookups.iter().all(|step| step.found == 0));
}

#[tokio::test]
async fn a_call_of_another_part_hears_by_notes_and_its_failed_addresses_are_no_answer() {
    let mut bench = Bench::new().with_a_peer_of_the_dht().with_a_peer_to_ask();
    let (terms, _answer) = terms::<()>(&bench.core, Duration::from_secs(60));
    let (call, deadline, _reply) = bench.core.register(Owner::Dialing, terms).unwrap();
    let peer = bench.wanted;
    let look_up = LookUp { call, peer, tried: vec![ADDRESS.into()], deadline };
    bench.lookups.look_up(&mut bench.core, look_up);
    bench.lookups.located(&mut bench.core, peer, &[ADDRESS.parse().unwrap()]);
    assert!(bench.core.taken_notes().is_empty(), "it failed there already");
    bench.wait(DHT_PATIENCE);
    let notes = bench.core.taken_notes();
    assert!(
        matches!(&notes[..], [Note::LookupStep { steps, asked: Source::Exchange, .. }] if steps.len() == 1)
    );
    bench.wait(PEERS_PATIENCE);
    let notes = bench.core.taken_notes();
    assert!(
        matches!(&notes[..], [Note::LookedUp { steps, found, .. }] if steps.len() == 2 && found.is_empty())
    );
}
