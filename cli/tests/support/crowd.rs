//! Crowds of callers that do what no good caller does, and the server's memory meanwhile.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use libp2p::identity::Keypair;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use super::http::Server;

/// One caller: opens a connection, does something with it, and so again.
#[derive(Clone)]
pub struct Manner {
    /// The bytes that it sends at once.
    pub says: String,
    /// One that it sends, again and again, as often as `every` says.
    pub drips: Option<&'static str>,
    /// The bytes that it reads, again and again.
    pub reads: usize,
    pub every: Duration,
    /// The time for which it stays, if the server lets it.
    pub stays: Duration,
}

/// Callers, until this is dropped.
pub struct Crowd {
    stop: Arc<AtomicBool>,
    came: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Crowd {
    /// Sends so many callers at once, in turn from so many addresses of this machine.
    pub fn at(server: &Server, callers: u32, sources: u8, manner: &Manner) -> Self {
        let to: SocketAddr = server.authority().parse().unwrap();
        let (stop, came) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (ends, counts, manner) = (Arc::clone(&stop), Arc::clone(&came), manner.clone());
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let one = |number: u32| {
                    let last = u8::try_from(number % u32::from(sources)).unwrap() + 1;
                    call(Ipv4Addr::new(127, 0, 0, last), to, &manner, &ends, &counts)
                };
                futures::future::join_all((0..callers).map(one)).await;
            });
        });
        Crowd { stop, came, thread: Some(thread) }
    }

    /// The number of connections that it has made.
    pub fn came(&self) -> u64 {
        self.came.load(Ordering::Relaxed)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

async fn call(
    from: Ipv4Addr,
    to: SocketAddr,
    manner: &Manner,
    stop: &AtomicBool,
    came: &AtomicU64,
) {
    while !stop.load(Ordering::Relaxed) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((IpAddr::V4(from), 0).into()).unwrap();
        match timeout(Duration::from_secs(2), socket.connect(to)).await {
            Ok(Ok(stream)) => {
                came.fetch_add(1, Ordering::Relaxed);
                // Whatever the server does about it, the next one comes.
                let _ = timeout(manner.stays, stay(stream, manner, stop)).await;
            }
            _ => sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn stay(mut stream: TcpStream, manner: &Manner, stop: &AtomicBool) -> std::io::Result<()> {
    stream.write_all(manner.says.as_bytes()).await?;
    let mut buffer = vec![0; manner.reads.max(1)];
    loop {
        sleep(manner.every).await;
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        if let Some(drop) = manner.drips {
            stream.write_all(drop.as_bytes()).await?;
        }
        if manner.reads > 0 {
            if let Ok(read) = timeout(manner.every, stream.read(&mut buffer)).await
                && read? == 0
            {
                return Ok(());
            }
        } else if closed(&stream) {
            return Ok(());
        }
    }
}

/// Tells whether the server has closed, without reading what it has sent.
fn closed(stream: &TcpStream) -> bool {
    let mut one = [0];
    let peeked = futures::FutureExt::now_or_never(stream.peek(&mut one));
    matches!(peeked, Some(Ok(0) | Err(_)))
}

/// Makes the server know so many peers, each with so many addresses as make its row a long one.
pub fn fill(server: &Server, peers: usize) {
    let host = "x".repeat(60);
    let addresses: Vec<String> = (1..=16)
        .map(|port| format!("/dns4/{host}.{host}.{host}.{host}.example/tcp/{port}"))
        .collect();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = server.client();
                for _ in 0..peers / 8 {
                    let id = Keypair::generate_ed25519().public().to_peer_id().to_string();
                    let body = json!({"peer_id": id, "multiaddrs": addresses}).to_string();
                    let added = client.post("/api/call/add_peer", &body);
                    assert_eq!(added.status, 200, "{added:?}");
                }
            });
        }
    });
}

/// The most memory that a server takes while this is kept, above what it took before.
pub struct Memory {
    before: u64,
    most: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Memory {
    pub fn of(server: &Server) -> Self {
        let (pid, before) = (server.pid(), server.memory_kb());
        let (stop, most) = (Arc::<AtomicBool>::default(), Arc::new(AtomicU64::new(before)));
        let (ends, highest) = (Arc::clone(&stop), Arc::clone(&most));
        let thread = std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                highest.fetch_max(super::http::memory_kb(pid), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Memory { before, most, stop, thread: Some(thread) }
    }

    /// The mebibytes above the rest.
    pub fn most_mib(&self) -> u64 {
        (self.most.load(Ordering::Relaxed) - self.before) >> 10
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

/// Calls again and again for some time; counts the calls, and those that were served.
pub fn served(time: Duration, mut call: impl FnMut() -> u16) -> (u32, u32) {
    let until = Instant::now() + time;
    let (mut all, mut well) = (0, 0);
    while Instant::now() < until {
        all += 1;
        well += u32::from(call() == 200);
    }
    (all, well)
}
