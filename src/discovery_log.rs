//! What discovery has done, by source: counts, what was refused, why nothing was found. The worker
//! writes it down, the facade shows it; every map here has a fixed set of keys of our own, so no remote
//! can make it grow.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::PeerId;
use crate::clock::Timestamp;
use crate::model::reply::SourceReport;
use crate::model::{LastError, Source, Text};

/// The sources a pass asks, in the order they are told in.
pub(crate) const SOURCES: [Source; 6] =
    [Source::Bootstrap, Source::Mdns, Source::Dht, Source::Gossip, Source::Ipfs, Source::Cluster];
/// Peers kept of what a pass found.
pub(crate) const MAX_FOUND: usize = 1000;

/// What discovery has done, at one moment.
pub(crate) struct Snapshot {
    /// What the pass under way, or the last one, found.
    pub found: Vec<PeerId>,
    /// How many peers were found in this run.
    pub total: u64,
    /// When the last pass ended.
    pub last_pass: Option<Timestamp>,
    /// Whether a pass is under way.
    pub passing: bool,
    /// By source.
    pub sources: BTreeMap<Source, SourceReport>,
}

/// Shared between the worker and the facade. One for each run.
#[derive(Default)]
pub(crate) struct DiscoveryLog {
    active: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    sources: BTreeMap<Source, SourceReport>,
    /// Refusals that belong to no source of discovery: `pubsub.rate` and so on.
    dropped: BTreeMap<Text, u64>,
    total: u64,
    /// What the pass under way, or the last one, found.
    found: Vec<PeerId>,
    passing: bool,
    last_pass: Option<Timestamp>,
}

impl DiscoveryLog {
    pub(crate) fn active(&self) -> bool {
        self.active.load(Ordering::Relaxed)
    }

    pub(crate) fn set_active(&self, active: bool) {
        self.active.store(active, Ordering::Relaxed);
    }

    /// Notes which sources the configuration has on.
    pub(crate) fn enable(&self, source: Source, enabled: bool) {
        self.with(source, |report| report.enabled = enabled);
    }

    /// A pass begins.
    pub(crate) fn pass_begins(&self) {
        let mut inner = self.inner.lock();
        inner.passing = true;
        inner.found.clear();
        for report in inner.sources.values_mut() {
            report.found = 0;
            report.note = None;
        }
    }

    /// A pass ended; gives how many peers it found by each source.
    pub(crate) fn pass_ends(&self, now: Timestamp) -> BTreeMap<Source, u64> {
        let mut inner = self.inner.lock();
        inner.passing = false;
        inner.last_pass = Some(now);
        let found = inner.sources.iter().filter(|(_, report)| report.found > 0);
        found.map(|(source, report)| (*source, report.found)).collect()
    }

    /// A source told of a peer; `new`: the book didn't know it.
    pub(crate) fn received(&self, source: Source, peer: PeerId, new: bool, now: Timestamp) {
        let mut inner = self.inner.lock();
        let report = inner.sources.entry(source).or_default();
        report.heard += 1;
        if new {
            report.found += 1;
            report.total_found += 1;
            report.last_found = Some(now);
            report.note = None;
            inner.total += 1;
            if inner.found.len() < MAX_FOUND {
                inner.found.push(peer);
            }
        }
    }

    /// A source told what can't be taken.
    pub(crate) fn dropped(&self, source: Source, reason: &'static str, count: u64) {
        if count > 0 {
            self.with(source, |report| *report.dropped.entry(reason.into()).or_default() += count);
        }
    }

    /// A source keeps count of a reason itself: this is its count.
    pub(crate) fn dropped_in_all(&self, source: Source, reason: &'static str, count: u64) {
        if count > 0 {
            self.with(source, |report| {
                report.dropped.insert(reason.into(), count);
            });
        }
    }

    /// Something was refused that is no discovery.
    pub(crate) fn refused(&self, what: &'static str) {
        *self.inner.lock().dropped.entry(what.into()).or_default() += 1;
    }

    /// Why a source found nothing in this pass, if it didn't.
    pub(crate) fn note(&self, source: Source, note: String) {
        self.with(source, |report| report.note = (report.found == 0).then_some(note));
    }

    /// A source failed.
    pub(crate) fn failed(&self, source: Source, error: LastError) {
        self.with(source, |report| {
            report.note = (report.found == 0).then(|| error.message.clone());
            report.last_error = Some(error);
        });
    }

    fn with(&self, source: Source, change: impl FnOnce(&mut SourceReport)) {
        change(self.inner.lock().sources.entry(source).or_default());
    }

    /// How many peers discovery found in this run.
    pub(crate) fn total(&self) -> u64 {
        self.inner.lock().total
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let inner = self.inner.lock();
        let report = |source| inner.sources.get(&source).cloned().unwrap_or_default();
        Snapshot {
            found: inner.found.clone(),
            total: inner.total,
            last_pass: inner.last_pass,
            passing: inner.passing,
            sources: SOURCES.into_iter().map(|source| (source, report(source))).collect(),
        }
    }

    /// Everything that was refused, as `source.reason`.
    pub(crate) fn all_dropped(&self) -> BTreeMap<Text, u64> {
        let inner = self.inner.lock();
        // Most have refused nothing, and this is read often.
        let refusing = inner.sources.iter().filter(|(_, report)| !report.dropped.is_empty());
        let by_source = refusing.flat_map(|(source, report)| {
            let name = format!("{source:?}").to_lowercase();
            report.dropped.iter().map(move |(why, n)| (format!("{name}.{why}").into(), *n))
        });
        by_source.chain(inner.dropped.iter().map(|(what, n)| (what.clone(), *n))).collect()
    }
}
