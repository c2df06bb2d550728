//! The daemons beside this node: their APIs are asked on threads of their own, since HTTP blocks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::daemon::{self, Api, Found};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Source;
use crate::worker::Worker;
use crate::worker::calls::Kind;
use crate::worker::command::Terms;
use crate::worker::util::addresses::useful;
use crate::{Multiaddr, PeerId};

/// Questions to daemons under way at once.
const AT_ONCE: usize = 8;
/// How long a pass waits for a daemon.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a call waits for one at most: a question can't be taken back, and few may be under way.
const LONGEST: Duration = Duration::from_secs(60);

/// The questions under way.
pub(crate) struct Daemons {
    open: usize,
    sender: mpsc::Sender<Answered>,
    answers: mpsc::Receiver<Answered>,
}

/// Who asked, by number.
#[derive(Clone, Copy)]
enum Asker {
    Call(u64),
    Pass(u64),
}

/// A daemon has answered.
pub(crate) struct Answered {
    source: Source,
    asker: Asker,
    /// What it told, and where it was asked.
    outcome: Result<(Found, Multiaddr)>,
}

impl Daemons {
    pub(crate) fn new() -> Self {
        let (sender, answers) = mpsc::channel(AT_ONCE);
        Daemons { open: 0, sender, answers }
    }

    pub(crate) async fn next(&mut self) -> Answered {
        match self.answers.recv().await {
            Some(answered) => answered,
            // We hold a sender ourselves.
            None => std::future::pending().await,
        }
    }

    fn ask(&mut self, source: Source, api: Api, deadline: Instant, asker: Asker) -> Result<()> {
        if self.open >= AT_ONCE {
            let message = format!("{AT_ONCE} questions to daemons are under way already");
            return Err(Error::new(ErrorKind::Busy, message));
        }
        self.open += 1;
        let sender = self.sender.clone();
        tokio::task::spawn_blocking(move || {
            let ask = || match source {
                Source::Cluster => daemon::cluster_peers(&api, deadline),
                _ => daemon::kubo_peers(&api, deadline),
            };
            // An answer must come, or the question would count as open for ever.
            let outcome = catch_unwind(AssertUnwindSafe(ask)).unwrap_or_else(|_| {
                Err(Error::new(ErrorKind::Panic, "peerkit panicked while it asked a daemon"))
            });
            let outcome = outcome.map(|found| (found, api.seen_at()));
            // There is room for as many as are under way; a worker that is gone wants none.
            let _ = sender.try_send(Answered { source, asker, outcome });
        });
        Ok(())
    }
}

impl Worker {
    /// `bootstrap_from_ipfs`, `bootstrap_from_cluster`: answers who is known by it now.
    pub(crate) fn ask_daemon(&mut self, source: Source, api: Api, terms: Terms<Vec<PeerId>>) {
        let deadline = terms.deadline.min(Instant::now() + LONGEST);
        let Some(call) = self.wait(terms, Kind::Daemon) else { return };
        if let Err(error) = self.daemons.ask(source, api, deadline, Asker::Call(call)) {
            self.fail_call(call, error);
        }
    }

    /// Asks the configured daemon, for the pass of this number. False where there is none.
    pub(crate) fn ask_configured_daemon(&mut self, source: Source, pass: u64) -> bool {
        let settings = &self.run.settings.discovery;
        let api = if source == Source::Cluster { &settings.cluster } else { &settings.ipfs };
        let Some(api) = api.clone() else { return false };
        let asked = self.daemons.ask(source, api, Instant::now() + PATIENCE, Asker::Pass(pass));
        asked.map_err(|error| self.source_failed(source, &error)).is_ok()
    }

    pub(crate) fn on_daemon(&mut self, answered: Answered) {
        self.daemons.open -= 1;
        let Answered { source, asker, outcome } = answered;
        let outcome = outcome.map(|(found, seen_at)| self.take_named(source, found, &seen_at));
        if let Err(error) = &outcome {
            self.source_failed(source, error);
        }
        match asker {
            Asker::Pass(pass) => self.pass_daemon_over(source, pass),
            Asker::Call(call) => {
                if let Some(Kind::Daemon(reply)) = self.take_call(call).map(|call| call.kind) {
                    reply.send(outcome);
                }
            }
        }
    }

    /// Takes the peers a daemon named into the book, at those of their addresses that mean here what
    /// they mean to the daemon.
    fn take_named(&mut self, source: Source, named: Found, seen_at: &Multiaddr) -> Vec<PeerId> {
        self.run.discovery.dropped(source, "unusable", named.dropped);
        let note = format!("it named {} peers, all known", named.peers.len());
        self.run.discovery.note(source, note);
        let mut known = Vec::new();
        for peer in named.peers {
            if peer.peer_id == self.run.peer_id {
                continue;
            }
            let (addresses, dropped) = useful(peer.addresses, peer.peer_id, Some(seen_at));
            self.drop_learnt(source, &dropped);
            self.found(source, peer.peer_id, addresses);
            if peer.cluster_member {
                self.run.book.is_cluster_peer(&peer.peer_id);
            }
            known.push(peer.peer_id);
        }
        known
    }
}
