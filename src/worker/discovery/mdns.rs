//! Multicast DNS as a source: takes the peers it discovers, and gives it our addresses. The service
//! itself is `protocols/mdns`.

use std::time::Duration;

use super::passes::Pass;
use super::source::DiscoverySource;
use crate::model::Source;
use crate::worker::core::Core;
use crate::worker::core::timers::Timer;
use crate::worker::protocols::mdns::{Discovered, Mdns, Report};

/// Time after which a new interface is asked on again: it has its address up to a second before it
/// runs, and nothing can be sent on it till then.
const SETTLING: Duration = Duration::from_secs(2);

/// The service, while discovery runs and the configuration has it on.
#[derive(Default)]
pub(super) struct MdnsSource(Option<Mdns>);

impl DiscoverySource for MdnsSource {
    fn source(&self) -> Source {
        Source::Mdns
    }

    fn is_on(&self, core: &Core) -> bool {
        core.shared.settings.discovery.mdns
    }

    fn listens(&self) -> bool {
        true
    }

    fn start(&mut self, core: &mut Core) {
        self.0 = self.is_on(core).then(|| Mdns::new(core.shared.peer_id, core.clock()));
        self.tell_addresses(core);
    }

    fn stop(&mut self, _: &mut Core) {
        self.0 = None;
    }

    fn ask(&mut self, _: &mut Core, _: &mut Pass) {
        self.query();
    }

    fn note(&self, core: &Core) {
        let Some(mdns) = &self.0 else { return };
        let report = mdns.report();
        for (reason, count) in &report.dropped {
            core.shared.discovery.dropped_in_all(Source::Mdns, reason, *count);
        }
        core.shared.discovery.note(Source::Mdns, silence(&report));
    }

    fn addresses_changed(&mut self, core: &mut Core) {
        self.tell_addresses(core);
    }

    /// Asks now and in a moment.
    fn network_changed(&mut self, core: &mut Core) {
        self.query();
        core.timers.set(core.now + SETTLING, Timer::QueryMdns);
    }
}

impl MdnsSource {
    pub(super) async fn next(&mut self) -> Discovered {
        match &mut self.0 {
            Some(mdns) => mdns.next().await,
            None => std::future::pending().await,
        }
    }

    pub(super) fn discovered(&self, core: &mut Core, told: &Discovered) {
        core.discovered(Source::Mdns, told.peer, &told.addresses);
    }

    /// Says where this node listens now.
    fn tell_addresses(&mut self, core: &Core) {
        let Some(mdns) = &mut self.0 else { return };
        let never = &core.shared.settings.no_announce;
        let told = core.swarm.listeners().filter(|address| !never.contains(address));
        mdns.set_addresses(&told.cloned().collect::<Vec<_>>());
    }

    pub(super) fn query(&mut self) {
        if let Some(mdns) = &mut self.0 {
            mdns.query();
        }
    }
}

/// Says why nobody was discovered, as far as the service can tell.
fn silence(report: &Report) -> String {
    let silent = report.interfaces.iter().filter(|interface| interface.received == 0);
    let silent: Vec<_> = silent
        .map(|interface| match &interface.error {
            Some(error) => format!("{} ({error})", interface.name),
            None => interface.name.clone(),
        })
        .collect();
    let mut note = match (report.interfaces.is_empty(), silent.is_empty()) {
        (true, _) => match &report.error {
            Some(error) => format!("the network interfaces can't be listed: {error}"),
            None => "this machine has no network interface that speaks multicast".to_owned(),
        },
        (_, true) => "nobody was heard of that wasn't known".to_owned(),
        _ => format!("nothing heard on {}", silent.join(", ")),
    };
    if report.left_out > 0 {
        let (spoken, left_out) = (report.interfaces.len(), report.left_out);
        note += &format!(
            "; {left_out} interfaces are left out: multicast DNS speaks on {spoken} at most"
        );
    }
    note
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::protocols::mdns::InterfaceReport;

    #[test]
    fn interfaces_over_the_limit_are_told_of() {
        let interface = |n| InterfaceReport { name: format!("eth{n}"), received: 1, error: None };
        let mut report = Report {
            interfaces: (0..32).map(interface).collect(),
            left_out: 3,
            error: None,
            received: 32,
            dropped: Default::default(),
        };
        assert!(silence(&report).contains("3 interfaces are left out"), "{}", silence(&report));
        report.left_out = 0;
        assert!(!silence(&report).contains("left out"));
    }
}
