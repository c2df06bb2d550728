//! A subscription of a peer's, read batch by batch, with checks of what holds for all.

use serde_json::{Value, json};

use super::{PLENTY, Peer, succeeded};

/// One of the subscriptions of a peer, and what was read of it.
pub struct Stream<'a> {
    peer: &'a Peer,
    id: u64,
    /// The last event's number when it was opened.
    pub last_seq: u64,
    /// The events that came so far.
    pub events: Vec<Value>,
    /// The number of events lost so far.
    pub lagged: u64,
    /// True once the run has ended and everything was read.
    pub ended: bool,
}

impl<'a> Stream<'a> {
    #[track_caller]
    pub fn open(peer: &'a Peer, options: Value) -> Self {
        let opened = &peer.ok("open_events", options)["reply"];
        let number = |key: &str| opened[key].as_u64().unwrap();
        let (id, last_seq) = (number("id"), number("last_seq"));
        Stream { peer, id, last_seq, events: Vec::new(), lagged: 0, ended: false }
    }

    /// Takes one batch, waiting up to this time for it. Returns the number of its events.
    #[track_caller]
    pub fn read(&mut self, within_ms: u64) -> usize {
        let batch = self.peer.call_within(within_ms, "events_of", json!({ "id": self.id }));
        if batch["code"] == "closed" {
            self.ended = true;
            return 0;
        }
        let batch = &succeeded(batch)["reply"];
        let events = batch["events"].as_array().unwrap();
        let mut last = self.last();
        for event in events {
            assert!(seq(event) > last, "{} after {last}", seq(event));
            last = seq(event);
        }
        assert!(events.len() <= 64, "a batch has at most 64");
        self.lagged += batch["lagged"].as_u64().unwrap();
        self.events.extend(events.iter().cloned());
        events.len()
    }

    /// Reads until it has come to this number.
    #[track_caller]
    pub fn read_to(&mut self, seq: u64) -> &mut Self {
        while self.last() < seq {
            assert!(
                self.read(PLENTY) > 0,
                "event {seq} doesn't come; the last was {}",
                self.last()
            );
        }
        self
    }

    /// Reads what is queued.
    #[track_caller]
    pub fn drain(&mut self) -> &mut Self {
        while self.read(0) > 0 {}
        self
    }

    /// Returns the number of the last event read.
    pub fn last(&self) -> u64 {
        self.events.last().map_or(0, seq)
    }
}

pub fn seq(event: &Value) -> u64 {
    event["seq"].as_u64().unwrap()
}
