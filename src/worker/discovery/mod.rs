//! Discovery: passes over the sources, by themselves at an interval or because a call asks for one.
//!
//! A pass asks every source that is on and waits for those that answer; what they tell between passes
//! is taken as well. Everything found goes through [`Worker::found`]. What is dialled because of it is
//! for `tend`. The sources are `bootstrap` and `routes` below this, `pubsub`, `local` and `daemons`; those
//! that cost the whole network something `rest` while nothing is new.

pub(crate) mod backoff;
mod bootstrap;
pub(crate) mod daemons;
mod dht;
pub(crate) mod mdns;
pub(crate) mod records;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use libp2p::kad::QueryId;
use libp2p::swarm::ConnectionId;

use self::backoff::Rest;
use crate::book::Discovered;
use crate::clock::Timestamp;
use crate::config::DhtMode;
use crate::discovery::{SOURCES, Snapshot};
use crate::error::Error;
use crate::model::event::EventKind;
use crate::model::{LastError, Source, Text};
use crate::worker::calls::Kind;
use crate::worker::command::Terms;
use crate::worker::dialing::{Dial, millis};
use crate::worker::util::addresses;
use crate::worker::{Timer, Worker};
use crate::{Multiaddr, PeerId, addr, clock};

/// How long a pass waits for what multicast and gossip bring.
const WINDOW: Duration = Duration::from_secs(2);
/// A pass ends then, whatever still runs.
const PASS_TIMEOUT: Duration = Duration::from_secs(20);
/// Where the DHT has no peers yet, a pass waits so long for a bootstrap peer that has just been
/// connected to tell whether it is one.
const TELLING: Duration = Duration::from_secs(1);

/// The passes of this run.
#[derive(Default)]
pub(crate) struct Discovery {
    pass: Option<Pass>,
    /// How many passes there have been.
    passes: u64,
    next: Option<Instant>,
    rest: Rest,
    last_begun: Option<Instant>,
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
    number: u64,
    /// It has asked neither the DHT nor announced this node.
    rests: bool,
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
    pub(crate) fn begin_discovery(&mut self) {
        self.discovery.listed = self.run.book.bootstrap_peers().into_iter().collect();
        self.list_bootstrap();
        self.warm_dht(|_| true);
        if self.begins_active() {
            self.set_discovery(true);
        }
    }

    pub(crate) fn set_discovery(&mut self, active: bool) {
        self.discovery.stopped = !active;
        self.discovery.rest.end();
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
    pub(crate) fn discovering(&self) -> bool {
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

    /// `discover_peers`: joins the pass under way, or begins one.
    pub(crate) fn discover(&mut self, limit: u64, terms: Terms<Snapshot>) {
        let goal = self.run.discovery.total() + limit;
        if self.wait(terms, |reply| Kind::Discover { goal, reply }).is_none() {
            return;
        }
        match self.discovery.pass {
            Some(ref mut pass) => {
                if std::mem::take(&mut pass.rests) {
                    self.has_news();
                    self.ask_widely();
                }
                self.check_goals();
            }
            None => self.begin_pass(true),
        }
    }

    /// A timer of passes went off.
    pub(crate) fn on_pass_timer(&mut self) {
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
        self.discovery.last_begun = Some(now);
        self.run.discovery.pass_begins();
        let listens = self.has(Source::Mdns) || self.has(Source::Gossip);
        if asked {
            self.has_news();
        }
        let rests = !self.discovery.rest.is_over();
        self.discovery.passes += 1;
        let number = self.discovery.passes;
        self.discovery.pass = Some(Pass {
            number,
            rests,
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
        match rests {
            true => self.ask_nobody(),
            false => self.ask_widely(),
        }
        if self.has(Source::Mdns) {
            self.ask_mdns();
        }
        for source in [Source::Ipfs, Source::Cluster] {
            if self.ask_configured_daemon(source, number)
                && let Some(pass) = &mut self.discovery.pass
            {
                pass.daemons.insert(source);
            }
        }
        self.pass_soon(self.run.settings.discovery.interval);
        self.end_pass_if_over();
    }

    /// Something is new, here or out there: the next pass asks the DHT and announces this node.
    pub(crate) fn has_news(&mut self) {
        self.discovery.rest.end();
    }

    /// What costs the whole network something.
    fn ask_widely(&mut self) {
        self.announce();
        self.ask_dht();
    }

    fn ask_nobody(&mut self) {
        for source in [Source::Dht, Source::Gossip].into_iter().filter(|source| self.has(*source)) {
            let note = "left out of this pass: nothing is new since it last found nobody";
            self.run.discovery.note(source, note.to_owned());
        }
        // With nobody to tell or ask it costs nobody anything, and says why there is nobody.
        if !self.pubsub.has_told() {
            self.announce();
        }
        if self.routes() == Some(0) {
            self.ask_dht();
        }
    }

    pub(crate) fn source_failed(&self, source: Source, error: &Error) {
        self.run.discovery.failed(source, LastError::new(error, clock::now()));
    }

    /// Of what a source told, this was left out.
    pub(crate) fn drop_learnt(&self, source: Source, dropped: &addresses::Dropped) {
        for (reason, count) in dropped.by_reason() {
            self.run.discovery.dropped(source, reason, count);
        }
    }

    /// A dial that a pass may wait for is over; `landed`: there is a connection.
    pub(crate) fn pass_dial_over(&mut self, connection: ConnectionId, landed: bool) {
        let Some(pass) = &mut self.discovery.pass else { return };
        if !pass.dials.remove(&connection) {
            return;
        }
        if landed && self.swarm.behaviour_mut().dht.as_mut().is_some_and(|dht| dht.len() == 0) {
            pass.window = pass.window.max(Instant::now() + TELLING);
            self.timers.set(pass.window, Timer::Pass);
        }
        self.end_pass_if_over();
    }

    /// Whoever is behind a listed address that names nobody.
    pub(crate) fn answered_at(&mut self, dial: &Dial, peer: PeerId) {
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

    /// A daemon has answered the pass of this number, which may be over by now.
    pub(crate) fn pass_daemon_over(&mut self, source: Source, number: u64) {
        if let Some(pass) = &mut self.discovery.pass
            && pass.number == number
        {
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
    fn check_goals(&mut self) {
        let total = self.run.discovery.total();
        self.answer_discovers(|goal| goal <= total);
    }

    fn answer_discovers(&mut self, satisfied: impl Fn(u64) -> bool) {
        for id in self.calls.discovering(satisfied) {
            self.answer_discover(id);
        }
    }

    pub(crate) fn answer_discover(&mut self, id: u64) {
        if let Some(Kind::Discover { reply, .. }) = self.take_call(id).map(|call| call.kind) {
            reply.send(Ok(self.run.discovery.snapshot()));
        }
    }

    /// Whether a run with what is configured and listed begins with discovery on.
    fn begins_active(&self) -> bool {
        SOURCES.iter().any(|source| self.has(*source))
    }

    /// A source told where a peer is. The addresses were looked over already.
    pub(crate) fn found(&mut self, source: Source, peer: PeerId, addresses: Vec<Multiaddr>) {
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
        self.discovered(source, peer, new, now);
        if new {
            let text = |address: &Multiaddr| addr::without_peer_id(address).to_string().into();
            let multiaddrs: Vec<Text> = addresses.iter().map(text).collect();
            let kind = EventKind::PeerDiscovered { source, multiaddrs };
            self.run.hub.publish(Some(peer.to_string().into()), kind);
        }
        if !self.peers.contains_key(&peer) {
            self.tend_soon();
        }
    }

    /// Counts what a source told: a peer that is in the book now; `new`: it wasn't before.
    pub(crate) fn discovered(&mut self, source: Source, peer: PeerId, new: bool, now: Timestamp) {
        self.run.discovery.heard(source, peer, new, now);
        if new {
            self.has_news();
            self.check_goals();
        }
    }
}
