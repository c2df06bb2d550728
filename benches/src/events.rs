//! Part "events": the time of an event from the swarm to the reader, and the cost of publishing and reading.

use serde_json::{Value, json};

use crate::Result;
use crate::child::{Child, progress};
use crate::connect::number;
use crate::stats::{Rounds, median};
use crate::table::{Section, count, duration, times};

const ROUNDS: usize = 10;
/// Messages in a turn, and the time between two: below what peerkit takes from one neighbour, 200 a
/// second.
const MESSAGES: u64 = 150;
const PAUSE_US: u64 = 6_000;
/// Events published in a turn beside each of these numbers of subscriptions.
const PUBLISHED: u64 = 600;
const SUBSCRIPTIONS: [u64; 4] = [0, 1, 100, 1_000];
/// A smaller figure is shown as nothing.
const NOISE_NS: f64 = 500.0;
/// The events that fill a subscription's queue.
const FILL: u64 = 4_500;

pub fn run() -> Result<Vec<Section>> {
    Ok(vec![latency()?, cost()?])
}

/// A reader on a topic that nobody else uses.
struct Hearer {
    name: &'static str,
    child: Child,
    topic: &'static str,
    rounds: Rounds,
}

fn latency() -> Result<Section> {
    let mut teller = Child::role(&["member", "127.0.0.1", "server"])?;
    let mut hearers = [
        Hearer {
            name: "raw rust-libp2p, a reader behind a crossbeam channel",
            child: Child::role(&["member", "127.0.0.1", "server"])?,
            topic: "raw",
            rounds: Rounds::default(),
        },
        Hearer {
            name: "**peerkit, `peerkit_events_next`**",
            child: Child::node(None, None)?,
            topic: "peerkit",
            rounds: Rounds::default(),
        },
    ];
    for hearer in &hearers {
        teller.ask(&json!({ "cmd": "connect", "addr": hearer.child.address("/tcp/")? }))?;
    }
    hearers[0].child.ask(&json!({ "cmd": "subscribe", "topic": "raw" }))?;
    let mut in_loop = Rounds::default();
    for round in 0..=ROUNDS {
        progress(&format!("events, round {round} of {ROUNDS}"));
        for hearer in &mut hearers {
            let topic = hearer.topic;
            hearer.child.send(&json!({ "cmd": "hear", "topic": topic, "n": MESSAGES }))?;
            teller.ask(&json!({
                "cmd": "tell", "topic": topic, "n": MESSAGES, "pause_us": PAUSE_US,
            }))?;
            let heard = hearer.child.answer()?;
            if round > 0 {
                hearer.rounds.note(&heard);
            }
        }
        let own = hearers[0].child.ask(&json!({ "cmd": "in-loop" }))?;
        if round > 0 {
            in_loop.note(&own);
        }
    }
    let mut section = Section::new(
        "An event, from swarm to reader",
        &format!(
            "A message of 64 bytes over gossipsub, from the moment before a raw rust-libp2p peer publishes \
             it until its hearer has it; one message every {} ms over TCP on the loopback, {ROUNDS} rounds \
             of {MESSAGES} by each hearer in turn, ratios are medians over the rounds. Messages are signed, \
             and verified by each hearer. peerkit: a reader's thread waits in `peerkit_events_next`, until it returns. raw \
             rust-libp2p: the same protocols on one current-thread runtime, until its loop has the event, \
             and until another thread has it from an unbounded crossbeam channel.",
            PAUSE_US / 1000
        ),
        &["hearer", "ratio to the loop", "p50", "p99", "max"],
    );
    let mut row = |name: &str, rounds: &Rounds| {
        section.row([
            name.to_owned(),
            times(rounds.ratio(&in_loop)),
            duration(rounds.p50()),
            duration(rounds.p99()),
            duration(rounds.max()),
        ]);
    };
    row("raw rust-libp2p, the swarm's loop itself", &in_loop);
    hearers.iter().for_each(|hearer| row(hearer.name, &hearer.rounds));
    Ok(section)
}

/// Medians of the cost of publishing beside one number of subscriptions.
#[derive(Default)]
struct Cost {
    ours: Vec<f64>,
    /// The cost beside subscriptions to other kinds of events.
    others: Vec<f64>,
    channels: Vec<f64>,
}

fn cost() -> Result<Section> {
    let mut node = Child::node(None, None)?;
    let mut costs: [Cost; SUBSCRIPTIONS.len()] = Default::default();
    let (mut read, mut least_read, mut bytes) = (Vec::new(), Vec::new(), f64::NAN);
    let mut from = 0;
    let mut publish = |node: &mut Child, subscriptions, options: Value, n| {
        from += n;
        node.ask(&json!({
            "cmd": "publish-cost", "subscriptions": subscriptions, "options": options, "n": n,
            "from": from - n,
        }))
    };
    for round in 1..=ROUNDS {
        progress(&format!("events, publishing, round {round} of {ROUNDS}"));
        // One such event is in the channels too; and a full queue is read here.
        let one = publish(&mut node, 1, json!({}), FILL)?;
        read.push(number(&one["read"], "ns"));
        bytes = number(&one["read"], "bytes");
        for (subscriptions, cost) in SUBSCRIPTIONS.into_iter().zip(&mut costs) {
            // With `since` the queues begin full, as far as the history reaches.
            let ours = publish(&mut node, subscriptions, json!({ "since": 0 }), PUBLISHED)?;
            cost.ours.push(number(&ours, "publish_ns"));
            let kinds = json!({ "kinds": ["dial_failed"] });
            let others = publish(&mut node, subscriptions, kinds, PUBLISHED)?;
            cost.others.push(number(&others, "publish_ns"));
            let channels = node.ask(&json!({
                "cmd": "channel-cost", "subscriptions": subscriptions, "n": FILL + PUBLISHED,
                "event": one["read"]["event"],
            }))?;
            cost.channels.push(number(&channels, "publish_ns"));
            if subscriptions == 1 {
                least_read.push(number(&channels, "read_ns"));
            }
        }
    }
    Ok(cost_table(&costs, [&read, &least_read], bytes))
}

fn cost_table(costs: &[Cost], [read, least_read]: [&[f64]; 2], bytes: f64) -> Section {
    let mut section = Section::new(
        "Publishing and reading",
        &format!(
            "Processor time of the calling thread in `add_peer` of a new peer, which publishes one \
             peer_discovered there, beside so many subscriptions that nobody reads: their queues are full, \
             so each event drops an old one. The median of {ROUNDS} rounds of {PUBLISHED} calls; *beyond \
             none* is what is more than with no subscription in the same round; below 0.5 µs it isn't told. The reference puts an `Arc` of the like \
             into so many bounded crossbeam channels of as many events, the oldest dropped. Reading: a queue of \
             4096 read empty, 64 at a time, JSON written, copied and freed, an event; the reference takes 64 from \
             a channel and writes the same JSON by serde_json."
        ),
        &[
            "",
            "ratio to channels",
            "add_peer in all",
            "beyond none",
            "into channels",
            "subscribed to other kinds, beyond none",
        ],
    );
    let us = |ns: f64| duration(ns / 1000.0);
    for (subscriptions, cost) in SUBSCRIPTIONS.into_iter().zip(costs) {
        let beyond = |which: fn(&Cost) -> &Vec<f64>| {
            let pairs = which(cost).iter().zip(which(&costs[0]));
            median(&pairs.map(|(some, none)| some - none).collect::<Vec<_>>())
        };
        let [ours, channels, others] =
            [beyond(|cost| &cost.ours), beyond(|cost| &cost.channels), beyond(|cost| &cost.others)];
        // The cost of one subscription drowns in the cost of a call.
        let told = |ns: f64| if ns < NOISE_NS { "-".to_owned() } else { us(ns) };
        section.row([
            format!("publishing to {}", count(subscriptions)),
            if ours < NOISE_NS { "-".to_owned() } else { times(ours / channels) },
            us(median(&cost.ours)),
            told(ours),
            told(channels),
            told(others),
        ]);
    }
    section.row([
        format!("reading, an event of {bytes:.0} B"),
        times(median(read) / median(least_read)),
        us(median(read)),
        "-".to_owned(),
        us(median(least_read)),
        "-".to_owned(),
    ]);
    section
}
