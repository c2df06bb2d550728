//! A daemon beside this node as a source, and the calls that ask it: its API is asked on threads of
//! their own, since HTTP blocks. Where the system gives no thread, the question fails, and nothing else.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::passes::{Pass, Pending};
use super::source::DiscoverySource;
use crate::daemon::{self, Api, Found, Questions};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{LastError, Source};
use crate::worker::core::Core;
use crate::worker::core::calls::{CallId, Ending, Owner};
use crate::worker::reply::{Reply, Terms};
use crate::worker::util::addresses::filter_addresses;
use crate::{Multiaddr, PeerId, os};

/// Questions to a daemon under way at once.
const AT_ONCE: usize = 4;
/// Time that a pass waits for a daemon.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest time that a call waits for a daemon: a question can't be taken back, and only
/// [`AT_ONCE`] may be under way.
const LONGEST: Duration = Duration::from_secs(60);

/// One daemon: the questions under way, and the calls that wait for one.
pub(super) struct DaemonSource {
    source: Source,
    open: usize,
    sender: mpsc::Sender<Answered>,
    answers: mpsc::Receiver<Answered>,
    calls: HashMap<CallId, Reply<Vec<PeerId>>>,
    questions: Questions,
}

impl Drop for DaemonSource {
    fn drop(&mut self) {
        // Their threads end with the run.
        self.questions.end();
    }
}

/// The asker of a question, by number.
#[derive(Clone, Copy)]
enum Asker {
    Call(CallId),
    Pass(u64),
}

/// An answer of a daemon.
pub(crate) struct Answered {
    pub source: Source,
    asker: Asker,
    /// The peers it named, and the address at which it was asked.
    outcome: Result<(Found, Multiaddr)>,
}

impl DiscoverySource for DaemonSource {
    fn source(&self) -> Source {
        self.source
    }

    fn is_on(&self, core: &Core) -> bool {
        self.configured(core).is_some()
    }

    fn ask(&mut self, core: &mut Core, pass: &mut Pass) {
        let Some(api) = self.configured(core).clone() else { return };
        match self.spawn(api, core.now + PATIENCE, Asker::Pass(pass.number)) {
            Ok(()) => pass.wait_for(Pending::Daemon(self.source)),
            Err(error) => note_failure(core, self.source, &error),
        }
    }

    fn drop_calls(&mut self) {
        self.calls.clear();
    }

    fn ended(&mut self, core: &mut Core, call: CallId, why: Ending) {
        if let Some(reply) = self.calls.remove(&call) {
            core.finish(call);
            reply.send(Err(why.error("the daemon did not answer in time")));
        }
    }
}

impl DaemonSource {
    pub(super) fn new(source: Source) -> Self {
        let (sender, answers) = mpsc::channel(AT_ONCE);
        let (calls, questions) = (HashMap::new(), Questions::default());
        DaemonSource { source, open: 0, sender, answers, calls, questions }
    }

    fn configured<'a>(&self, core: &'a Core) -> &'a Option<Api> {
        let settings = &core.shared.settings.discovery;
        if self.source == Source::Cluster { &settings.cluster } else { &settings.ipfs }
    }

    pub(super) async fn next(&mut self) -> Answered {
        match self.answers.recv().await {
            Some(answered) => answered,
            // We hold a sender ourselves.
            None => std::future::pending().await,
        }
    }

    /// `bootstrap_from_ipfs`, `bootstrap_from_cluster`: answers with the peers that the daemon named.
    pub(super) fn call(&mut self, core: &mut Core, api: Api, terms: Terms<Vec<PeerId>>) {
        let Some((call, deadline, reply)) = core.register(Owner::Discovery, terms) else { return };
        let deadline = deadline.min(core.now + LONGEST);
        match self.spawn(api, deadline, Asker::Call(call)) {
            Ok(()) => drop(self.calls.insert(call, reply)),
            Err(error) => {
                core.finish(call);
                reply.send(Err(error));
            }
        }
    }

    fn spawn(&mut self, api: Api, deadline: Instant, asker: Asker) -> Result<()> {
        if self.open >= AT_ONCE {
            let message = format!("{AT_ONCE} questions to the daemon are under way already");
            return Err(Error::new(ErrorKind::Busy, message));
        }
        let (source, sender) = (self.source, self.sender.clone());
        let questions = self.questions.clone();
        let question = move || {
            let ask = || match source {
                Source::Cluster => daemon::cluster_peers(&api, deadline, &questions),
                _ => daemon::kubo_peers(&api, deadline, &questions),
            };
            // An answer must come, or the question would count as open for ever.
            let outcome = catch_unwind(AssertUnwindSafe(ask)).unwrap_or_else(|_| {
                Err(Error::new(ErrorKind::Panic, "peerkit panicked while it asked a daemon"))
            });
            let outcome = outcome.map(|found| (found, api.seen_at()));
            // There is room for as many as are under way; a worker that is gone wants none.
            let _ = sender.try_send(Answered { source, asker, outcome });
        };
        // tokio's `spawn_blocking` would panic for want of a thread, and the worker with it.
        os::spawn("peerkit-daemon", Box::new(question))
            .map_err(|error| Error::no_thread(&error))?;
        self.open += 1;
        Ok(())
    }

    /// Takes a daemon's answer; returns the number of the pass that waits for it.
    pub(super) fn answered(&mut self, core: &mut Core, answered: Answered) -> Option<u64> {
        self.open -= 1;
        let Answered { source, asker, outcome } = answered;
        let outcome = outcome.map(|(found, seen_at)| take_named(core, source, found, &seen_at));
        if let Err(error) = &outcome {
            note_failure(core, source, error);
        }
        match asker {
            Asker::Pass(pass) => Some(pass),
            Asker::Call(call) => {
                if let Some(reply) = self.calls.remove(&call) {
                    core.finish(call);
                    reply.send(outcome);
                }
                None
            }
        }
    }
}

fn note_failure(core: &Core, source: Source, error: &Error) {
    core.shared.discovery.failed(source, LastError::new(error, core.time));
}

/// Takes the peers a daemon named into the book, at those of their addresses that lead to the same
/// place from here as from the daemon.
fn take_named(core: &mut Core, source: Source, named: Found, seen_at: &Multiaddr) -> Vec<PeerId> {
    core.shared.discovery.dropped(source, "unusable", named.dropped);
    let note = format!("it named {} peers, all known", named.peers.len());
    core.shared.discovery.note(source, note);
    let mut known = Vec::new();
    for peer in named.peers {
        if peer.peer_id == core.shared.peer_id {
            continue;
        }
        let (addresses, dropped) = filter_addresses(peer.addresses, peer.peer_id, Some(seen_at));
        core.count_dropped(source, &dropped);
        core.discovered(source, peer.peer_id, &addresses);
        if peer.cluster_member {
            core.shared.book.is_cluster_peer(&peer.peer_id);
        }
        known.push(peer.peer_id);
    }
    known
}
