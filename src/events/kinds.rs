//! Which kinds of event a subscription is for.

use crate::error::{Error, ErrorKind, MAX_NAME, Result, invalid_argument, nearest};
use crate::model::event::EventKind;

/// A set of kinds: a bit for each name in [`EventKind::NAMES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kinds(u32);

const _: () = assert!(EventKind::NAMES.len() < 32, "a bit for each kind");

impl Kinds {
    pub(super) const ALL: Kinds = Kinds(u32::MAX);

    pub(super) fn only(kind: &EventKind) -> Self {
        // Every kind has its place in the list: both come from one macro.
        Self::named(kind.name()).unwrap_or(Self::ALL)
    }

    fn named(name: &str) -> Option<Self> {
        let place = EventKind::NAMES.iter().position(|known| *known == name)?;
        Some(Kinds(1 << place))
    }

    /// The kinds of these names, and `stopped`: every subscription hears of the end.
    pub(super) fn of(names: &[String]) -> Result<Self> {
        if names.is_empty() {
            return Err(invalid_argument(
                "`kinds` is empty; leave it out for events of every kind",
            ));
        }
        let mut kinds = Self::only(&EventKind::Stopped { code: ErrorKind::Closed });
        for name in names {
            kinds.0 |= Self::named(name).ok_or_else(|| unknown(name))?.0;
        }
        Ok(kinds)
    }

    pub(super) fn contains(self, kind: Kinds) -> bool {
        self.0 & kind.0 != 0
    }
}

fn unknown(name: &str) -> Error {
    let quoted: String = name.chars().take(MAX_NAME).collect();
    let message = format!("there is no kind of event `{quoted}`");
    match nearest(name, EventKind::NAMES.iter().copied()) {
        Some(near) => invalid_argument(format!("{message}; did you mean `{near}`?"))
            .with("kind", quoted)
            .with("nearest", near),
        None => invalid_argument(message).with("kind", quoted),
    }
}
