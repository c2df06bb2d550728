//! A crowd of strangers in one process, each with an identity or a socket of its own. Its options:
//!
//! - `node`: the address of the node they come to, with its id at the end;
//! - `most`: how many hold a connection at once (none); `per_second`: how many come (50);
//! - `renew`: with `most` there, the one that came first leaves when the next comes;
//! - `kind`: "identify" (rust-libp2p with identify), "mute" (one without), "silent" (sockets over which nothing is
//!   said) or "drip" (sockets over which a handshake comes at two bytes a second);
//! - `from`: addresses that sockets come from, in turn.
//!
//! It prints `{}` and answers requests in the manner of a peer:
//!
//! - `visit` `{stay}`: one more comes, identifies itself and waits for the node to do so. Answers `{served, peer_id}`;
//!   it was served if that came and the connection then stood for a moment. With `stay` it stays;
//! - `counts`: answers `{begun, open, staying}`: those of the crowd that came, those that are there, and the visits
//!   that stay.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{Swarm, SwarmEvent};
use libp2p::{Multiaddr, SwarmBuilder, identify, noise, tcp, yamux};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot::{self, Receiver, Sender};
use tokio::time::{interval, sleep, timeout};

use crate::print_line;

/// The time that a visit may take, and that the connection then has to stand.
const PATIENCE: Duration = Duration::from_secs(10);
const STANDS: Duration = Duration::from_millis(200);
/// The beginning of a handshake.
const HELLO: &[u8] = b"\x13/multistream/1.0.0\n";
const DRIP: Duration = Duration::from_millis(500);

/// Counts what is there for as long as it is held.
struct Counted(Arc<AtomicU64>);

impl Counted {
    fn new(count: &Arc<AtomicU64>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs until the input ends.
pub fn run(options: &str) {
    let options: Value = serde_json::from_str(options).expect("the options are JSON");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (asking, requests) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            let Ok(line) = line else { break };
            let request: Value = serde_json::from_str(&line).expect("a request is JSON");
            let _ = asking.send(request);
        }
    });
    print_line(&json!({}));
    runtime.block_on(crowd(&options, requests));
}

async fn crowd(options: &Value, mut requests: tokio::sync::mpsc::UnboundedReceiver<Value>) {
    let node: Multiaddr = options["node"].as_str().unwrap().parse().unwrap();
    let most = options["most"].as_u64().unwrap_or(0) as usize;
    let every = Duration::from_secs(1) / options["per_second"].as_u64().unwrap_or(50) as u32;
    let (mut ticks, mut begun) = (interval(every), 0_usize);
    let [open, staying] = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
    let mut members = VecDeque::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                members.retain(|member: &Sender<()>| !member.is_closed());
                if members.len() >= most {
                    if most == 0 || options["renew"] != true {
                        continue;
                    }
                    members.pop_front();
                }
                let (leave, end) = oneshot::channel();
                members.push_back(leave);
                begin(options, &node, begun, end, Arc::clone(&open));
                begun += 1;
            }
            request = requests.recv() => {
                let Some(request) = request else { return };
                if request["call"] == "visit" {
                    tokio::spawn(visit(node.clone(), request, Arc::clone(&staying)));
                    continue;
                }
                let [open, staying] = [&open, &staying].map(|count| count.load(Ordering::Relaxed));
                let reply = json!({ "success": true, "begun": begun, "open": open, "staying": staying });
                print_line(&json!({ "id": request["id"], "reply": reply }));
            }
        }
    }
}

/// Lets one of the crowd come; it stays until the node or `end` ends it.
fn begin(options: &Value, node: &Multiaddr, nth: usize, end: Receiver<()>, open: Arc<AtomicU64>) {
    let node = node.clone();
    match options["kind"].as_str() {
        Some(kind @ ("silent" | "drip")) => {
            let from = options["from"].as_array().map_or(&[][..], Vec::as_slice);
            let from = from.get(nth % from.len().max(1)).and_then(Value::as_str);
            let from = from.map_or(Ipv4Addr::UNSPECIFIED, |ip| ip.parse().unwrap());
            let drips = kind == "drip";
            tokio::spawn(async move {
                let Ok(socket) = knock(from, &node).await else { return };
                let _counted = Counted::new(&open);
                tokio::select! {
                    () = say_little(socket, drips) => {}
                    _ = end => {}
                }
            });
        }
        kind => {
            let identifies = kind != Some("mute");
            tokio::spawn(async move {
                let mut swarm = swarm(identifies);
                swarm.dial(node).unwrap();
                let mut counted = None;
                let lives = async {
                    loop {
                        match swarm.select_next_some().await {
                            SwarmEvent::ConnectionEstablished { .. } => {
                                counted = Some(Counted::new(&open));
                            }
                            SwarmEvent::ConnectionClosed { .. }
                            | SwarmEvent::OutgoingConnectionError { .. } => return,
                            _ => {}
                        }
                    }
                };
                tokio::select! {
                    () = lives => {}
                    _ = end => {}
                }
                drop(counted);
            });
        }
    }
}

async fn knock(from: Ipv4Addr, node: &Multiaddr) -> std::io::Result<TcpStream> {
    let parts: Vec<_> = node.iter().collect();
    let [Protocol::Ip4(ip), Protocol::Tcp(port), ..] = parts[..] else { panic!("{node}") };
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((from, 0)))?;
    socket.connect(SocketAddr::from((ip, port))).await
}

/// Says nothing, or a little at a time, until the other side closes.
async fn say_little(mut socket: TcpStream, drips: bool) {
    let mut hello = HELLO.iter().cycle();
    let mut read = [0; 64];
    loop {
        tokio::select! {
            read = socket.read(&mut read) => if !read.is_ok_and(|read| read > 0) {
                return;
            },
            () = sleep(DRIP), if drips => {
                let byte = *hello.next().unwrap();
                if socket.write_all(&[byte]).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn swarm(identifies: bool) -> Swarm<Toggle<identify::Behaviour>> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|key| {
            let named = identify::Config::new("crowd/1".to_owned(), key.public());
            Toggle::from(identifies.then(|| identify::Behaviour::new(named)))
        })
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::MAX / 4))
        .build()
}

async fn visit(node: Multiaddr, request: Value, staying: Arc<AtomicU64>) {
    let mut swarm = swarm(true);
    let peer_id = swarm.local_peer_id().to_string();
    swarm.dial(node).unwrap();
    let served = match timeout(PATIENCE, identified(&mut swarm)).await {
        Ok(true) => timeout(STANDS, closed(&mut swarm)).await.is_err(),
        _ => false,
    };
    let reply = json!({ "success": true, "served": served, "peer_id": peer_id });
    print_line(&json!({ "id": request["id"], "reply": reply }));
    if served && request["params"]["stay"] == true {
        let _counted = Counted::new(&staying);
        closed(&mut swarm).await;
    }
}

/// Waits for the node to identify itself; false where it doesn't.
async fn identified(swarm: &mut Swarm<Toggle<identify::Behaviour>>) -> bool {
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::Behaviour(identify::Event::Received { .. }) => return true,
            SwarmEvent::ConnectionClosed { .. } | SwarmEvent::OutgoingConnectionError { .. } => {
                return false;
            }
            _ => {}
        }
    }
}

async fn closed(swarm: &mut Swarm<Toggle<identify::Behaviour>>) {
    while !matches!(swarm.select_next_some().await, SwarmEvent::ConnectionClosed { .. }) {}
}
