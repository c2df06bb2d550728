//! Provider records: who has some content, by the DHT.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use libp2p::kad::{self, QueryId, QueryResult, RecordKey};

use crate::error::{Error, ErrorKind};
use crate::model::reply::Provider;
use crate::worker::Worker;
use crate::worker::calls::{Kind, age};
use crate::worker::command::Terms;
use crate::worker::protocols::kad::{Dht, DhtEvent};
use crate::{Multiaddr, PeerId};

/// The queries of calls, by the call.
#[derive(Default)]
pub(crate) struct Content(HashMap<u64, QueryId>);

impl Content {
    pub(crate) fn forget(&mut self, call: u64) -> Option<QueryId> {
        self.0.remove(&call)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn call_of(&self, query: QueryId) -> Option<u64> {
        self.0.iter().find(|(_, its)| **its == query).map(|(call, _)| *call)
    }
}

/// How far a `find_providers` is.
pub(crate) struct Finding {
    limit: usize,
    providers: Vec<(PeerId, Vec<Multiaddr>)>,
}

impl Worker {
    pub(crate) fn on_dht(&mut self, event: DhtEvent) {
        match event {
            DhtEvent::Located { peer, addresses } => self.located(peer, &addresses),
            DhtEvent::Progressed { query, result, answered, last } => {
                self.on_query(query, result, answered, last);
            }
            DhtEvent::Other => {}
        }
    }

    fn on_query(&mut self, query: QueryId, result: QueryResult, answered: u32, last: bool) {
        match result {
            QueryResult::GetClosestPeers(result) => {
                let peers = match result {
                    Ok(found) => found.peers,
                    Err(kad::GetClosestPeersError::Timeout { peers, .. }) => peers,
                };
                self.searched(query, peers, last);
                if last {
                    self.lookup_query_over(query);
                }
            }
            QueryResult::StartProviding(result) => {
                self.provided(query, result.is_ok() && answered > 0);
            }
            QueryResult::GetProviders(result) => {
                if let Ok(kad::GetProvidersOk::FoundProviders { providers, .. }) = result {
                    self.heard_of_providers(query, providers);
                }
                if last && let Some(call) = self.content.call_of(query) {
                    self.providers_found(call);
                }
            }
            _ => {}
        }
    }

    /// The DHT, where there is anybody to ask.
    pub(crate) fn dht_with_peers(&mut self) -> crate::error::Result<&mut Dht> {
        let Some(dht) = self.swarm.behaviour_mut().dht.as_mut() else {
            return Err(Error::new(ErrorKind::Unsupported, "the DHT is off")
                .with_hint("set discovery.dht to \"server\", \"client\" or \"auto\""));
        };
        if dht.len() == 0 {
            let error = "no peer that takes part in the DHT is known";
            return Err(Error::new(ErrorKind::NotConnected, error).with_hint(
                "connect to a peer of the DHT first, or add one to the bootstrap list",
            ));
        }
        Ok(dht)
    }

    /// `provide`.
    pub(crate) fn provide(&mut self, key: Vec<u8>, terms: Terms<Duration>) {
        let begun = match self.dht_with_peers() {
            Ok(dht) => dht.provide(RecordKey::from(key)),
            Err(error) => Err(error),
        };
        match begun {
            Err(error) => terms.reply.send(Err(error)),
            Ok(query) => {
                if let Some(call) = self.wait(terms, |reply| Kind::Provide(Instant::now(), reply)) {
                    self.content.0.insert(call, query);
                }
            }
        }
    }

    fn provided(&mut self, query: QueryId, told: bool) {
        let Some(call) = self.content.call_of(query) else { return };
        let Some(Kind::Provide(since, reply)) = self.take_call(call).map(|call| call.kind) else {
            return;
        };
        reply.send(match told {
            true => Ok(age(since)),
            false => Err(Error::new(ErrorKind::Timeout, "no peer of the DHT answered")),
        });
    }

    /// `find_providers`.
    pub(crate) fn find_providers(
        &mut self,
        key: Vec<u8>,
        limit: usize,
        terms: Terms<Vec<Provider>>,
    ) {
        let query = match self.dht_with_peers() {
            Ok(dht) => dht.find_providers(RecordKey::from(key)),
            Err(error) => return terms.reply.send(Err(error)),
        };
        let finding = Finding { limit, providers: Vec::new() };
        if let Some(call) = self.wait(terms, |reply| Kind::Providers(finding, reply)) {
            self.content.0.insert(call, query);
        }
    }

    fn heard_of_providers(&mut self, query: QueryId, peers: impl IntoIterator<Item = PeerId>) {
        let Some(call) = self.content.call_of(query) else { return };
        let Some(dht) = self.swarm.behaviour_mut().dht.as_mut() else { return };
        let Some(Kind::Providers(finding, _)) = self.calls.get_mut(call).map(|call| &mut call.kind)
        else {
            return;
        };
        for peer in peers {
            let known = finding.providers.iter().any(|(known, _)| *known == peer);
            if !known && finding.providers.len() < finding.limit {
                finding.providers.push((peer, dht.addresses_of(&peer)));
            }
        }
        if finding.providers.len() >= finding.limit {
            dht.finish(query);
            self.providers_found(call);
        }
    }

    /// Answers with the providers heard of by now.
    pub(crate) fn providers_found(&mut self, call: u64) {
        let Some(Kind::Providers(finding, reply)) = self.take_call(call).map(|call| call.kind)
        else {
            return;
        };
        let mut providers = Vec::new();
        for (peer, addresses) in finding.providers {
            if peer != self.run.peer_id && !addresses.is_empty() {
                self.found(crate::model::Source::Dht, peer, addresses.clone());
            }
            let known = self.run.book.get(&peer).map(|record| record.dial_addresses());
            let told = addresses.iter().map(|address| address.to_string().into());
            let multiaddrs = match known {
                Some(known) => known.into_iter().map(|(text, _)| text).collect(),
                None => told.collect(),
            };
            providers.push(Provider { peer_id: peer.to_string().into(), multiaddrs });
        }
        reply.send(Ok(providers));
    }
}
