//! The Kademlia DHT: libp2p's behaviour, with a hand on what it takes from remotes.
//!
//! libp2p-kad dials what it hears of, stores what it is sent and tells of a peer it was asked for
//! only when the whole query is over. Here addresses are looked over before they are dialled, records
//! before they are stored, and a peer that is looked for is told of as soon as its address is known.

use std::collections::HashSet;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::StreamProtocol;
use libp2p::core::transport::PortUse;
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::kad::store::{MemoryStore, MemoryStoreConfig, RecordStore};
use libp2p::kad::{self, BucketInserts, InboundRequest, Mode, QueryId, RecordKey, StoreInserts};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};

use super::learnt::MAX_ADDRESS_BYTES;
use crate::addr::{self, Scope};
use crate::config::{DhtMode, Settings};
use crate::discovery::DiscoveryLog;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Source;
use crate::{Multiaddr, PeerId};

/// A query that hasn't ended by then ends with what it has.
const QUERY_TIMEOUT: Duration = Duration::from_secs(30);
/// Keys for which provider records are kept, our own included.
const MAX_PROVIDED_KEYS: usize = 4096;
/// Addresses kept with a provider record.
const MAX_PROVIDER_ADDRESSES: usize = 8;

type Kademlia = kad::Behaviour<MemoryStore>;

/// What the worker hears of the DHT.
#[derive(Debug)]
pub(super) enum DhtEvent {
    /// A query came to its end, or to a part of its result.
    Progressed { query: QueryId, result: kad::QueryResult, last: bool },
    /// Where a peer is that is looked for.
    Located(PeerId),
    /// Nothing the worker has to do anything about.
    Other,
}

/// The DHT as this node takes part in it.
pub(super) struct Dht {
    kad: Kademlia,
    settings: Settings,
    /// Open connections by how far the remote's address reaches.
    near: [u32; 5],
    wanted: HashSet<PeerId>,
    log: Arc<DiscoveryLog>,
}

impl Dht {
    /// None where the configuration has the DHT off.
    pub(super) fn new(
        local: PeerId,
        settings: &Settings,
        log: Arc<DiscoveryLog>,
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
        let store = MemoryStoreConfig {
            max_records: 0,
            max_provided_keys: MAX_PROVIDED_KEYS,
            ..MemoryStoreConfig::default()
        };
        let mut config = kad::Config::new(protocol);
        config
            .set_query_timeout(QUERY_TIMEOUT)
            .set_record_filtering(StoreInserts::FilterBoth)
            .set_kbucket_inserts(BucketInserts::Manual)
            // Passes of discovery do it.
            .set_periodic_bootstrap_interval(None);
        let store = MemoryStore::with_config(local, store);
        let mut kad = Kademlia::with_config(local, store, config);
        kad.set_mode(mode);
        let settings = settings.clone();
        Ok(Some(Dht { kad, settings, near: [0; 5], wanted: HashSet::new(), log }))
    }

    /// A peer that takes part in the DHT can be reached at these addresses, and at no other.
    pub(super) fn add(&mut self, peer: &PeerId, addresses: impl IntoIterator<Item = Multiaddr>) {
        self.kad.remove_peer(peer);
        for address in addresses {
            self.kad.add_address(peer, address);
        }
    }

    pub(super) fn remove(&mut self, peer: &PeerId) {
        self.kad.remove_peer(peer);
    }

    /// How many peers the routing table holds.
    pub(super) fn len(&mut self) -> usize {
        self.kad.kbuckets().map(|bucket| bucket.num_entries()).sum()
    }

    /// Begins a search for the peers closest to a key, such as a peer's id.
    pub(super) fn search(&mut self, key: Vec<u8>) -> QueryId {
        self.kad.get_closest_peers(key)
    }

    /// Begins a search that is told of by [`DhtEvent::Located`] as soon as the peer's address is known.
    pub(super) fn look_for(&mut self, peer: PeerId) -> QueryId {
        self.wanted.insert(peer);
        self.kad.get_closest_peers(peer)
    }

    /// Nobody looks for the peer any more.
    pub(super) fn give_up(&mut self, peer: &PeerId, query: QueryId) {
        self.wanted.remove(peer);
        self.finish(query);
    }

    /// Ends a query with what it has.
    pub(super) fn finish(&mut self, query: QueryId) {
        if let Some(mut query) = self.kad.query_mut(&query) {
            query.finish();
        }
    }

    pub(super) fn provide(&mut self, key: RecordKey) -> Result<QueryId> {
        self.kad.start_providing(key).map_err(|error| {
            Error::new(ErrorKind::LimitReached, format!("the record can't be kept: {error}"))
        })
    }

    pub(super) fn find_providers(&mut self, key: RecordKey) -> QueryId {
        self.kad.get_providers(key)
    }

    /// Where a peer is, by the routing table and the queries under way.
    pub(super) fn addresses_of(&mut self, peer: &PeerId) -> Vec<Multiaddr> {
        // libp2p-kad tells its addresses nowhere else than to a dial.
        let dial = ConnectionId::new_unchecked(0);
        let told =
            self.kad.handle_pending_outbound_connection(dial, Some(*peer), &[], Endpoint::Dialer);
        let mut told = told.unwrap_or_default();
        told.retain(|address| self.judge(peer, address).is_ok());
        told.iter().map(addr::without_peer_id).collect()
    }

    /// Takes out what must not be dialled, and counts that.
    pub(super) fn sift(&self, peer: &PeerId, addresses: &mut Vec<Multiaddr>) {
        addresses.retain(|address| match self.judge(peer, address) {
            Ok(()) => true,
            Err(reason) => {
                self.log.dropped(Source::Dht, reason, 1);
                false
            }
        });
    }

    fn judge(&self, peer: &PeerId, address: &Multiaddr) -> Result<(), &'static str> {
        let scope = addr::scope(address);
        if address.len() > MAX_ADDRESS_BYTES {
            return Err("too_long");
        }
        if !addr::is_dialable(address) {
            return Err("undialable");
        }
        if addr::peer_id_of(address).is_some_and(|named| named != *peer) {
            return Err("other_peer");
        }
        if scope < self.nearest() || !self.settings.may_dial_unasked(scope, false) {
            return Err("scope");
        }
        Ok(())
    }

    /// The nearest scope that any open connection has. Who tells of an address is connected, and a
    /// remote's own loopback or private network is not ours unless it is seen there.
    fn nearest(&self) -> Scope {
        let scopes =
            [Scope::Loopback, Scope::LinkLocal, Scope::Private, Scope::Public, Scope::Name];
        let open = scopes.into_iter().zip(self.near).find(|(_, open)| *open > 0);
        open.map_or(Scope::Loopback, |(scope, _)| scope)
    }

    fn count(&mut self, endpoint: &ConnectedPoint, change: i32) {
        let open = &mut self.near[addr::scope(endpoint.get_remote_address()) as usize];
        *open = open.saturating_add_signed(change);
    }

    /// What a remote asks to be stored: provider records of its own, cut down; values never, since
    /// nothing here can tell a good one.
    fn on_request(&mut self, request: InboundRequest) {
        match request {
            InboundRequest::AddProvider { record: Some(mut record) } => {
                let peer = record.provider;
                self.sift(&peer, &mut record.addresses);
                record.addresses.truncate(MAX_PROVIDER_ADDRESSES);
                if self.kad.store_mut().add_provider(record).is_err() {
                    self.log.dropped(Source::Dht, "store_full", 1);
                }
            }
            InboundRequest::PutRecord { .. } => self.log.dropped(Source::Dht, "value", 1),
            _ => {}
        }
    }

    fn located(&mut self) -> Option<PeerId> {
        let wanted: Vec<_> = self.wanted.iter().copied().collect();
        let found = wanted.into_iter().find(|peer| !self.addresses_of(peer).is_empty())?;
        self.wanted.remove(&found);
        Some(found)
    }

    /// What the worker hears of an event.
    fn tell(&mut self, event: kad::Event) -> DhtEvent {
        match event {
            kad::Event::OutboundQueryProgressed { id, result, step, .. } => {
                DhtEvent::Progressed { query: id, result, last: step.last }
            }
            kad::Event::InboundRequest { request } => {
                self.on_request(request);
                DhtEvent::Other
            }
            _ => DhtEvent::Other,
        }
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
        let mut told =
            self.kad.handle_pending_outbound_connection(connection, peer, addresses, role)?;
        match peer {
            Some(peer) => self.sift(&peer, &mut told),
            None => told.clear(),
        }
        Ok(told)
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
        match &event {
            FromSwarm::ConnectionEstablished(event) => self.count(event.endpoint, 1),
            FromSwarm::ConnectionClosed(event) => self.count(event.endpoint, -1),
            _ => {}
        }
        self.kad.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.kad.on_connection_handler_event(peer, connection, event);
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some(peer) = self.located() {
            return Poll::Ready(ToSwarm::GenerateEvent(DhtEvent::Located(peer)));
        }
        match self.kad.poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(event) => Poll::Ready(event.map_out(|event| self.tell(event))),
        }
    }
}
