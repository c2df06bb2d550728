//! Changes that the user makes in the book. A change is planned against the book, made durable by the
//! store, and only then applied, so that nothing is acknowledged that a crash could lose.
//!
//! The store's thread (`store.rs`) drives this; it is also the only one that writes to disk, so an
//! observation that is flushed can't overwrite a change that memory doesn't show yet.

use std::sync::Arc;

use super::memory::{Book, DirtyItem};
use super::record::{MAX_ADDRS, Record};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Source;
use crate::{Multiaddr, PeerId};

/// A change the user asks for.
#[derive(Debug, Clone)]
pub(crate) enum UserChange {
    /// Add a peer, or addresses to a known one.
    Add {
        /// The peer.
        id: PeerId,
        /// The addresses to reach it at.
        addrs: Vec<Multiaddr>,
        /// The time of the change.
        now: Timestamp,
    },
    /// Disable automatic dials to a peer, or enable them again. A peer that isn't in the book needs no
    /// such note.
    DisableDial {
        /// The peer.
        id: PeerId,
        /// False: dial it automatically again.
        dial_disabled: bool,
    },
    /// Forget a peer.
    Remove {
        /// The peer.
        id: PeerId,
    },
}

impl UserChange {
    pub(crate) fn id(&self) -> &PeerId {
        match self {
            UserChange::Add { id, .. }
            | UserChange::DisableDial { id, .. }
            | UserChange::Remove { id } => id,
        }
    }
}

impl Book {
    /// Returns what `change` would write, without changing anything. `reserved` new records are planned
    /// but not applied yet.
    pub(crate) fn plan(&self, change: &UserChange, reserved: usize) -> Result<DirtyItem> {
        match change {
            UserChange::Add { id, addrs, now } => {
                let record = self.plan_add(id, addrs, *now, reserved)?;
                Ok(DirtyItem::Put(Arc::new(record)))
            }
            UserChange::DisableDial { id, dial_disabled } => {
                let mut record =
                    self.get(id).map(Arc::unwrap_or_clone).ok_or_else(|| unknown(id))?;
                record.dial_disabled = *dial_disabled;
                Ok(DirtyItem::Put(Arc::new(record)))
            }
            UserChange::Remove { id } if self.get(id).is_some() => Ok(DirtyItem::Delete(*id)),
            UserChange::Remove { id } => Err(unknown(id)),
        }
    }

    /// Applies a change that is durable. Returns the record as it is now, or as it was if removed.
    pub(crate) fn apply(&self, change: &UserChange) -> Option<Arc<Record>> {
        match change {
            UserChange::Add { id, addrs, now } => self.apply_add(id, addrs, *now),
            UserChange::DisableDial { id, dial_disabled } => {
                let mut state = self.state.write();
                let slot = state.find(id)?;
                state.update(slot, |record| record.dial_disabled = *dial_disabled);
                state.set_stored(slot);
                state.at(slot as usize).cloned()
            }
            UserChange::Remove { id } => {
                let mut state = self.state.write();
                let removed = state.find(id).and_then(|slot| state.remove(slot));
                state.forget_deleted(id);
                removed
            }
        }
    }

    fn plan_add(
        &self,
        id: &PeerId,
        addrs: &[Multiaddr],
        now: Timestamp,
        reserved: usize,
    ) -> Result<Record> {
        let state = self.state.read();
        let mut record = match state.get(id) {
            Some(record) => Record::clone(record),
            None if state.room() > reserved => Record::new(*id),
            None => return Err(full(state.max_peers())),
        };
        drop(state);
        add_by_user(&mut record, addrs, now);
        match addrs.iter().all(|addr| record.has_address(addr)) {
            true => Ok(record),
            false => Err(Error::new(
                ErrorKind::LimitReached,
                format!("the peer has {MAX_ADDRS} addresses already, all of them in use"),
            )),
        }
    }

    /// Merges anew instead of taking the planned record: observations may have come in between.
    fn apply_add(&self, id: &PeerId, addrs: &[Multiaddr], now: Timestamp) -> Option<Arc<Record>> {
        let mut state = self.state.write();
        let slot = match state.find(id) {
            Some(slot) => slot,
            None => {
                state.make_room();
                state.insert(Record::new(*id), true)
            }
        };
        state.update(slot, |record| add_by_user(record, addrs, now));
        state.set_stored(slot);
        state.forget_deleted(id);
        state.at(slot as usize).cloned()
    }
}

fn add_by_user(record: &mut Record, addrs: &[Multiaddr], now: Timestamp) {
    record.sources.insert(Source::User);
    record.first_seen = record.first_seen.or(Some(now));
    record.learn(addrs, Source::User, now);
}

fn unknown(id: &PeerId) -> Error {
    Error::new(ErrorKind::PeerNotFound, format!("the book has no peer {id}"))
}

fn full(max_peers: usize) -> Error {
    Error::new(
        ErrorKind::LimitReached,
        format!("the book holds max_peers ({max_peers}) records and all of them must stay"),
    )
    .with("max_peers", max_peers as u64)
    .with_hint("remove peers that are no longer needed, or raise limits.max_peers")
}
