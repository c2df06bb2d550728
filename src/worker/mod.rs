//! The worker: one task that owns the libp2p swarm. Only here are libp2p's swarm and tokio named.
//!
//! It takes commands from the facade (`command`), events from the swarm and its own timers, one
//! at a time, and never waits for anything else: the book is memory, the disk has a thread of its
//! own, and answers and events go into queues that never block. `connect` and `accept` are the story of
//! a connect, `lookup` of a search for a peer, `calls` of the other calls, `peers` and `identified` of
//! connections, `listen` of start-up; `discovery` is the story of a pass over the sources (`dht` with
//! `providers`, `pubsub` with `quiet` and `sieve`, `local` with `mdns`, `daemons`) and `tend` of what is
//! dialled because of it. `transport` and `behaviour` put libp2p together.

mod behaviour;
mod bind;
mod calls;
pub(crate) mod command;
mod connections;
mod content;
mod dialing;
mod discovery;
mod lookup;
mod metrics;
mod protocols;
mod pubsub;
mod timers;
mod transport;
mod util;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use libp2p::identity::Keypair;
use libp2p::swarm::{Swarm, SwarmEvent};
use tokio::sync::{Notify, mpsc};

use self::behaviour::{Behaviour, BehaviourEvent};
use self::calls::Calls;
use self::command::Command;
use self::connections::peer::Peer;
use self::content::Content;
use self::dialing::{Dials, auto};
use self::discovery::Discovery;
use self::discovery::daemons::Daemons;
use self::discovery::mdns::Local;
use self::lookup::{Lookups, ask_peers};
pub(crate) use self::metrics::Recorder;
use self::protocols::gossipsub::message_filter::Sieve;
pub(crate) use self::pubsub::MAX_TOPIC_BYTES;
use self::pubsub::Pubsub;
use self::timers::{Timer, Timers};
pub(crate) use self::transport::counted::Traffic;
use self::transport::wrappers::DialTerms;
use self::util::rate::{Rates, TokenBucket};
use crate::book::Book;
use crate::config::Settings;
use crate::discovery::DiscoveryLog;
use crate::error::{Error, ErrorKind, Result};
use crate::model::event::{DisconnectReason, EventKind};
use crate::run::Run;
use crate::{Multiaddr, PeerId};

/// How long a stop waits for connections to close in good order.
const FAREWELL: Duration = Duration::from_millis(500);

/// Runs a node on the calling thread until it is stopped. `ready` is called once it listens, with
/// its addresses; where it gives no run, the start was given up and the node ends at once. `begun` is
/// called once what the start does by itself shows.
pub(crate) fn run(
    node: &Node,
    commands: mpsc::Receiver<Command>,
    ready: impl FnOnce(Listening) -> Option<Arc<Run>>,
    begun: impl FnOnce(&Arc<Run>),
) -> Result<()> {
    // One thread: the swarm's task is the bottleneck, and a second thread triples the latency of
    // a command (shared/FACTS.md, "Facade and book").
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
            Error::new(ErrorKind::LimitReached, format!("no event loop to be had: {error}"))
        })?;
    let ended = runtime.block_on(async {
        let terms = DialTerms::default();
        let crashed = Arc::new(Notify::new());
        let sieve = Sieve::new(Arc::clone(&node.discovery));
        let mut swarm = behaviour::swarm(node, terms.clone(), &sieve, Arc::clone(&crashed))?;
        let mut early = Vec::new();
        let listening = bind::listen(&mut swarm, node, &mut early).await?;
        if let Some(run) = ready(listening) {
            let mut worker = Worker::new(swarm, run, terms, sieve, &node.keypair);
            early.into_iter().for_each(|event| worker.on_swarm_event(event));
            worker.begin();
            begun(&worker.run);
            worker.serve(commands, &crashed).await;
        }
        Ok(())
    });
    runtime.shutdown_timeout(FAREWELL);
    ended
}

/// What a node is made of.
pub(crate) struct Node {
    pub keypair: Keypair,
    pub settings: Settings,
    pub traffic: Arc<Traffic>,
    pub book: Arc<Book>,
    pub discovery: Arc<DiscoveryLog>,
    pub metrics: Arc<Recorder>,
}

/// What became of the listen addresses.
pub(crate) struct Listening {
    pub addresses: Vec<Multiaddr>,
    pub warnings: Vec<String>,
}

/// Timers served in one turn.
const TIMERS_AT_ONCE: usize = 32;

/// The state of the one task.
struct Worker {
    swarm: Swarm<Behaviour>,
    run: Arc<Run>,
    dial_terms: DialTerms,
    peers: HashMap<PeerId, Peer>,
    dials: Dials,
    calls: Calls,
    timers: Timers,
    discovery: Discovery,
    lookups: Lookups,
    pubsub: Pubsub,
    local: Local,
    daemons: Daemons,
    content: Content,
    /// The rate at which peers ask us where others are.
    asked: Rates,
    /// The rate at which peers are dialled that were never reached.
    strangers: TokenBucket,
    /// Whether a look at what to dial is due.
    tending: bool,
}

/// Marks the run as dead when a panic unwinds past it.
struct DeathMark(Arc<Run>);

impl Drop for DeathMark {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.condemn();
        }
    }
}

impl Worker {
    fn new(
        swarm: Swarm<Behaviour>,
        run: Arc<Run>,
        dial_terms: DialTerms,
        sieve: Sieve,
        keypair: &Keypair,
    ) -> Self {
        Worker {
            pubsub: Pubsub::new(keypair, &run.settings, sieve),
            local: Local::default(),
            swarm,
            run,
            dial_terms,
            peers: HashMap::new(),
            dials: Dials::default(),
            calls: Calls::default(),
            timers: Timers::default(),
            discovery: Discovery::default(),
            lookups: Lookups::default(),
            daemons: Daemons::new(),
            content: Content::default(),
            asked: ask_peers::rates(),
            strangers: TokenBucket::new(auto::STRANGERS_PER_S, auto::STRANGERS_AT_ONCE),
            tending: false,
        }
    }

    async fn serve(mut self, mut commands: mpsc::Receiver<Command>, crashed: &Notify) {
        // Dropped before the calls are, so whoever hears `dead` finds the run dead.
        let _mark = DeathMark(Arc::clone(&self.run));
        loop {
            self.dial_terms.set_quiet(self.is_quiet());
            tokio::select! {
                command = commands.recv() => match command {
                    None | Some(Command::Stop) => break,
                    Some(command) => self.on_command(command),
                },
                event = self.swarm.select_next_some() => self.on_swarm_event(event),
                heard = self.local.next() => self.on_heard(heard),
                answered = self.daemons.next() => self.on_daemon(answered),
                () = self.timers.elapsed() => self.on_timers(),
                () = crashed.notified() => panic!("a connection's task panicked"),
            }
        }
        self.farewell().await;
    }

    /// What a run begins with.
    fn begin(&mut self) {
        // The swarm tells of addresses it finds out, not of those it is given.
        for address in self.run.settings.advertise.clone() {
            self.external_addr(&address, true);
        }
        self.begin_discovery();
    }

    /// Whether nobody looks for anything: then nothing is dialled unasked.
    fn is_quiet(&self) -> bool {
        !self.discovering() && self.lookups.is_empty() && self.content.is_empty()
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Connect { target, terms } => self.connect(target, terms),
            Command::Disconnect { peer, forget, terms } => {
                if forget && let Some(dht) = self.swarm.behaviour_mut().dht.as_mut() {
                    dht.remove(&peer);
                }
                self.disconnect(peer, terms);
            }
            Command::Ping { peer, count, terms } => self.ping(peer, count, terms),
            Command::Discover { limit, terms } => self.discover(limit, terms),
            Command::SetDiscovery { active, terms } => {
                self.set_discovery(active);
                terms.reply.send(Ok(self.run.discovery.snapshot()));
            }
            Command::BootstrapChanged { terms } => {
                self.bootstrap_changed();
                terms.reply.send(Ok(()));
            }
            Command::AskDaemon { source, api, terms } => self.ask_daemon(source, api, terms),
            Command::FindPeer { peer, terms } => self.find_peer(peer, terms),
            Command::Provide { key, terms } => self.provide(key, terms),
            Command::FindProviders { key, limit, terms } => self.find_providers(key, limit, terms),
            Command::Publish { topic, data, terms } => self.publish(topic, data, terms),
            Command::Subscribe { topic, terms } => self.subscribe(topic, terms),
            Command::Unsubscribe { topic, terms } => self.unsubscribe(topic, terms),
            Command::Cancel { token, reply } => {
                let cancelled = self.cancel(token);
                reply.send(Ok(cancelled));
            }
            Command::Stop => {}
            #[cfg(feature = "fault-injection")]
            Command::Panic => panic!("injected fault"),
        }
    }

    fn on_timers(&mut self) {
        // Many calls may end at one moment; commands and connections get their turns in between.
        for _ in 0..TIMERS_AT_ONCE {
            let Some(timer) = self.timers.pop_elapsed(Instant::now()) else { return };
            match timer {
                Timer::Deadline(call) => self.on_deadline(call),
                Timer::Grace(peer) => self.settle_acceptance(peer),
                Timer::Lookup(call) => self.on_lookup_timer(call),
                Timer::Pass => self.on_pass_timer(),
                Timer::Tend => self.tend(),
                Timer::Trim => self.trim(),
                Timer::Announce => self.on_announce_timer(),
                Timer::AskAround => self.ask_mdns(),
            }
        }
    }

    fn on_swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        self.run.metrics.record(&event);
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Identify(event)) => self.on_identify(event),
            SwarmEvent::Behaviour(BehaviourEvent::Ping(event)) => self.on_ping(event),
            SwarmEvent::Behaviour(BehaviourEvent::Dht(event)) => self.on_dht(event),
            SwarmEvent::Behaviour(BehaviourEvent::Gossipsub(event)) => self.on_pubsub(event),
            SwarmEvent::Behaviour(BehaviourEvent::Exchange(event)) => self.on_exchange(event),
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                concurrent_dial_errors,
                established_in,
                ..
            } => {
                let errors = concurrent_dial_errors.unwrap_or_default();
                self.on_established(peer_id, connection_id, &endpoint, &errors, established_in);
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, cause, .. } => {
                self.on_closed(peer_id, connection_id, cause.as_ref())
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                self.on_dial_error(connection_id, &error)
            }
            SwarmEvent::NewListenAddr { address, .. } => {
                bind::announce(&mut self.swarm, &self.run.settings, &address);
                self.run.listen_addr(address, true);
                self.has_news();
                self.tell_mdns();
                self.ask_mdns_soon();
            }
            SwarmEvent::ExternalAddrConfirmed { address } => {
                match self.run.settings.no_announce.contains(&address) {
                    true => self.swarm.remove_external_address(&address),
                    false => self.external_addr(&address, true),
                }
            }
            SwarmEvent::ExternalAddrExpired { address } => self.external_addr(&address, false),
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                self.not_listening(address);
            }
            // libp2p tells no expiry of a closed listener's addresses.
            SwarmEvent::ListenerClosed { addresses, .. } => {
                addresses.into_iter().for_each(|address| self.not_listening(address));
            }
            event => tracing::debug!(?event, "swarm"),
        }
    }

    fn not_listening(&mut self, address: Multiaddr) {
        self.swarm.remove_external_address(&address);
        self.run.listen_addr(address, false);
        self.has_news();
        self.tell_mdns();
    }

    fn external_addr(&mut self, address: &Multiaddr, active: bool) {
        let address = address.to_string().into();
        self.run.hub.publish(None, EventKind::ExternalAddr { address, active });
        self.has_news();
    }

    /// Closes every connection in good order, as far as that goes in a moment.
    async fn farewell(mut self) {
        self.calls = Calls::default();
        self.discovery = Discovery::default();
        self.run.discovery.set_active(false);
        self.dial_terms.set_quiet(true);
        for (peer, state) in &mut self.peers {
            state.close_all(DisconnectReason::Shutdown);
            let _ = self.swarm.disconnect_peer_id(*peer);
        }
        let closing = async {
            while !self.peers.is_empty() {
                let event = self.swarm.select_next_some().await;
                self.on_swarm_event(event);
            }
        };
        let _ = tokio::time::timeout(FAREWELL, closing).await;
    }
}
