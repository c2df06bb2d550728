//! The find-peer protocol, `/peerkit/find-peer/1.0.0`: asks a connected peer where another is. One
//! question, one answer, in CBOR.
//!
//! The answer is a hint: whoever is dialled by it must still prove to be the peer.

use std::iter;
use std::time::Duration;

use libp2p::StreamProtocol;
use libp2p::request_response::{self as rr, ProtocolSupport, cbor};
use serde::{Deserialize, Serialize};

use crate::config::Settings;
use crate::error::{Error, ErrorKind, Result};
use crate::{Multiaddr, PeerId};

/// A question is a peer id; an answer 16 addresses of 512 bytes, and some framing.
/// Addresses in an answer.
const MAX_ADDRESSES: usize = 16;
const MAX_QUESTION_BYTES: u64 = 1024;
const MAX_ANSWER_BYTES: u64 = 16 * 1024;
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Question {
    peer_id: Vec<u8>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// Multiaddrs in binary, the most useful first.
    addresses: Vec<Vec<u8>>,
}

pub(crate) type FindPeer = cbor::Behaviour<Question, Answer>;

pub(crate) fn behaviour(settings: &Settings) -> Result<FindPeer> {
    let name = settings.discovery.find_peer_protocol.clone();
    let protocol = StreamProtocol::try_from_owned(name)
        .map_err(|_| Error::new(ErrorKind::ConfigInvalid, "`protocol_prefix` has no slash"))?;
    let codec = cbor::codec::Codec::default()
        .set_request_size_maximum(MAX_QUESTION_BYTES)
        .set_response_size_maximum(MAX_ANSWER_BYTES);
    let config = rr::Config::default().with_request_timeout(TIMEOUT);
    Ok(FindPeer::with_codec(codec, iter::once((protocol, ProtocolSupport::Full)), config))
}

/// The question where a peer is.
pub(crate) fn ask(peer: &PeerId) -> Question {
    Question { peer_id: peer.to_bytes() }
}

impl Question {
    /// The peer that is asked for.
    pub(crate) fn peer(&self) -> Option<PeerId> {
        PeerId::from_bytes(&self.peer_id).ok()
    }
}

impl Answer {
    pub(crate) fn new(addresses: impl Iterator<Item = Multiaddr>) -> Self {
        let addresses = addresses.take(MAX_ADDRESSES).map(|address| address.to_vec()).collect();
        Answer { addresses }
    }

    /// The addresses told, as far as they can be read.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = Multiaddr> {
        self.addresses.iter().filter_map(|bytes| Multiaddr::try_from(bytes.clone()).ok())
    }
}
