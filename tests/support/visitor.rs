//! Plays peers that come to a node uninvited: a libp2p peer in this process that opens any number of
//! connections, and sockets behind which nobody speaks.

use std::collections::HashMap;
use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use futures::StreamExt;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, SwarmBuilder, identify, noise, tcp, yamux};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{Peer, eventually};

/// Has an identity of its own and listens nowhere; its connections close when it's dropped.
pub struct Visitor {
    id: String,
    orders: UnboundedSender<Order>,
    open: Arc<AtomicUsize>,
}

enum Order {
    Open(PeerId, Multiaddr, Sender<Result<ConnectionId, String>>),
    Close(ConnectionId),
}

impl Visitor {
    pub fn new() -> Visitor {
        let (orders, taken) = unbounded_channel();
        let open = Arc::new(AtomicUsize::new(0));
        let (id_sender, id) = channel();
        let its_open = Arc::clone(&open);
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let swarm = swarm();
                id_sender.send(swarm.local_peer_id().to_string()).unwrap();
                obey(swarm, taken, &its_open).await;
            });
        });
        Visitor { id: id.recv().unwrap(), orders, open }
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// Opens a connection, whatever others there are. It's open once the node has identified itself
    /// over it; a node that refuses it closes it before.
    #[track_caller]
    pub fn open(&self, node: &Peer) -> Result<ConnectionId, String> {
        let (told, outcome) = channel();
        let (id, address) = (node.id().parse().unwrap(), node.bare("tcp").parse().unwrap());
        self.orders.send(Order::Open(id, address, told)).unwrap();
        outcome.recv_timeout(Duration::from_secs(20)).expect("a dial ends")
    }

    /// Opens a connection as soon as there is room.
    #[track_caller]
    pub fn open_soon(&self, node: &Peer) {
        eventually(Duration::from_secs(10), "there is room", || self.open(node).is_ok());
    }

    pub fn close(&self, connection: ConnectionId) {
        self.orders.send(Order::Close(connection)).unwrap();
    }

    /// Counts its open connections.
    pub fn connections(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

fn swarm() -> Swarm<identify::Behaviour> {
    let named = |key: &Keypair| identify::Config::new("visitor/1".to_owned(), key.public());
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|key| identify::Behaviour::new(named(key)))
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::MAX / 4))
        .build()
}

/// Obeys orders until nobody is left to give any.
async fn obey(
    mut swarm: Swarm<identify::Behaviour>,
    mut orders: UnboundedReceiver<Order>,
    open: &AtomicUsize,
) {
    let mut waiting: HashMap<ConnectionId, Sender<Result<ConnectionId, String>>> = HashMap::new();
    loop {
        let (connection, outcome) = tokio::select! {
            order = orders.recv() => match order {
                None => return,
                Some(Order::Close(connection)) => {
                    swarm.close_connection(connection);
                    continue;
                }
                Some(Order::Open(id, address, told)) => {
                    let opts = DialOpts::peer_id(id).condition(PeerCondition::Always);
                    let opts = opts.addresses(vec![address]).build();
                    waiting.insert(opts.connection_id(), told);
                    swarm.dial(opts).unwrap();
                    continue;
                }
            },
            event = swarm.select_next_some() => match event {
                SwarmEvent::ConnectionEstablished { .. } => {
                    open.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                SwarmEvent::Behaviour(identify::Event::Received { connection_id, .. }) => {
                    (connection_id, Ok(connection_id))
                }
                SwarmEvent::ConnectionClosed { connection_id, .. } => {
                    open.fetch_sub(1, Ordering::Relaxed);
                    (connection_id, Err("it was closed at once".to_owned()))
                }
                SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                    (connection_id, Err(error.to_string()))
                }
                _ => continue,
            },
        };
        if let Some(told) = waiting.remove(&connection) {
            // Fails where the test has given up, which is its right.
            let _ = told.send(outcome);
        }
    }
}

/// Opens a socket to a node, over which nothing is said.
#[track_caller]
pub fn knock(node: &Peer) -> TcpStream {
    let address: Multiaddr = node.bare("tcp").parse().unwrap();
    let parts: Vec<_> = address.iter().collect();
    let [Protocol::Ip4(ip), Protocol::Tcp(port)] = parts[..] else { panic!("{address}") };
    let socket = TcpStream::connect((ip, port)).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// Says whether the other side has closed it by now.
pub fn is_shut(mut socket: &TcpStream) -> bool {
    match socket.read(&mut [0]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}
