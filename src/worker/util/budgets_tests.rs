#![allow(clippy::unwrap_used, clippy::expect_used)]

use futures::task::noop_waker_ref;

use super::*;

fn budgets() -> (Arc<Budgets>, Clock) {
    let clock = Clock::stopped();
    (Arc::new(Budgets::new(Arc::default(), clock.clone())), clock)
}

fn counted(budgets: &Budgets, what: &str) -> u64 {
    budgets.log.all_dropped().get(what).copied().unwrap_or(0)
}

fn next_over(budgets: &Budgets) -> Option<PeerId> {
    match budgets.poll_over(&mut Context::from_waker(noop_waker_ref())) {
        Poll::Ready(peer) => Some(peer),
        Poll::Pending => None,
    }
}

/// Opens streams until the budget ends them; returns how many were let in.
fn open_all(connection: &ConnectionMeter) -> u32 {
    let mut opened = 0;
    while connection.stream().is_ok() {
        opened += 1;
        assert!(opened < 1_000_000, "nothing ends it");
    }
    opened
}

#[test]
fn a_peer_over_its_budget_loses_its_connections_and_is_refused_for_a_minute() {
    let (budgets, clock) = budgets();
    let (peer, other) = (PeerId::random(), PeerId::random());
    let (first, second) = (budgets.connection(peer), budgets.connection(peer));
    assert_eq!(open_all(&first), FREE_STREAMS + Work::Streams.budget().burst);
    assert_eq!(second.in_budget(), Err(OverBudget(Work::Streams)), "all of its connections end");
    assert_eq!((next_over(&budgets), next_over(&budgets)), (Some(peer), None));
    assert_eq!(second.frame(), Ok(()), "a frame alone isn't worth asking");
    open_all(&second);
    assert_eq!((counted(&budgets, "budget.streams"), next_over(&budgets)), (1, None));
    assert_eq!(budgets.refuses(&peer), Some(OverBudget(Work::Streams)));
    assert_eq!((budgets.refuses(&other), budgets.connection(other).stream()), (None, Ok(())));
    clock.advance(REFUSAL);
    assert_eq!(budgets.refuses(&peer), None);
    assert_eq!(budgets.connection(peer).in_budget(), Ok(()));
}

#[test]
fn connecting_anew_fills_no_budget() {
    let (budgets, clock) = budgets();
    let peer = PeerId::random();
    let burst = Work::Streams.budget().burst;
    let mut opened = 0;
    while budgets.refuses(&peer).is_none() {
        let connection = budgets.connection(peer);
        opened += (0..1000).take_while(|_| connection.stream().is_ok()).count() as u32;
    }
    assert_eq!(opened, burst + FREE_STREAMS * (1 + burst / (1000 - FREE_STREAMS)));
    // One that is dialled in spite of that has what was saved up since.
    clock.advance(Duration::from_secs(2));
    let saved = 2 * Work::Streams.budget().per_second;
    assert_eq!(open_all(&budgets.connection(peer)), FREE_STREAMS + saved);
}

#[test]
fn a_slow_flood_is_over_in_time_and_what_stays_at_the_rate_never() {
    let (budgets, clock) = budgets();
    let Budget { per_second, burst, .. } = Work::Streams.budget();
    let connections = [PeerId::random(), PeerId::random()].map(|peer| budgets.connection(peer));
    let [slow, steady] = &connections;
    let mut seconds = 0;
    while (0..per_second + per_second / 4).all(|_| slow.stream().is_ok()) {
        assert!((0..per_second).all(|_| steady.stream().is_ok()));
        clock.advance(Duration::from_secs(1));
        seconds += 1;
    }
    assert_eq!(seconds, 4 * burst / per_second - 4, "a quarter above the rate");
    for _ in 0..1000 {
        clock.advance(Duration::from_secs(1));
        assert!((0..per_second).all(|_| steady.stream().is_ok()));
    }
}

#[test]
fn while_all_ask_for_too_much_nobody_has_more_than_its_rate() {
    let (budgets, _) = budgets();
    let Budget { per_second, burst, all_burst, .. } = Work::Streams.budget();
    let open = |count: u32| {
        let connection = budgets.connection(PeerId::random());
        let opened = (0..FREE_STREAMS + count).take_while(|_| connection.stream().is_ok());
        (opened.count() as u32, connection)
    };
    let greedy: Vec<_> = (0..2 * all_burst / burst).map(|_| open(burst / 2)).collect();
    assert!(greedy.iter().all(|(opened, _)| *opened == FREE_STREAMS + burst / 2));
    assert_eq!(open(burst).0, FREE_STREAMS + per_second, "whoever comes now");
    assert!(greedy.iter().all(|(_, connection)| connection.stream().is_err()));
}

#[test]
fn a_few_frames_cost_nothing_and_many_end_the_connection() {
    let (budgets, _) = budgets();
    let Budget { burst, .. } = Work::Frames.budget();
    let peer = PeerId::random();
    for _ in 0..2 * burst / FREE_FRAMES {
        let connection = budgets.connection(peer);
        assert!((0..FREE_FRAMES).all(|_| connection.frame().is_ok()));
    }
    let connection = budgets.connection(peer);
    let passed = (0..u32::MAX).take_while(|_| connection.frame().is_ok()).count() as u32;
    assert!(passed > burst && passed < burst + FREE_FRAMES + 2 * FRAMES_AT_ONCE, "{passed}");
    assert_eq!(connection.in_budget(), Err(OverBudget(Work::Frames)));
    assert_eq!(counted(&budgets, "budget.frames"), 1);
}

#[test]
fn protocols_take_of_the_same_meter() {
    let (budgets, _) = budgets();
    let peer = PeerId::random();
    let connection = budgets.connection(peer);
    let taken = (0..).take_while(|_| budgets.take(&peer, Work::DhtQuestions)).count() as u32;
    assert_eq!(taken, Work::DhtQuestions.budget().burst);
    assert_eq!(connection.in_budget(), Err(OverBudget(Work::DhtQuestions)));
    let told = OverBudget(Work::DhtQuestions).to_string();
    assert_eq!(
        told,
        "more questions to the DHT than a peer may ask for: 50 a second, 2000 at once"
    );
}
