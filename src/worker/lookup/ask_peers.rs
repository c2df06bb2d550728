//! Asking connected peers where a peer is: one question, one answer, in CBOR, under
//! `/peerkit/find-peer/1.0.0`.
//!
//! The answer is a hint: whoever is dialled by it must still prove to be the peer. It is looked over as
//! everything that strangers tell, and a stranger gets few answers a second.

use std::iter;
use std::time::{Duration, Instant};

use libp2p::StreamProtocol;
use libp2p::request_response::{self as rr, Message, ProtocolSupport, cbor};
use serde::{Deserialize, Serialize};

use crate::config::Settings;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Source;
use crate::worker::Worker;
use crate::worker::util::addresses::{self, MAX_ADDRESSES};
use crate::worker::util::rate::Rates;
use crate::{Multiaddr, PeerId, addr};

/// A question is a peer id; an answer 16 addresses of 512 bytes, and some framing.
const MAX_QUESTION_BYTES: u64 = 1024;
const MAX_ANSWER_BYTES: u64 = 16 * 1024;
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Questions answered for one peer in a second, and at once.
const PER_SECOND: u32 = 5;
const BURST: u32 = 20;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Question {
    peer_id: Vec<u8>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// Multiaddrs in binary, the most useful first.
    addresses: Vec<Vec<u8>>,
}

pub(crate) type Exchange = cbor::Behaviour<Question, Answer>;

pub(crate) fn behaviour(settings: &Settings) -> Result<Exchange> {
    let name = settings.discovery.exchange_protocol.clone();
    let protocol = StreamProtocol::try_from_owned(name)
        .map_err(|_| Error::new(ErrorKind::ConfigInvalid, "`protocol_prefix` has no slash"))?;
    let codec = cbor::codec::Codec::default()
        .set_request_size_maximum(MAX_QUESTION_BYTES)
        .set_response_size_maximum(MAX_ANSWER_BYTES);
    let config = rr::Config::default().with_request_timeout(TIMEOUT);
    Ok(Exchange::with_codec(codec, iter::once((protocol, ProtocolSupport::Full)), config))
}

/// The question where a peer is.
pub(crate) fn ask(peer: &PeerId) -> Question {
    Question { peer_id: peer.to_bytes() }
}

impl Worker {
    pub(crate) fn on_exchange(&mut self, event: rr::Event<Question, Answer>) {
        match event {
            rr::Event::Message { peer, message, .. } => match message {
                Message::Request { request, channel, .. } => {
                    let answer = self.answer(&peer, &request);
                    // The asker may be gone; then nobody waits.
                    let _ = self.swarm.behaviour_mut().exchange.send_response(channel, answer);
                }
                Message::Response { request_id, response } => {
                    let addresses = self.read_answer(&peer, request_id, &response);
                    self.exchanged(request_id, addresses);
                }
            },
            rr::Event::OutboundFailure { request_id, .. } => self.exchanged(request_id, Vec::new()),
            rr::Event::InboundFailure { .. } | rr::Event::ResponseSent { .. } => {}
        }
    }

    /// What we tell: addresses that would be of use where the asker is.
    fn answer(&mut self, asker: &PeerId, question: &Question) -> Answer {
        if !self.asked.take(asker, Instant::now()) {
            self.run.discovery.refused("exchange.rate");
            return Answer::default();
        }
        let Ok(wanted) = PeerId::from_bytes(&question.peer_id) else { return Answer::default() };
        let Some(record) = self.run.book.get(&wanted) else { return Answer::default() };
        let least = self.seen_at(asker).map(|address| addresses::least_scope(&address));
        let known = record.dial_addresses();
        let known = known.iter().filter_map(|(text, _)| text.parse::<Multiaddr>().ok());
        let useful =
            known.filter(|address| least.is_none_or(|least| addr::scope(address) >= least));
        Answer { addresses: useful.take(MAX_ADDRESSES).map(|address| address.to_vec()).collect() }
    }

    fn read_answer(
        &mut self,
        teller: &PeerId,
        request: rr::OutboundRequestId,
        answer: &Answer,
    ) -> Vec<Multiaddr> {
        let Some(peer) = self.lookups.asked_for(request) else { return Vec::new() };
        let told =
            answer.addresses.iter().filter_map(|bytes| Multiaddr::try_from(bytes.clone()).ok());
        let seen_at = self.seen_at(teller);
        let (useful, dropped) = addresses::useful(told, peer, seen_at.as_ref());
        self.drop_learnt(Source::Exchange, &dropped);
        useful
    }

    /// Where a connected peer is seen.
    pub(crate) fn seen_at(&self, peer: &PeerId) -> Option<Multiaddr> {
        let connection = self.peers.get(peer)?.connections.first()?;
        connection.address.parse().ok()
    }
}

/// The rate of questions, by asker.
pub(crate) fn rates() -> Rates {
    Rates::new(PER_SECOND, BURST)
}
