//! The operations that answer at once from memory.

use std::sync::Arc;

use super::PeerManager;
use super::check::{in_range, required};
use crate::addr;
use crate::book::{Filter, ListQuery, Record};
use crate::error::{Error, ErrorKind, Result, invalid_argument};
use crate::model::params::*;
use crate::model::reply::*;
use crate::model::{PeerRow, Policy};

/// The rows of a reply.
pub(crate) struct Rows {
    /// Where the caller doesn't say.
    pub usual: u32,
    pub most: u32,
}

/// The rows of a page.
pub(crate) const PAGE: Rows = Rows { usual: 50, most: 500 };
/// The rows of what is found by status or text.
pub(crate) const SELECTION: Rows = Rows { usual: 1000, most: 10_000 };
/// Protocols in one reply of statistics.
const MAX_PROTOCOLS: usize = 1000;

impl PeerManager {
    /// Finds peers by status and text, most recently heard of first. Answers at once.
    ///
    /// ```
    /// use peerkit::params::{GetPeers, PeerStatus};
    /// # use peerkit::{Config, PeerManager, Profile};
    /// # let manager = PeerManager::start(&Config::new().profile(Profile::Offline), None)?;
    ///
    /// let found = manager.get_peers(GetPeers::new().status(PeerStatus::Connected).search("kubo"))?;
    /// println!("{} of {}", found.peers.len(), found.total);
    /// # manager.stop(None)?;
    /// # Ok::<(), peerkit::Error>(())
    /// ```
    pub fn get_peers(&self, params: GetPeers) -> Result<Peers> {
        self.live()?;
        let filter = Filter {
            connected: params.status.map(|status| status == PeerStatus::Connected),
            search: params.search,
            ..Filter::default()
        };
        self.select(&filter, params.limit)
    }

    /// Finds peers that contain a text, most recently heard of first. Answers at once.
    ///
    /// ```
    /// use peerkit::params::{AddPeer, SearchPeers};
    /// # use peerkit::{Config, PeerManager, Profile};
    /// # let manager = PeerManager::start(&Config::new().profile(Profile::Offline), None)?;
    ///
    /// let id = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";
    /// manager.add_peer(AddPeer::new(id).multiaddrs(["/ip4/192.0.2.1/tcp/4001"]), None)?;
    /// let found = manager.search_peers(SearchPeers::new("192.0.2."))?.found;
    /// assert_eq!(*found.peers[0].peer_id, *id);
    /// # manager.stop(None)?;
    /// # Ok::<(), peerkit::Error>(())
    /// ```
    pub fn search_peers(&self, params: SearchPeers) -> Result<SearchResult> {
        self.live()?;
        let query = required(params.query, "query")?;
        let filter = Filter { search: Some(query.clone()), ..Filter::default() };
        Ok(SearchResult { found: self.select(&filter, params.limit)?, query })
    }

    fn select(&self, filter: &Filter, limit: Option<u32>) -> Result<Peers> {
        let limit = in_range("limit", limit, SELECTION.usual, SELECTION.most)?;
        let (records, total) = self.run.shared.book.select(filter, limit as usize)?;
        Ok(Peers { truncated: total > records.len() as u64, total, peers: rows(&records) })
    }

    /// Returns a page of peers. Answers at once; by `last_seen` with at most `filter_connected`, in the
    /// same time at any offset of a book of any size. Other orders and filters look at every record.
    ///
    /// # Errors
    /// `invalid_argument`: a limit out of its range, a cursor that is none or together with an offset. `unsupported`: a
    /// `tag`, or a `policy` other than `normal`.
    ///
    /// ```
    /// use peerkit::params::{ListPeers, SortBy};
    /// # use peerkit::{Config, PeerManager, Profile};
    /// # let manager = PeerManager::start(&Config::new().profile(Profile::Offline), None)?;
    ///
    /// let mut page = manager.list_peers(ListPeers::new().limit(100).sort(SortBy::Latency))?;
    /// loop {
    ///     for row in &page.peers {
    ///         println!("{} {:?}", row.peer_id, row.latency_ms);
    ///     }
    ///     let Some(cursor) = page.pagination.next_cursor else { break };
    ///     page = manager.list_peers(ListPeers::new().limit(100).sort(SortBy::Latency).cursor(cursor))?;
    /// }
    /// # manager.stop(None)?;
    /// # Ok::<(), peerkit::Error>(())
    /// ```
    pub fn list_peers(&self, params: ListPeers) -> Result<PeerPage> {
        self.live()?;
        let limit = in_range("limit", params.limit, PAGE.usual, PAGE.most)?;
        if params.cursor.is_some() && params.offset.is_some() {
            return Err(invalid_argument("`offset` and `cursor` exclude each other"));
        }
        refuse_unbuilt_filters(&params)?;
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
        let page = self.run.shared.book.list(&query)?;
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

    /// Returns everything known of a peer. Answers at once.
    ///
    /// # Errors
    /// `peer_not_found` where the book doesn't know it.
    ///
    /// ```no_run
    /// use peerkit::params::GetPeer;
    /// # let manager = peerkit::PeerManager::current()?;
    ///
    /// let known = manager.get_peer(GetPeer::new("12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"))?.peer_info;
    /// for connection in known.connections {
    ///     println!("{:?} {} since {:?}", connection.direction, connection.address, connection.opened_at);
    /// }
    /// if let Some(failed) = known.last_error {
    ///     println!("{}: {}", failed.code, failed.message);
    /// }
    /// # Ok::<(), peerkit::Error>(())
    /// ```
    pub fn get_peer(&self, params: GetPeer) -> Result<PeerReply> {
        self.live()?;
        let text = required(params.peer_id, "peer_id")?;
        // The ids in the book were checked on the way in.
        let known =
            addr::peer_id_to_look_up(&text).and_then(|peer| self.run.shared.book.get(&peer));
        let record = match known {
            Some(record) => record,
            None => self.known(&addr::parse_peer_id(&text)?)?,
        };
        Ok(PeerReply { peer_info: record.info() })
    }

    /// Returns the statistics of this node. Answers at once.
    ///
    /// ```
    /// # use peerkit::{Config, PeerManager, Profile};
    /// # let manager = PeerManager::start(&Config::new().profile(Profile::Offline), None)?;
    /// let stats = manager.get_peer_stats()?.stats;
    /// println!("{} of {} peers are connected", stats.connected_peers, stats.total_peers);
    /// println!("{} bytes in, {} out", stats.traffic.bytes_in, stats.traffic.bytes_out);
    /// println!("{} take part in a DHT", stats.peer_breakdown.dht_peers);
    /// # manager.stop(None)?;
    /// # Ok::<(), peerkit::Error>(())
    /// ```
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
        let counts = self.run.shared.book.counts();
        let protocols = self.run.shared.book.protocols(MAX_PROTOCOLS);
        Stats {
            total_peers: counts.total,
            connected_peers: counts.connected,
            bootstrap_peers: self.run.shared.bootstrap.len() as u64,
            discovery_active: self.run.shared.discovery.active(),
            total_discovered: self.run.shared.discovery.total(),
            protocols_supported: protocols.into_iter().map(|(name, _)| name).collect(),
            total_files: 0,
            total_pins: 0,
            last_discovery: counts.last_discovery,
            host_id: self.run.shared.peer_text.clone(),
            uptime_seconds: self.run.uptime().as_secs_f64(),
            peer_breakdown: PeerBreakdown {
                cluster_peers: counts.cluster,
                dht_peers: counts.dht,
                gossipsub_peers: counts.gossipsub,
            },
            dropped: self.run.shared.discovery.all_dropped(),
            traffic: self.run.shared.traffic.snapshot(),
            limits: self.run.shared.settings.limits.clone(),
        }
    }

    /// Returns totals, protocols, the last events and the statistics. Answers at once.
    ///
    /// ```
    /// # use peerkit::{Config, PeerManager, Profile};
    /// # let manager = PeerManager::start(&Config::new().profile(Profile::Offline), None)?;
    /// let summary = manager.get_peers_summary()?;
    /// for (protocol, peers) in &summary.protocols {
    ///     println!("{peers} speak {protocol}");
    /// }
    /// assert_eq!(summary.recent_events.last().map(|event| event.kind.name()), Some("listen_addr"));
    /// # manager.stop(None)?;
    /// # Ok::<(), peerkit::Error>(())
    /// ```
    pub fn get_peers_summary(&self) -> Result<Summary> {
        self.live()?;
        let stats = self.stats();
        Ok(Summary {
            total_peers: stats.total_peers,
            connected_peers: stats.connected_peers,
            bootstrap_peers: stats.bootstrap_peers,
            discovery_active: stats.discovery_active,
            protocols: self.run.shared.book.protocols(MAX_PROTOCOLS).into_iter().collect(),
            recent_events: self.run.shared.hub.recent(),
            stats,
        })
    }
}

fn rows(records: &[Arc<Record>]) -> Vec<PeerRow> {
    records.iter().map(|record| record.row()).collect()
}

/// Refuses filters by what no peer can have yet: an empty list would say that there is none.
fn refuse_unbuilt_filters(params: &ListPeers) -> Result<()> {
    let unbuilt = match (&params.tag, params.policy) {
        (Some(_), _) => "tag",
        (None, Some(policy)) if policy != Policy::Normal => "policy",
        _ => return Ok(()),
    };
    let message = format!("`{unbuilt}`: tags and policies of peers aren't built yet");
    Err(Error::new(ErrorKind::Unsupported, message).with("parameter", unbuilt))
}
