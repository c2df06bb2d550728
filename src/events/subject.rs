//! The subject of an event: what it is about, within its kind. The history is fair between subjects as it is
//! between kinds, so that one that changes all the time takes no other's place.

use crate::model::event::{Event, EventKind};
use crate::model::{Source, Text};

/// A peer; a topic, whose messages may be of any number of authors; a source, which may tell of any number of peers
/// that it made up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Peer(Text),
    Topic(Text),
    Source(Source),
}

impl Subject {
    /// Returns the subject of an event; none where it is about this node.
    pub(super) fn of(event: &Event) -> Option<Self> {
        match &event.kind {
            EventKind::Message { topic, .. } => Some(Subject::Topic(topic.clone())),
            // One that came itself has its identity, and may be new again each time.
            EventKind::PeerDiscovered { source, .. } if *source != Source::Inbound => {
                Some(Subject::Source(*source))
            }
            _ => event.peer_id.clone().map(Subject::Peer),
        }
    }
}
