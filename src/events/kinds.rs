//! The kinds of event that a subscription is for.

use crate::error::{Result, invalid_argument};
use crate::model::event::Kind;

/// A set of kinds, a bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kinds(u32);

const _: () = assert!(Kind::ALL.len() < 32, "a bit for each kind");

impl Kinds {
    pub(super) const ALL: Kinds = Kinds(u32::MAX);

    pub(super) const fn only(kind: Kind) -> Self {
        Kinds(1 << kind as u32)
    }

    /// Reads the kinds of these names, and adds `stopped`: every subscription is told of the end.
    pub(super) fn of(names: &[String]) -> Result<Self> {
        if names.is_empty() {
            return Err(invalid_argument(
                "`kinds` is empty; leave it out for events of every kind",
            ));
        }
        let mut kinds = Self::only(Kind::Stopped);
        for name in names {
            kinds.0 |= Self::only(name.parse()?).0;
        }
        Ok(kinds)
    }

    pub(super) fn contains(self, kind: Kinds) -> bool {
        self.0 & kind.0 != 0
    }
}
