//! A dial: the addresses it tries, the calls that wait for it, and the report on each address.

use std::io;
use std::time::{Duration, Instant};

use libp2p::core::transport::TransportError;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};

use crate::book::Origin;
use crate::error::ErrorKind;
use crate::model::{Attempt, DialStage, Source, Text, TransportKind};
use crate::worker::core::calls::CallId;
use crate::worker::transport::progress::{DialFailure, Outcome};
use crate::worker::transport::terms::AllBegun;
use crate::worker::util::millis;
use crate::{Multiaddr, PeerId, addr, features};

/// Addresses tried in one dial.
pub(super) const MAX_ADDRESSES: usize = 16;

/// One address of a dial.
pub(super) struct DialAddress {
    /// The address, without `/p2p/`.
    pub address: Multiaddr,
    pub text: Text,
    pub source: Source,
}

impl DialAddress {
    /// Tells whether it is this one, as the swarm has it.
    fn is(&self, other: &Multiaddr) -> bool {
        addr::without_peer_id(other) == self.address
    }
}

/// A dial under way.
pub(super) struct Dial {
    pub peer: Option<PeerId>,
    pub addresses: Vec<DialAddress>,
    /// The addresses that no dial can be made to, or that were over the limit.
    pub untried: Vec<Attempt>,
    pub deadline: Instant,
    /// True where the book has counted it as an attempt; it can't for a peer it doesn't know yet.
    pub counted: bool,
    /// The progress of its addresses.
    pub begun: AllBegun,
    /// The calls that wait for it.
    pub waiters: Vec<CallId>,
    /// The reason why it is made.
    pub origin: Origin,
    /// Discovery's number of it, where discovery asked for it.
    pub ticket: Option<u64>,
}

/// The addresses of a dial, and those it leaves out.
pub(super) struct Plan {
    pub dialable: Vec<DialAddress>,
    pub untried: Vec<Attempt>,
}

impl Plan {
    /// Plans the given address first, then the known ones, each once. A private network has no QUIC.
    pub(super) fn new(
        given: Option<&Multiaddr>,
        known: Vec<(Text, Source)>,
        private_network: bool,
    ) -> Self {
        let needs_quic =
            |address: &Multiaddr| addr::transport_of(address) == Some(TransportKind::Quic);
        let given = given.map(|address| (Text::from(address.to_string()), Source::User));
        let mut plan = Plan { dialable: Vec::new(), untried: Vec::new() };
        for (text, source) in given.into_iter().chain(known) {
            let seen = plan.dialable.iter().map(|address| &address.text);
            if seen
                .chain(plan.untried.iter().map(|attempt| &attempt.address))
                .any(|other| *other == text)
            {
                continue;
            }
            match text.parse::<Multiaddr>() {
                Ok(address) if !addr::is_dialable(&address) => {
                    plan.untried.push(unsupported(&address, text, source));
                }
                Ok(address) if private_network && needs_quic(&address) => {
                    let hint =
                        "QUIC has no pre-shared key; with `swarm_key` peerkit dials TCP only";
                    let attempt = unsupported(&address, text, source);
                    plan.untried.push(Attempt { hint: Some(hint.to_owned()), ..attempt });
                }
                Ok(address) if plan.dialable.len() < MAX_ADDRESSES => {
                    plan.dialable.push(DialAddress { address, text, source });
                }
                _ => plan.untried.push(skipped(text, source)),
            }
        }
        plan
    }

    pub(super) fn is_empty(&self) -> bool {
        self.dialable.is_empty() && self.untried.is_empty()
    }
}

impl Dial {
    /// Returns the options with which the swarm makes the dial.
    pub(super) fn opts(&self) -> Option<DialOpts> {
        let Some(peer) = self.peer else {
            let only = self.addresses.first()?;
            return Some(DialOpts::unknown_peer_id().address(only.address.clone()).build());
        };
        let addresses =
            self.addresses.iter().map(|dialled| addr::with_peer_id(&dialled.address, &peer));
        // Always: a user's connect doesn't depend on what else goes on with that peer.
        Some(
            DialOpts::peer_id(peer)
                .condition(PeerCondition::Always)
                .addresses(addresses.collect())
                .build(),
        )
    }

    /// Returns those of its addresses that the user gave, by a call or the bootstrap list.
    pub(super) fn given(&self) -> Vec<Multiaddr> {
        let by_user =
            |dialled: &&DialAddress| matches!(dialled.source, Source::User | Source::Bootstrap);
        self.addresses.iter().filter(by_user).map(|dialled| dialled.address.clone()).collect()
    }

    /// Returns the given address, as the swarm will pass it to the transport, where others wait for it.
    pub(super) fn first(&self, given: Option<&Multiaddr>) -> Option<Multiaddr> {
        let [first, _, ..] = self.addresses.as_slice() else { return None };
        let peer = self.peer.filter(|_| given == Some(&first.address))?;
        Some(addr::with_peer_id(&first.address, &peer))
    }

    /// Reports on a dial that goes on, for a caller that can't wait for its end.
    pub(super) fn so_far(&self) -> Vec<Attempt> {
        let tried = self.addresses.iter().flat_map(|dialled| {
            let by_name = self.led_to(dialled, false, true);
            if !by_name.is_empty() {
                return by_name;
            }
            let (text, source) = (dialled.text.clone(), dialled.source);
            let begun = self.begun.lock();
            vec![match begun.iter().find(|begun| dialled.is(&begun.address)) {
                Some(begun) => failed(text, source, &begun.progress.so_far()),
                None => skipped(text, source),
            }]
        });
        tried.chain(self.untried.iter().cloned()).collect()
    }

    /// Reports on each address that the name in one led to; on none where it has no name, or the name led
    /// nowhere. `won`: one of them connected; `over`: those under way haven't connected in time.
    fn led_to(&self, dialled: &DialAddress, won: bool, over: bool) -> Vec<Attempt> {
        let begun = self.begun.lock();
        let its = begun.iter().filter(|begun| dialled.is(&begun.address));
        let led_to = its.filter_map(|begun| Some((begun.led_to.as_ref()?, &begun.progress)));
        let report = led_to.map(|(address, progress)| {
            let (text, source) = (Text::from(address.to_string()), dialled.source);
            let attempt = match progress.outcome() {
                Outcome::Landed(took) if won => succeeded(text, source, took),
                Outcome::Failed(failure) => failed(text, source, &failure),
                Outcome::Running if over => failed(text, source, &progress.so_far()),
                Outcome::Landed(_) | Outcome::Running => skipped(text, source),
            };
            Attempt { resolved_from: Some(dialled.text.clone()), ..attempt }
        });
        report.collect()
    }

    /// Tells whether the dial has this address, tried or not.
    pub(super) fn has(&self, address: &Multiaddr) -> bool {
        let text = address.to_string();
        let tried = self.addresses.iter().map(|dialled| &dialled.text);
        tried
            .chain(self.untried.iter().map(|attempt| &attempt.address))
            .any(|other| **other == *text)
    }

    /// Reports on a dial that ended. `winner` is the address that connected, and the time that took.
    pub(super) fn report(
        &self,
        errors: &[(Multiaddr, TransportError<io::Error>)],
        winner: Option<(&Multiaddr, Duration)>,
    ) -> Vec<Attempt> {
        let tried = self.addresses.iter().flat_map(|dialled| {
            let (text, source) = (dialled.text.clone(), dialled.source);
            let won = winner.filter(|(address, _)| dialled.is(address));
            let error = errors.iter().find(|(address, _)| dialled.is(address));
            let by_name = self.led_to(dialled, won.is_some(), error.is_some());
            if !by_name.is_empty() {
                return by_name;
            }
            vec![match (won, error) {
                (Some((_, took)), _) => succeeded(text, source, took),
                (None, Some((_, error))) => match DialFailure::of(error) {
                    Some(failure) => failed(text, source, failure),
                    None => unsupported(&dialled.address, text, source),
                },
                (None, None) => skipped(text, source),
            }]
        });
        tried.chain(self.untried.iter().cloned()).collect()
    }
}

fn succeeded(address: Text, source: Source, took: Duration) -> Attempt {
    Attempt { duration_ms: Some(millis(took)), ..untold(address, source) }
}

fn skipped(address: Text, source: Source) -> Attempt {
    Attempt { stage: Some(DialStage::Skipped), ..untold(address, source) }
}

fn unsupported(address: &Multiaddr, text: Text, source: Source) -> Attempt {
    let (error, hint) = match features::missing_for(address) {
        Some(feature) => (feature.absence(), feature.remedy()),
        None => (
            "this build has no transport for the address".to_owned(),
            "peerkit dials TCP and QUIC v1".to_owned(),
        ),
    };
    Attempt {
        stage: Some(DialStage::Transport),
        code: Some(ErrorKind::Unsupported),
        error: Some(error),
        hint: Some(hint),
        ..untold(text, source)
    }
}

fn failed(address: Text, source: Source, failure: &DialFailure) -> Attempt {
    if failure.stage == DialStage::Skipped {
        return skipped(address, source);
    }
    Attempt {
        stage: Some(failure.stage),
        code: Some(failure.code()),
        error: Some(failure.to_string()),
        hint: failure.hint().map(str::to_owned),
        duration_ms: Some(millis(failure.took)),
        ..untold(address, source)
    }
}

fn untold(address: Text, source: Source) -> Attempt {
    Attempt {
        address,
        source,
        stage: None,
        code: None,
        error: None,
        hint: None,
        duration_ms: None,
        resolved_from: None,
    }
}
