//! Tells subscribers of inbound connections that were refused: at once of the first, and then so seldom that no
//! crowd makes itself heard. Each of them is counted where it is refused (`behaviour/gater`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::model::Text;
use crate::model::event::EventKind;
use crate::worker::core::Core;
use crate::worker::core::timers::Timer;

/// The least time between two events.
const PAUSE: Duration = Duration::from_secs(10);
/// The beginning of the names under which inbound connections are counted.
const NAMES: &str = "inbound.";

/// The refusals told of by now.
#[derive(Default)]
pub(super) struct Refusals {
    told: BTreeMap<Text, u64>,
    told_at: Option<Instant>,
}

impl Refusals {
    /// Tells of what was refused since the last time, or puts it off until that may be told.
    pub(super) fn look(&mut self, core: &mut Core) {
        if let Some(at) = self.told_at.map(|at| at + PAUSE)
            && at > core.now
        {
            return core.timers.set_at_latest(at, Timer::TellRefusals);
        }
        let all = core.shared.discovery.all_dropped();
        let inbound = all.into_iter().filter(|(name, _)| name.starts_with(NAMES));
        let now: BTreeMap<Text, u64> = inbound.collect();
        let before = |name| self.told.get(name).copied().unwrap_or_default();
        let new = now.iter().map(|(name, count)| (name.clone(), count - before(name)));
        let reasons: BTreeMap<_, _> = new.filter(|(_, count)| *count > 0).collect();
        if reasons.is_empty() {
            return;
        }
        (self.told, self.told_at) = (now, Some(core.now));
        tracing::warn!(?reasons, "inbound connections were refused");
        core.shared.hub.publish(None, EventKind::ConnectionsRefused { reasons });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;
    use crate::worker::core::testing::core;

    #[tokio::test]
    async fn the_first_is_told_at_once_and_a_crowd_in_one_event() {
        let (mut core, clock, _) = core(json!({ "profile": "offline" }));
        let mut refusals = Refusals::default();
        let refused = |core: &mut Core, refusals: &mut Refusals, times| {
            (0..times).for_each(|_| core.shared.discovery.refused("inbound.share"));
            core.shared.discovery.refused("pubsub.rate");
            refusals.look(core);
        };
        refusals.look(&mut core);
        refused(&mut core, &mut refusals, 1);
        refused(&mut core, &mut refusals, 500);
        refused(&mut core, &mut refusals, 500);
        core.pass_time(&clock, PAUSE);
        assert_eq!(core.elapsed_timer(), Some(Timer::TellRefusals));
        refusals.look(&mut core);
        refusals.look(&mut core);
        let events = core.shared.hub.recent();
        let told = events.iter().map(|event| match &event.kind {
            EventKind::ConnectionsRefused { reasons } => reasons.clone(),
            other => panic!("{other:?}"),
        });
        let of = |count| BTreeMap::from([("inbound.share".into(), count)]);
        assert_eq!(told.collect::<Vec<_>>(), [of(1), of(1000)]);
    }
}
