//! The numbers that stand for runs and subscriptions outside: below 2^53, so that they pass
//! through JavaScript, and never used twice.
//!
//! A number's lowest bit tells what it is for, so a handle of one kind is never valid as another.
//! The counting starts at a random place: a number kept by a program from an earlier process is
//! then almost certainly no handle in this one.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The kinds of thing that a handle stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Run = 0,
    Events = 1,
}

/// The counters of handles, one for each kind.
pub(crate) struct Handles {
    first: u64,
    next: [AtomicU64; 2],
}

static HANDLES: OnceLock<Handles> = OnceLock::new();

impl Handles {
    fn get() -> &'static Handles {
        HANDLES.get_or_init(|| {
            // 31 random bits above 20 counted ones, and the kind's bit: 52 in all. Counting past
            // the 20 bits stays below 2^53 for another 2^52 handles.
            let random = getrandom::u32().unwrap_or(std::process::id()) >> 1;
            let first = (u64::from(random) << 20) + 1;
            Handles { first, next: [AtomicU64::new(first), AtomicU64::new(first)] }
        })
    }

    /// Makes a new handle.
    pub(crate) fn next(kind: Kind) -> u64 {
        let counter = &Self::get().next[kind as usize];
        (counter.fetch_add(1, Ordering::Relaxed) << 1) | kind as u64
    }

    /// Tells whether the number was ever given out for this kind in this process.
    pub(crate) fn was_issued(handle: u64, kind: Kind) -> bool {
        let handles = Self::get();
        let issued = handles.first..handles.next[kind as usize].load(Ordering::Relaxed);
        handle & 1 == kind as u64 && issued.contains(&(handle >> 1))
    }
}
