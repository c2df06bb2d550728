//! The Kademlia DHT: libp2p's behaviour, with filters on what passes between it and remotes.
//!
//! libp2p-kad dials the addresses it receives, stores the records it is sent, returns a wanted peer only
//! when the whole query is over, and keeps peers it can't reach. Here an answer is filtered before
//! libp2p-kad takes it, by the address at which the remote is seen; a wanted peer is returned as soon
//! as a remote knows it; and a peer that can't be dialled is taken out of the routing table. `store`
//! keeps provider records.

pub(crate) mod store;

pub(crate) use libp2p::kad::QueryId;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::StreamProtocol;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::kad::store::RecordStore;
use libp2p::kad::{self, BucketInserts, InboundRequest, KadPeer, Mode, RecordKey, StoreInserts};
use libp2p::swarm::behaviour::{ExternalAddrConfirmed, ExternalAddrExpired};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, DialError, FromSwarm, NetworkBehaviour, NotifyHandler,
    THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};

use self::store::Providers;
use crate::addr::{self, Scope};
use crate::config::{DhtMode, Settings};
use crate::discovery_log::DiscoveryLog;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Source;
use crate::worker::transport::terms::DialTerms;
use crate::worker::util::addresses::{filter_addresses, least_scope};
use crate::worker::util::budgets::{Budgets, Work};
use crate::{Multiaddr, PeerId};

/// Time after which a query ends with what it has.
const QUERY_TIMEOUT: Duration = Duration::from_secs(30);
/// Closer peers taken of one answer: the specification's k.
const MAX_CLOSER: usize = 20;
/// Providers taken of one answer: as many as a call may ask for.
const MAX_PROVIDERS: usize = 100;

type Kademlia = kad::Behaviour<Providers>;
/// Messages of a connection's handler to libp2p-kad, and back; libp2p-kad names these types nowhere.
type FromHandler = THandlerOutEvent<Kademlia>;
type ToHandler = THandlerInEvent<Kademlia>;

/// An event of the DHT.
#[derive(Debug)]
pub(crate) enum DhtEvent {
    /// libp2p-kad's own event.
    Kad(Box<kad::Event>),
    /// A remote knows where a peer is that is looked for.
    Located { peer: PeerId, addresses: Vec<Multiaddr> },
    /// A query's dial couldn't reach the peer at these addresses.
    DialFailed { peer: PeerId, addresses: Vec<Multiaddr> },
}

/// The DHT as this node takes part in it.
pub(crate) struct Dht {
    local: PeerId,
    kad: Kademlia,
    settings: Settings,
    /// Every open connection: its peer, and the address at which the peer is seen.
    open: HashMap<ConnectionId, (PeerId, Multiaddr)>,
    /// The dials libp2p-kad asked for.
    dials: HashSet<ConnectionId>,
    /// The wanted peers, by the query that looks for one.
    wanted: HashMap<QueryId, PeerId>,
    events: VecDeque<DhtEvent>,
    log: Arc<DiscoveryLog>,
    budgets: Arc<Budgets>,
    terms: DialTerms,
}

impl Dht {
    /// Makes the DHT; None where the configuration has it off.
    pub(crate) fn new(
        local: PeerId,
        settings: &Settings,
        terms: DialTerms,
        log: Arc<DiscoveryLog>,
        budgets: Arc<Budgets>,
    ) -> Result<Option<Self>> {
        let mode = match settings.discovery.dht {
            DhtMode::Off => return Ok(None),
            DhtMode::Client => Some(Mode::Client),
            DhtMode::Server => Some(Mode::Server),
            DhtMode::Auto => None,
        };
        let name = settings.discovery.dht_protocol.clone();
        let protocol = StreamProtocol::try_from_owned(name).map_err(|_| {
            Error::new(ErrorKind::ConfigInvalid, "the DHT's protocol name must begin with a slash")
        })?;
        let mut config = kad::Config::new(protocol);
        config
            .set_query_timeout(QUERY_TIMEOUT)
            // One remote that makes up peers must not lead the whole search astray.
            .disjoint_query_paths(true)
            .set_record_filtering(StoreInserts::FilterBoth)
            .set_kbucket_inserts(BucketInserts::Manual)
            // Passes of discovery do it.
            .set_periodic_bootstrap_interval(None);
        let store = Providers::new(local, Arc::clone(&log));
        let mut kad = Kademlia::with_config(local, store, config);
        kad.set_mode(mode);
        Ok(Some(Dht {
            local,
            kad,
            settings: settings.clone(),
            open: HashMap::new(),
            dials: HashSet::new(),
            wanted: HashMap::new(),
            events: VecDeque::new(),
            log,
            budgets,
            terms,
        }))
    }

    /// Enters a peer into the routing table at these addresses, and at no other.
    pub(crate) fn add(&mut self, peer: &PeerId, addresses: &[Multiaddr]) {
        let addresses: Vec<_> = addresses.iter().map(|a| addr::with_peer_id(a, peer)).collect();
        if addresses.is_empty() {
            return self.remove(peer);
        }
        let before = self.in_table(peer);
        for address in &addresses {
            self.kad.add_address(peer, address.clone());
        }
        for address in before.iter().filter(|address| !addresses.contains(address)) {
            self.kad.remove_address(peer, address);
        }
    }

    pub(crate) fn remove(&mut self, peer: &PeerId) {
        self.kad.remove_peer(peer);
    }

    /// Counts the peers of the routing table.
    pub(crate) fn len(&mut self) -> usize {
        self.kad.kbuckets().map(|bucket| bucket.num_entries()).sum()
    }

    /// Returns the addresses of a peer in the routing table.
    fn in_table(&mut self, peer: &PeerId) -> Vec<Multiaddr> {
        let Some(bucket) = self.kad.kbucket(*peer) else { return Vec::new() };
        let entry = bucket.iter().find(|entry| entry.node.key.preimage() == peer);
        entry.map(|entry| entry.node.value.iter().cloned().collect()).unwrap_or_default()
    }

    /// Begins a search for the peers closest to a key, such as a peer's id.
    pub(crate) fn search(&mut self, key: Vec<u8>) -> QueryId {
        self.kad.get_closest_peers(key)
    }

    /// Begins a search that sends [`DhtEvent::Located`] whenever a remote knows the peer.
    pub(crate) fn look_for(&mut self, peer: PeerId) -> QueryId {
        let query = self.kad.get_closest_peers(peer);
        self.wanted.insert(query, peer);
        query
    }

    /// Ends a query with what it has.
    pub(crate) fn finish(&mut self, query: QueryId) {
        self.wanted.remove(&query);
        if let Some(mut query) = self.kad.query_mut(&query) {
            query.finish();
        }
    }

    pub(crate) fn provide(&mut self, key: RecordKey) -> Result<QueryId> {
        self.kad.start_providing(key).map_err(|error| {
            Error::new(ErrorKind::LimitReached, format!("the record can't be kept: {error}"))
        })
    }

    pub(crate) fn find_providers(&mut self, key: RecordKey) -> QueryId {
        self.kad.get_providers(key)
    }

    /// Returns the addresses of a peer, by the routing table and the queries under way.
    pub(crate) fn addresses_of(&mut self, peer: &PeerId) -> Vec<Multiaddr> {
        // libp2p-kad tells the addresses of its queries nowhere else than to a dial.
        let dial = ConnectionId::new_unchecked(0);
        let told =
            self.kad.handle_pending_outbound_connection(dial, Some(*peer), &[], Endpoint::Dialer);
        filter_addresses(told.unwrap_or_default(), *peer, None).0
    }

    /// Returns the addresses of a connected peer, by the routing table.
    pub(crate) fn connected_at(&mut self, peer: &PeerId) -> Vec<Multiaddr> {
        match self.is_connected(peer) {
            true => filter_addresses(self.in_table(peer), *peer, None).0,
            false => Vec::new(),
        }
    }

    fn is_connected(&self, peer: &PeerId) -> bool {
        self.open.values().any(|(open, _)| open == peer)
    }

    /// Tells whether a remote may have us do what its message asks for.
    fn is_in_budget(&self, peer: &PeerId, event: &FromHandler) -> bool {
        let work = match event {
            FromHandler::FindNodeReq { .. }
            | FromHandler::GetProvidersReq { .. }
            | FromHandler::GetRecord { .. } => Work::DhtQuestions,
            FromHandler::AddProvider { .. } | FromHandler::PutRecord { .. } => Work::DhtRecords,
            // Answers, to as many questions as this node asked.
            _ => return true,
        };
        self.budgets.take(peer, work)
    }

    /// Filters a message of a remote before libp2p-kad takes it.
    fn look_over(&mut self, connection: ConnectionId, event: &mut FromHandler) {
        match event {
            FromHandler::FindNodeRes { closer_peers, .. } => {
                self.take_closer(connection, closer_peers);
            }
            FromHandler::GetProvidersRes { closer_peers, provider_peers, .. } => {
                self.take_closer(connection, closer_peers);
                self.filter_peers(connection, provider_peers, MAX_PROVIDERS);
            }
            FromHandler::AddProvider { provider, .. } => self.filter_peer(connection, provider),
            // Nothing here can tell whether a value is valid, so none is stored.
            FromHandler::PutRecord { .. } => self.log.dropped(Source::Dht, "value", 1),
            _ => {}
        }
    }

    /// Takes peers without a usable address out of an answer, and notes wanted ones.
    fn take_closer(&mut self, connection: ConnectionId, told: &mut Vec<KadPeer>) {
        self.filter_peers(connection, told, MAX_CLOSER);
        let before = told.len();
        told.retain(|peer| !peer.multiaddrs.is_empty());
        self.log.dropped(Source::Dht, "no_address", (before - told.len()) as u64);
        for peer in told {
            if self.wanted.values().any(|wanted| *wanted == peer.node_id) {
                let addresses = peer.multiaddrs.iter().map(addr::without_peer_id).collect();
                self.events.push_back(DhtEvent::Located { peer: peer.node_id, addresses });
            }
        }
    }

    fn filter_peers(&self, connection: ConnectionId, told: &mut Vec<KadPeer>, most: usize) {
        let before = told.len();
        told.retain(|peer| peer.node_id != self.local);
        self.log.dropped(Source::Dht, "own_id", (before - told.len()) as u64);
        self.log.dropped(Source::Dht, "too_many", told.len().saturating_sub(most) as u64);
        told.truncate(most);
        told.iter_mut().for_each(|peer| self.filter_peer(connection, peer));
    }

    /// Keeps those addresses of a peer that may be dialled automatically, and whose scope is no smaller
    /// than that of the address at which the remote that gave them is seen.
    fn filter_peer(&self, connection: ConnectionId, told: &mut KadPeer) {
        let seen_at = self.open.get(&connection).map(|(_, address)| address);
        let peer = told.node_id;
        let (mut kept, dropped) =
            filter_addresses(std::mem::take(&mut told.multiaddrs), peer, seen_at);
        for (reason, count) in dropped.by_reason() {
            self.log.dropped(Source::Dht, reason, count);
        }
        let before = kept.len();
        kept.retain(|address| self.settings.may_dial_automatically(addr::scope(address), false));
        self.log.dropped(Source::Dht, "scope", (before - kept.len()) as u64);
        told.multiaddrs = kept.iter().map(|address| addr::with_peer_id(address, &peer)).collect();
    }

    /// Takes the addresses out of our answer whose scope is smaller than that of the address at which the
    /// asking remote is seen.
    fn filter_answer(&self, connection: ConnectionId, event: &mut ToHandler) {
        let Some((_, seen_at)) = self.open.get(&connection) else { return };
        let least = least_scope(seen_at);
        let cut = |told: &mut Vec<KadPeer>| {
            for peer in told.iter_mut() {
                peer.multiaddrs.retain(|address| addr::scope(address) >= least);
            }
            told.retain(|peer| !peer.multiaddrs.is_empty());
        };
        match event {
            ToHandler::FindNodeRes { closer_peers, .. } => cut(closer_peers),
            ToHandler::GetProvidersRes { closer_peers, provider_peers, .. } => {
                cut(closer_peers);
                cut(provider_peers);
            }
            ToHandler::GetRecordRes { closer_peers, .. } => cut(closer_peers),
            _ => {}
        }
    }

    /// Takes a peer that can't be dialled out of the table. It comes back with its next connection.
    fn dial_failed(&mut self, connection: ConnectionId, peer: Option<PeerId>, error: &DialError) {
        let ours = self.dials.remove(&connection);
        let unreachable = matches!(error, DialError::Transport(_) | DialError::WrongPeerId { .. });
        let lost = |peer: &PeerId| ours && unreachable && !self.is_connected(peer);
        let Some(peer) = peer.filter(lost) else { return };
        self.remove(&peer);
        if let DialError::Transport(errors) = error {
            let addresses = errors.iter().map(|(address, _)| address.clone()).collect();
            self.events.push_back(DhtEvent::DialFailed { peer, addresses });
        }
    }

    /// Tells whether an external address means that remotes can reach this node, which in `auto` makes it a
    /// server. One that only stands for a listener, which `no_announce` brings about, doesn't mean that.
    fn is_reachable_at(&self, address: &Multiaddr) -> bool {
        self.settings.discovery.dht != DhtMode::Auto
            || addr::scope(address) >= Scope::Public
            || self.settings.advertise.contains(address)
            || self.settings.no_announce.is_empty()
    }

    /// Tells whether to advertise a listen address as our own, which libp2p-kad does by itself only with
    /// addresses that were confirmed. Without any, js-libp2p ignores a provider of content.
    fn is_advertised(&self, address: &Multiaddr) -> bool {
        self.settings.discovery.dht != DhtMode::Auto
            && addr::scope(address) >= self.settings.least_advertised()
            && !self.settings.no_announce.contains(address)
    }

    /// Looks at an event of libp2p-kad's on its way out.
    fn pass_on(&mut self, event: kad::Event) -> DhtEvent {
        match &event {
            kad::Event::OutboundQueryProgressed { id, step, .. } if step.last => {
                self.wanted.remove(id);
            }
            kad::Event::InboundRequest {
                request: InboundRequest::AddProvider { record: Some(record) },
            } => {
                // The store counts what it refuses.
                let _ = self.kad.store_mut().add_provider(record.clone());
            }
            _ => {}
        }
        DhtEvent::Kad(Box::new(event))
    }
}

impl NetworkBehaviour for Dht {
    type ConnectionHandler = <Kademlia as NetworkBehaviour>::ConnectionHandler;
    type ToSwarm = DhtEvent;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.kad.handle_established_inbound_connection(connection, peer, local, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let mut known =
            self.kad.handle_pending_outbound_connection(connection, peer, addresses, role)?;
        known.retain(|address| self.settings.may_dial_automatically(addr::scope(address), false));
        Ok(known)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.kad.handle_established_outbound_connection(connection, peer, address, role, port_use)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(event) => {
                let seen_at = event.endpoint.get_remote_address().clone();
                self.open.insert(event.connection_id, (event.peer_id, seen_at));
                self.dials.remove(&event.connection_id);
            }
            FromSwarm::ConnectionClosed(event) => drop(self.open.remove(&event.connection_id)),
            FromSwarm::ExternalAddrConfirmed(event) if !self.is_reachable_at(event.addr) => return,
            FromSwarm::NewListenAddr(event) if self.is_advertised(event.addr) => {
                let told = ExternalAddrConfirmed { addr: event.addr };
                self.kad.on_swarm_event(FromSwarm::ExternalAddrConfirmed(told));
            }
            FromSwarm::ExpiredListenAddr(event) if self.is_advertised(event.addr) => {
                let told = ExternalAddrExpired { addr: event.addr };
                self.kad.on_swarm_event(FromSwarm::ExternalAddrExpired(told));
            }
            _ => {}
        }
        self.kad.on_swarm_event(event);
        if let FromSwarm::DialFailure(event) = event {
            self.dial_failed(event.connection_id, event.peer_id, event.error);
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        mut event: THandlerOutEvent<Self>,
    ) {
        if !self.is_in_budget(&peer, &event) {
            return;
        }
        self.look_over(connection, &mut event);
        self.kad.on_connection_handler_event(peer, connection, event);
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(ToSwarm::GenerateEvent(event));
        }
        let mut event = match self.kad.poll(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(event) => event,
        };
        match &mut event {
            ToSwarm::Dial { opts } => {
                self.dials.insert(opts.connection_id());
                self.terms.register_query(opts.connection_id());
            }
            ToSwarm::NotifyHandler { handler: NotifyHandler::One(connection), event, .. } => {
                self.filter_answer(*connection, event);
            }
            _ => {}
        }
        Poll::Ready(event.map_out(|event| self.pass_on(event)))
    }
}
