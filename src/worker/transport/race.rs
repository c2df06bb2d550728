//! The dial of an address with a name: looks the name up, and lets all it leads to race, one beginning
//! shortly after the other (RFC 8305), so that a dead one costs no more than that moment. A `/dnsaddr/` may
//! lead to further names. Each address is an attempt of its own, with a progress that the dial's report
//! shows.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use libp2p::core::transport::{DialOpts, Transport};
use libp2p::multiaddr::Protocol;
use parking_lot::Mutex;
use tokio::time::{Sleep, sleep};

use super::attempt::{Connection, attempt, straight};
use super::evidence::ClockEvidence;
use super::names::Names;
use super::progress::{Cause, DialFailure, Progress};
use super::terms::Terms;
use crate::model::DialStage;
use crate::worker::util::clock::Clock;
use crate::{Multiaddr, addr};

/// Time after which the next address begins while others are under way (RFC 8305 section 5).
const STAGGER: Duration = Duration::from_millis(250);
/// Addresses dialled of those a name leads to; and those without a transport that the report shows.
const MAX_ADDRESSES: usize = 16;
/// Records of one `/dnsaddr/` that are taken.
const MAX_RECORDS: usize = 16;
/// Questions asked for one address: the records of a `/dnsaddr/` may lead to further ones.
const MAX_QUESTIONS: usize = 32;

/// The address to dial, and the terms.
pub(super) struct Goal {
    pub address: Multiaddr,
    pub opts: DialOpts,
    pub terms: Terms,
}

/// Tells whether there is a name to look up.
pub(super) fn has_name(address: &Multiaddr) -> bool {
    address.iter().any(|part| {
        matches!(
            part,
            Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_) | Protocol::Dnsaddr(_)
        )
    })
}

/// Dials whatever the name in the goal's address leads to, until one connects or the deadline has passed.
pub(super) async fn dial<T>(
    inner: Arc<Mutex<T>>,
    names: Arc<Names>,
    goal: Goal,
    clock: Clock,
    evidence: Arc<ClockEvidence>,
) -> Result<Connection, DialFailure>
where
    T: Transport<Output = Connection> + Send + Unpin + 'static,
    T::Error: 'static,
    T::Dial: Send + 'static,
{
    let progress = Progress::at(DialStage::Resolve, clock.clone());
    goal.terms.begins(&goal.address, None, &progress);
    let deadline = goal.terms.deadline;
    if clock.now() >= deadline {
        return Err(progress.failed_at(DialStage::Skipped, Cause::TimedOut));
    }
    let mut race = Race {
        remote_name: !goal.terms.trusts(&goal.address),
        inner,
        names,
        clock,
        evidence,
        goal,
        asked: 0,
        unresolved: Vec::new(),
        lookups: FuturesUnordered::new(),
        found: Vec::new(),
        ready: VecDeque::new(),
        last_was_ipv6: None,
        dials: FuturesUnordered::new(),
        failure: None,
        stagger: Box::pin(sleep(STAGGER)),
    };
    let address = race.goal.address.clone();
    race.look_up(address);
    match tokio::time::timeout_at(deadline.into(), race.run()).await {
        Err(_elapsed) => Err(progress.timed_out()),
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(DialFailure { stage, cause, .. })) => Err(progress.failed_at(stage, cause)),
    }
}

/// An address whose name is looked up.
struct Unresolved {
    address: Multiaddr,
    /// The questions not answered yet.
    open: usize,
    leads_somewhere: bool,
    cause: Option<Cause>,
}

type Answer = (usize, Result<Vec<Multiaddr>, Cause>);

struct Race<T> {
    inner: Arc<Mutex<T>>,
    names: Arc<Names>,
    clock: Clock,
    evidence: Arc<ClockEvidence>,
    goal: Goal,
    remote_name: bool,
    /// The number of questions asked.
    asked: usize,
    unresolved: Vec<Unresolved>,
    lookups: FuturesUnordered<BoxFuture<'static, Answer>>,
    /// The addresses found: those that can be dialled, and those that can't.
    found: Vec<(Multiaddr, bool)>,
    /// The addresses whose turn is still to come.
    ready: VecDeque<(Multiaddr, Arc<Progress>)>,
    last_was_ipv6: Option<bool>,
    dials: FuturesUnordered<BoxFuture<'static, Result<Connection, DialFailure>>>,
    /// The failure to end in.
    failure: Option<DialFailure>,
    stagger: Pin<Box<Sleep>>,
}

impl<T> Race<T>
where
    T: Transport<Output = Connection> + Send + Unpin + 'static,
    T::Error: 'static,
    T::Dial: Send + 'static,
{
    async fn run(&mut self) -> Result<Connection, DialFailure> {
        loop {
            if self.dials.is_empty() {
                self.begin_next();
            }
            tokio::select! {
                Some((index, answer)) = self.lookups.next() => self.answered(index, answer),
                Some(outcome) = self.dials.next() => match outcome {
                    Ok(connection) => return Ok(connection),
                    Err(failure) => {
                        self.failure = Some(failure);
                        self.begin_next();
                    }
                },
                () = &mut self.stagger, if !self.ready.is_empty() => self.begin_next(),
                else => break,
            }
        }
        let nothing = || Progress::at(DialStage::Resolve, self.clock.clone()).so_far();
        Err(self.failure.take().unwrap_or_else(nothing))
    }

    /// Asks where the name in an address leads, once.
    fn look_up(&mut self, address: Multiaddr) {
        if self.unresolved.iter().any(|other| other.address == address) {
            return;
        }
        let index = self.unresolved.len();
        let mut questions = questions(&address);
        questions.truncate(MAX_QUESTIONS.saturating_sub(self.asked));
        self.asked += questions.len();
        let (open, leads_somewhere, cause) = (questions.len(), false, None);
        self.unresolved.push(Unresolved { address, open, leads_somewhere, cause });
        for question in questions {
            let names = Arc::clone(&self.names);
            let answer = async move { (index, names.look_up(&question).await) };
            self.lookups.push(answer.boxed());
        }
        if open == 0 {
            let cause = "its records lead from name to name, too many of them";
            self.leads_nowhere(index, Cause::NoSuchName(cause.to_owned()));
        }
    }

    fn answered(&mut self, index: usize, answer: Result<Vec<Multiaddr>, Cause>) {
        self.unresolved[index].open -= 1;
        match answer {
            Ok(answers) => {
                let fitting = fitting(&self.unresolved[index].address, answers);
                self.unresolved[index].leads_somewhere |= !fitting.is_empty();
                fitting.into_iter().for_each(|address| self.take(address));
            }
            // An answer says more of the name than silence does.
            Err(cause) => {
                let kept = &mut self.unresolved[index].cause;
                if !matches!(kept, Some(Cause::NoSuchName(_))) {
                    *kept = Some(cause);
                }
            }
        }
        let Unresolved { open, leads_somewhere, cause, .. } = &mut self.unresolved[index];
        if *open == 0 && !*leads_somewhere {
            let none = || Cause::NoSuchName("the name leads to no address that fits".to_owned());
            let cause = cause.take().unwrap_or_else(none);
            self.leads_nowhere(index, cause);
        }
    }

    /// Notes that a name leads nowhere. A further one, to which a record led, is reported by itself.
    fn leads_nowhere(&mut self, index: usize, cause: Cause) {
        let progress = Progress::at(DialStage::Resolve, self.clock.clone());
        let failure = progress.failed_at(DialStage::Resolve, cause);
        if index > 0 {
            let address = addr::without_peer_id(&self.unresolved[index].address);
            self.goal.terms.begins(&self.goal.address, Some(address), &progress);
        }
        self.failure.get_or_insert(failure);
    }

    /// Takes an address to which a name leads.
    fn take(&mut self, address: Multiaddr) {
        let address = addr::canonical(address);
        if self.found.iter().any(|(other, _)| *other == address) {
            return;
        }
        let dialable = addr::is_dialable(&address);
        if dialable && has_name(&address) {
            return self.look_up(address);
        }
        if self.found.iter().filter(|(_, other)| *other == dialable).count() == MAX_ADDRESSES {
            return;
        }
        self.found.push((address.clone(), dialable));
        let clock = self.clock.clone();
        let progress = Progress::towards(DialStage::Skipped, self.remote_name, clock);
        let led_to = addr::without_peer_id(&address);
        self.goal.terms.begins(&self.goal.address, Some(led_to), &progress);
        match dialable {
            true => self.ready.push_back((address, progress)),
            false => {
                let failure = progress.failed_at(DialStage::Transport, Cause::Unsupported);
                self.failure.get_or_insert(failure);
            }
        }
    }

    /// Begins the next address, of the other IP version than the last if there is one.
    fn begin_next(&mut self) {
        let last = self.last_was_ipv6;
        let other =
            |(address, _): &(Multiaddr, _)| last.is_some_and(|last| is_ipv6(address) != last);
        let next = self.ready.iter().position(other).unwrap_or(0);
        let Some((address, progress)) = self.ready.remove(next) else { return };
        self.last_was_ipv6 = Some(is_ipv6(&address));
        self.stagger = Box::pin(sleep(STAGGER));
        progress.begin(DialStage::Transport);
        let expected = addr::peer_id_of(&address).or(addr::peer_id_of(&self.goal.address));
        let dial = straight(Arc::clone(&self.inner), address, self.goal.opts);
        let (deadline, clock) = (self.goal.terms.deadline, self.clock.clone());
        let evidence = Arc::clone(&self.evidence);
        let attempt =
            async move { attempt(dial, progress, expected, deadline, &clock, &evidence).await };
        self.dials.push(attempt.boxed());
    }
}

/// Returns the questions to which the name in an address leads.
fn questions(address: &Multiaddr) -> Vec<Protocol<'static>> {
    match address.iter().next() {
        Some(Protocol::Dns(name)) => {
            vec![Protocol::Dns4(name.to_string().into()), Protocol::Dns6(name.to_string().into())]
        }
        Some(name @ (Protocol::Dns4(_) | Protocol::Dns6(_) | Protocol::Dnsaddr(_))) => {
            vec![name.acquire()]
        }
        _ => Vec::new(),
    }
}

/// Puts answers in the name's place. Of a `/dnsaddr/` only the records count that end as it does.
fn fitting(address: &Multiaddr, answers: Vec<Multiaddr>) -> Vec<Multiaddr> {
    let mut parts = address.iter();
    let name = parts.next();
    let rest: Multiaddr = parts.collect();
    let fitting = answers.into_iter().filter_map(|answer| match name {
        Some(Protocol::Dnsaddr(_)) => answer.ends_with(&rest).then_some(answer),
        _ => Some(answer.iter().chain(rest.iter()).collect()),
    });
    fitting.take(MAX_RECORDS).collect()
}

fn is_ipv6(address: &Multiaddr) -> bool {
    addr::ip_of(address).is_some_and(|ip| ip.is_ipv6())
}
