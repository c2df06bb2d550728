//! The worker: one task that owns the libp2p swarm. Only here are libp2p's swarm and tokio named.
//!
//! It takes commands from the facade (`command`), events from the swarm and its own timers, one
//! at a time, and never waits for anything else: the book is memory, the disk has a thread of its
//! own, and answers and events go into queues that never block. `connect` is the story of a
//! connect, `calls` of all other calls, `peers` and `identified` of connections, `listen` of start-up;
//! `transport` and `behaviour` put libp2p together.

mod behaviour;
mod calls;
pub(crate) mod command;
mod connect;
mod dial;
mod gate;
mod identified;
mod layers;
mod limits;
mod listen;
#[allow(dead_code)]
mod mdns;
mod outcome;
mod peer;
mod peers;
mod ping;
mod security;
mod stage;
mod timers;
mod traffic;
mod transport;

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
use self::dial::Dials;
use self::layers::DialTerms;
use self::peer::Peer;
use self::timers::{Timer, Timers};
pub(crate) use self::traffic::Traffic;
use crate::config::Settings;
use crate::error::{Error, ErrorKind, Result};
use crate::model::event::DisconnectReason;
use crate::run::Run;
use crate::{Multiaddr, PeerId};

/// How long a stop waits for connections to close in good order.
const FAREWELL: Duration = Duration::from_millis(500);

/// Runs a node on the calling thread until it is stopped. `ready` is called once it listens, with
/// its addresses; where it gives no run, the start was given up and the node ends at once.
pub(crate) fn run(
    keypair: &Keypair,
    settings: &Settings,
    traffic: Arc<Traffic>,
    commands: mpsc::Receiver<Command>,
    ready: impl FnOnce(Listening) -> Option<Arc<Run>>,
) -> Result<()> {
    // One thread: the swarm's task is the bottleneck, and a second thread triples the latency of
    // a command (shared/FACTS.md, "Facade and book").
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
            Error::new(ErrorKind::LimitReached, format!("no event loop to be had: {error}"))
        })?;
    let ended = runtime.block_on(async {
        let terms = DialTerms::new();
        let crashed = Arc::new(Notify::new());
        let mut swarm =
            behaviour::swarm(keypair, settings, terms.clone(), traffic, Arc::clone(&crashed))?;
        let mut early = Vec::new();
        let listening = listen::listen(&mut swarm, settings, &mut early).await?;
        if let Some(run) = ready(listening) {
            let mut worker = Worker::new(swarm, run, terms);
            early.into_iter().for_each(|event| worker.on_swarm_event(event));
            worker.serve(commands, &crashed).await;
        }
        Ok(())
    });
    runtime.shutdown_timeout(FAREWELL);
    ended
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
    fn new(swarm: Swarm<Behaviour>, run: Arc<Run>, dial_terms: DialTerms) -> Self {
        Worker {
            swarm,
            run,
            dial_terms,
            peers: HashMap::new(),
            dials: Dials::default(),
            calls: Calls::default(),
            timers: Timers::default(),
        }
    }

    async fn serve(mut self, mut commands: mpsc::Receiver<Command>, crashed: &Notify) {
        // Dropped before the calls are, so whoever hears `dead` finds the run dead.
        let _mark = DeathMark(Arc::clone(&self.run));
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    None | Some(Command::Stop) => break,
                    Some(command) => self.on_command(command),
                },
                event = self.swarm.select_next_some() => self.on_swarm_event(event),
                () = self.timers.elapsed() => self.on_timers(),
                () = crashed.notified() => panic!("a connection's task panicked"),
            }
        }
        self.farewell().await;
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Connect { target, terms } => self.connect(target, terms),
            Command::Disconnect { peer, terms } => self.disconnect(peer, terms),
            Command::Ping { peer, count, terms } => self.ping(peer, count, terms),
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
            }
        }
    }

    fn on_swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Identify(event)) => self.on_identify(event),
            SwarmEvent::Behaviour(BehaviourEvent::Ping(event)) => self.on_ping(event),
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
                listen::announce(&mut self.swarm, &self.run.settings, &address);
                self.run.listen_addr(address, true);
            }
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
    }

    /// Closes every connection in good order, as far as that goes in a moment.
    async fn farewell(mut self) {
        self.calls = Calls::default();
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
