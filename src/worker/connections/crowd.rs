//! Chooses the peers to trim. Pure.
//!
//! A crowd can make up identities, addresses of one network and connections in any number, and can't make them
//! old (docs/adr/0011). So what one network has beyond its share goes first. Then go peers that have stood for
//! their grace period, if they are too many by themselves: the youngest first, those that only dialled us before
//! those we dialled, and nobody who is twice as old as those who are too many. And grace has only as much room
//! as the others leave: beyond it go the young, of the largest network the youngest first.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::PeerId;
use crate::admission::{Prefix, Rules, Source};

/// A connected peer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub peer: PeerId,
    /// True where we opened a connection to it, so something here wanted the peer.
    pub ours: bool,
    /// True where it stays: the user named it, or a call needs it.
    pub kept: bool,
    pub source: Source,
    pub age: Duration,
    pub connections: usize,
}

/// The numbers of connections that trimming goes by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub low_water: usize,
    pub high_water: usize,
    /// The connections up to which those in their grace period are spared.
    pub grace: usize,
    pub shares: Rules,
}

/// Chooses the peers to trim, and says when to look again where those in their grace period are too many.
pub(super) fn choose(
    mut all: Vec<Candidate>,
    room: &Room,
    grace: Duration,
) -> (Vec<PeerId>, Option<Duration>) {
    all.sort_unstable_by_key(|candidate| Reverse(candidate.age));
    let mut victims = Vec::new();
    let mut open = count(&all);
    let of_crowds = beyond_shares(&all, room, open);
    remove(&mut all, &mut open, &mut victims, of_crowds);
    if open > room.high_water {
        let too_many = mature_surplus(&all, room, grace);
        remove(&mut all, &mut open, &mut victims, too_many);
    }
    if open > room.grace {
        let young = young_surplus(&all, open - room.grace, grace);
        remove(&mut all, &mut open, &mut victims, young);
    }
    let matures = all.iter().filter_map(|candidate| grace.checked_sub(candidate.age));
    let next = matures.filter(|left| !left.is_zero()).min();
    (victims, next.filter(|_| open > room.high_water))
}

fn count(all: &[Candidate]) -> usize {
    all.iter().map(|candidate| candidate.connections).sum()
}

/// Moves those at these places to the victims.
fn remove(
    all: &mut Vec<Candidate>,
    open: &mut usize,
    victims: &mut Vec<PeerId>,
    chosen: Vec<usize>,
) {
    let first = victims.len();
    victims.extend(chosen.into_iter().map(|at| all[at].peer));
    let gone: HashSet<_> = victims[first..].iter().collect();
    all.retain(|candidate| !gone.contains(&candidate.peer));
    *open = count(all);
}

/// Ranks those who came to us within their networks, the oldest first: 0 for who has the network to itself.
struct Ranks {
    sources: HashMap<Source, usize>,
    prefixes: HashMap<Prefix, usize>,
}

impl Ranks {
    fn new() -> Self {
        Ranks { sources: HashMap::new(), prefixes: HashMap::new() }
    }

    /// Returns how many connections came before these from the same source, and from the same prefix.
    fn next(&mut self, candidate: &Candidate) -> (usize, usize) {
        let of_source = self.sources.entry(candidate.source).or_default();
        let before = *of_source;
        *of_source += candidate.connections;
        let of_prefix = candidate.source.prefix().map(|prefix| {
            let of_prefix = self.prefixes.entry(prefix).or_default();
            let before = *of_prefix;
            *of_prefix += candidate.connections;
            before
        });
        (before, of_prefix.unwrap_or_default())
    }
}

/// Returns those that a source or a prefix has beyond its share, of the largest first, until there is room again.
fn beyond_shares(all: &[Candidate], room: &Room, open: usize) -> Vec<usize> {
    let shares = &room.shares;
    let mut ranks = Ranks::new();
    let mut beyond = Vec::new();
    for (at, candidate) in all.iter().enumerate().filter(|(_, one)| !one.ours && !one.kept) {
        let (of_source, of_prefix) = ranks.next(candidate);
        let shared = candidate.source != Source::Local;
        if shared && (of_source >= shares.of_source || of_prefix >= shares.of_prefix) {
            beyond.push((weight(of_source, of_prefix), at));
        }
    }
    take(all, by_weight(beyond), open.saturating_sub(room.high_water - room.high_water / 4))
}

/// Returns the youngest of the mature, down to `low_water`, where the mature are too many by themselves: they
/// leave a quarter of `high_water` to those who come.
fn mature_surplus(all: &[Candidate], room: &Room, grace: Duration) -> Vec<usize> {
    let most = room.high_water - room.high_water / 4;
    let mature = all.iter().take_while(|candidate| candidate.age >= grace).count();
    let open = count(&all[..mature]);
    if open <= most {
        return Vec::new();
    }
    // Those who are young count as left, up to a quarter.
    let young = count(&all[mature..]).min(room.low_water / 4);
    let surplus = (open + young).saturating_sub(room.low_water);
    let mut before = 0;
    let pivot = all.iter().find(|candidate| {
        before += candidate.connections;
        before > most
    });
    let spared = pivot.map_or(Duration::MAX, |pivot| pivot.age * 2);
    let mut order: Vec<_> = (0..mature).rev().filter(|at| !all[*at].kept).collect();
    order.retain(|at| all[*at].age <= spared);
    order.sort_by_key(|at| all[*at].ours);
    take(all, order, surplus)
}

/// Returns those of the young that came to us and that grace has no room for.
fn young_surplus(all: &[Candidate], surplus: usize, grace: Duration) -> Vec<usize> {
    let mut ranks = Ranks::new();
    let mut young = Vec::new();
    for (at, candidate) in all.iter().enumerate().filter(|(_, one)| !one.ours && !one.kept) {
        let (of_source, of_prefix) = ranks.next(candidate);
        if candidate.age < grace {
            young.push((weight(of_source, of_prefix), at));
        }
    }
    take(all, by_weight(young), surplus)
}

/// Weighs a rank. One within an address counts twice, as its share is half of a prefix's.
fn weight(of_source: usize, of_prefix: usize) -> usize {
    (of_source * 2).max(of_prefix)
}

/// Puts those of the largest network first, and of equal ones the youngest.
fn by_weight(mut ranked: Vec<(usize, usize)>) -> Vec<usize> {
    ranked.sort_unstable_by_key(|ranked| Reverse(*ranked));
    ranked.into_iter().map(|(_, at)| at).collect()
}

/// Takes as many of these as have so many connections.
fn take(all: &[Candidate], order: Vec<usize>, surplus: usize) -> Vec<usize> {
    let mut closed = 0;
    let wanted = order.into_iter().take_while(|at| {
        let wanted = closed < surplus;
        closed += all[*at].connections;
        wanted
    });
    wanted.collect()
}

#[cfg(test)]
#[path = "crowd_tests.rs"]
mod tests;
