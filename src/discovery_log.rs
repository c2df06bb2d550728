//! The log of what discovery has done, by source: counts, what was refused, why nothing was discovered.
//! The worker writes it, the facade shows it; every map here has a fixed set of keys of our own, so no
//! remote can make it grow.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::PeerId;
use crate::clock::Timestamp;
use crate::model::reply::SourceReport;
use crate::model::{LastError, Source, Text};

/// The sources a pass asks, in the order in which they are reported.
pub(crate) const SOURCES: [Source; 6] =
    [Source::Bootstrap, Source::Mdns, Source::Dht, Source::Gossip, Source::Ipfs, Source::Cluster];
/// The most peers kept of those a pass discovered.
pub(crate) const MAX_FOUND: usize = 1000;

/// The state of the log at one moment.
pub(crate) struct Snapshot {
    /// The peers that the pass under way, or the last one, discovered.
    pub found: Vec<PeerId>,
    /// The number of peers discovered in this run.
    pub total: u64,
    /// The time at which the last pass ended.
    pub last_pass: Option<Timestamp>,
    /// True while a pass is under way.
    pub passing: bool,
    /// The reports by source.
    pub sources: BTreeMap<Source, SourceReport>,
}

/// The log itself, shared between the worker and the facade. One for each run.
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
    /// The peers that the pass under way, or the last one, discovered.
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

    /// Notes that a pass begins.
    pub(crate) fn pass_begins(&self) {
        let mut inner = self.inner.lock();
        inner.passing = true;
        inner.found.clear();
        for report in inner.sources.values_mut() {
            report.found = 0;
            report.note = None;
        }
    }

    /// Notes that a pass ended; returns the number of peers it discovered, by source.
    pub(crate) fn pass_ends(&self, now: Timestamp) -> BTreeMap<Source, u64> {
        let mut inner = self.inner.lock();
        inner.passing = false;
        inner.last_pass = Some(now);
        let found = inner.sources.iter().filter(|(_, report)| report.found > 0);
        found.map(|(source, report)| (*source, report.found)).collect()
    }

    /// Notes a peer received from a source; `new`: the book didn't know it.
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

    /// Counts what a source sent and can't be taken.
    pub(crate) fn dropped(&self, source: Source, reason: &'static str, count: u64) {
        if count > 0 {
            self.with(source, |report| *report.dropped.entry(reason.into()).or_default() += count);
        }
    }

    /// Sets the count of a reason that the source itself keeps count of.
    pub(crate) fn dropped_in_all(&self, source: Source, reason: &'static str, count: u64) {
        if count > 0 {
            self.with(source, |report| {
                report.dropped.insert(reason.into(), count);
            });
        }
    }

    /// Counts a refusal that belongs to no source of discovery.
    pub(crate) fn refused(&self, what: &'static str) {
        *self.inner.lock().dropped.entry(what.into()).or_default() += 1;
    }

    /// Notes why a source discovered nothing in this pass, if it didn't.
    pub(crate) fn note(&self, source: Source, note: String) {
        self.with(source, |report| report.note = (report.found == 0).then_some(note));
    }

    /// Notes that a source failed.
    pub(crate) fn failed(&self, source: Source, error: LastError) {
        self.with(source, |report| {
            report.note = (report.found == 0).then(|| error.message.clone());
            report.last_error = Some(error);
        });
    }

    fn with(&self, source: Source, change: impl FnOnce(&mut SourceReport)) {
        change(self.inner.lock().sources.entry(source).or_default());
    }

    /// Returns the number of peers discovered in this run.
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

    /// The clock was set: nothing was found later than now.
    pub(crate) fn clock_jumped(&self, now: Timestamp) {
        let mut inner = self.inner.lock();
        inner.last_pass = inner.last_pass.map(|at| at.min(now));
        for report in inner.sources.values_mut() {
            report.last_found = report.last_found.map(|at| at.min(now));
            report.last_error.iter_mut().for_each(|error| error.at = error.at.min(now));
        }
    }

    /// Returns everything that was refused, as `source.reason`.
    pub(crate) fn all_dropped(&self) -> BTreeMap<Text, u64> {
        let inner = self.inner.lock();
        // Most sources have refused nothing, and this is read often.
        let refusing = inner.sources.iter().filter(|(_, report)| !report.dropped.is_empty());
        let by_source = refusing.flat_map(|(source, report)| {
            let name = format!("{source:?}").to_lowercase();
            report.dropped.iter().map(move |(why, n)| (format!("{name}.{why}").into(), *n))
        });
        by_source.chain(inner.dropped.iter().map(|(what, n)| (what.clone(), *n))).collect()
    }
}
