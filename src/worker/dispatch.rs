//! The loop of the worker, and the one place that knows every part: it gives commands, swarm events and
//! timers to the part they are for, and hands notes round.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
#[cfg(feature = "gossip")]
use libp2p::gossipsub::Event as GossipsubEvent;
use libp2p::identity::Keypair;
#[cfg(feature = "dht")]
use libp2p::kad::{self, QueryResult};
use libp2p::swarm::SwarmEvent;
use tokio::sync::{Notify, mpsc};

use super::behaviour::BehaviourEvent;
use super::command::Command;
use super::connections::{Connections, make_room, trim};
#[cfg(feature = "dht")]
use super::content::Content;
use super::core::calls::{CallId, Ending, Owner};
use super::core::notes::{AddressChange, DialOutcome, Note};
use super::core::timers::Timer;
use super::core::{Core, advertise};
use super::dialing::{Dialing, Established};
use super::discovery::Discovery;
use super::lookup::Lookups;
#[cfg(feature = "dht")]
use super::protocols::kad::DhtEvent;
#[cfg(feature = "gossip")]
use super::pubsub::Pubsub;
use super::shared::Shared;
use crate::model::event::DisconnectReason;
use crate::{Multiaddr, addr, os};

/// Time that a graceful shutdown waits for connections to close.
pub(super) const SHUTDOWN_PATIENCE: Duration = Duration::from_millis(500);
/// Timers served in one turn.
const TIMERS_AT_ONCE: usize = 32;

/// The core and the parts.
pub(super) struct Worker {
    core: Core,
    connections: Connections,
    #[cfg(feature = "dht")]
    content: Content,
    dialing: Dialing,
    discovery: Discovery,
    lookups: Lookups,
    #[cfg(feature = "gossip")]
    pubsub: Pubsub,
}

/// Marks the run as dead when a panic unwinds past it.
struct DeathMark(Arc<Shared>);

impl Drop for DeathMark {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.mark_dead();
        }
    }
}

impl Worker {
    pub(super) fn new(core: Core, keypair: &Keypair) -> Self {
        Worker {
            discovery: Discovery::new(keypair, &core.shared.settings),
            #[cfg(feature = "gossip")]
            pubsub: Pubsub::new(core.swarm.behaviour().gossipsub.filter()),
            core,
            connections: Connections::default(),
            #[cfg(feature = "dht")]
            content: Content::default(),
            dialing: Dialing::default(),
            lookups: Lookups::default(),
        }
    }

    /// Begins a run: tells of the addresses that the user gave, and begins discovery.
    pub(super) fn begin(&mut self) {
        self.core.begin_turn();
        // The swarm tells of addresses it finds out, not of those it is given.
        for address in self.core.shared.settings.advertise.clone() {
            self.core.external_addr(&address, true);
        }
        self.dialing.begin(&mut self.core);
        self.discovery.begin(&mut self.core);
        self.hand_round();
    }

    pub(super) async fn serve(mut self, mut commands: mpsc::Receiver<Command>, crashed: &Notify) {
        // Dropped before the calls are, so a caller that is answered `dead` finds the run dead.
        let _mark = DeathMark(Arc::clone(&self.core.shared));
        loop {
            self.core.dial_terms.pause_queries(self.nobody_searches());
            tokio::select! {
                command = commands.recv() => match command {
                    None | Some(Command::Stop) => break,
                    Some(command) => self.turn(|worker| worker.on_command(command)),
                },
                event = self.core.swarm.select_next_some() => {
                    self.turn(|worker| worker.on_swarm_event(event));
                }
                arrived = self.discovery.next() => {
                    self.turn(|worker| worker.discovery.on_arrived(&mut worker.core, arrived));
                }
                () = self.core.timers.elapsed() => self.turn(Worker::on_timers),
                () = crashed.notified() => panic!("a connection's task panicked"),
            }
        }
        self.shut_down().await;
    }

    /// Runs one turn of the loop: reads the time once, lets something happen, and hands round its notes.
    pub(super) fn turn(&mut self, happening: impl FnOnce(&mut Self)) {
        self.core.begin_turn();
        happening(self);
        self.hand_round();
    }

    /// Tells whether nobody looks for a peer or content: then queries of the DHT make no dials.
    fn nobody_searches(&self) -> bool {
        #[cfg(feature = "dht")]
        if !self.content.is_empty() {
            return false;
        }
        !self.discovery.is_looking(&self.core) && self.lookups.is_empty()
    }

    fn on_command(&mut self, command: Command) {
        let core = &mut self.core;
        match command {
            Command::Connections(command) => self.connections.command(core, command),
            #[cfg(feature = "dht")]
            Command::Content(command) => self.content.command(core, command),
            Command::Dialing(command) => self.dialing.command(core, command),
            Command::Discovery(command) => self.discovery.command(core, command),
            Command::Lookup(command) => self.lookups.command(core, command),
            #[cfg(feature = "gossip")]
            Command::Pubsub(command) => self.pubsub.command(core, command),
            Command::Cancel { token, reply } => {
                let calls = core.calls.with_token(token);
                calls.iter().for_each(|call| self.end_call(*call, Ending::Cancelled));
                reply.send(Ok(calls.len() as u32));
            }
            Command::Stop => {}
            #[cfg(feature = "fault-injection")]
            Command::Panic => panic!("injected fault"),
        }
    }

    fn end_call(&mut self, call: CallId, why: Ending) {
        let core = &mut self.core;
        match core.calls.owner(call) {
            Some(Owner::Connections) => self.connections.ended(core, call, why),
            #[cfg(feature = "dht")]
            Some(Owner::Content) => self.content.ended(core, call, why),
            Some(Owner::Dialing) => self.dialing.ended(core, call, why),
            Some(Owner::Discovery) => self.discovery.ended(core, call, why),
            Some(Owner::Lookups) => self.lookups.ended(core, call, why),
            None => {}
        }
    }

    fn on_timers(&mut self) {
        // Many calls may end at one moment; commands and connections get their turns in between.
        for _ in 0..TIMERS_AT_ONCE {
            let core = &mut self.core;
            let Some(timer) = core.timers.pop_elapsed(core.now) else { return };
            match timer {
                Timer::Deadline(call) => self.end_call(call, Ending::Deadline),
                Timer::Acceptance(peer) => self.dialing.settle_acceptance(core, peer),
                Timer::LookupStep(call) => self.lookups.step_timed_out(core, call),
                Timer::Pass => self.discovery.pass_due(core),
                Timer::PassEnd => self.discovery.end_pass_if_over(core),
                Timer::AutoDial => self.dialing.look(core),
                Timer::Surroundings => self.dialing.look_around(core),
                Timer::Trim => trim(core),
                Timer::TellRefusals => self.connections.on_refused(core),
                Timer::Identify(peer) => self.connections.identify_due(core, peer),
                #[cfg(feature = "gossip")]
                Timer::PublishRecord => self.discovery.record_due(core),
                #[cfg(feature = "mdns")]
                Timer::QueryMdns => self.discovery.query_mdns(),
            }
        }
    }

    /// Hands each note to the parts it concerns, in this order, until there is none.
    fn hand_round(&mut self) {
        while let Some(note) = self.core.notes.pop_front() {
            let core = &mut self.core;
            match note {
                Note::Opened(opened) => {
                    self.discovery.opened(&opened);
                    self.dialing.opened(core, opened.peer);
                }
                Note::Closed(closed) => {
                    self.discovery.closed(&closed);
                    self.dialing.closed(core, &closed);
                    if closed.last.is_some() {
                        self.lookups.peer_gone(&closed.peer);
                    }
                }
                Note::Identified { peer, listens_at } => {
                    self.dialing.settle_acceptance(core, peer);
                    self.discovery.identified(core, peer, listens_at);
                }
                Note::Unidentified { peer } => self.dialing.settle_acceptance(core, peer),
                Note::Disconnecting { peer } => self.dialing.disconnecting(core, peer),
                Note::Forgotten { peer } => {
                    core.dht().into_iter().for_each(|dht| dht.remove(&peer))
                }
                Note::Discovered { peer, new } => {
                    self.discovery.discovered(core, new);
                    self.dialing.discovered(core, &peer);
                }
                Note::SurroundingsChanged => {
                    self.dialing.surroundings_changed(core);
                    self.discovery.surroundings_changed(core);
                }
                Note::AddressesChanged(change) => {
                    self.dialing.addresses_changed(core, change);
                    self.discovery.addresses_changed(core, change);
                }
                Note::DialListed(dial) => self.dialing.dial_listed(core, dial),
                Note::ListedDialEnded(end) => self.discovery.listed_dial_ended(core, &end),
                Note::QueryDialFailed { peer, addresses } => {
                    self.dialing.query_dial_failed(core, peer, &addresses);
                }
                Note::LookUp(look_up) => self.lookups.look_up(core, look_up),
                Note::LookupStep { call, steps, asked } => {
                    self.dialing.lookup_step(core, call, steps, asked);
                }
                Note::LookedUp { call, steps, found, source } => {
                    self.dialing.looked_up(core, call, (steps, found, source));
                }
                Note::StopLookUp { call } => self.lookups.stop(core, call),
                Note::PassEnded => self.dialing.look(core),
                Note::AutomaticDialsUnwanted => self.dialing.abandon_automatic(core),
            }
        }
    }

    pub(super) fn on_swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        let core = &mut self.core;
        core.shared.metrics.record_swarm(&event);
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            SwarmEvent::ConnectionEstablished {
                peer_id: peer,
                connection_id: connection,
                endpoint,
                concurrent_dial_errors: errors,
                established_in: took,
                ..
            } => {
                let outcome = match endpoint.is_dialer() {
                    true => {
                        let address = &addr::without_peer_id(endpoint.get_remote_address());
                        let errors = &errors.unwrap_or_default();
                        let established = Established { connection, peer, address, took, errors };
                        self.dialing.on_established(core, &established)
                    }
                    false => DialOutcome { origin: None, counted: true, wanted: true },
                };
                self.connections.on_established(core, peer, connection, &endpoint, outcome);
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, cause, .. } => {
                self.connections.on_closed(core, peer_id, connection_id, cause.as_ref());
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                self.dialing.on_dial_error(core, connection_id, &error);
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                tracing::info!(from = %send_back_addr, %error, "an inbound connection failed");
                self.connections.on_refused(core);
            }
            SwarmEvent::NewListenAddr { address, .. } => {
                advertise(&mut core.swarm, &core.shared.settings, &address);
                core.shared.listen_addr(address, true);
                core.note(Note::AddressesChanged(AddressChange::ListenAdded));
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => self.not_listening(address),
            // libp2p tells no expiry of a closed listener's addresses.
            SwarmEvent::ListenerClosed { addresses, .. } => {
                addresses.into_iter().for_each(|address| self.not_listening(address));
            }
            SwarmEvent::ExternalAddrConfirmed { address } => {
                match core.shared.settings.no_announce.contains(&address) {
                    true => core.swarm.remove_external_address(&address),
                    false => core.external_addr(&address, true),
                }
            }
            SwarmEvent::ExternalAddrExpired { address } => core.external_addr(&address, false),
            event => tracing::debug!(?event, "swarm"),
        }
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        let core = &mut self.core;
        let metrics = &core.shared.metrics;
        match event {
            BehaviourEvent::Gater(displaced) => {
                make_room(core, displaced.peer, displaced.connection);
                self.connections.on_refused(core);
            }
            BehaviourEvent::Identify(event) => {
                metrics.record_identify(&event);
                self.connections.on_identify(core, event);
            }
            BehaviourEvent::Ping(event) => {
                metrics.record_ping(&event);
                self.connections.on_ping(core, event);
            }
            BehaviourEvent::FindPeer(event) => self.lookups.on_find_peer(core, event),
            BehaviourEvent::Perf(outcome) => self.connections.on_perf(core, &outcome),
            #[cfg(feature = "dht")]
            BehaviourEvent::Dht(event) => self.on_dht(event),
            #[cfg(feature = "gossip")]
            BehaviourEvent::Gossipsub(event) => self.on_gossipsub(event),
            BehaviourEvent::Autonat(event) => tracing::info!(?event, "autonat"),
        }
    }

    #[cfg(feature = "dht")]
    fn on_dht(&mut self, event: DhtEvent) {
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
    #[cfg(feature = "dht")]
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

    #[cfg(feature = "gossip")]
    fn on_gossipsub(&mut self, event: GossipsubEvent) {
        let core = &mut self.core;
        core.shared.metrics.record_gossipsub(&event);
        match event {
            GossipsubEvent::Message { propagation_source: from, message_id: id, message } => {
                let acceptance = match self.discovery.is_topic(&message.topic) {
                    true => self.discovery.on_record(core, &from, &message.data),
                    false => self.pubsub.on_message(core, &id, message),
                };
                let gossipsub = &mut core.swarm.behaviour_mut().gossipsub;
                gossipsub.report_message_validation_result(&id, &from, acceptance);
            }
            GossipsubEvent::Subscribed { topic, .. } => self.discovery.on_subscribed(core, &topic),
            _ => {}
        }
    }

    fn not_listening(&mut self, address: Multiaddr) {
        self.core.swarm.remove_external_address(&address);
        self.core.shared.listen_addr(address, false);
        self.core.note(Note::AddressesChanged(AddressChange::ListenRemoved));
    }

    /// Shuts down gracefully: closes every connection, as far as that goes within [`SHUTDOWN_PATIENCE`].
    async fn shut_down(mut self) {
        self.core.begin_turn();
        self.discovery.shut_down(&mut self.core);
        // Their calls are answered `closed`.
        self.connections.drop_calls();
        (self.dialing, self.lookups) = (Dialing::default(), Lookups::default());
        #[cfg(feature = "dht")]
        {
            self.content = Content::default();
        }
        self.core.dial_terms.pause_queries(true);
        let connected: Vec<_> = self.core.peers.iter().map(|(peer, _)| *peer).collect();
        for peer in connected {
            self.core.close_peer(&peer, DisconnectReason::Shutdown);
        }
        let closing = async {
            while !self.core.peers.is_empty() {
                let event = self.core.swarm.select_next_some().await;
                self.turn(|worker| worker.on_swarm_event(event));
            }
        };
        let _ = tokio::time::timeout(SHUTDOWN_PATIENCE, closing).await;
        os::shut_down_streams();
    }
}
