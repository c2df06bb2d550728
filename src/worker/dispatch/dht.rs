//! What the DHT tells, to the part it is for.

use libp2p::kad::{self, QueryResult};

use super::Worker;
use crate::addr;
use crate::worker::core::notes::Note;
use crate::worker::protocols::kad::DhtEvent;

impl Worker {
    pub(super) fn on_dht(&mut self, event: DhtEvent) {
        let core = &mut self.core;
        match event {
            DhtEvent::Kad(event) => {
                core.shared.metrics.record_kad(&event);
                self.on_kad(*event);
            }
            DhtEvent::Located { peer, addresses } => {
                self.lookups.located(core, peer, &addresses);
            }
            DhtEvent::DialFailed { peer, addresses } => {
                let text = |address| addr::without_peer_id(address).to_string().into();
                let addresses = addresses.iter().map(text).collect();
                core.note(Note::QueryDialFailed { peer, addresses });
            }
        }
    }

    /// A query of the DHT came to its end, or to a part of its result. Each part knows its own.
    fn on_kad(&mut self, event: kad::Event) {
        let kad::Event::OutboundQueryProgressed { id, result, step, stats } = event else { return };
        let core = &mut self.core;
        match result {
            QueryResult::GetClosestPeers(result) => {
                let found = match result {
                    Ok(found) => found.peers,
                    Err(kad::GetClosestPeersError::Timeout { peers, .. }) => peers,
                };
                self.discovery.searched(core, id, found, step.last);
                if step.last {
                    self.lookups.query_over(core, id);
                }
            }
            QueryResult::StartProviding(result) => {
                let told = result.is_ok() && stats.num_successes() > 0;
                self.content.provided(core, id, told);
            }
            QueryResult::GetProviders(result) => {
                self.content.found_providers(core, id, result, step.last);
            }
            _ => {}
        }
    }
}
