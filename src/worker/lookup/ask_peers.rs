//! The questions and answers of the find-peer protocol. Addresses given and received are filtered as
//! all that pass between remotes and us are, and a remote gets few answers a second.

use crate::addr;
use crate::model::Source;
use crate::worker::core::Core;
use crate::worker::protocols::find_peer::{Answer, Question};
use crate::worker::util::addresses::{filter_addresses, least_scope};
use crate::worker::util::rate::Rates;
use crate::{Multiaddr, PeerId};

/// Questions answered for one peer in a second, and at once.
const PER_SECOND: u32 = 5;
const BURST: u32 = 20;

/// The rate at which each peer gets answers.
pub(super) struct Answers(Rates);

impl Default for Answers {
    fn default() -> Self {
        Answers(Rates::new(PER_SECOND, BURST))
    }
}

impl Answers {
    /// Answers with the addresses that the asker may be able to reach from where it is seen.
    pub(super) fn answer(&mut self, core: &Core, asker: &PeerId, question: &Question) -> Answer {
        if !self.0.take(asker, core.now) {
            core.shared.discovery.refused("exchange.rate");
            return Answer::default();
        }
        let wanted = question.peer().and_then(|wanted| core.shared.book.get(&wanted));
        let Some(record) = wanted else { return Answer::default() };
        let least = core.peers.seen_at(asker).map(|address| least_scope(&address));
        let known = record.dial_addresses();
        let known = known.iter().filter_map(|(text, _)| text.parse::<Multiaddr>().ok());
        let reaches = |address: &Multiaddr| least.is_none_or(|least| addr::scope(address) >= least);
        Answer::new(known.filter(reaches))
    }

    pub(super) fn forget(&mut self, peer: &PeerId) {
        self.0.forget(peer);
    }
}

/// Returns the usable ones of the addresses that a connected peer gave for another.
pub(super) fn read_answer(
    core: &Core,
    teller: &PeerId,
    peer: PeerId,
    answer: &Answer,
) -> Vec<Multiaddr> {
    let seen_at = core.peers.seen_at(teller);
    let (addresses, dropped) = filter_addresses(answer.addresses(), peer, seen_at.as_ref());
    core.count_dropped(Source::Exchange, &dropped);
    addresses
}
