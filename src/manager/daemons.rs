//! The operations that take over the peers of a daemon beside this node.

use std::time::{Duration, Instant};

use super::PeerManager;
use crate::PeerId;
use crate::book::{Intent, Origin};
use crate::daemon::Api;
use crate::error::{ErrorKind, Result};
use crate::model::Source;
use crate::model::params::BootstrapFrom;
use crate::model::reply::{FailedPeer, FromDaemon};
use crate::worker::{DialingCommand, DiscoveryCommand, Reply, Target, Terms};

/// Peers dialled by one `bootstrap_from_*`.
const MAX_DIALLED: usize = 64;

impl PeerManager {
    /// Takes over the peers of a Kubo daemon, itself included, into the book, and connects to at most 64 of them. A
    /// peer the user disconnected is taken over, not connected.
    ///
    /// # Errors
    /// `dial_failed`, `timeout`, `protocol` or `limit_reached` where its API can't be used; `invalid_argument` for an
    /// `api` that is no address of one. Peers that can't be connected are in the reply.
    ///
    /// ```no_run
    /// use peerkit::params::BootstrapFrom;
    /// # let manager = peerkit::PeerManager::current()?;
    ///
    /// let from = manager.bootstrap_from_ipfs(BootstrapFrom::new().api("/ip4/127.0.0.1/tcp/5001"), None)?;
    /// println!("{} peers, {} of them connected", from.peers.len(), from.connected.len());
    /// for failed in from.failed {
    ///     println!("{}: {}", failed.peer_id, failed.error);
    /// }
    /// # Ok::<(), peerkit::Error>(())
    /// ```
    pub fn bootstrap_from_ipfs(
        &self,
        params: BootstrapFrom,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<FromDaemon> {
        let configured = self.run.shared.settings.discovery.ipfs.clone();
        self.bootstrap_from(Source::Ipfs, configured, Api::kubo_default, params, timeout)
    }

    /// Takes over the members of an ipfs-cluster and their daemons, and connects to them. All else is as with
    /// [`bootstrap_from_ipfs`](Self::bootstrap_from_ipfs).
    pub fn bootstrap_from_cluster(
        &self,
        params: BootstrapFrom,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<FromDaemon> {
        let configured = self.run.shared.settings.discovery.cluster.clone();
        self.bootstrap_from(Source::Cluster, configured, Api::cluster_default, params, timeout)
    }

    fn bootstrap_from(
        &self,
        source: Source,
        configured: Option<Api>,
        default: fn() -> Api,
        params: BootstrapFrom,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<FromDaemon> {
        let deadline = self.act(timeout)?;
        let api = match params.api {
            Some(text) => Api::parse(&text)?,
            None => configured.unwrap_or_else(default),
        };
        let token = params.cancel_token;
        let named =
            self.ask(deadline, token, |terms| DiscoveryCommand::AskDaemon { source, api, terms })?;
        let failed = match params.connect.unwrap_or(true) {
            true => self.connect_all(&named, token, deadline)?,
            false => Vec::new(),
        };
        let records = named.iter().filter_map(|peer| self.run.shared.book.get(peer));
        let peers: Vec<_> = records.map(|record| record.row()).collect();
        let connected = peers.iter().filter(|row| row.connected);
        Ok(FromDaemon {
            connected: connected.map(|row| row.peer_id.clone()).collect(),
            failed,
            peers,
        })
    }

    /// Connects to peers at once; returns those that failed.
    fn connect_all(
        &self,
        peers: &[PeerId],
        cancel_token: Option<u64>,
        deadline: Instant,
    ) -> Result<Vec<FailedPeer>> {
        let records = peers.iter().filter_map(|peer| self.run.shared.book.get(peer));
        let dialled = records.filter(|record| self.still_wanted(&record.id)).take(MAX_DIALLED);
        let mut pending = Vec::new();
        for record in dialled {
            let (reply, answer) = Reply::channel();
            let terms = Terms { deadline, cancel_token, reply };
            let target = Target { peer: Some(record.id), address: None };
            let sent = self.run.commands.send(DialingCommand::Connect { target, terms }.into());
            sent.map_err(|error| self.why_gone(error))?;
            pending.push((record, answer));
        }
        let mut failed = Vec::new();
        for (record, answer) in pending {
            if let Err(error) = self.answered(&answer, deadline) {
                if error.kind() == ErrorKind::Cancelled && self.still_wanted(&record.id) {
                    return Err(error);
                }
                failed.push(FailedPeer {
                    peer_id: record.id_text.clone(),
                    address: record.addrs.first().map(|entry| entry.text.clone()),
                    code: error.kind(),
                    error: error.message().to_owned(),
                });
            }
        }
        Ok(failed)
    }

    /// Tells whether a peer is still wanted: a disconnect or a removal of it cancels a connect too, not
    /// only the caller's token.
    fn still_wanted(&self, peer: &PeerId) -> bool {
        let record = self.run.shared.book.get(peer);
        record.is_some_and(|record| Intent::in_the_end(&record).admits(Origin::Auto))
    }
}
