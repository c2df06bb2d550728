//! The local network: what multicast DNS brings, and what it is told. The service itself is `mdns`.

use std::time::{Duration, Instant};

use crate::model::Source;
use crate::worker::protocols::mdns::{Heard, Mdns};
use crate::worker::{Timer, Worker};

/// An interface that comes has its address up to a second before it runs, and can't be spoken on till then.
const SETTLING: Duration = Duration::from_secs(2);

/// The service, while discovery runs and the configuration has it on.
#[derive(Default)]
pub(crate) struct Local(Option<Mdns>);

impl Local {
    pub(crate) async fn next(&mut self) -> Heard {
        match &mut self.0 {
            Some(mdns) => mdns.next().await,
            None => std::future::pending().await,
        }
    }
}

impl Worker {
    /// Multicast DNS is spoken, or no longer.
    pub(crate) fn speak_mdns(&mut self, active: bool) {
        let on = active && self.run.settings.discovery.mdns;
        self.local.0 = on.then(|| Mdns::new(self.run.peer_id));
        self.tell_mdns();
    }

    /// The node's own addresses are others.
    pub(crate) fn tell_mdns(&mut self) {
        let Some(mdns) = &mut self.local.0 else { return };
        let never = &self.run.settings.no_announce;
        let told = self.swarm.listeners().filter(|address| !never.contains(address));
        mdns.set_addresses(&told.cloned().collect::<Vec<_>>());
    }

    /// There is an address of ours that wasn't there. It may be of a network that has just come.
    pub(crate) fn ask_mdns_soon(&mut self) {
        self.ask_mdns();
        self.timers.set(Instant::now() + SETTLING, Timer::AskAround);
    }

    pub(crate) fn ask_mdns(&mut self) {
        if let Some(mdns) = &mut self.local.0 {
            mdns.query();
        }
    }

    pub(crate) fn on_heard(&mut self, heard: Heard) {
        self.found(Source::Mdns, heard.peer, heard.addresses);
    }

    /// Puts down what the service counted, and where nothing was heard.
    pub(crate) fn note_mdns(&mut self) {
        let Some(mdns) = &self.local.0 else { return };
        let report = mdns.report();
        for (reason, count) in report.dropped {
            self.run.discovery.dropped_in_all(Source::Mdns, reason, count);
        }
        let silent = report.interfaces.iter().filter(|interface| interface.heard == 0);
        let silent: Vec<_> = silent
            .map(|interface| match &interface.error {
                Some(error) => format!("{} ({error})", interface.name),
                None => interface.name.clone(),
            })
            .collect();
        let note = match (report.interfaces.is_empty(), silent.is_empty()) {
            (true, _) => match &report.error {
                Some(error) => format!("the network interfaces can't be listed: {error}"),
                None => "this machine has no network interface that speaks multicast".to_owned(),
            },
            (_, true) => "nobody was heard of that wasn't known".to_owned(),
            _ => format!("nothing heard on {}", silent.join(", ")),
        };
        self.run.discovery.note(Source::Mdns, note);
    }
}
