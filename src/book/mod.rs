//! The peer book: everything known of every peer, in memory, behind one lock.
//!
//! Reads come from any thread and never wait for the network or the disk; the lock is held for a
//! bounded number of records, and JSON is made from the `Arc<Record>`s outside it. The worker writes
//! down what it sees (`observe`), the user's changes go through the store so that they are durable
//! before they are acknowledged (`change`, `store`). Nothing here but `store` does I/O, and nothing
//! reads a clock.
//!
//! `record` is one peer; `memory` is the book itself, `state` what its lock guards, with `index` and `intern` below it;
//! `query` lists and searches, `cursor` is how a list goes on; `disk` is the file and `codec` the form
//! of a record in it; `plausible` judges times that were stored.

mod candidates;
mod change;
mod codec;
mod cursor;
mod disk;
#[cfg(test)]
mod disk_tests;
mod index;
mod intent;
mod intern;
mod memory;
#[cfg(test)]
mod model_tests;
mod observe;
mod plausible;
mod query;
mod record;
mod state;
mod store;
#[cfg(test)]
mod tests;

pub(crate) use change::UserChange;
pub(crate) use intent::{Intent, Origin, may_dial};
pub(crate) use memory::Book;
pub(crate) use observe::{Discovered, Identified};
pub(crate) use plausible::LONGEST_WAIT;
pub(crate) use query::{Filter, ListQuery};
pub(crate) use record::{MAX_PROTOCOLS, Record};
pub(crate) use store::{Committing, Store, StoreHandle};
