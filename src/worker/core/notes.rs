//! The notes by which a part informs others. A part pushes a note to the core; `Worker` hands it round,
//! in one written order. Some notes tell what happened, some ask for what another part can do.

use std::time::Instant;

use super::calls::CallId;
use crate::book::Origin;
use crate::model::event::DisconnectReason;
use crate::model::reply::Lookup;
use crate::model::{DialStage, Source, Text};
use crate::{Multiaddr, PeerId};

pub(crate) enum Note {
    /// A connection stands.
    Opened(Opened),
    /// A connection ended.
    Closed(Closed),
    /// A peer's identify has come, with the addresses it listens at.
    Identified { peer: PeerId, listens_at: Vec<Multiaddr> },
    /// A peer doesn't speak identify, or broke it.
    Unidentified { peer: PeerId },
    /// A user's call disconnects the peer: dials to it end as well.
    Disconnecting { peer: PeerId },
    /// The user removes the peer: no remote is told of it any more.
    Forgotten { peer: PeerId },
    /// A source has discovered a peer; `new`: the book didn't know it.
    Discovered { peer: PeerId, new: bool },
    /// This node can be reached at other addresses than before.
    AddressesChanged(AddressChange),
    /// The clock jumped, or this machine is on another network: dials that failed may succeed now.
    SurroundingsChanged,
    /// Discovery wants a peer of the bootstrap list dialled, or an address that names no peer.
    DialListed(ListedDial),
    /// A dial that [`Note::DialListed`] asked for is over, or wasn't made.
    ListedDialEnded(ListedDialEnd),
    /// A query of the DHT couldn't reach a peer.
    QueryDialFailed { peer: PeerId, addresses: Vec<Text> },
    /// A call needs to know where a peer is.
    LookUp(LookUp),
    /// A look-up begins a step that asks `asked`; `steps` are over.
    LookupStep { call: CallId, steps: Vec<Lookup>, asked: Source },
    /// A look-up is over.
    LookedUp { call: CallId, steps: Vec<Lookup>, found: Vec<Multiaddr>, source: Source },
    /// The call that waits for a look-up is over.
    StopLookUp { call: CallId },
    /// A pass is over: the peers it discovered may be dialled.
    PassEnded,
    /// Discovery was stopped: automatic dials are given up.
    AutomaticDialsUnwanted,
}

/// The outcome of a dial whose connection stands now; for an inbound connection, one without origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DialOutcome {
    /// The reason why it was dialled; None: the remote dialled.
    pub origin: Option<Origin>,
    /// True where the book has counted the dial as an attempt; it can't for a peer it doesn't know yet.
    pub counted: bool,
    /// False where nobody waits for it any more, or the peer turned out to be connected already.
    pub wanted: bool,
}

pub(crate) struct Opened {
    pub peer: PeerId,
    pub origin: Option<Origin>,
    /// True where it is the only connection to the peer.
    pub first: bool,
}

pub(crate) struct Closed {
    pub peer: PeerId,
    pub origin: Option<Origin>,
    /// Of the peer's last connection: the reason why it ended, and how far it had come.
    pub last: Option<(DisconnectReason, DialStage)>,
}

pub(crate) struct ListedDial {
    pub peer: Option<PeerId>,
    pub addresses: Vec<Multiaddr>,
    /// Discovery's own number of the dial.
    pub ticket: u64,
}

pub(crate) struct ListedDialEnd {
    pub ticket: u64,
    /// The one address of a dial that named no peer, and the peer that answered there.
    pub answered: Option<(Multiaddr, PeerId)>,
    /// True where a connection stands.
    pub connected: bool,
}

pub(crate) struct LookUp {
    pub call: CallId,
    pub peer: PeerId,
    /// Addresses that failed already: an answer that has no other is no answer.
    pub tried: Vec<Text>,
    pub deadline: Instant,
}

/// The change of this node's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AddressChange {
    ListenAdded,
    ListenRemoved,
    External,
}
