//! Lists, pages and searches over the book.
//!
//! A list by `last_seen` with at most the connected filter comes from a rank index. Everything else
//! scans the slots in chunks and gives the lock back between them, keeping at most twice the rows that
//! the page and those before it need. A record that is added, removed or moved meanwhile may or may not
//! show, but never twice.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::cursor;
use super::index::{RankIndex, SortKey, major};
use super::memory::Book;
use super::record::Record;
use super::state::State;
use crate::error::{Result, invalid_argument};
use crate::model::params::SortBy;
use crate::model::{Policy, Text};

/// The most slots looked at under one hold of the lock.
const CHUNK: usize = 256;

/// The records to show; everything set must hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    /// Has (or hasn't) a live connection.
    pub(crate) connected: Option<bool>,
    /// Speaks exactly this protocol.
    pub(crate) protocol: Option<String>,
    /// Has this text in its id, addresses, protocols or agent, in any case.
    pub(crate) search: Option<String>,
    /// Has this tag.
    pub(crate) tag: Option<String>,
    /// Has this policy.
    pub(crate) policy: Option<Policy>,
}

/// A page to be read.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListQuery {
    /// The records to list.
    pub(crate) filter: Filter,
    /// The order of the list.
    pub(crate) sort: SortBy,
    /// The most rows.
    pub(crate) limit: usize,
    /// The number of rows to pass over.
    pub(crate) offset: u64,
    /// `next_cursor` of the page before, instead of an offset.
    pub(crate) cursor: Option<String>,
}

/// A page.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListResult {
    /// The rows.
    pub(crate) rows: Vec<Arc<Record>>,
    /// The number of all matches.
    pub(crate) total: u64,
    /// The number of matches before the page.
    pub(crate) offset: u64,
    /// True where more follow.
    pub(crate) has_more: bool,
    /// The cursor at which they follow.
    pub(crate) next_cursor: Option<String>,
}

impl Book {
    /// Reads a page.
    pub(crate) fn list(&self, query: &ListQuery) -> Result<ListResult> {
        let after = match &query.cursor {
            Some(_) if query.offset > 0 => {
                return Err(invalid_argument("offset and cursor can't be used together")
                    .with("parameter", "cursor"));
            }
            Some(text) => Some(cursor::decode(text, query.sort)?),
            None => None,
        };
        let indexed = query.sort == SortBy::LastSeen && query.filter.is_about_connection_only();
        let (rows, total, offset) = if indexed {
            self.page_by_rank(query, after.as_ref())
        } else {
            self.page_by_scan(query, after.as_ref())
        };
        let has_more = offset.saturating_add(rows.len()) < total && !rows.is_empty();
        let last = rows.last().filter(|_| has_more);
        let next_cursor = last.map(|row| cursor::encode(&SortKey::of(row, query.sort), query.sort));
        let (total, offset) = (total as u64, offset as u64);
        Ok(ListResult { rows, total, offset, has_more, next_cursor })
    }

    /// Returns the first `limit` matches, most recently seen first, and the number of all matches.
    pub(crate) fn select(&self, filter: &Filter, limit: usize) -> Result<(Vec<Arc<Record>>, u64)> {
        let query = ListQuery { filter: filter.clone(), limit, ..ListQuery::default() };
        let page = self.list(&query)?;
        Ok((page.rows, page.total))
    }

    fn page_by_rank(
        &self,
        query: &ListQuery,
        after: Option<&SortKey>,
    ) -> (Vec<Arc<Record>>, usize, usize) {
        let state = self.state.read();
        let index: &RankIndex = match query.filter.connected {
            None => &state.all,
            Some(true) => &state.connected,
            Some(false) => &state.disconnected,
        };
        let offset = after.map_or_else(|| clamp(query.offset), |key| index.rank_after(key));
        let slots: Vec<u32> = index.page(offset, query.limit).collect();
        let records = || slots.iter().filter_map(|slot| state.at(*slot as usize));
        warm(records);
        let rows = records().cloned().collect();
        (rows, index.len(), offset)
    }

    fn page_by_scan(
        &self,
        query: &ListQuery,
        after: Option<&SortKey>,
    ) -> (Vec<Arc<Record>>, usize, usize) {
        let skip = if after.is_some() { 0 } else { clamp(query.offset) };
        let mut scan = Scan {
            sort: query.sort,
            after,
            keep: skip.saturating_add(query.limit),
            kept: Vec::new(),
            worst: None,
            before: 0,
            total: 0,
        };
        let mut matcher = Matcher::new(&query.filter);
        let mut start = 0;
        let removals = self.state.read().removals();
        let removed_meanwhile = loop {
            let state = self.state.read();
            let end = state.slot_count().min(start + CHUNK);
            if start >= end {
                break state.removals() != removals;
            }
            scan.chunk(&state, start..end, &mut matcher);
            start = end;
        };
        if removed_meanwhile {
            scan.remove_repetitions();
        }
        let before = if after.is_some() { scan.before } else { skip };
        let total = scan.total;
        (scan.finish(skip, query.limit), total, before)
    }
}

/// Reads a little of each record before any of them is cloned. Reads of cold memory overlap; the
/// counting that clones do doesn't, and would wait for each record and each of its texts in turn.
fn warm<'a, I: Iterator<Item = &'a Arc<Record>>>(records: impl Fn() -> I) {
    let of_record = records().map(|record| record.addrs.len());
    std::hint::black_box(of_record.sum::<usize>());
    let first = |text: &str| text.as_bytes().first().map_or(0, |byte| usize::from(*byte));
    let of_lists = records().map(|record| {
        first(&record.id_text) + record.addrs.first().map_or(0, |addr| addr.failures as usize)
    });
    std::hint::black_box(of_lists.sum::<usize>());
    let of_texts = records().flat_map(|record| record.addrs.iter().map(|addr| first(&addr.text)));
    std::hint::black_box(of_texts.sum::<usize>());
}

fn clamp(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

impl Filter {
    fn is_about_connection_only(&self) -> bool {
        self.protocol.is_none()
            && self.search.as_ref().is_none_or(String::is_empty)
            && self.tag.is_none()
            && self.policy.is_none()
    }
}

/// A match, ordered by its place in the list.
struct Match {
    key: SortKey,
    record: Arc<Record>,
}

impl PartialEq for Match {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}
impl Eq for Match {}
impl PartialOrd for Match {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Match {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

/// A scan under way: the best matches so far, in no order, at most twice as many as are needed.
struct Scan<'a> {
    sort: SortBy,
    after: Option<&'a SortKey>,
    keep: usize,
    kept: Vec<Match>,
    /// The worst match kept, once more than needed were met: another must stand before it to matter.
    worst: Option<SortKey>,
    before: usize,
    total: usize,
}

impl Scan<'_> {
    fn chunk(&mut self, state: &State, slots: std::ops::Range<usize>, matcher: &mut Matcher<'_>) {
        matcher.forget_lists();
        for record in slots.filter_map(|slot| state.at(slot)) {
            if !matcher.matches(record) {
                continue;
            }
            self.total += 1;
            let place = (major(record, self.sort), &*record.id_text);
            if self.after.is_some_and(|after| place <= (after.major, &*after.id)) {
                self.before += 1;
                continue;
            }
            if self.worst.as_ref().is_some_and(|worst| place >= (worst.major, &*worst.id)) {
                continue;
            }
            let key = SortKey { major: place.0, id: record.id_text.clone() };
            self.kept.push(Match { key, record: Arc::clone(record) });
            if self.kept.len() >= self.keep.saturating_mul(2) {
                self.drop_the_worse_half();
            }
        }
    }

    fn drop_the_worse_half(&mut self) {
        if self.keep > 0 {
            let (_, worst, _) = self.kept.select_nth_unstable(self.keep - 1);
            self.worst = Some(worst.key.clone());
        }
        self.kept.truncate(self.keep);
    }

    /// Removes repetitions: a peer removed and added again during the scan may have been met in two slots.
    fn remove_repetitions(&mut self) {
        self.kept.sort_unstable();
        let mut seen: HashSet<Text> = HashSet::new();
        self.kept.retain(|found| seen.insert(found.key.id.clone()));
    }

    fn finish(mut self, skip: usize, limit: usize) -> Vec<Arc<Record>> {
        if skip >= self.kept.len() {
            return Vec::new();
        }
        // Only the page itself is sorted: the rows before it may be half the book.
        let (_, _, rest) = self.kept.select_nth_unstable(skip);
        rest.sort_unstable();
        self.kept.into_iter().skip(skip).take(limit).map(|found| found.record).collect()
    }
}

/// A filter prepared for many records.
struct Matcher<'a> {
    filter: &'a Filter,
    needle: Option<Needle>,
    /// The results for protocol lists and agents, by address: most records share a few. Valid only as
    /// long as the lock is held, since a freed list's address may be used again.
    lists: HashMap<usize, (bool, bool)>,
    agents: HashMap<usize, bool>,
}

impl<'a> Matcher<'a> {
    fn new(filter: &'a Filter) -> Self {
        let text = filter.search.as_deref().filter(|text| !text.is_empty());
        let (lists, agents) = (HashMap::new(), HashMap::new());
        Matcher { filter, needle: text.map(Needle::new), lists, agents }
    }

    fn forget_lists(&mut self) {
        self.lists.clear();
        self.agents.clear();
    }

    fn matches(&mut self, record: &Record) -> bool {
        let filter = self.filter;
        filter.connected.is_none_or(|want| record.connected() == want)
            && filter.policy.is_none_or(|want| record.policy == want)
            && filter.tag.as_ref().is_none_or(|tag| record.tag(tag).is_some())
            && (filter.protocol.is_none() || self.list(&record.protocols).0)
            && self.finds(record)
    }

    fn finds(&mut self, record: &Record) -> bool {
        let Some(needle) = &self.needle else {
            return true;
        };
        if needle.is_in(&record.id_text) || record.addrs.iter().any(|addr| needle.is_in(&addr.text))
        {
            return true;
        }
        let in_agent = record.agent_version.as_ref().is_some_and(|agent| {
            let address = Arc::as_ptr(agent).addr();
            *self.agents.entry(address).or_insert_with(|| needle.is_in(agent))
        });
        in_agent || self.list(&record.protocols).1
    }

    /// Tells whether a list has the protocol sought, and whether the text is in one of its names.
    fn list(&mut self, list: &Arc<[Text]>) -> (bool, bool) {
        let (filter, needle) = (self.filter, &self.needle);
        *self.lists.entry(Arc::as_ptr(list).addr()).or_insert_with(|| {
            let protocol = filter.protocol.as_deref();
            let has = protocol.is_some_and(|want| list.iter().any(|name| &**name == want));
            let found = needle.as_ref().is_some_and(|needle| list.iter().any(|n| needle.is_in(n)));
            (has, found)
        })
    }
}

/// A text to be found in any case.
struct Needle {
    lower: String,
    ascii: bool,
}

impl Needle {
    fn new(text: &str) -> Self {
        let lower = text.to_lowercase();
        Needle { ascii: lower.is_ascii(), lower }
    }

    fn is_in(&self, text: &str) -> bool {
        if !self.ascii {
            // Ids and addresses are ASCII, so this seldom allocates.
            return !text.is_ascii() && text.to_lowercase().contains(&self.lower);
        }
        let needle = self.lower.as_bytes();
        let Some((&first, rest)) = needle.split_first() else {
            return true;
        };
        let Some(last_start) = text.len().checked_sub(needle.len()) else {
            return false;
        };
        let bytes = text.as_bytes();
        let upper = first.to_ascii_uppercase();
        bytes[..=last_start].iter().enumerate().any(|(at, &byte)| {
            (byte == first || byte == upper)
                && bytes[at + 1..=at + rest.len()].eq_ignore_ascii_case(rest)
        })
    }
}
