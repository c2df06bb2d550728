//! Discovery: passes over the sources, by themselves at an interval or because a call asks for one.
//!
//! A pass asks every source that is on and waits for those that answer; what they tell between passes
//! is taken as well. Everything found goes through [`Worker::found`]. What is dialled because of it is
//! for `tend`; `dht`, `pubsub`, `mdns` and `daemons` are the sources, bootstrap's dials are here.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use libp2p::kad::{self, QueryId};
use libp2p::swarm::ConnectionId;

use super::calls::Kind;
use super::command::Terms;
use super::dht::Dht;
use super::dial::{Dial, millis};
use super::learnt::{self, MAX_ADDRESSES};
use super::peer::Peer;
use super::{Timer, Worker};
use crate::addr::Scope;
use crate::book::{Discovered, Record};
use crate::bootstrap::Entry;
use crate::config::{DhtMode, Profile};
use crate::discovery::{SOURCES, Snapshot};
use crate::model::event::EventKind;
use crate::model::{Direction, Source, Text};
use crate::{Multiaddr, PeerId, addr, clock};

/// How long a pass waits for what multicast and gossip bring.
const WINDOW: Duration = Duration::from_secs(2);
/// A pass ends then, whatever still runs.
const PASS_TIMEOUT: Duration = Duration::from_secs(20);
/// With fewer connected peers than this the bootstrap peers are dialled again (Kubo's
/// `MinPeerThreshold`).
const FEW: usize = 4;
/// Bootstrap addresses dialled in one pass; the next pass takes those whose turn comes next.
const BOOTSTRAP_DIALS: usize = 32;
/// A first peer of the DHT often comes with others; a pass then waits for them so long.
const SOON: Duration = Duration::from_millis(200);
/// Where the DHT has no peers yet, a pass waits so long for a bootstrap peer that has just been
/// connected to tell whether it is one.
const TELLING: Duration = Duration::from_secs(1);

/// The passes of this run.
#[derive(Default)]
pub(super) struct Discovery {
    pass: Option<Pass>,
    next: Option<Instant>,
    /// The user stopped it.
    stopped: bool,
    /// The bootstrap list was dialled in this run.
    begun: bool,
    /// The peers that are in the book as bootstrap peers.
    listed: HashSet<PeerId>,
    /// Who answered at the listed addresses that name nobody.
    answered: HashMap<Multiaddr, PeerId>,
}

/// A pass under way, and what it waits for.
struct Pass {
    begun: Instant,
    until: Instant,
    window: Instant,
    dials: HashSet<ConnectionId>,
    queries: HashSet<QueryId>,
    daemons: HashSet<Source>,
}

impl Pass {
    fn is_over(&self, now: Instant) -> bool {
        let answered = self.dials.is_empty() && self.queries.is_empty() && self.daemons.is_empty();
        now >= self.until || answered && now >= self.window
    }
}

impl Worker {
    /// Whether a source is on: configured, and for bootstrap, anything listed.
    fn has(&self, source: Source) -> bool {
        let settings = &self.run.settings.discovery;
        match source {
            Source::Bootstrap => self.run.bootstrap.len() > 0,
            Source::Mdns => settings.mdns,
            Source::Dht => settings.dht != DhtMode::Off,
            Source::Gossip => settings.gossip,
            Source::Ipfs => settings.ipfs.is_some(),
            Source::Cluster => settings.cluster.is_some(),
            _ => false,
        }
    }

    /// What the start of a run does about discovery.
    pub(super) fn begin_discovery(&mut self) {
        self.discovery.listed = self.run.book.bootstrap_peers().into_iter().collect();
        self.list_bootstrap();
        self.warm_dht(|_| true);
        if self.begins_active() {
            self.set_discovery(true);
        }
    }

    /// The bootstrap peers are in the book as such, and those taken off the list no longer are.
    fn list_bootstrap(&mut self) {
        let mut listed = HashSet::new();
        for Entry { addr, peer_id } in self.run.bootstrap.entries() {
            let Some(peer) = peer_id.filter(|peer| *peer != self.run.peer_id) else { continue };
            listed.insert(peer);
            // What is known already isn't heard of anew: the list says nothing of whether it lives.
            if !self.run.book.get(&peer).is_some_and(|record| record.is_listed_at(&addr)) {
                self.found(Source::Bootstrap, peer, vec![addr]);
            }
        }
        for gone in self.discovery.listed.difference(&listed) {
            self.run.book.off_the_list(gone);
        }
        self.discovery.listed = listed;
        let entries = self.run.bootstrap.entries();
        let is_listed = |addr: &Multiaddr| entries.iter().any(|entry| entry.addr == *addr);
        self.discovery.answered.retain(|addr, _| is_listed(addr));
        for source in SOURCES {
            self.run.discovery.enable(source, self.has(source));
        }
    }

    pub(super) fn set_discovery(&mut self, active: bool) {
        self.discovery.stopped = !active;
        if self.run.discovery.active() != active {
            self.run.discovery.set_active(active);
            self.take_part(active);
        }
        if active {
            return self.pass_soon(Duration::ZERO);
        }
        if let Some(at) = self.discovery.next.take() {
            self.timers.clear(at, Timer::Pass);
        }
        self.abandon_unasked();
        self.break_off_pass();
    }

    /// Hears and tells of peers, or no longer.
    fn take_part(&mut self, active: bool) {
        self.listen_for_peers(active);
        self.speak_mdns(active);
    }

    /// Whether peers are looked for: by themselves, or because a call asks for a pass.
    pub(super) fn discovering(&self) -> bool {
        self.run.discovery.active() || self.discovery.pass.is_some()
    }

    /// A pass is to begin so much later at the latest.
    fn pass_soon(&mut self, after: Duration) {
        let at = Instant::now() + after;
        if !self.run.discovery.active() || self.discovery.next.is_some_and(|next| next <= at) {
            return;
        }
        if let Some(later) = self.discovery.next.replace(at) {
            self.timers.clear(later, Timer::Pass);
        }
        self.timers.set(at, Timer::Pass);
    }

    /// The DHT has a first peer: whatever it knows is worth asking for.
    fn dht_came_alive(&mut self) {
        match self.discovery.pass {
            Some(_) => self.ask_dht(),
            None => self.pass_soon(SOON),
        }
    }

    /// `discover_peers`: joins the pass under way, or begins one.
    pub(super) fn discover(&mut self, limit: u64, terms: Terms<Snapshot>) {
        let goal = self.run.discovery.total() + limit;
        if self.wait(terms, |reply| Kind::Discover { goal, reply }).is_none() {
            return;
        }
        match self.discovery.pass {
            Some(_) => self.check_goals(),
            None => self.begin_pass(true),
        }
    }

    /// A timer of passes went off.
    pub(super) fn on_pass_timer(&mut self) {
        self.end_pass_if_over();
        // One that comes due during another waits for its end.
        if self.discovery.pass.is_none() && self.is_pass_due() {
            self.discovery.next = None;
            self.begin_pass(false);
        }
    }

    fn is_pass_due(&self) -> bool {
        self.discovery.next.is_some_and(|next| next <= Instant::now())
    }

    fn begin_pass(&mut self, asked: bool) {
        let now = Instant::now();
        self.run.discovery.pass_begins();
        let listens = self.has(Source::Mdns) || self.has(Source::Gossip);
        self.discovery.pass = Some(Pass {
            begun: now,
            until: now + PASS_TIMEOUT,
            window: if listens { now + WINDOW } else { now },
            dials: HashSet::new(),
            queries: HashSet::new(),
            daemons: HashSet::new(),
        });
        self.timers.set(now + WINDOW, Timer::Pass);
        self.timers.set(now + PASS_TIMEOUT, Timer::Pass);
        if !self.run.discovery.active() {
            self.take_part(true);
        }
        self.list_bootstrap();
        self.ask_bootstrap(asked);
        self.ask_dht();
        if self.has(Source::Mdns) {
            self.ask_mdns();
        }
        if self.has(Source::Gossip) {
            self.announce();
        }
        for source in [Source::Ipfs, Source::Cluster] {
            if self.ask_configured_daemon(source)
                && let Some(pass) = &mut self.discovery.pass
            {
                pass.daemons.insert(source);
            }
        }
        self.pass_soon(self.run.settings.discovery.interval);
        self.end_pass_if_over();
    }

    fn ask_bootstrap(&mut self, asked: bool) {
        let entries = self.run.bootstrap.entries();
        self.note_bootstrap(&entries);
        if !asked && self.peers.len() >= FEW {
            return;
        }
        // What earlier runs met with doesn't keep the first dials of this one back.
        let at_once = asked || !std::mem::replace(&mut self.discovery.begun, true);
        for entry in self.bootstrap_due(entries, at_once) {
            let dialled = match entry.peer_id {
                Some(peer) => self.dial_listed(peer),
                None => self.dial_bootstrap(None, [entry.addr]),
            };
            if let (Some(connection), Some(pass)) = (dialled, &mut self.discovery.pass) {
                pass.dials.insert(connection);
            }
        }
    }

    fn note_bootstrap(&self, entries: &[Entry]) {
        let connected = |peer: &PeerId| self.peers.contains_key(peer);
        let open = entries.iter().filter(|entry| entry.peer_id.as_ref().is_some_and(connected));
        let settings = &self.run.settings;
        let mut note = format!(
            "{} of {} bootstrap addresses are of connected peers",
            open.count(),
            entries.len()
        );
        let allowed = |entry: &&Entry| settings.may_dial_unasked(addr::scope(&entry.addr), true);
        let barred = entries.len() - entries.iter().filter(allowed).count();
        if barred > 0 {
            note += &format!("; the profile keeps {barred} from being dialled");
        }
        self.run.discovery.note(Source::Bootstrap, note);
    }

    /// The entries to dial in this pass, one for each peer. `at_once`: whether or not its turn has come.
    fn bootstrap_due(&self, mut entries: Vec<Entry>, at_once: bool) -> Vec<Entry> {
        let now = clock::now();
        let mut seen = HashSet::from([self.run.peer_id]);
        entries.retain(|entry| entry.peer_id.is_none_or(|peer| seen.insert(peer)));
        let due = entries.into_iter().filter_map(|entry| {
            let peer = entry.peer_id.or_else(|| self.discovery.answered.get(&entry.addr).copied());
            let record = peer.and_then(|peer| self.run.book.get(&peer));
            let Some(record) = record else { return Some((None, entry)) };
            let due = !record.connected() && !record.held_off && (at_once || record.may_retry(now));
            due.then_some((record.next_retry_at, entry))
        });
        let mut due: Vec<_> = due.collect();
        due.sort_by_key(|(turn, _)| *turn);
        due.into_iter().map(|(_, entry)| entry).take(BOOTSTRAP_DIALS).collect()
    }

    fn ask_dht(&mut self) {
        let local = self.run.peer_id;
        let random = PeerId::random();
        if self.routes() == Some(0) {
            self.warm_dht(|record| record.may_retry(clock::now()));
        }
        if self.routes() == Some(0) {
            let note = "no peer that takes part in this DHT is known yet".to_owned();
            return self.run.discovery.note(Source::Dht, note);
        }
        let Some(dht) = self.swarm.behaviour_mut().dht.as_mut() else { return };
        // Our own neighbourhood, and a walk to somewhere else.
        let queries = [local, random].map(|key| dht.search(key.to_bytes()));
        let note = "the DHT told of no peer that wasn't known".to_owned();
        self.run.discovery.note(Source::Dht, note);
        if let Some(pass) = &mut self.discovery.pass {
            pass.queries.extend(queries);
        }
    }

    /// How many peers the routing table has.
    fn routes(&mut self) -> Option<usize> {
        self.swarm.behaviour_mut().dht.as_mut().map(Dht::len)
    }

    /// Whoever took part in the DHT is asked again: in an earlier run, or before it was out of reach.
    fn warm_dht(&mut self, worth_it: impl Fn(&Record) -> bool) {
        for record in self.run.book.dht_peers(&self.run.settings.discovery.dht_protocol) {
            if worth_it(&record) {
                let known = record.dial_addresses();
                let addresses = known.into_iter().filter_map(|(text, _)| text.parse().ok());
                self.route(record.id, addresses);
            }
        }
    }

    /// A peer has told which protocols it speaks: the routing table has those who take part, at the
    /// addresses they tell of now and those they were reached at.
    pub(super) fn takes_part_in_dht(&mut self, peer: PeerId, listens_at: Vec<Multiaddr>) {
        let Some(record) = self.run.book.get(&peer) else { return };
        let Some(dht) = self.swarm.behaviour_mut().dht.as_mut() else { return };
        let protocol = &self.run.settings.discovery.dht_protocol;
        if !record.protocols.iter().any(|name| **name == **protocol) {
            return dht.remove(&peer);
        }
        let was_empty = dht.len() == 0;
        let state = self.peers.get(&peer);
        let dialled = state.into_iter().flat_map(Peer::live);
        let dialled = dialled.filter(|open| open.direction == Direction::Outbound);
        let reached: Vec<_> = dialled.filter_map(|open| open.address.parse().ok()).collect();
        self.route(peer, reached.into_iter().chain(listens_at));
        if was_empty {
            self.dht_came_alive();
        }
    }

    fn route(&mut self, peer: PeerId, addresses: impl Iterator<Item = Multiaddr>) {
        let settings = &self.run.settings;
        // What stands in the table is told to everybody who asks.
        let least = match settings.profile {
            Profile::Internet => Scope::Public,
            Profile::Lan | Profile::Offline => Scope::Loopback,
        };
        let fits = |address: &Multiaddr| {
            let scope = addr::scope(address);
            scope >= least && settings.may_dial_unasked(scope, false)
        };
        let addresses: Vec<Multiaddr> = addresses.filter(fits).take(MAX_ADDRESSES).collect();
        if let Some(dht) = self.swarm.behaviour_mut().dht.as_mut() {
            dht.add(&peer, &addresses);
        }
    }

    /// Of what a source told, this was left out.
    pub(super) fn drop_learnt(&self, source: Source, dropped: &learnt::Dropped) {
        for (reason, count) in dropped.by_reason() {
            self.run.discovery.dropped(source, reason, count);
        }
    }

    /// A search of the DHT ended, or came to a part of its result.
    pub(super) fn searched(&mut self, query: QueryId, found: Vec<kad::PeerInfo>, last: bool) {
        // Who was known before the search comes without addresses.
        for info in found.into_iter().filter(|info| !info.addrs.is_empty()) {
            self.found(Source::Dht, info.peer_id, info.addrs);
        }
        if last && let Some(pass) = &mut self.discovery.pass {
            pass.queries.remove(&query);
            self.end_pass_if_over();
        }
    }

    /// A dial that a pass may wait for is over; `landed`: there is a connection.
    pub(super) fn pass_dial_over(&mut self, connection: ConnectionId, landed: bool) {
        let dht = self.swarm.behaviour_mut().dht.as_mut();
        let lonely = dht.is_some_and(|dht| dht.len() == 0);
        let Some(pass) = &mut self.discovery.pass else { return };
        if pass.dials.remove(&connection) {
            if landed && lonely {
                pass.window = pass.window.max(Instant::now() + TELLING);
                self.timers.set(pass.window, Timer::Pass);
            }
            self.end_pass_if_over();
        }
    }

    /// Whoever is behind a listed address that names nobody.
    pub(super) fn answered_at(&mut self, dial: &Dial, peer: PeerId) {
        if let (None, Some(Source::Bootstrap), [only]) = (dial.peer, dial.unasked, &*dial.addresses)
        {
            self.discovery.answered.insert(only.address.clone(), peer);
        }
    }

    /// Ends the pass under way with what it has.
    fn break_off_pass(&mut self) {
        let Some(pass) = &mut self.discovery.pass else { return };
        pass.until = Instant::now();
        if let Some(dht) = self.swarm.behaviour_mut().dht.as_mut() {
            pass.queries.iter().for_each(|query| dht.finish(*query));
        }
        self.end_pass_if_over();
    }

    /// A daemon that a pass may wait for has answered.
    pub(super) fn pass_daemon_over(&mut self, source: Source) {
        if let Some(pass) = &mut self.discovery.pass {
            pass.daemons.remove(&source);
            self.end_pass_if_over();
        }
    }

    fn end_pass_if_over(&mut self) {
        let now = Instant::now();
        let Some(pass) = self.discovery.pass.take_if(|pass| pass.is_over(now)) else { return };
        let found = self.run.discovery.pass_ends(clock::now());
        let duration_ms = millis(now - pass.begun);
        let kind = EventKind::Discovery { found, duration_ms };
        self.run.hub.publish(None, kind);
        self.note_mdns();
        if !self.run.discovery.active() {
            self.take_part(false);
        }
        self.answer_discovers(|_| true);
        self.tend();
        if self.is_pass_due() {
            self.timers.set(now, Timer::Pass);
        }
    }

    /// Answers the calls that wanted no more peers than are found by now.
    pub(super) fn check_goals(&mut self) {
        let total = self.run.discovery.total();
        self.answer_discovers(|goal| goal <= total);
    }

    fn answer_discovers(&mut self, satisfied: impl Fn(u64) -> bool) {
        for id in self.calls.discovering(satisfied) {
            self.answer_discover(id);
        }
    }

    pub(super) fn answer_discover(&mut self, id: u64) {
        if let Some(Kind::Discover { reply, .. }) = self.take_call(id).map(|call| call.kind) {
            reply.send(Ok(self.run.discovery.snapshot()));
        }
    }

    /// The bootstrap list is another.
    pub(super) fn bootstrap_changed(&mut self) {
        self.list_bootstrap();
        if !self.discovery.stopped && self.begins_active() {
            self.set_discovery(true);
        }
    }

    /// Whether a run with what is configured and listed begins with discovery on.
    fn begins_active(&self) -> bool {
        SOURCES.iter().any(|source| self.has(*source))
    }

    /// A source told where a peer is. The addresses were looked over already.
    pub(super) fn found(&mut self, source: Source, peer: PeerId, addresses: Vec<Multiaddr>) {
        if peer == self.run.peer_id {
            return self.run.discovery.dropped(source, "own_id", 1);
        }
        if addresses.is_empty() {
            return self.run.discovery.dropped(source, "no_address", 1);
        }
        let now = clock::now();
        let new = match self.run.book.discovered(&peer, source, &addresses, now) {
            Discovered::New => true,
            Discovered::Known => false,
            Discovered::Refused => return self.run.discovery.dropped(source, "book_full", 1),
        };
        self.run.discovery.heard(source, peer, new, now);
        if new {
            let text = |address: &Multiaddr| addr::without_peer_id(address).to_string().into();
            let multiaddrs: Vec<Text> = addresses.iter().map(text).collect();
            let kind = EventKind::PeerDiscovered { source, multiaddrs };
            self.run.hub.publish(Some(peer.to_string().into()), kind);
            self.check_goals();
        }
        if !self.peers.contains_key(&peer) {
            self.tend_soon();
        }
    }
}
