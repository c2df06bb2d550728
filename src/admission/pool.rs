//! The places of a door, and who has them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Counts, Prefix, Refusal, Rules, Source, Standing};

/// The places of a door. `K` names a connection, and is never used for another while that has a place.
///
/// ```
/// use std::time::Instant;
/// use peerkit::admission::{Pool, Refusal, Rules, Source, Standing};
///
/// let now = Instant::now();
/// let mut pool = Pool::new(Rules { reserve: 1, ..Rules::of(2) });
/// assert_eq!(pool.admit(1, Source::Local, Standing::Unproven, now), Ok(None));
/// // The longest in its handshake makes room for the next.
/// assert_eq!(pool.admit(2, Source::Local, Standing::Unproven, now), Ok(Some(1)));
/// pool.stand(&2, Standing::Proven, now);
/// assert_eq!(pool.admit(3, Source::Local, Standing::Unproven, now), Err(Refusal::Full));
/// assert_eq!(pool.admit(4, Source::Local, Standing::Trusted, now), Ok(None));
/// ```
#[derive(Debug)]
pub struct Pool<K> {
    rules: Rules,
    counts: Arc<Counts>,
    places: HashMap<K, Place>,
    last_turn: u64,
    /// Everybody but the trusted.
    strangers: Ranks<K>,
    sources: HashMap<Source, Ranks<K>>,
    prefixes: HashMap<Prefix, Ranks<K>>,
    /// Those that have more than their share.
    crowded_sources: BTreeSet<Source>,
    crowded_prefixes: BTreeSet<Prefix>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    source: Source,
    standing: Standing,
    since: Instant,
    /// Orders the places by when they came to their standing.
    turn: u64,
}

/// Strangers by what they have proved.
#[derive(Debug)]
struct Ranks<K> {
    unproven: BTreeMap<u64, K>,
    proven: BTreeMap<u64, K>,
}

impl<K: Copy> Ranks<K> {
    fn len(&self) -> usize {
        self.unproven.len() + self.proven.len()
    }

    fn of(&mut self, standing: Standing) -> &mut BTreeMap<u64, K> {
        match standing {
            Standing::Unproven => &mut self.unproven,
            Standing::Proven | Standing::Trusted => &mut self.proven,
        }
    }

    /// Returns who is in its handshake for longest.
    fn longest_unproven(&self) -> Option<K> {
        self.unproven.first_key_value().map(|(_, key)| *key)
    }

    /// Returns who has proved least: the longest in its handshake, else the youngest of the proven.
    fn least(&self) -> Option<K> {
        let youngest = || self.proven.last_key_value().map(|(_, key)| *key);
        self.longest_unproven().or_else(youngest)
    }
}

impl<K> Default for Ranks<K> {
    fn default() -> Self {
        Ranks { unproven: BTreeMap::new(), proven: BTreeMap::new() }
    }
}

impl<K: Copy + Eq + Hash> Pool<K> {
    /// Makes a pool with all places free.
    #[must_use]
    pub fn new(rules: Rules) -> Pool<K> {
        Pool::counted(rules, Arc::default())
    }

    /// Makes a pool that counts its refusals with another's.
    #[must_use]
    pub fn counted(rules: Rules, counts: Arc<Counts>) -> Pool<K> {
        Pool {
            rules,
            counts,
            places: HashMap::new(),
            last_turn: 0,
            strangers: Ranks::default(),
            sources: HashMap::new(),
            prefixes: HashMap::new(),
            crowded_sources: BTreeSet::new(),
            crowded_prefixes: BTreeSet::new(),
        }
    }

    /// Gives a connection a place, if need be that of the one that has proved least: the caller closes what
    /// this returns.
    ///
    /// # Errors
    /// [`Refusal::Full`], [`Refusal::Share`].
    pub fn admit(
        &mut self,
        key: K,
        source: Source,
        standing: Standing,
        now: Instant,
    ) -> Result<Option<K>, Refusal> {
        let kept = if standing == Standing::Trusted { 0 } else { self.rules.reserve };
        if self.places.len() < self.rules.size.saturating_sub(kept) {
            self.enter(key, source, standing, now);
            return Ok(None);
        }
        let victim = self.victim(source, standing).inspect_err(|why| self.counts.add(*why))?;
        self.leave(&victim);
        self.counts.add(Refusal::Displaced);
        self.enter(key, source, standing, now);
        Ok(Some(victim))
    }

    /// Changes the standing of a connection from now on; one that is `Unproven` again has its whole patience
    /// before it.
    pub fn stand(&mut self, key: &K, standing: Standing, now: Instant) {
        if let Some(place) = self.places.get(key).copied()
            && place.standing != standing
        {
            self.leave(key);
            self.enter(*key, place.source, standing, now);
        }
    }

    /// Frees the place of a connection that is over.
    pub fn leave(&mut self, key: &K) {
        let Some(place) = self.places.remove(key) else { return };
        if place.standing == Standing::Trusted {
            return;
        }
        self.strangers.of(place.standing).remove(&place.turn);
        let Some(prefix) = place.source.prefix() else { return };
        if let Some(ranks) = self.sources.get_mut(&place.source) {
            ranks.of(place.standing).remove(&place.turn);
        }
        if let Some(ranks) = self.prefixes.get_mut(&prefix) {
            ranks.of(place.standing).remove(&place.turn);
        }
        self.recount(place.source, prefix);
    }

    /// Takes the place of one whose handshake takes too long; None where nobody's does. The caller closes
    /// what this returns, and asks again.
    pub fn overdue(&mut self, now: Instant) -> Option<K> {
        let key = self.strangers.longest_unproven()?;
        let since = self.places.get(&key)?.since;
        (now.saturating_duration_since(since) >= self.patience()).then(|| {
            self.leave(&key);
            self.counts.add(Refusal::Overdue);
            key
        })
    }

    /// Returns the time that a handshake may take now: all of it up to the half of the places, then less with
    /// each that is taken.
    #[must_use]
    pub fn patience(&self) -> Duration {
        let Rules { size, reserve, patience, least_patience, .. } = self.rules;
        let room = size.saturating_sub(reserve).max(1);
        let free = room.saturating_sub(self.places.len());
        let part = u32::try_from(free * 2 * 1000 / room).unwrap_or(1000).min(1000);
        least_patience + patience.saturating_sub(least_patience) * part / 1000
    }

    /// Tells whether this connection has a place.
    #[must_use]
    pub fn contains(&self, key: &K) -> bool {
        self.places.contains_key(key)
    }

    /// Returns the standing of a connection that has a place.
    #[must_use]
    pub fn standing(&self, key: &K) -> Option<Standing> {
        self.places.get(key).map(|place| place.standing)
    }

    /// Counts the places that are taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Tells whether no place is taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Returns the numbers of those that were refused.
    #[must_use]
    pub fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// Counts all that is kept of anybody.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        let ranked =
            self.strangers.len() + self.crowded_sources.len() + self.crowded_prefixes.len();
        self.places.len() + ranked + self.sources.len() + self.prefixes.len()
    }

    /// Finds who makes room for a connection of this source and standing.
    fn victim(&self, source: Source, standing: Standing) -> Result<K, Refusal> {
        let largest = self.largest_crowd();
        if standing == Standing::Trusted {
            let crowd = largest.and_then(|(_, crowd)| crowd.least());
            return crowd.or_else(|| self.strangers.least()).ok_or(Refusal::Full);
        }
        // With one more it must still be smaller than the crowd, or they would displace each other for ever.
        if let Some((weight, crowd)) = largest
            && weight > self.weight(source) + 2
            && let Some(least) = crowd.least()
        {
            return Ok(least);
        }
        // Who has its share makes room for its own, and takes nobody else's place.
        match self.full_group(source) {
            Some(own) => own.longest_unproven().ok_or(Refusal::Share),
            None => self.strangers.longest_unproven().ok_or(Refusal::Full),
        }
    }

    /// Returns those of the source, or else of its prefix, where they have all of their share.
    fn full_group(&self, source: Source) -> Option<&Ranks<K>> {
        let of_source = self.sources.get(&source);
        let of_prefix = source.prefix().and_then(|prefix| self.prefixes.get(&prefix));
        of_source
            .filter(|ranks| ranks.len() >= self.rules.of_source)
            .or_else(|| of_prefix.filter(|ranks| ranks.len() >= self.rules.of_prefix))
    }

    /// Returns the largest of those that have more than their share, and its weight. There are never more of
    /// them than shares in the pool.
    fn largest_crowd(&self) -> Option<(usize, &Ranks<K>)> {
        let sources = self.crowded_sources.iter().filter_map(|source| self.sources.get(source));
        let prefixes = self.crowded_prefixes.iter().filter_map(|prefix| self.prefixes.get(prefix));
        let sources = sources.map(|ranks| (ranks.len() * 2, ranks));
        sources.chain(prefixes.map(|ranks| (ranks.len(), ranks))).max_by_key(|(weight, _)| *weight)
    }

    /// Weighs what a source and its prefix have. A place of the source counts twice, as its share is half.
    fn weight(&self, source: Source) -> usize {
        let of_source = self.sources.get(&source).map_or(0, Ranks::len);
        let of_prefix = source.prefix().and_then(|prefix| self.prefixes.get(&prefix));
        (of_source * 2).max(of_prefix.map_or(0, Ranks::len))
    }

    fn enter(&mut self, key: K, source: Source, standing: Standing, now: Instant) {
        self.last_turn += 1;
        let turn = self.last_turn;
        self.places.insert(key, Place { source, standing, since: now, turn });
        if standing == Standing::Trusted {
            return;
        }
        self.strangers.of(standing).insert(turn, key);
        let Some(prefix) = source.prefix() else { return };
        self.sources.entry(source).or_default().of(standing).insert(turn, key);
        self.prefixes.entry(prefix).or_default().of(standing).insert(turn, key);
        self.recount(source, prefix);
    }

    /// Notes whether the source and the prefix have more than their share, and forgets them if they have nothing.
    fn recount(&mut self, source: Source, prefix: Prefix) {
        let places = self.sources.get(&source).map_or(0, Ranks::len);
        if places == 0 {
            self.sources.remove(&source);
        }
        match places > self.rules.of_source {
            true => self.crowded_sources.insert(source),
            false => self.crowded_sources.remove(&source),
        };
        let places = self.prefixes.get(&prefix).map_or(0, Ranks::len);
        if places == 0 {
            self.prefixes.remove(&prefix);
        }
        match places > self.rules.of_prefix {
            true => self.crowded_prefixes.insert(prefix),
            false => self.crowded_prefixes.remove(&prefix),
        };
    }
}
