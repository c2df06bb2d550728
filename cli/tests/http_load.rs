//! Many clients at once, while peers come and go.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use libp2p::futures::StreamExt;
use libp2p::futures::future::join_all;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, SwarmBuilder, identify, noise, tcp, yamux};
use serde_json::json;

use crate::support::http::Server;
use crate::support::process::Home;

const PEERS: usize = 100;
const CLIENTS: usize = 200;
const REQUESTS: usize = 20;
/// The time that a peer stays connected.
const STAY: Duration = Duration::from_millis(200);
/// The time that no request may take, on a machine where everything shares two processors.
const SLOWEST: Duration = Duration::from_secs(10);

/// A hundred real libp2p peers in this process, each of which connects, stays a moment, hangs up, and comes again.
struct Crowd {
    stop: Arc<AtomicBool>,
    visits: Arc<AtomicU64>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Crowd {
    fn visiting(address: &str) -> Self {
        let address: Multiaddr = address.parse().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let visits = Arc::new(AtomicU64::new(0));
        let (ends, counts) = (Arc::clone(&stop), Arc::clone(&visits));
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let peers = (0..PEERS).map(|_| visit(address.clone(), &ends, &counts));
                join_all(peers).await;
            });
        });
        Crowd { stop, visits, thread: Some(thread) }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

async fn visit(address: Multiaddr, stop: &AtomicBool, visits: &AtomicU64) {
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|key| {
            identify::Behaviour::new(identify::Config::new("test/1.0.0".into(), key.public()))
        })
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
        .build();
    while !stop.load(Ordering::Relaxed) {
        swarm.dial(address.clone()).unwrap();
        let host: Option<PeerId> = loop {
            match swarm.select_next_some().await {
                SwarmEvent::Behaviour(identify::Event::Received { peer_id, .. }) => {
                    break Some(peer_id);
                }
                SwarmEvent::OutgoingConnectionError { .. }
                | SwarmEvent::ConnectionClosed { .. } => break None,
                _ => {}
            }
        };
        let stay = tokio::time::timeout(STAY, async {
            loop {
                swarm.select_next_some().await;
            }
        });
        let _: Result<(), _> = stay.await;
        if let Some(host) = host {
            visits.fetch_add(1, Ordering::Relaxed);
            let _ = swarm.disconnect_peer_id(host);
            while swarm.is_connected(&host) {
                swarm.select_next_some().await;
            }
        }
    }
}

#[test]
fn two_hundred_clients_list_without_an_error_while_a_hundred_peers_churn() {
    let home = Home::new();
    let limits = json!({"max_inbound_per_s": 10000, "max_connections": 1000, "max_pending": 1000});
    let config = json!({"profile": "offline", "limits": limits}).to_string();
    std::fs::write(home.path().join("config.json"), config).unwrap();
    let server = Server::at(home, &[]);
    let crowd = Crowd::visiting(&server.address());
    while crowd.visits.load(Ordering::Relaxed) < PEERS as u64 / 2 {
        std::thread::sleep(Duration::from_millis(20));
    }
    let before = crowd.visits.load(Ordering::Relaxed);
    let start = Barrier::new(CLIENTS);
    let began = Instant::now();
    let mut times: Vec<Duration> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| list(&server, &start))).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let took = began.elapsed();
    let visits = crowd.visits.load(Ordering::Relaxed) - before;
    times.sort();
    let p99 = times[times.len() * 99 / 100];
    println!("{} requests in {took:?}, p99 {p99:?}; {visits} visits meanwhile", times.len());
    assert!(times[times.len() - 1] < SLOWEST, "{:?}", times.last());
    assert!(visits > 0, "nobody came meanwhile");
    let known = server.get("/api/peers/summary").data();
    assert!(known["total_peers"].as_u64().unwrap() >= PEERS as u64 / 2, "{known}");
}

fn list(server: &Server, start: &Barrier) -> Vec<Duration> {
    let mut client = server.stranger();
    start.wait();
    let request = |_| {
        let began = Instant::now();
        let page = client.get("/api/peers/list?limit=50").data();
        assert!(page["peers"].is_array());
        began.elapsed()
    };
    (0..REQUESTS).map(request).collect()
}
