//! The state that a run and its worker have in common: the settings, the memory that the facade reads
//! and the worker writes, and the way to tell subscribers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use multiaddr::Protocol;
use parking_lot::RwLock;

use super::metrics::Recorder;
use super::transport::counted::Traffic;
use super::transport::evidence::{ClockEvidence, Moment};
use super::transport::listening::Watch;
use super::transport::names::Names;
use super::util::budgets::Budgets;
use super::util::clock::Clock;
use crate::book::Book;
use crate::bootstrap::BootstrapList;
use crate::config::Settings;
use crate::discovery_log::DiscoveryLog;
use crate::events::Hub;
use crate::model::Text;
use crate::model::event::EventKind;
use crate::{Multiaddr, PeerId, addr};

/// The common state, held as `Arc<Shared>`; one for each run.
pub(crate) struct Shared {
    pub settings: Settings,
    pub peer_id: PeerId,
    /// The id in base58.
    pub peer_text: Text,
    pub book: Arc<Book>,
    pub bootstrap: BootstrapList,
    pub hub: Hub,
    pub discovery: Arc<DiscoveryLog>,
    pub metrics: Arc<Recorder>,
    pub traffic: Arc<Traffic>,
    pub names: Arc<Names>,
    pub watch: Arc<Watch>,
    /// Evidence against this machine's clock.
    pub clock_evidence: Arc<ClockEvidence>,
    /// How much work remotes may ask for.
    pub budgets: Arc<Budgets>,
    listening: RwLock<Vec<Multiaddr>>,
    dead: AtomicBool,
}

impl Shared {
    pub(crate) fn new(
        settings: Settings,
        peer_id: PeerId,
        book: Arc<Book>,
        bootstrap: BootstrapList,
    ) -> Self {
        let discovery: Arc<DiscoveryLog> = Arc::default();
        let budgets = Arc::new(Budgets::new(Arc::clone(&discovery), Clock::default()));
        Shared {
            settings,
            peer_id,
            peer_text: peer_id.to_string().into(),
            book,
            bootstrap,
            hub: Hub::default(),
            discovery,
            metrics: Arc::default(),
            traffic: Arc::default(),
            names: Arc::default(),
            watch: Arc::default(),
            clock_evidence: Arc::default(),
            budgets,
            listening: RwLock::default(),
            dead: AtomicBool::new(false),
        }
    }

    /// Notes a listen address as come or gone, and tells subscribers.
    pub(crate) fn listen_addr(&self, address: Multiaddr, active: bool) {
        let text = addr::with_peer_id(&address, &self.peer_id).to_string();
        {
            let mut listening = self.listening.write();
            listening.retain(|known| *known != address);
            if active {
                listening.push(address);
                listening.sort_by_key(usual_order);
            }
        }
        let address = text.into();
        self.hub.publish(None, EventKind::ListenAddr { address, active });
    }

    /// Returns the addresses this node listens on, IPv4 and TCP first.
    pub(crate) fn listen_addresses(&self) -> Vec<Multiaddr> {
        self.listening.read().clone()
    }

    /// Counts the addresses this node listens on.
    pub(crate) fn listen_address_count(&self) -> usize {
        self.listening.read().len()
    }

    /// Tells whether this node listens on the address.
    pub(crate) fn listens_on(&self, address: &Multiaddr) -> bool {
        self.listening.read().contains(address)
    }

    /// Says what of this machine is wrong now.
    pub(crate) fn warnings(&self, now: Moment) -> Vec<String> {
        let clock = self.clock_evidence.warning(now);
        self.names.warnings().into_iter().chain(self.watch.warning()).chain(clock).collect()
    }

    /// Notes that the worker has panicked, or that a call in the run has.
    pub(crate) fn mark_dead(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }
}

/// Puts IPv4 before IPv6, TCP before QUIC: the same from run to run, whichever socket was first.
fn usual_order(address: &Multiaddr) -> (bool, bool) {
    let has = |wanted: fn(&Protocol<'_>) -> bool| address.iter().any(|part| wanted(&part));
    (has(|part| matches!(part, Protocol::Ip6(_))), has(|part| matches!(part, Protocol::Udp(_))))
}
