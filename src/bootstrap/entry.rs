//! An entry of the bootstrap list: an address to begin with, and who must answer there.
//!
//! The configuration, the file and the facade read their texts into entries here.

use std::fmt;

use multiaddr::Protocol;

use crate::addr::{is_dialable, parse_address, with_peer_id};
use crate::error::{Error, ErrorKind, Result, invalid_argument};
use crate::{Multiaddr, PeerId, features};

/// An address to begin with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    /// The address, without the `/p2p/` part of the peer itself.
    pub addr: Multiaddr,
    /// The peer that must answer; None only for a `/dnsaddr/`, which may stand for several peers.
    pub peer_id: Option<PeerId>,
}

impl Entry {
    /// Reads an address in any form [`parse_address`] takes. Two texts that mean the same are equal.
    ///
    /// # Errors
    /// `invalid_multiaddr`; `invalid_argument` where the peer id is missing; `unsupported` for what
    /// this build can't dial.
    pub(crate) fn parse(text: &str) -> Result<Entry> {
        let read = parse_address(text)?;
        let entry = Entry { addr: read.addr, peer_id: read.peer_id };
        if let Some(feature) = features::missing_for(&entry.addr) {
            let error = feature.absent(&entry.to_string());
            return Err(error.with("multiaddr", entry.to_string()));
        }
        if !is_dialable(&entry.addr) {
            let why = "isn't TCP, QUIC (/udp/…/quic-v1) or /dnsaddr/, which are all there is yet";
            return Err(Error::new(ErrorKind::Unsupported, format!("{entry} {why}"))
                .with("multiaddr", entry.to_string()));
        }
        if entry.peer_id.is_none() && !entry.may_be_several() {
            return Err(invalid_argument(format!("{entry} doesn't say whose address it is"))
                .with("multiaddr", entry.to_string())
                .with_hint("put /p2p/ and the id of the peer at its end"));
        }
        Ok(entry)
    }

    fn may_be_several(&self) -> bool {
        matches!(self.addr.iter().next(), Some(Protocol::Dnsaddr(_)))
    }
}

/// Writes the whole address, as it stands in the file and in replies.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.peer_id {
            Some(peer) => with_peer_id(&self.addr, peer).fmt(f),
            None => self.addr.fmt(f),
        }
    }
}
