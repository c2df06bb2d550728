//! Begins passes over the sources when they are due or requested, and ends them: answers the calls that
//! wait, and has the next one come.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use libp2p::identity::Keypair;

use super::backoff::Backoff;
use super::passes::{Pass, Pending};
use super::source::DiscoverySource;
use super::sources::{Arrived, Sources};
#[cfg(feature = "daemons")]
use crate::PeerId;
use crate::config::Settings;
#[cfg(feature = "daemons")]
use crate::daemon::Api;
use crate::discovery_log::Snapshot;
#[cfg(feature = "daemons")]
use crate::model::Source;
use crate::model::event::EventKind;
use crate::worker::core::Core;
use crate::worker::core::calls::{CallId, Ending, Owner};
use crate::worker::core::notes::Note;
use crate::worker::core::timers::Timer;
use crate::worker::reply::{Reply, Terms};
use crate::worker::util::millis;

/// Calls about discovery.
pub(crate) enum DiscoveryCommand {
    /// One pass; answers when it is over or has discovered `limit` new peers.
    Discover {
        limit: u64,
        terms: Terms<Snapshot>,
    },
    SetActive {
        active: bool,
        terms: Terms<Snapshot>,
    },
    /// This machine is on another network. One pass; answers when it is over.
    NetworkChanged {
        terms: Terms<Snapshot>,
    },
    /// The bootstrap list was changed.
    BootstrapChanged {
        terms: Terms<()>,
    },
    /// Answers which peers the daemon named; they are in the book then.
    #[cfg(feature = "daemons")]
    AskDaemon {
        source: Source,
        api: Api,
        terms: Terms<Vec<PeerId>>,
    },
}

/// The passes of a run, and their sources.
pub(crate) struct Discovery {
    pub(super) sources: Sources,
    pub(super) pass: Option<Pass>,
    /// The number of passes that have begun.
    pub(super) passes: u64,
    /// The moment when the next one is due.
    next: Option<Instant>,
    pub(super) backoff: Backoff,
    pub(super) last_begun: Option<Instant>,
    /// True where the user stopped it.
    stopped: bool,
    /// The calls that wait until this many peers were discovered in all, or for the end of the pass.
    goals: HashMap<CallId, (u64, Reply<Snapshot>)>,
}

impl Discovery {
    pub(crate) fn new(keypair: &Keypair, settings: &Settings) -> Self {
        Discovery {
            sources: Sources::new(keypair, settings),
            pass: None,
            passes: 0,
            next: None,
            backoff: Backoff::default(),
            last_begun: None,
            stopped: false,
            goals: HashMap::new(),
        }
    }

    pub(crate) fn command(&mut self, core: &mut Core, command: DiscoveryCommand) {
        match command {
            DiscoveryCommand::Discover { limit, terms } => self.discover(core, limit, terms),
            DiscoveryCommand::SetActive { active, terms } => {
                self.set_active(core, active);
                terms.reply.send(Ok(core.shared.discovery.snapshot()));
            }
            DiscoveryCommand::NetworkChanged { terms } => self.network_changed(core, terms),
            DiscoveryCommand::BootstrapChanged { terms } => {
                self.bootstrap_changed(core);
                terms.reply.send(Ok(()));
            }
            #[cfg(feature = "daemons")]
            DiscoveryCommand::AskDaemon { source, api, terms } => {
                self.sources.daemon(source).call(core, api, terms);
            }
        }
    }

    /// Begins discovery at the start of a run.
    pub(crate) fn begin(&mut self, core: &mut Core) {
        self.sources.table().for_each(|source| source.begin(core));
        self.tell_enabled(core);
        if self.any_on(core) {
            self.set_active(core, true);
        }
    }

    /// Ends discovery for good.
    pub(crate) fn shut_down(&mut self, core: &mut Core) {
        core.shared.discovery.set_active(false);
        self.pass = None;
        self.goals.clear();
        self.sources.table().for_each(|source| source.drop_calls());
        self.take_part(core, false);
    }

    /// Waits for an event from beside the swarm.
    pub(crate) async fn next(&mut self) -> Arrived {
        self.sources.next().await
    }

    /// Tells whether peers are looked for: automatically, or in a pass that a call requested.
    pub(crate) fn is_looking(&self, core: &Core) -> bool {
        core.shared.discovery.active() || self.pass.is_some()
    }

    pub(super) fn set_active(&mut self, core: &mut Core, active: bool) {
        self.stopped = !active;
        self.backoff.reset();
        if core.shared.discovery.active() != active {
            tracing::info!(active, "discovery");
            core.shared.discovery.set_active(active);
            self.take_part(core, active);
        }
        if active {
            return self.pass_soon(core, Duration::ZERO);
        }
        self.next = None;
        core.timers.clear(Timer::Pass);
        core.note(Note::AutomaticDialsUnwanted);
        self.break_off_pass(core);
    }

    /// Has the sources receive and advertise, or stops them.
    fn take_part(&mut self, core: &mut Core, active: bool) {
        for source in self.sources.table() {
            match active {
                true => source.start(core),
                false => source.stop(core),
            }
        }
    }

    fn any_on(&mut self, core: &Core) -> bool {
        self.sources.table().any(|source| source.is_on(core))
    }

    fn tell_enabled(&mut self, core: &Core) {
        for source in self.sources.table() {
            core.shared.discovery.enable(source.source(), source.is_on(core));
        }
    }

    /// Takes over a change of the bootstrap list.
    fn bootstrap_changed(&mut self, core: &mut Core) {
        self.sources.bootstrap.sync_book(core);
        self.tell_enabled(core);
        if !self.stopped && self.any_on(core) {
            self.set_active(core, true);
        }
    }

    /// Has a pass begin after this time at the latest.
    pub(super) fn pass_soon(&mut self, core: &mut Core, after: Duration) {
        let at = core.now + after;
        if !core.shared.discovery.active() || self.next.is_some_and(|next| next <= at) {
            return;
        }
        self.next = Some(at);
        core.timers.set(at, Timer::Pass);
    }

    /// `discover_peers`: joins the pass under way, or begins one.
    fn discover(&mut self, core: &mut Core, limit: u64, terms: Terms<Snapshot>) {
        let goal = core.shared.discovery.total().saturating_add(limit);
        let Some((call, _, reply)) = core.register(Owner::Discovery, terms) else { return };
        self.goals.insert(call, (goal, reply));
        match &mut self.pass {
            Some(pass) => {
                if std::mem::take(&mut pass.backs_off) {
                    self.backoff.reset();
                    self.ask(core, |source| source.is_costly());
                }
                self.check_goals(core);
            }
            None => self.begin_pass(core, true),
        }
    }

    /// `network_changed`: asks the local network anew, and everybody else in a pass.
    fn network_changed(&mut self, core: &mut Core, terms: Terms<Snapshot>) {
        self.sources.table().for_each(|source| source.addresses_changed(core));
        self.sources.table().for_each(|source| source.network_changed(core));
        self.discover(core, u64::MAX, terms);
    }

    /// Begins a pass that is due. One that comes due during another waits for its end.
    pub(crate) fn pass_due(&mut self, core: &mut Core) {
        if self.pass.is_none() && self.next.is_some_and(|next| next <= core.now) {
            self.next = None;
            self.begin_pass(core, false);
        }
    }

    pub(super) fn begin_pass(&mut self, core: &mut Core, requested: bool) {
        self.last_begun = Some(core.now);
        core.shared.discovery.pass_begins();
        if requested {
            self.backoff.reset();
        }
        let listens = |source: &mut dyn DiscoverySource| source.listens() && source.is_on(core);
        let listens = self.sources.table().any(listens);
        self.passes += 1;
        let mut pass = Pass::new(self.passes, requested, listens, core.now);
        pass.backs_off = !self.backoff.asks();
        tracing::info!(
            number = pass.number,
            requested,
            backs_off = pass.backs_off,
            "a pass begins"
        );
        self.pass = Some(pass);
        if !core.shared.discovery.active() {
            self.take_part(core, true);
        }
        self.sources.bootstrap.begin_pass(core);
        self.tell_enabled(core);
        self.ask(core, |_| true);
        self.pass_soon(core, core.shared.settings.discovery.interval);
        self.end_pass_if_over(core);
    }

    /// Asks the sources that are on and `wanted`, for the pass under way.
    fn ask(&mut self, core: &mut Core, wanted: impl Fn(&dyn DiscoverySource) -> bool) {
        let Some(pass) = &mut self.pass else { return };
        for source in self.sources.table() {
            if wanted(source) && source.is_on(core) {
                source.ask(core, pass);
            }
        }
    }

    /// Takes an answer that a pass may have waited for.
    pub(super) fn arrived(&mut self, core: &mut Core, pending: Pending) {
        if self.pass.as_mut().is_some_and(|pass| pass.arrived(pending)) {
            self.end_pass_if_over(core);
        }
    }

    /// Ends the pass under way with what it has.
    pub(super) fn break_off_pass(&mut self, core: &mut Core) {
        let Some(pass) = &mut self.pass else { return };
        let queries = pass.break_off(core.now);
        self.sources.table().for_each(|source| source.finish(core, &queries));
        self.end_pass_if_over(core);
    }

    /// Ends the pass under way if it is over, or sets the timer of the next look at it.
    pub(crate) fn end_pass_if_over(&mut self, core: &mut Core) {
        let Some(pass) = self.pass.take_if(|pass| pass.is_over(core.now)) else {
            if let Some(pass) = &self.pass {
                core.timers.set(pass.next_look(core.now), Timer::PassEnd);
            }
            return;
        };
        core.timers.clear(Timer::PassEnd);
        let found = core.shared.discovery.pass_ends(core.time);
        let duration_ms = millis(core.since(pass.begun));
        tracing::info!(number = pass.number, ?found, duration_ms, "a pass ended");
        core.shared.hub.publish(None, EventKind::Discovery { found, duration_ms });
        self.sources.table().for_each(|source| source.note(core));
        if !core.shared.discovery.active() {
            self.take_part(core, false);
        }
        self.answer(core, |_| true);
        core.note(Note::PassEnded);
        if self.next.is_some_and(|next| next <= core.now) {
            core.timers.set(core.now, Timer::Pass);
        }
    }

    /// Answers the calls that wanted no more peers than are discovered by now.
    pub(super) fn check_goals(&mut self, core: &mut Core) {
        let total = core.shared.discovery.total();
        self.answer(core, |goal| goal <= total);
    }

    fn answer(&mut self, core: &mut Core, satisfied: impl Fn(u64) -> bool) {
        for (call, (_, reply)) in self.goals.extract_if(|_, (goal, _)| satisfied(*goal)) {
            core.finish(call);
            reply.send(Ok(core.shared.discovery.snapshot()));
        }
    }

    /// Ends a call of this part before its work is done; what was discovered by now is an answer.
    pub(crate) fn ended(&mut self, core: &mut Core, call: CallId, why: Ending) {
        self.sources.table().for_each(|source| source.ended(core, call, why));
        let Some((_, reply)) = self.goals.remove(&call) else { return };
        core.finish(call);
        reply.send(match why {
            Ending::Deadline => Ok(core.shared.discovery.snapshot()),
            Ending::Cancelled => Err(why.error("")),
        });
    }
}
