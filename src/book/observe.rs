//! The worker's observations of peers, as changes of the book. Each takes the time as a parameter,
//! holds the write lock for one record and is bounded in what a remote can make the book keep.

use std::time::Duration;

use super::memory::{Book, families};
use super::record::{LiveConnection, Record};
use super::state::State;
use crate::clock::Timestamp;
use crate::model::event::DisconnectReason;
use crate::model::{ConnectionInfo, Direction, LastDisconnect, LastError, Source, Text};
use crate::{Multiaddr, PeerId};

/// The outcome of a discovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Discovered {
    /// The peer wasn't in the book.
    New,
    /// The peer was in the book.
    Known,
    /// The book is full of records that must stay.
    Refused,
}

/// The facts that a peer advertises of itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Identified {
    /// Its implementation.
    pub(crate) agent_version: Option<String>,
    /// Its protocol family.
    pub(crate) protocol_version: Option<String>,
    /// The protocols it speaks.
    pub(crate) protocols: Vec<String>,
    /// The addresses that it says it listens at.
    pub(crate) addrs: Vec<Multiaddr>,
}

impl Book {
    /// Notes that a source advertised a peer, and these addresses of it.
    pub(crate) fn discovered(
        &self,
        id: &PeerId,
        source: Source,
        addrs: &[Multiaddr],
        now: Timestamp,
    ) -> Discovered {
        let learn = |record: &mut Record| {
            record.sources.insert(source);
            record.learn(addrs, source, now);
            record.seen(now);
        };
        let mut state = self.state.write();
        if let Some(slot) = state.find(id) {
            state.update(slot, learn);
            return Discovered::Known;
        }
        if !state.make_room() {
            return Discovered::Refused;
        }
        let mut record = Record::new(*id);
        learn(&mut record);
        let slot = state.insert(record, false);
        state.touch(slot);
        state.shrink();
        state.counts.last_discovery = state.counts.last_discovery.max(Some(now));
        Discovered::New
    }

    /// Notes that a connect was requested. False where the book doesn't know the peer.
    pub(crate) fn dial_started(&self, id: &PeerId, now: Timestamp) -> bool {
        self.with(id, |record| {
            record.connection_attempts = record.connection_attempts.saturating_add(1);
            record.last_connection_attempt = Some(now);
        })
    }

    /// Notes that a connect failed, at these of the peer's addresses.
    pub(crate) fn dial_failed(&self, id: &PeerId, failed_addrs: &[Text], error: LastError) {
        self.with(id, |record| {
            record.addresses_failed(failed_addrs, error.at);
            record.last_error = Some(Box::new(error));
        });
    }

    /// Notes a new connection; true if it is the only one to the peer. `source` says why the address
    /// was dialled; an inbound connection has its own.
    ///
    /// The address of an inbound connection is the remote's ephemeral port, so it isn't kept.
    pub(crate) fn connected(
        &self,
        id: &PeerId,
        key: u64,
        info: ConnectionInfo,
        source: Source,
        now: Timestamp,
    ) -> bool {
        let source = match info.direction {
            Direction::Inbound => Source::Inbound,
            Direction::Outbound => source,
        };
        let mut state = self.state.write();
        let slot = match state.find(id) {
            Some(slot) => slot,
            None => {
                let mut record = Record::new(*id);
                record.sources.insert(source);
                state.insert(record, false)
            }
        };
        let first = state.update(slot, |record| {
            if info.direction == Direction::Inbound {
                record.sources.insert(Source::Inbound);
            } else {
                record.address_worked(&info.address, source, now);
            }
            record.successful_connections = record.successful_connections.saturating_add(1);
            record.last_successful_connection = Some(now);
            record.last_error = None;
            record.next_retry_at = None;
            record.automatic_failures = 0;
            // Either the user wants it again, or the peer came by itself.
            record.dial_disabled = false;
            record.seen(now);
            let first = record.connections.is_empty();
            record.connections.push(LiveConnection { key, info });
            first
        });
        state.shrink();
        first.unwrap_or(false)
    }

    /// Notes what the peer advertises of itself.
    pub(crate) fn identified(&self, id: &PeerId, told: Identified, now: Timestamp) {
        let mut guard = self.state.write();
        let state = &mut *guard;
        let Some(slot) = state.find(id) else { return };
        let protocols = state.interner.take_list(&told.protocols);
        let agent = told.agent_version.map(|text| state.interner.take_text(&text));
        let version = told.protocol_version.map(|text| state.interner.take_text(&text));
        let (dht, gossipsub) = families(&protocols);
        let old = state.update(slot, |record| {
            record.identified = true;
            record.learn(&told.addrs, Source::Identify, now);
            record.seen(now);
            (record.dht, record.gossipsub) = (dht, gossipsub);
            let list = std::mem::replace(&mut record.protocols, protocols);
            let agent = std::mem::replace(&mut record.agent_version, agent);
            let version = std::mem::replace(&mut record.protocol_version, version);
            (list, [agent, version])
        });
        if let Some((list, texts)) = old {
            state.interner.drop_list(&list);
            texts.iter().flatten().for_each(|text| state.interner.drop_text(text));
        }
    }

    /// Notes that a connection ended; returns how many the peer has left. After the last one the record
    /// keeps how it ended; a peer known by its connection alone that never identified itself is forgotten.
    pub(crate) fn connection_closed(
        &self,
        id: &PeerId,
        key: u64,
        end: Option<LastDisconnect>,
    ) -> usize {
        let mut state = self.state.write();
        let Some(slot) = state.find(id) else { return 0 };
        let left = state.update(slot, |record| {
            let before = record.connections.len();
            record.connections.retain(|live| live.key != key);
            let left = record.connections.len();
            if before > 0 && left == 0 {
                record.connections = Vec::new();
                if let Some(end) = end {
                    record.seen(end.at);
                    record.last_disconnect = Some(Box::new(end));
                }
            }
            left
        });
        if left == Some(0) {
            forget_unidentified(&mut state, slot);
            state.shrink();
        }
        left.unwrap_or(0)
    }

    /// Notes that every connection ended because the manager stops.
    pub(crate) fn disconnect_all(&self, now: Timestamp, reason: DisconnectReason) {
        for id in self.connected_ids() {
            let Some(record) = self.get(&id) else {
                continue;
            };
            for live in &record.connections {
                self.connection_closed(&id, live.key, Some(LastDisconnect { reason, at: now }));
            }
        }
    }

    /// Notes that an automatic dial failed. The next one waits for what `wait` answers to the number of
    /// failures since the peer was last connected; returns that time.
    pub(crate) fn back_off(
        &self,
        id: &PeerId,
        now: Timestamp,
        wait: impl FnOnce(u32) -> Duration,
    ) -> Option<Duration> {
        let mut state = self.state.write();
        let slot = state.find(id)?;
        state.update(slot, |record| {
            record.automatic_failures = record.automatic_failures.saturating_add(1);
            let wait = wait(record.automatic_failures);
            record.next_retry_at = Some(now.after(wait));
            wait
        })
    }

    /// Notes that an ipfs-cluster names the peer as a member.
    pub(crate) fn is_cluster_peer(&self, id: &PeerId) {
        self.with(id, |record| record.cluster_peer = true);
    }

    /// Notes that the peer is on the bootstrap list no longer.
    pub(crate) fn off_the_list(&self, id: &PeerId) {
        self.with(id, |record| record.sources.remove(Source::Bootstrap));
    }

    /// Notes the round trip time of a ping.
    pub(crate) fn latency(&self, id: &PeerId, rtt: Duration) {
        let micros = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX);
        self.with(id, |record| record.latency_us = Some(micros));
    }

    /// Changes the peer's record, if there is one.
    fn with(&self, id: &PeerId, change: impl FnOnce(&mut Record)) -> bool {
        let mut state = self.state.write();
        let slot = state.find(id);
        slot.and_then(|slot| state.update(slot, change)).is_some()
    }
}

fn forget_unidentified(state: &mut State, slot: u32) {
    let unidentified = state.at(slot as usize).is_some_and(|record| !record.is_storable());
    if unidentified {
        state.remove(slot);
    }
}
