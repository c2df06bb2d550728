//! The operations that find peers: discovery and the bootstrap list.

use std::time::{Duration, Instant};

use super::PeerManager;
use super::check::{in_range, required};
use crate::bootstrap::Entry;
use crate::discovery_log::Snapshot;
use crate::error::{Error, ErrorKind, Result, invalid_argument};
use crate::model::params::*;
use crate::model::reply::*;
use crate::worker::DiscoveryCommand;

impl PeerManager {
    /// Runs one pass of discovery now, by every source that is on, or joins the one under way. Blocks
    /// until it is over, has discovered `limit` new peers, or `timeout` has passed; the peers
    /// discovered by then are the answer.
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
                let message =
                    format!("`timeout` must be a number of seconds, 0 or more, not {seconds}");
                invalid_argument(message)
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

    /// Lets passes run automatically, the first at once. Returns before that pass is over.
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

    /// Ends what [`start_discovery`](Self::start_discovery), or the start of the manager, has begun:
    /// nothing is asked, published or dialled automatically any more. A pass under way ends.
    /// [`start_discovery`](Self::start_discovery) has an example.
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

    /// Returns what discovery has found, by source. Answers at once.
    /// [`start_discovery`](Self::start_discovery) has an example.
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

    /// Returns the bootstrap list. Answers at once. [`add_bootstrap_peer`](Self::add_bootstrap_peer)
    /// has an example.
    pub fn list_bootstrap_peers(&self) -> Result<BootstrapPeers> {
        self.live()?;
        Ok(BootstrapPeers { bootstrap_peers: self.bootstrap_texts(), changed: false })
    }

    /// Adds an address to the bootstrap list. On disk when this returns. A pass begins at once, unless discovery was
    /// stopped; the peer is dialled while few peers are connected.
    ///
    /// # Errors
    /// `invalid_argument`: it doesn't say whose address it is. `unsupported`: this build can't dial it. `self_dial`: it
    /// is this node's. `limit_reached`: the list has 1000 entries.
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
    ///
    /// # Errors
    /// `invalid_argument`: the address stands in the configuration.
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
            // The change is on disk; a worker too busy to take the command sees it in its next pass.
            let told = told.or_else(|error| match error.kind() {
                ErrorKind::Busy | ErrorKind::Timeout => Ok(()),
                _ => Err(error),
            });
            told?;
        }
        Ok(BootstrapPeers { bootstrap_peers: self.bootstrap_texts(), changed })
    }
}

fn entry(params: BootstrapPeer) -> Result<Entry> {
    Entry::parse(&required(params.multiaddr, "multiaddr")?)
}
