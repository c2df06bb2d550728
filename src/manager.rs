//! `PeerManager`: the blocking facade. A few lines for each operation: check the caller, check
//! the parameters, read the book or ask the worker, shape the reply.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;

use crate::book::{Filter, ListQuery, Record, UserChange};
use crate::config::{Config, MAX_TIMEOUT};
use crate::error::{Error, ErrorKind, Result, invalid_argument};
use crate::events::Subscription;
use crate::model::event::{EventBatch, EventKind};
use crate::model::params::*;
use crate::model::reply::*;
use crate::model::{PeerRow, Source};
use crate::process;
use crate::run::Run;
use crate::worker::command::{Command, Reply, Target, Terms, dead};
use crate::{Multiaddr, PeerId, addr, clock};

/// Addresses taken by one `add_peer`.
const MAX_ADDED_ADDRESSES: usize = 16;
/// Protocols in one reply of statistics.
const MAX_PROTOCOLS: usize = 1000;
/// How long past its deadline a call waits for the worker's own word on what happened. It ends
/// calls at their deadlines; only a stalled worker is later than this.
const WORKER_GRACE: Duration = Duration::from_millis(500);

/// This process's peer manager. A cheap handle: clones are the same manager, and dropping one
/// does nothing; only [`stop`](Self::stop) stops.
///
/// Methods that touch the network or the disk take a `timeout`; zero means the configured default
/// (30 s). They block the calling thread for at most about that long. The others answer at once
/// from memory.
#[derive(Clone)]
pub struct PeerManager {
    run: Arc<Run>,
}

impl std::fmt::Debug for PeerManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeerManager")
            .field("peer_id", &self.run.peer_text)
            .field("state", &self.run.state())
            .finish()
    }
}

impl PeerManager {
    /// Starts this process's manager, or gives the one that runs.
    ///
    /// Blocks until it listens. Fails with `config_conflict` where one runs with other values for
    /// keys that `config` names, and with the codes of DESIGN section 3 where it can't start.
    ///
    /// ```
    /// # fn main() -> peerkit::Result<()> {
    /// use std::time::Duration;
    /// use peerkit::{Config, PeerManager, Profile};
    ///
    /// let config = Config::new().profile(Profile::Offline);
    /// let manager = PeerManager::start(&config, Duration::from_secs(10))?;
    /// println!("{} at {:?}", manager.peer_id(), manager.status()?.listen_addrs);
    /// manager.stop(Duration::from_secs(10))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn start(config: &Config, timeout: Duration) -> Result<Self> {
        Self::start_or_join(config, timeout).map(|(manager, _)| manager)
    }

    /// As [`start`](Self::start), telling also whether the manager ran before.
    pub fn start_or_join(config: &Config, timeout: Duration) -> Result<(Self, bool)> {
        let started = process::start(config, deadline(timeout, config.start_timeout())?)?;
        Ok((PeerManager { run: started.run }, started.already_running))
    }

    /// This process's manager; `not_running` where there is none.
    pub fn current() -> Result<Self> {
        Ok(PeerManager {
            run: process::current()?,
        })
    }

    pub(crate) fn of_handle(handle: u64) -> Result<Self> {
        Ok(PeerManager {
            run: process::find(handle)?,
        })
    }

    /// The number by which C knows this run.
    pub fn handle(&self) -> u64 {
        self.run.handle
    }

    /// This node's id.
    pub fn peer_id(&self) -> PeerId {
        self.run.peer_id
    }

    /// Stops the manager: ends calls in flight with `closed`, closes connections, writes what was
    /// observed, gives the data directory back. True in `already_stopped` where it had stopped
    /// before. Past the deadline it fails with `timeout` and goes on stopping.
    pub fn stop(&self, timeout: Duration) -> Result<Stopped> {
        let already_stopped = process::stop(&self.run, self.deadline(timeout)?)?;
        Ok(Stopped {
            state: State::Stopped,
            already_stopped,
        })
    }

    /// The manager's state. Answers at once.
    pub fn status(&self) -> Result<Status> {
        self.live()?;
        Ok(self.run.status())
    }

    /// Peers by status and text, most recently heard of first. Answers at once.
    pub fn get_peers(&self, params: GetPeers) -> Result<Peers> {
        self.live()?;
        let filter = Filter {
            connected: params.status.map(|status| status == PeerStatus::Connected),
            search: params.search,
            ..Filter::default()
        };
        self.select(&filter, params.limit)
    }

    /// Peers that contain a text, most recently heard of first. Answers at once.
    pub fn search_peers(&self, params: SearchPeers) -> Result<SearchResult> {
        self.live()?;
        let query = required(params.query, "query")?;
        let filter = Filter {
            search: Some(query.clone()),
            ..Filter::default()
        };
        Ok(SearchResult {
            found: self.select(&filter, params.limit)?,
            query,
        })
    }

    fn select(&self, filter: &Filter, limit: Option<u32>) -> Result<Peers> {
        let limit = in_range("limit", limit, 1000, 10_000)?;
        let (records, total) = self.run.book.select(filter, limit as usize)?;
        Ok(Peers {
            truncated: total > records.len() as u64,
            total,
            peers: rows(&records),
        })
    }

    /// A page of peers. Answers at once; by `last_seen` with at most `filter_connected`, in the
    /// same time at any offset of a book of any size.
    pub fn list_peers(&self, params: ListPeers) -> Result<PeerPage> {
        self.live()?;
        let limit = in_range("limit", params.limit, 50, 500)?;
        if params.cursor.is_some() && params.offset.is_some() {
            return Err(invalid_argument("`offset` and `cursor` exclude each other"));
        }
        let query = ListQuery {
            filter: Filter {
                connected: params.filter_connected,
                protocol: params.filter_protocol,
                search: params.search,
                tag: params.tag,
                policy: params.policy,
            },
            sort: params.sort.unwrap_or_default(),
            limit: limit as usize,
            offset: params.offset.unwrap_or(0),
            cursor: params.cursor,
        };
        let page = self.run.book.list(&query)?;
        Ok(PeerPage {
            peers: rows(&page.rows),
            pagination: Pagination {
                total: page.total,
                limit,
                offset: page.offset,
                has_more: page.has_more,
                next_cursor: page.next_cursor,
            },
        })
    }

    /// Everything known of a peer. Answers at once.
    pub fn get_peer(&self, params: GetPeer) -> Result<PeerReply> {
        self.live()?;
        let peer = required_peer(params.peer_id)?;
        Ok(PeerReply {
            peer_info: self.known(&peer)?.info(),
        })
    }

    /// Connects to a peer and waits until it has accepted us.
    ///
    /// By id, by address, or both; then the address is tried first and kept when it leads there.
    /// Blocks for at most `timeout`. Fails with `no_addresses`, `self_dial`, `dial_failed`,
    /// `dial_timeout`, `wrong_peer_id`, `blocked` or `limit_reached`; `detail.attempts` tells what
    /// became of each address.
    pub fn connect_peer(&self, params: ConnectPeer, timeout: Duration) -> Result<Connected> {
        let deadline = self.act(timeout)?;
        let target = self.target(params.peer_id, params.multiaddr)?;
        let address = target.address.clone();
        let connected = self.ask(deadline, params.cancel_token, |terms| Command::Connect {
            target,
            terms,
        })?;
        if let Some(address) = address.filter(|_| !connected.already_connected) {
            let peer = addr::parse_peer_id(&connected.peer_id)?;
            self.store_added(peer, vec![address], deadline)?;
        }
        Ok(connected)
    }

    fn target(&self, peer_id: Option<String>, multiaddr: Option<String>) -> Result<Target> {
        let peer = peer_id.as_deref().map(addr::parse_peer_id).transpose()?;
        let address = multiaddr.as_deref().map(addr::parse_address).transpose()?;
        let named = address.as_ref().and_then(|address| address.peer_id);
        if let (Some(peer), Some(named)) = (peer, named)
            && peer != named
        {
            return Err(invalid_argument(format!(
                "the address is of peer {named}, but peer_id is {peer}"
            )));
        }
        let peer = peer.or(named);
        let address = address.map(|address| address.addr);
        if peer.is_none() && address.is_none() {
            return Err(invalid_argument("give `peer_id`, `multiaddr`, or both"));
        }
        let ours = address.as_ref().is_some_and(|address| self.run.listens_on(address));
        if peer == Some(self.run.peer_id) || peer.is_none() && ours {
            return Err(Error::new(ErrorKind::SelfDial, "that is this node itself"));
        }
        Ok(Target { peer, address })
    }

    /// Closes all connections to a peer and waits until they are closed.
    pub fn disconnect_peer(&self, params: DisconnectPeer, timeout: Duration) -> Result<Disconnected> {
        let deadline = self.act(timeout)?;
        let peer = required_peer(params.peer_id)?;
        let peer_id = self.known(&peer)?.id_text.clone();
        let was_connected = self.disconnect(peer, params.cancel_token, deadline)?;
        Ok(Disconnected {
            message: match was_connected {
                true => format!("disconnected from {peer_id}"),
                false => format!("{peer_id} was not connected"),
            },
            peer_id,
            was_connected,
        })
    }

    fn disconnect(&self, peer: PeerId, token: Option<u64>, deadline: Instant) -> Result<bool> {
        self.ask(deadline, token, |terms| Command::Disconnect { peer, terms })
    }

    /// Measures the round trip time to a connected peer; it never dials.
    pub fn ping_peer(&self, params: PingPeer, timeout: Duration) -> Result<Pinged> {
        let deadline = self.act(timeout)?;
        let peer = required_peer(params.peer_id)?;
        let count = in_range("count", params.count, 3, 100)?;
        self.known(&peer)?;
        self.ask(deadline, params.cancel_token, |terms| Command::Ping {
            peer,
            count,
            terms,
        })
    }

    /// Makes a peer known, or adds addresses to one. On disk when this returns.
    pub fn add_peer(&self, params: AddPeer, timeout: Duration) -> Result<PeerReply> {
        let deadline = self.act(timeout)?;
        let (peer, addresses) = self.added(params)?;
        let discovered = self.run.book.get(&peer).is_none();
        let record = self.store_added(peer, addresses, deadline)?;
        let info = record.info();
        if discovered {
            let kind = EventKind::PeerDiscovered {
                source: Source::User,
                multiaddrs: info.row.multiaddrs.clone(),
            };
            self.run.hub.publish(Some(record.id_text.clone()), kind);
        }
        Ok(PeerReply { peer_info: info })
    }

    fn added(&self, params: AddPeer) -> Result<(PeerId, Vec<Multiaddr>)> {
        let mut peer = params.peer_id.as_deref().map(addr::parse_peer_id).transpose()?;
        let texts = params.multiaddrs.unwrap_or_default();
        if texts.len() > MAX_ADDED_ADDRESSES {
            return Err(invalid_argument(format!(
                "`multiaddrs` holds {} addresses; at most {MAX_ADDED_ADDRESSES} are taken",
                texts.len()
            )));
        }
        let mut addresses = Vec::with_capacity(texts.len());
        for text in &texts {
            let address = addr::parse_address(text)?;
            match (peer, address.peer_id) {
                (Some(peer), Some(named)) if peer != named => {
                    return Err(invalid_argument(format!("{text} is of another peer than {peer}")));
                }
                (None, named) => peer = named,
                _ => {}
            }
            addresses.push(address.addr);
        }
        let peer = peer.ok_or_else(|| {
            invalid_argument("give `peer_id`, or an address that ends in /p2p/ and an id")
        })?;
        if peer == self.run.peer_id {
            return Err(Error::new(ErrorKind::SelfDial, "that is this node itself"));
        }
        Ok((peer, addresses))
    }

    /// Takes what the user told of a peer; on disk when this returns.
    fn store_added(&self, id: PeerId, addrs: Vec<Multiaddr>, deadline: Instant) -> Result<Arc<Record>> {
        let now = clock::now();
        let added = self.run.store.commit(UserChange::Add { id, addrs, now }, deadline)?;
        added.ok_or_else(|| not_in_book(&id))
    }

    /// Disconnects a peer and forgets everything about it. On disk when this returns.
    pub fn remove_peer(&self, params: RemovePeer, timeout: Duration) -> Result<Removed> {
        let deadline = self.act(timeout)?;
        let peer = required_peer(params.peer_id)?;
        let peer_id = self.known(&peer)?.id_text.clone();
        self.disconnect(peer, params.cancel_token, deadline)?;
        self.run.store.commit(UserChange::Remove { id: peer }, deadline)?;
        Ok(Removed {
            peer_id,
            removed: true,
        })
    }

    /// The statistics of this node. Answers at once.
    pub fn get_peer_stats(&self) -> Result<StatsReply> {
        self.live()?;
        let stats = self.stats();
        Ok(StatsReply {
            total_peers: stats.total_peers,
            connected_peers: stats.connected_peers,
            discovery_active: stats.discovery_active,
            protocols_supported: stats.protocols_supported.clone(),
            stats,
        })
    }

    fn stats(&self) -> Stats {
        let counts = self.run.book.counts();
        let protocols = self.run.book.protocols(MAX_PROTOCOLS);
        Stats {
            total_peers: counts.total,
            connected_peers: counts.connected,
            bootstrap_peers: 0,
            discovery_active: false,
            protocols_supported: protocols.into_iter().map(|(name, _)| name).collect(),
            total_files: 0,
            total_pins: 0,
            last_discovery: counts.last_discovery,
            host_id: self.run.peer_text.clone(),
            uptime_seconds: self.run.uptime().as_secs_f64(),
            peer_breakdown: PeerBreakdown {
                cluster_peers: counts.cluster,
                dht_peers: counts.dht,
                gossipsub_peers: counts.gossipsub,
            },
            traffic: self.run.traffic.snapshot(),
            limits: self.run.settings.limits.clone(),
        }
    }

    /// Totals, protocols, the last events and the statistics. Answers at once.
    pub fn get_peers_summary(&self) -> Result<Summary> {
        self.live()?;
        let stats = self.stats();
        Ok(Summary {
            total_peers: stats.total_peers,
            connected_peers: stats.connected_peers,
            bootstrap_peers: stats.bootstrap_peers,
            discovery_active: stats.discovery_active,
            protocols: self.run.book.protocols(MAX_PROTOCOLS).into_iter().collect(),
            recent_events: self.run.hub.recent(),
            stats,
        })
    }

    /// Ends, with `cancelled`, all waiting calls that carry `token`.
    pub fn cancel(&self, token: u64) -> Result<Cancelled> {
        let deadline = self.act(Duration::ZERO)?;
        let (reply, answer) = Reply::channel();
        self.run.commands.send(Command::Cancel { token, reply })?;
        let cancelled = answer.recv_deadline(deadline).map_err(|_| no_word())??;
        Ok(Cancelled { cancelled })
    }

    /// Subscribes to everything that happens from now on.
    pub fn events(&self) -> Result<Events> {
        self.live()?;
        Ok(Events(self.run.hub.subscribe()?))
    }

    /// Makes the worker panic, for the tests of what happens then.
    #[cfg(feature = "fault-injection")]
    #[doc(hidden)]
    pub fn inject_worker_panic(&self) -> Result<()> {
        self.run.commands.send(Command::Panic)
    }

    /// Marks the run as having a bug, after a panic in a call.
    pub(crate) fn condemn(&self) {
        self.run.condemn();
    }

    /// Refuses a call that can't be served.
    fn live(&self) -> Result<()> {
        process::check_caller()?;
        match self.run.state() {
            State::Running | State::Stopping => Ok(()),
            State::Dead => Err(dead()),
            State::Stopped => Err(Error::new(ErrorKind::InvalidHandle, "the manager was stopped")),
        }
    }

    /// As [`live`](Self::live), for a call that waits; gives its deadline.
    fn act(&self, timeout: Duration) -> Result<Instant> {
        self.live()?;
        self.deadline(timeout)
    }

    fn deadline(&self, timeout: Duration) -> Result<Instant> {
        deadline(timeout, self.run.settings.default_timeout)
    }

    fn known(&self, peer: &PeerId) -> Result<Arc<Record>> {
        self.run.book.get(peer).ok_or_else(|| not_in_book(peer))
    }

    /// Hands the worker a command and waits for its answer.
    fn ask<T>(
        &self,
        deadline: Instant,
        cancel_token: Option<u64>,
        command: impl FnOnce(Terms<T>) -> Command,
    ) -> Result<T> {
        let (reply, answer) = Reply::channel();
        let terms = Terms {
            deadline,
            cancel_token,
            reply,
        };
        self.run.commands.send(command(terms)).map_err(|error| self.why_gone(error))?;
        match answer.recv_deadline(deadline + WORKER_GRACE) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => Err(no_word()),
            Err(RecvTimeoutError::Disconnected) => Err(dead()),
        }
    }

    /// A worker that takes no commands has stopped, or died a moment ago.
    fn why_gone(&self, error: Error) -> Error {
        match self.run.state() {
            State::Dead if error.kind() == ErrorKind::Closed => dead(),
            _ => error,
        }
    }
}

/// A subscription to what happens. Dropping it ends it.
pub struct Events(Arc<Subscription>);

impl Events {
    /// Takes up to 64 events, oldest first, waiting up to `timeout` for the first (zero: not at
    /// all). Nothing in time is an empty batch; when the run has ended and everything was taken,
    /// the error is `closed`.
    pub fn next(&self, timeout: Duration) -> Result<EventBatch> {
        process::check_caller()?;
        self.0.next(Instant::now() + check_timeout(timeout)?)
    }

    /// A descriptor that is readable while something is queued or the run has ended. Poll it,
    /// never read or close it. -1 where the system has none.
    pub fn fd(&self) -> i32 {
        self.0.fd()
    }

    pub(crate) fn close(&self) {
        self.0.close();
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

fn deadline(timeout: Duration, default: Duration) -> Result<Instant> {
    let timeout = check_timeout(timeout)?;
    Ok(Instant::now() + if timeout.is_zero() { default } else { timeout })
}

/// Refuses a timeout that is too long.
pub(crate) fn check_timeout(timeout: Duration) -> Result<Duration> {
    if timeout > MAX_TIMEOUT {
        return Err(invalid_argument(format!(
            "the timeout is at most {} ms",
            MAX_TIMEOUT.as_millis()
        )));
    }
    Ok(timeout)
}

fn rows(records: &[Arc<Record>]) -> Vec<PeerRow> {
    records.iter().map(|record| record.row()).collect()
}

fn required<T>(value: Option<T>, name: &str) -> Result<T> {
    value.ok_or_else(|| invalid_argument(format!("`{name}` is missing")))
}

fn required_peer(peer_id: Option<String>) -> Result<PeerId> {
    addr::parse_peer_id(&required(peer_id, "peer_id")?)
}

fn in_range(name: &str, value: Option<u32>, default: u32, most: u32) -> Result<u32> {
    match value.unwrap_or(default) {
        value if (1..=most).contains(&value) => Ok(value),
        value => Err(invalid_argument(format!("`{name}` is {value}; it must be 1 to {most}"))),
    }
}

fn not_in_book(peer: &PeerId) -> Error {
    Error::new(ErrorKind::PeerNotFound, format!("the book has no peer {peer}"))
}

fn no_word() -> Error {
    Error::new(ErrorKind::Timeout, "the worker did not answer in time")
}
