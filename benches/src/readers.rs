//! The uses that an embedding program makes of events: it receives messages, waits until it knows
//! everybody, measures the cost of publishing. Beside it the least that could cost: a crossbeam channel
//! for each reader.

use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use crossbeam_channel::{Receiver, Sender, TrySendError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::abi::{Events, Node};
use crate::connect::number;
use crate::stats::Samples;
use crate::{Result, clocks, line, records};

/// The events that a subscription of peerkit's holds, and a channel here.
const QUEUE: usize = 4096;
const NEXT_MS: u32 = 10_000;

/// Measures the age of messages when the reader's `events_next` returns with them, until `n` have come.
pub fn hear(node: &Node, command: &Value) -> Result<Value> {
    let events = node.events(c"{\"kinds\":[\"message\"]}")?;
    node.call(c"subscribe", &CString::new(json!({ "topic": command["topic"] }).to_string())?)
        .json()?;
    let mut samples = Samples::default();
    while (samples.len() as u64) < line::number(command, "n")? {
        let reply = events.next(NEXT_MS);
        let now = clocks::shared_ns();
        let batch = reply.json()?;
        let heard = batch["events"].as_array().filter(|events| !events.is_empty());
        for event in heard.ok_or("no message came")? {
            let data = BASE64_STANDARD.decode(line::text(event, "data_base64")?)?;
            let sent_ns = data.get(..8).and_then(|bytes| bytes.try_into().ok());
            let sent_ns = sent_ns.map_or(now, u64::from_be_bytes);
            samples.push(Duration::from_nanos(now.saturating_sub(sent_ns)));
        }
    }
    Ok(samples.summary())
}

/// Waits until the book holds `n` peers, and returns when it did.
pub fn await_peers(node: &Node, command: &Value) -> Result<Value> {
    let wanted = number(command, "n");
    let until = Instant::now() + Duration::from_millis(line::number(command, "ms")?);
    let events = node.events(c"{\"since\":0,\"kinds\":[\"peer_discovered\"]}")?;
    loop {
        let known = number(&node.get_peer_stats().json()?, "total_peers");
        let at_ns = clocks::shared_ns();
        if known >= wanted || Instant::now() >= until {
            return Ok(json!({ "known": known, "at_ns": at_ns }));
        }
        // Peers of the bootstrap list come without an event.
        events.next(250).json()?;
    }
}

/// Measures the cost of `add_peer` of a new peer, which publishes one event on the calling thread, to
/// that thread, beside subscriptions that nobody reads; and the cost of reading.
pub fn publish_cost(node: &Node, command: &Value) -> Result<Value> {
    let subscriptions = line::number(command, "subscriptions")?;
    let options = CString::new(command["options"].to_string())?;
    let opened = (0..subscriptions).map(|_| node.events(&options)).collect::<Result<Vec<_>>>()?;
    let (from, calls) = (line::number(command, "from")?, line::number(command, "n")?);
    let publish_ns = costs(from..from + calls, |n| {
        let params = CString::new(records::add_peer_params(n))?;
        let before = clocks::thread_ns();
        let reply = node.call(c"add_peer", &params);
        let took = clocks::thread_ns() - before;
        reply.success().then_some(took).ok_or_else(|| (*reply).into())
    })?;
    let read = opened.first().map_or(Ok(Value::Null), drain)?;
    Ok(json!({ "publish_ns": publish_ns, "read": read }))
}

/// Returns the median cost of the calls.
fn costs(calls: std::ops::Range<u64>, mut call: impl FnMut(u64) -> Result<u64>) -> Result<f64> {
    let costs = calls.map(|n| call(n).map(|ns| ns as f64)).collect::<Result<Vec<_>>>()?;
    Ok(crate::stats::median(&costs))
}

/// Reads a queue empty; returns processor time and bytes for each event.
fn drain(events: &Events<'_>) -> Result<Value> {
    let (mut ns, mut count, mut bytes) = (0, 0, 0);
    let mut last = Value::Null;
    loop {
        let before = clocks::thread_ns();
        let reply = events.next(0);
        let length = reply.len();
        let text = reply.to_owned();
        drop(reply);
        let took = clocks::thread_ns() - before;
        let mut batch: Value = serde_json::from_str(&text)?;
        let taken = batch["events"].as_array_mut().map(std::mem::take).unwrap_or_default();
        if taken.is_empty() {
            break;
        }
        (ns, count, bytes) = (ns + took, count + taken.len(), bytes + length);
        last = taken.into_iter().next_back().unwrap_or_default();
    }
    let each = |sum: f64| sum / count as f64;
    Ok(json!({ "ns": each(ns as f64), "bytes": each(bytes as f64), "event": last }))
}

/// An event as a reader gets it, typed, so that nothing but writing its text is measured.
#[derive(Serialize, Deserialize)]
struct Discovered {
    seq: u64,
    timestamp: f64,
    peer_id: Arc<str>,
    event: Arc<str>,
    source: Arc<str>,
    multiaddrs: Vec<Arc<str>>,
}

#[derive(Serialize)]
struct Batch {
    success: bool,
    events: Vec<Arc<Discovered>>,
    lagged: u64,
}

/// Measures the least possible: an `Arc` into a bounded channel for each reader, whose oldest goes
/// where it is full; and out of one in batches of 64, written as JSON.
pub fn channel_cost(command: &Value) -> Result<Value> {
    let event = &command["event"];
    let channels: Vec<(Sender<_>, Receiver<_>)> = (0..line::number(command, "subscriptions")?)
        .map(|_| crossbeam_channel::bounded(QUEUE))
        .collect();
    let publish_ns = costs(0..line::number(command, "n")?, |_| {
        let event: Arc<Discovered> = Arc::new(serde_json::from_value(event.clone())?);
        let before = clocks::thread_ns();
        for (sender, receiver) in &channels {
            if let Err(TrySendError::Full(event)) = sender.try_send(Arc::clone(&event)) {
                drop(receiver.try_recv());
                let _ = sender.try_send(event);
            }
        }
        Ok(clocks::thread_ns() - before)
    })?;
    let Some((_, receiver)) = channels.first() else { return Ok(json!({ "publish_ns": 0.0 })) };
    let (mut ns, mut count) = (0, 0);
    loop {
        let before = clocks::thread_ns();
        let events: Vec<_> = receiver.try_iter().take(64).collect();
        let taken = events.len();
        let text = serde_json::to_string(&Batch { success: true, events, lagged: 0 })?;
        std::hint::black_box(text.clone());
        drop(text);
        ns += clocks::thread_ns() - before;
        count += taken;
        if taken == 0 {
            break;
        }
    }
    Ok(json!({ "publish_ns": publish_ns, "read_ns": ns as f64 / count as f64 }))
}
