//! A source of discovery, as passes see it. Its own file takes what it discovers between passes.

use super::passes::Pass;
use crate::model::Source;
use crate::worker::core::Core;
use crate::worker::core::calls::{CallId, Ending};
use crate::worker::protocols::kad::QueryId;
use crate::{Multiaddr, PeerId};

/// One way to find peers. A new source is a file with this, a line of the table in `sources.rs`, and
/// its configuration key.
pub(super) trait DiscoverySource {
    /// Returns the name it goes by in replies.
    fn source(&self) -> Source;

    /// Tells whether the configuration has it on, and there is anything to ask.
    fn is_on(&self, core: &Core) -> bool;

    /// Tells whether it brings answers that can't be counted, so that a pass waits its window for them.
    fn listens(&self) -> bool {
        false
    }

    /// Tells whether asking it costs the whole network something, so that passes leave it out while
    /// nothing is new.
    fn is_costly(&self) -> bool {
        false
    }

    /// Takes up what earlier runs left: a run begins.
    fn begin(&mut self, _: &mut Core) {}

    /// Takes part from now on: discovery is active, or a pass is under way.
    fn start(&mut self, _: &mut Core) {}

    /// Takes part no longer.
    fn stop(&mut self, _: &mut Core) {}

    /// Asks for peers, and tells the pass which answers to wait for.
    fn ask(&mut self, core: &mut Core, pass: &mut Pass);

    /// Ends queries with what they have: the pass that waited for them is over.
    fn finish(&mut self, _: &mut Core, _: &[QueryId]) {}

    /// Lets every call that waits be answered `closed`.
    fn drop_calls(&mut self) {}

    /// Answers a call that ends before its work is done.
    fn ended(&mut self, _: &mut Core, _: CallId, _: Ending) {}

    /// Hears which protocols a peer speaks, and where it listens. True if it is the first that this source can
    /// ask.
    fn identified(&mut self, _: &mut Core, _: PeerId, _: &[Multiaddr]) -> bool {
        false
    }

    /// Tells whether it is on and has nobody to ask.
    fn knows_nobody(&self, _: &mut Core) -> bool {
        false
    }

    /// Forgets a peer that is connected no more.
    fn peer_gone(&mut self, _: &PeerId) {}

    /// Hears that this node listens at other addresses than before.
    fn addresses_changed(&mut self, _: &mut Core) {}

    /// Hears of an address of this node that wasn't there: it may be of a network that has just come.
    fn network_changed(&mut self, _: &mut Core) {}

    /// Puts down, at the end of a pass, why nothing was found.
    fn note(&self, _: &Core) {}
}

/// Notes that a pass left the source out.
pub(super) fn note_left_out(core: &Core, source: Source) {
    let note = "left out of this pass: nothing is new since it last found nobody";
    core.shared.discovery.note(source, note.to_owned());
}
