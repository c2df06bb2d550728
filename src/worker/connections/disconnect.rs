//! `disconnect_peer`: closes the connections to a peer and answers when they are closed.

use std::collections::HashMap;

use crate::PeerId;
use crate::model::event::DisconnectReason;
use crate::worker::core::Core;
use crate::worker::core::calls::{CallId, Ending, Owner};
use crate::worker::core::notes::Note;
use crate::worker::reply::{Reply, Terms};

/// The calls that wait, with the numbers of the connections they wait for.
#[derive(Default)]
pub(super) struct Disconnects(HashMap<CallId, (Vec<u64>, Reply<bool>)>);

impl Disconnects {
    pub(super) fn begin(&mut self, core: &mut Core, peer: PeerId, terms: Terms<bool>) {
        core.note(Note::Disconnecting { peer });
        let state = core.peers.get(&peer);
        let open: Vec<u64> =
            state.iter().flat_map(|state| &state.connections).map(|open| open.number).collect();
        if open.is_empty() {
            core.close_peer(&peer, DisconnectReason::LocalRequest);
            return terms.reply.send(Ok(false));
        }
        let Some((call, _, reply)) = core.register(Owner::Connections, terms) else { return };
        self.0.insert(call, (open, reply));
        core.close_peer(&peer, DisconnectReason::LocalRequest);
    }

    /// Answers the calls for which this was the last connection to close.
    pub(super) fn connection_gone(&mut self, core: &mut Core, number: u64) {
        for (open, _) in self.0.values_mut() {
            open.retain(|connection| *connection != number);
        }
        for (call, (_, reply)) in self.0.extract_if(|_, (open, _)| open.is_empty()) {
            core.finish(call);
            reply.send(Ok(true));
        }
    }

    pub(super) fn ended(&mut self, core: &mut Core, call: CallId, why: Ending) {
        if let Some((_, reply)) = self.0.remove(&call) {
            core.finish(call);
            reply.send(Err(why.error("the connection did not close in time")));
        }
    }
}
