//! Tests of the wake-up alone: the descriptor is readable exactly while something is queued or the end
//! has come, no reader sleeps past an event, and a slow one loses the oldest only. The tests of what is
//! kept, for how long and for whom, are in `events/keeping_tests.rs`.
#![allow(unsafe_code)]

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn subscribe(hub: &Hub) -> Arc<Subscription> {
    hub.subscribe(&EventsOptions::new()).unwrap()
}

fn publish(hub: &Hub) {
    let kind = EventKind::ListenAddr { address: "/ip4/127.0.0.1/tcp/1".into(), active: true };
    hub.publish(None, kind);
}

fn stop(hub: &Hub) {
    hub.publish(None, EventKind::Stopped { code: ErrorKind::Closed });
}

/// Tells whether `poll` finds the descriptor readable within this time.
fn readable(subscription: &Subscription, within: Duration) -> bool {
    let mut polled = libc::pollfd { fd: subscription.fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one live pollfd, and its number.
    let ready = unsafe { libc::poll(&mut polled, 1, within.as_millis() as i32) };
    ready == 1 && polled.revents & libc::POLLIN != 0
}

fn next_now(subscription: &Subscription) -> Result<EventBatch> {
    subscription.next(Instant::now())
}

#[derive(Debug, Clone)]
enum Step {
    Publish(usize),
    Next(usize),
    Close(usize),
    Subscribe,
    Drop(usize),
    Stop,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => prop_oneof![4 => 1..5usize, 2 => 60..70usize, 1 => 4090..4200usize].prop_map(Step::Publish),
        8 => (0..4usize).prop_map(Step::Next),
        1 => (0..4usize).prop_map(Step::Close),
        2 => Just(Step::Subscribe),
        1 => (0..4usize).prop_map(Step::Drop),
        1 => Just(Step::Stop),
    ];
    prop::collection::vec(step, 1..40)
}

/// A model of a subscription: the numbers queued, the count of those lost, whether it ended.
#[derive(Default)]
struct Model {
    queued: VecDeque<u64>,
    lagged: u64,
    ended: bool,
}

impl Model {
    fn push(&mut self, seq: u64) {
        if self.ended {
            return;
        }
        if self.queued.len() == QUEUE.events {
            self.queued.pop_front();
            self.lagged += 1;
        }
        self.queued.push_back(seq);
    }

    fn take(&mut self) -> (Vec<u64>, u64) {
        let count = self.queued.len().min(BATCH);
        (self.queued.drain(..count).collect(), std::mem::take(&mut self.lagged))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_descriptor_is_readable_exactly_while_something_is_queued_or_the_end_has_come(
        steps in steps()
    ) {
        let hub = Hub::default();
        let mut open = vec![(subscribe(&hub), Model::default())];
        let (mut seq, mut stopped) = (0, false);
        for step in steps {
            match step {
                Step::Publish(count) => for _ in 0..count {
                    publish(&hub);
                    if !stopped {
                        seq += 1;
                        open.iter_mut().for_each(|(_, model)| model.push(seq));
                    }
                },
                Step::Next(at) => if let Some((subscription, model)) = open.get_mut(at) {
                    match next_now(subscription) {
                        Ok(batch) => {
                            let got: Vec<u64> = batch.events.iter().map(|event| event.seq).collect();
                            prop_assert_eq!((got, batch.lagged), model.take());
                        }
                        Err(error) => {
                            prop_assert_eq!(error.kind(), ErrorKind::Closed);
                            prop_assert!(model.ended && model.queued.is_empty());
                        }
                    }
                },
                Step::Close(at) => if let Some((subscription, model)) = open.get_mut(at) {
                    subscription.close();
                    model.queued.clear();
                    model.ended = true;
                },
                Step::Subscribe => if open.len() < 4 {
                    let model = Model { ended: stopped, ..Model::default() };
                    open.push((subscribe(&hub), model));
                },
                Step::Drop(at) => if at < open.len() {
                    open.remove(at);
                },
                Step::Stop => {
                    stop(&hub);
                    if !stopped {
                        seq += 1;
                        for (_, model) in &mut open {
                            model.push(seq);
                            model.ended = true;
                        }
                    }
                    stopped = true;
                }
            }
            for (subscription, model) in &open {
                let expected = !model.queued.is_empty() || model.ended;
                prop_assert_eq!(readable(subscription, Duration::ZERO), expected);
            }
        }
    }
}

/// Checks that a reader which takes only when told to, by the descriptor or by `next` itself, gets everything.
fn everything_arrives(readers: usize, by_descriptor: bool) {
    const EVENTS: u64 = 3000;
    let hub = Hub::default();
    let subscription = subscribe(&hub);
    let read = || {
        let mut got = Vec::new();
        loop {
            let patience = Duration::from_secs(20);
            let batch = if by_descriptor {
                assert!(readable(&subscription, patience), "not woken");
                next_now(&subscription)
            } else {
                subscription.next(Instant::now() + patience)
            };
            let Ok(batch) = batch else { return got };
            assert!(by_descriptor || !batch.events.is_empty(), "not woken");
            assert_eq!(batch.lagged, 0);
            got.extend(batch.events.iter().map(|event| event.seq));
        }
    };
    let got: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let reading: Vec<_> = (0..readers).map(|_| scope.spawn(read)).collect();
        let writing: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    for count in 0..EVENTS / 2 {
                        publish(&hub);
                        if count % 7 == 0 {
                            std::thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        writing.into_iter().for_each(|thread| thread.join().unwrap());
        stop(&hub);
        reading.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(got.iter().all(|of_one| of_one.is_sorted()));
    let all: HashSet<u64> = got.iter().flatten().copied().collect();
    assert_eq!(got.iter().map(Vec::len).sum::<usize>() as u64, EVENTS + 1, "none twice");
    assert_eq!(all, (1..=EVENTS + 1).collect(), "none lost");
}

#[test]
fn no_wake_up_is_lost_between_writers_and_readers() {
    for readers in [1, 2, 5] {
        for by_descriptor in [true, false] {
            for _ in 0..10 {
                everything_arrives(readers, by_descriptor);
            }
        }
    }
}

#[test]
fn close_wakes_every_reader() {
    let hub = Hub::default();
    let subscription = subscribe(&hub);
    let codes: Vec<ErrorKind> = std::thread::scope(|scope| {
        let wait = || subscription.next(Instant::now() + Duration::from_secs(30));
        let readers: Vec<_> = (0..4).map(|_| scope.spawn(wait)).collect();
        std::thread::sleep(Duration::from_millis(50));
        subscription.close();
        readers.into_iter().map(|reader| reader.join().unwrap().unwrap_err().kind()).collect()
    });
    assert_eq!(codes, [ErrorKind::Closed; 4]);
}

#[test]
fn a_reader_that_comes_after_the_end_learns_of_it() {
    let hub = Hub::default();
    stop(&hub);
    let late = subscribe(&hub);
    assert!(readable(&late, Duration::ZERO));
    assert_eq!(next_now(&late).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn a_dropped_subscription_makes_room_for_another() {
    let hub = Hub::default();
    let all: Vec<Arc<Subscription>> =
        (0..MAX_SUBSCRIPTIONS / 16).map(|_| subscribe(&hub)).collect();
    drop(all);
    publish(&hub);
    assert!(hub.inner.lock().subscriptions.is_empty());
}
