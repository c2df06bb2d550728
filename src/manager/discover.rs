//! The operations that find peers: discovery, the bootstrap list, the daemons beside this node.

use std::time::{Duration, Instant};

use super::PeerManager;
use super::check::{in_range, required};
use crate::PeerId;
use crate::book::{Intent, Origin};
use crate::bootstrap::Entry;
use crate::daemon::Api;
use crate::discovery_log::Snapshot;
use crate::error::{Error, ErrorKind, Result, invalid_argument};
use crate::model::Source;
use crate::model::params::*;
use crate::model::reply::*;
use crate::worker::{DialingCommand, DiscoveryCommand, Reply, Target, Terms};

/// Peers dialled by one `bootstrap_from_*`.
const MAX_DIALLED: usize = 64;

impl PeerManager {
    /// One pass of discovery now, by every source that is on, or the one under way. Blocks until it is
    /// over, has found `limit` new peers, or `timeout` has passed; what was found by then is the answer.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use peerkit::params::DiscoverPeers;
    /// # let manager = peerkit::PeerManager::current()?;
    ///
    /// let found = manager.discover_peers(DiscoverPeers::new().limit(10), Duration::from_secs(5))?;
    /// for (source, report) in found.sources.iter().filter(|(_, report)| report.enabled) {
    ///     println!("{source:?}: {} new, {:?}", report.found, report.note);
    /// }
    /// # Ok::<(), peerkit::Error>(())
    /// ```
    pub fn discover_peers(
        &self,
        params: DiscoverPeers,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Discovery> {
        let mut deadline = self.act(timeout)?;
        let limit = in_range("limit", params.limit, 100, 1000)?;
        if let Some(seconds) = params.timeout {
            let given = Duration::try_from_secs_f64(seconds).map_err(|_| {
                invalid_argument(format!("`timeout` is {seconds}; it must be a number of seconds"))
            })?;
            let until = Instant::now().checked_add(given);
            deadline = until.map_or(deadline, |until| until.min(deadline));
        }
        let then = self.ask(deadline, params.cancel_token, |terms| DiscoveryCommand::Discover {
            limit: limit.into(),
            terms,
        })?;
        let mut reply = self.discovery(then);
        reply.discovered_peers.truncate(limit as usize);
        Ok(reply)
    }

    /// Lets passes run by themselves, the first at once.
    ///
    /// ```
    /// # use peerkit::{Config, PeerManager, Profile};
    /// # let manager = PeerManager::start(&Config::new().profile(Profile::Offline), None)?;
    /// assert!(!manager.stop_discovery(None)?.discovery_active);
    /// assert!(manager.start_discovery(None)?.discovery_active);
    /// println!("a pass every {} s", manager.get_discovery()?.interval_s);
    /// # manager.stop(None)?;
    /// # Ok::<(), peerkit::Error>(())
    /// ```
    pub fn start_discovery(&self, timeout: impl Into<Option<Duration>>) -> Result<Discovery> {
        self.set_discovery(true, timeout)
    }

    /// Ends what [`start_discovery`](Self::start_discovery) begins, as a start of the manager does: nothing is
    /// asked, announced or dialled by itself any more. A pass under way ends.
    pub fn stop_discovery(&self, timeout: impl Into<Option<Duration>>) -> Result<Discovery> {
        self.set_discovery(false, timeout)
    }

    fn set_discovery(
        &self,
        active: bool,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Discovery> {
        let deadline = self.act(timeout)?;
        let then =
            self.ask(deadline, None, |terms| DiscoveryCommand::SetActive { active, terms })?;
        Ok(self.discovery(then))
    }

    /// Tells the node that this machine is on another network, for a host that knows sooner than the
    /// interfaces show (a phone, a program that wakes up): waits after failed dials are forgotten, the
    /// local network is asked anew, and a pass of discovery begins. Blocks until that pass is over, or
    /// `timeout` has passed.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use peerkit::{PeerManager, params::NetworkChange};
    ///
    /// let node = PeerManager::current()?;
    /// let changed = node.network_changed(NetworkChange::new(), Duration::from_secs(5))?;
    /// println!("{} peers are dialled again", changed.waits_forgotten);
    /// # Ok::<(), peerkit::Error>(())
    /// ```
    pub fn network_changed(
        &self,
        params: NetworkChange,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<NetworkChanged> {
        let deadline = self.act(timeout)?;
        let waits_forgotten = self.run.shared.book.forget_waits();
        self.ask(deadline, params.cancel_token, |terms| DiscoveryCommand::NetworkChanged {
            terms,
        })?;
        Ok(NetworkChanged {
            waits_forgotten,
            listen_addrs: self.run.status().listen_addrs,
            connected_peers: self.run.shared.book.counts().connected,
        })
    }

    /// What discovery has found, by source. Answers at once. [`start_discovery`](Self::start_discovery) has an
    /// example.
    pub fn get_discovery(&self) -> Result<Discovery> {
        self.live()?;
        Ok(self.discovery(self.run.shared.discovery.snapshot()))
    }

    fn discovery(&self, then: Snapshot) -> Discovery {
        let run = &self.run;
        let found = then.found.iter().filter_map(|peer| run.shared.book.get(peer));
        Discovery {
            discovered_peers: found.map(|record| record.row()).collect(),
            total_discovered: then.total,
            total_peers: run.shared.book.counts().total,
            discovery_active: run.shared.discovery.active(),
            interval_s: run.shared.settings.discovery.interval.as_secs(),
            last_pass: then.last_pass,
            complete: !then.passing,
            sources: then.sources,
            recent_events: run.shared.hub.recent(),
            bootstrap_peers: self.bootstrap_texts(),
        }
    }

    fn bootstrap_texts(&self) -> Vec<String> {
        self.run.shared.bootstrap.entries().iter().map(Entry::to_string).collect()
    }

    /// The bootstrap list. Answers at once. [`add_bootstrap_peer`](Self::add_bootstrap_peer) has an example.
    pub fn list_bootstrap_peers(&self) -> Result<BootstrapPeers> {
        self.live()?;
        Ok(BootstrapPeers { bootstrap_peers: self.bootstrap_texts(), changed: false })
    }

    /// Adds an address to the bootstrap list. On disk when this returns; the peer is then dialled
    /// whenever few peers are connected.
    ///
    /// ```
    /// use peerkit::params::BootstrapPeer;
    /// # use peerkit::{Config, PeerManager, Profile};
    /// # let manager = PeerManager::start(&Config::new().profile(Profile::Offline), None)?;
    ///
    /// let at = "/dnsaddr/bootstrap.libp2p.io";
    /// assert!(manager.add_bootstrap_peer(BootstrapPeer::new(at), None)?.changed);
    /// assert_eq!(manager.list_bootstrap_peers()?.bootstrap_peers, [at]);
    /// assert!(manager.remove_bootstrap_peer(BootstrapPeer::new(at), None)?.changed);
    /// # manager.stop(None)?;
    /// # Ok::<(), peerkit::Error>(())
    /// ```
    pub fn add_bootstrap_peer(
        &self,
        params: BootstrapPeer,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<BootstrapPeers> {
        let deadline = self.act(timeout)?;
        let entry = entry(params)?;
        if entry.peer_id == Some(self.run.shared.peer_id) {
            return Err(Error::new(ErrorKind::SelfDial, "that is this node itself"));
        }
        let changed = self.run.shared.bootstrap.add(entry)?;
        self.bootstrap_changed(changed, deadline)
    }

    /// Takes an address off the bootstrap list. On disk when this returns; connections stay.
    /// [`add_bootstrap_peer`](Self::add_bootstrap_peer) has an example.
    pub fn remove_bootstrap_peer(
        &self,
        params: BootstrapPeer,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<BootstrapPeers> {
        let deadline = self.act(timeout)?;
        let changed = self.run.shared.bootstrap.remove(&entry(params)?)?;
        self.bootstrap_changed(changed, deadline)
    }

    fn bootstrap_changed(&self, changed: bool, deadline: Instant) -> Result<BootstrapPeers> {
        if changed {
            let told =
                self.ask(deadline, None, |terms| DiscoveryCommand::BootstrapChanged { terms });
            // The change is on disk; a worker too busy to hear of it sees it in its next pass.
            let told = told.or_else(|error| match error.kind() {
                ErrorKind::Busy | ErrorKind::Timeout => Ok(()),
                _ => Err(error),
            });
            told?;
        }
        Ok(BootstrapPeers { bootstrap_peers: self.bootstrap_texts(), changed })
    }

    /// Takes over the peers of a Kubo daemon, itself included, and connects to them. A peer the user
    /// disconnected is taken over, not connected.
    ///
    /// # Errors
    /// `dial_failed`, `timeout`, `protocol` or `limit_reached` where its API can't be used. Peers that
    /// can't be connected are in the reply.
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

    /// Connects to peers at once; gives those that failed.
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

    /// A connect is cancelled by the caller's token, or by a disconnect or a removal of the peer.
    fn still_wanted(&self, peer: &PeerId) -> bool {
        let record = self.run.shared.book.get(peer);
        record.is_some_and(|record| Intent::in_the_end(&record).admits(Origin::Auto))
    }
}

fn entry(params: BootstrapPeer) -> Result<Entry> {
    Entry::parse(&required(params.multiaddr, "multiaddr")?)
}
