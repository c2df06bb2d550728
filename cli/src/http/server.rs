//! Connections: accepted up to a limit, each served by a task with limits on how slowly it may ask and read, and
//! ended in order when the server ends.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use peerkit::{Error, ErrorKind};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::stall::NoStall;
use super::unparsed::Enveloped;
use crate::node::Reply;

/// Connections at once; a browser opens half a dozen, an event stream keeps one.
const MAX_CONNECTIONS: usize = 512;
/// The time that a request's line and headers may take to arrive, and that a connection may be idle.
const HEADER_TIME: Duration = Duration::from_secs(20);
/// The time that a client may read nothing of what waits for it.
const READ_TIME: Duration = Duration::from_secs(30);
/// The most bytes that line and headers take.
const MAX_HEAD: usize = 64 << 10;
/// The time that requests in flight may take to end when the server ends.
const GRACE: Duration = Duration::from_secs(5);
/// The pause after a connection could not be accepted, for want of descriptors as a rule.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves until `ending` turns true, and then until the requests in flight are answered or the grace is over.
pub async fn serve(listener: TcpListener, router: Router, mut ending: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = ending.wait_for(|ending| *ending) => break,
        };
        match (accepted, Arc::clone(&places).try_acquire_owned()) {
            (Ok((stream, _)), Ok(place)) => {
                tokio::spawn(connection(stream, router.clone(), ending.clone(), place));
            }
            (Ok((stream, _)), Err(_)) => refuse(stream).await,
            (Err(_), _) => sleep(PAUSE).await,
        }
    }
    drop(listener);
    // Each connection holds a place: with all of them here again, none is left.
    let all = places.acquire_many(u32::try_from(MAX_CONNECTIONS).unwrap_or(u32::MAX));
    let _ = timeout(GRACE, all).await;
}

async fn connection(
    stream: TcpStream,
    router: Router,
    mut ending: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
) {
    // Replies are written whole, and small ones must not wait for more.
    let _ = stream.set_nodelay(true);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIME).max_buf_size(MAX_HEAD);
    let stream = TokioIo::new(Enveloped::new(NoStall::new(stream, READ_TIME)));
    let served = http.serve_connection(stream, TowerToHyperService::new(router));
    let mut served = std::pin::pin!(served);
    // Whatever ends a connection, a broken request among it, concerns nobody else.
    tokio::select! {
        _ = served.as_mut() => return,
        _ = ending.wait_for(|ending| *ending) => served.as_mut().graceful_shutdown(),
    }
    let _ = served.await;
}

/// Says that there is no room; only as far as the socket takes it at once.
async fn refuse(mut stream: TcpStream) {
    let error = Error::new(ErrorKind::Busy, "too many connections at once");
    let body = Reply::refused("", &error).into_json();
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n\
         cache-control: no-store\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let _ = timeout(PAUSE, stream.write_all((head + &body).as_bytes())).await;
    let _ = stream.shutdown().await;
}
