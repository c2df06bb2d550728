//! Provider records: tells the DHT that this node has some content, and asks it for providers.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use libp2p::kad::{GetProvidersOk, GetProvidersResult, QueryId, RecordKey};

use super::core::Core;
use super::core::calls::{CallId, Ending, Owner};
use super::reply::{Reply, Terms};
use crate::error::{Error, ErrorKind};
use crate::model::Source;
use crate::model::reply::Provider;
use crate::{Multiaddr, PeerId};

/// Calls about the providers of content.
pub(crate) enum ContentCommand {
    /// Answers how long it took.
    Provide {
        key: Vec<u8>,
        terms: Terms<Duration>,
    },
    FindProviders {
        key: Vec<u8>,
        limit: usize,
        terms: Terms<Vec<Provider>>,
    },
}

/// The calls that wait for a query of the DHT.
#[derive(Default)]
pub(crate) struct Content(HashMap<CallId, Waiting>);

struct Waiting {
    query: QueryId,
    work: Work,
}

enum Work {
    Provide { since: Instant, reply: Reply<Duration> },
    Find { limit: usize, providers: Vec<(PeerId, Vec<Multiaddr>)>, reply: Reply<Vec<Provider>> },
}

impl Content {
    pub(crate) fn command(&mut self, core: &mut Core, command: ContentCommand) {
        match command {
            ContentCommand::Provide { key, terms } => self.provide(core, key, terms),
            ContentCommand::FindProviders { key, limit, terms } => {
                self.find_providers(core, key, limit, terms);
            }
        }
    }

    /// Tells whether no call waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn provide(&mut self, core: &mut Core, key: Vec<u8>, terms: Terms<Duration>) {
        let Some((call, _, reply)) = core.register(Owner::Content, terms) else { return };
        match core.dht_with_peers().and_then(|dht| dht.provide(RecordKey::from(key))) {
            Ok(query) => {
                let work = Work::Provide { since: core.now, reply };
                self.0.insert(call, Waiting { query, work });
            }
            Err(error) => {
                core.finish(call);
                reply.send(Err(error));
            }
        }
    }

    fn find_providers(
        &mut self,
        core: &mut Core,
        key: Vec<u8>,
        limit: usize,
        terms: Terms<Vec<Provider>>,
    ) {
        let Some((call, _, reply)) = core.register(Owner::Content, terms) else { return };
        match core.dht_with_peers().map(|dht| dht.find_providers(RecordKey::from(key))) {
            Ok(query) => {
                let work = Work::Find { limit, providers: Vec::new(), reply };
                self.0.insert(call, Waiting { query, work });
            }
            Err(error) => {
                core.finish(call);
                reply.send(Err(error));
            }
        }
    }

    /// Answers a call that told the DHT, or to which the DHT didn't answer.
    pub(crate) fn provided(&mut self, core: &mut Core, query: QueryId, told: bool) {
        let Some(call) = self.call_of(query) else { return };
        let Some(Waiting { work: Work::Provide { since, reply }, .. }) = self.take(core, call)
        else {
            return;
        };
        reply.send(match told {
            true => Ok(core.since(since)),
            false => Err(Error::new(ErrorKind::Timeout, "no peer of the DHT answered")),
        });
    }

    /// Takes a part of the result of a query for providers, or its end.
    pub(crate) fn found_providers(
        &mut self,
        core: &mut Core,
        query: QueryId,
        result: GetProvidersResult,
        last: bool,
    ) {
        let Some(call) = self.call_of(query) else { return };
        let Some(Waiting { work: Work::Find { limit, providers, .. }, .. }) = self.0.get_mut(&call)
        else {
            return;
        };
        if let Ok(GetProvidersOk::FoundProviders { providers: told, .. }) = result {
            for peer in told {
                let known = providers.iter().any(|(known, _)| *known == peer);
                if !known && providers.len() < *limit {
                    let addresses = core.dht().map(|dht| dht.addresses_of(&peer));
                    providers.push((peer, addresses.unwrap_or_default()));
                }
            }
        }
        if last || providers.len() >= *limit {
            self.answer_found(core, call);
        }
    }

    /// Answers with the providers found by now.
    fn answer_found(&mut self, core: &mut Core, call: CallId) {
        let Some(Waiting { work: Work::Find { providers, reply, .. }, .. }) = self.take(core, call)
        else {
            return;
        };
        let mut found = Vec::new();
        for (peer, addresses) in providers {
            if peer != core.shared.peer_id && !addresses.is_empty() {
                core.discovered(Source::Dht, peer, &addresses);
            }
            let known = core.shared.book.get(&peer).map(|record| record.dial_addresses());
            let told = addresses.iter().map(|address| address.to_string().into());
            let multiaddrs = match known {
                Some(known) => known.into_iter().map(|(text, _)| text).collect(),
                None => told.collect(),
            };
            found.push(Provider { peer_id: peer.to_string().into(), multiaddrs });
        }
        reply.send(Ok(found));
    }

    /// Ends a call before its query ends; what a search has found by its deadline is an answer.
    pub(crate) fn ended(&mut self, core: &mut Core, call: CallId, why: Ending) {
        let finds = |waiting: &Waiting| matches!(waiting.work, Work::Find { .. });
        if why == Ending::Deadline && self.0.get(&call).is_some_and(finds) {
            return self.answer_found(core, call);
        }
        match self.take(core, call).map(|waiting| waiting.work) {
            Some(Work::Provide { reply, .. }) => {
                reply.send(Err(why.error("the DHT was not told in time")));
            }
            Some(Work::Find { reply, .. }) => reply.send(Err(why.error(""))),
            None => {}
        }
    }

    fn call_of(&self, query: QueryId) -> Option<CallId> {
        self.0.iter().find(|(_, waiting)| waiting.query == query).map(|(call, _)| *call)
    }

    /// Takes out a call that is about to be answered, and ends its query.
    fn take(&mut self, core: &mut Core, call: CallId) -> Option<Waiting> {
        let waiting = self.0.remove(&call)?;
        core.finish(call);
        if let Some(dht) = core.dht() {
            dht.finish(waiting.query);
        }
        Some(waiting)
    }
}
