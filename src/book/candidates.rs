//! Finds peers for the worker: those that the auto dialer may dial, those that mustn't wait long, and those to
//! ask about the DHT, each the most recently seen of the peers that aren't connected; and the peers that were on
//! the bootstrap list.

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::Arc;

use super::intent::{Intent, Origin};
use super::memory::Book;
use super::record::Record;
use crate::PeerId;
use crate::clock::Timestamp;
use crate::model::Source;

/// The most records looked at for candidates; those beyond weren't seen for long.
const LOOKED_AT: usize = 1024;
/// Peers put into the DHT's routing table at start: about three times the 20 that are asked first.
const SEED_PEERS: usize = 64;

impl Book {
    /// Returns the peers that may be dialled automatically now, and the time at which the next of those backing
    /// off may be. Peers that were ever reached come first: anybody can make up any number of unproven ones.
    pub(crate) fn dial_candidates(&self, now: Timestamp) -> (Vec<Arc<Record>>, Option<Timestamp>) {
        let next = Cell::new(None::<Timestamp>);
        let may_be_dialled = |record: &Record| match Intent::of(record, now) {
            Intent::BackingOff => {
                next.set(next.get().into_iter().chain(record.next_retry_at).min());
                false
            }
            intent => intent.admits(Origin::Auto),
        };
        let mut candidates = self.recent(2 * LOOKED_AT, may_be_dialled);
        candidates.sort_by_key(|record| !record.was_reached());
        (candidates, next.get())
    }

    /// Has the peers that are the likeliest to answer wait until `until` at the longest: those listed, and the
    /// `most` that come first among the others. True if any waited for longer.
    pub(crate) fn shorten_waits(
        &self,
        listed: impl Iterator<Item = PeerId>,
        most: usize,
        until: Timestamp,
    ) -> bool {
        let may_be_dialled = |record: &Record| Intent::in_the_end(record).admits(Origin::Auto);
        let likely = self.recent(most, may_be_dialled).into_iter().map(|record| record.id);
        let ids: Vec<PeerId> = listed.chain(likely).collect();
        let mut state = self.state.write();
        let mut any = false;
        for id in ids {
            let waits = |record: &Arc<Record>| record.next_retry_at.is_some_and(|at| at > until);
            if let Some(slot) = state.find(&id)
                && state.at(slot as usize).is_some_and(waits)
            {
                state.update(slot, |record| record.next_retry_at = Some(until));
                any = true;
            }
        }
        any
    }

    /// Returns the peers that took part in this DHT when they were last identified.
    pub(crate) fn dht_peers(&self, protocol: &str) -> Vec<Arc<Record>> {
        let takes_part = |record: &Record| record.dht && record.speaks(protocol);
        self.recent(SEED_PEERS, takes_part)
    }

    /// Returns the peers known as bootstrap peers. Looks at every record.
    pub(crate) fn bootstrap_peers(&self) -> Vec<PeerId> {
        let state = self.state.read();
        let records = (0..state.slot_count()).filter_map(|slot| state.at(slot));
        let listed = records.filter(|record| record.sources.contains(Source::Bootstrap));
        listed.map(|record| record.id).collect()
    }

    fn recent(&self, most: usize, wanted: impl Fn(&Record) -> bool) -> Vec<Arc<Record>> {
        let state = self.state.read();
        // A flood of made-up peers was seen more recently than the peers that were ever reached.
        let proven = state.most_valuable().take(LOOKED_AT);
        let mut seen = HashSet::new();
        let slots = proven.chain(state.disconnected.page(0, LOOKED_AT));
        let slots = slots.filter(|slot| seen.insert(*slot));
        let records = slots.filter_map(|slot| state.at(slot as usize));
        let wanted = records.filter(|record| !record.connected() && wanted(record));
        wanted.take(most).cloned().collect()
    }
}
