//! The questions to daemons that are under way, so that they end with the run: each blocks a thread, and the
//! daemon may take its time.

use std::convert::Infallible;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use ureq::Agent;

/// Questions that end together; clones share them.
#[derive(Clone)]
pub(crate) struct Questions(Arc<Shared>);

struct Shared {
    open: Mutex<Open>,
    /// Disconnected when the questions end.
    ended: Receiver<Infallible>,
}

struct Open {
    /// None once they have ended.
    until: Option<Sender<Infallible>>,
    last: u64,
    agents: Vec<(u64, Agent)>,
}

impl Default for Questions {
    fn default() -> Self {
        let (until, ended) = bounded(0);
        let open = Open { until: Some(until), last: 0, agents: Vec::new() };
        Questions(Arc::new(Shared { open: Mutex::new(open), ended }))
    }
}

impl Questions {
    /// Ends those under way, and those that are still to begin. One whose connection is just being made is
    /// the exception: it ends with that.
    pub(crate) fn end(&self) {
        let agents = {
            let mut open = self.0.open.lock();
            open.until = None;
            std::mem::take(&mut open.agents)
        };
        agents.into_iter().for_each(|(_, agent)| agent.shutdown());
    }

    /// Enters a question that is made by this agent, until it is dropped; none where they have ended.
    pub(super) fn begin(&self, agent: &Agent) -> Option<UnderWay> {
        let mut open = self.0.open.lock();
        open.until.as_ref()?;
        open.last += 1;
        let number = open.last;
        open.agents.push((number, agent.clone()));
        Some(UnderWay { questions: self.clone(), number })
    }

    /// Returns what is disconnected when they end.
    pub(super) fn ended(&self) -> Receiver<Infallible> {
        self.0.ended.clone()
    }
}

/// A question under way.
pub(super) struct UnderWay {
    questions: Questions,
    number: u64,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.questions.0.open.lock().agents.retain(|(number, _)| *number != self.number);
    }
}
