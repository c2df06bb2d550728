//! The numbers of what the server refused, for the metrics and for whoever reads its standard error.

use std::sync::atomic::{AtomicU64, Ordering};

/// The reason for which something was refused or a connection closed. Those of `peerkit::admission` are beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// No room for a reply.
    Replies,
    /// No room for the body of a request.
    Bodies,
    /// No room for heads that are longer than usual.
    Heads,
    /// The reply wasn't read, or far too slowly.
    Unread,
    /// Too many requests, event streams or calls that act at once.
    AtOnce,
}

impl Why {
    const ALL: [(Why, &'static str); 5] = [
        (Why::Replies, "replies"),
        (Why::Bodies, "bodies"),
        (Why::Heads, "heads"),
        (Why::Unread, "unread"),
        (Why::AtOnce, "at_once"),
    ];
}

/// The numbers since the start.
#[derive(Default)]
pub struct Refusals([AtomicU64; Why::ALL.len()]);

impl Refusals {
    /// Counts one.
    pub fn add(&self, why: Why) {
        self.0[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of those for this reason.
    pub fn count(&self, why: Why) -> u64 {
        self.0[why as usize].load(Ordering::Relaxed)
    }

    /// Lists the numbers with the names of the reasons.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Why::ALL.into_iter().map(|(why, name)| (name, self.count(why)))
    }
}
