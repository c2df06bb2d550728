//! Connections: let in as `connections` says, each served by a task with limits on how slowly it may ask and read, and
//! ended in order when the server ends. What was refused is told on standard error, now and then.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use peerkit::{Error, ErrorKind};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::app::App;
use super::budget::{Budget, USUAL_HEAD};
use super::connections::{Connection, HEADER_TIME, Place, READ_TIME};
use super::sending::Answering;
use super::stall::{Meter, NoStall};
use super::unparsed::{Enveloped, last_answer};
use crate::show;

/// The most bytes that line and headers take.
const MAX_HEAD: usize = 64 << 10;
/// The time that requests in flight may take to end when the server ends.
const GRACE: Duration = Duration::from_secs(5);
/// The pause after a connection could not be accepted, for want of descriptors as a rule.
const PAUSE: Duration = Duration::from_millis(50);
/// The time that connections which have lost their place are given to close, before more are let in.
const MOMENT: Duration = Duration::from_millis(1);
/// The least time between two lines about what was refused.
const TELL: Duration = Duration::from_secs(60);

/// Serves until `ending` turns true, and then until the requests in flight are answered or the grace is over.
pub async fn serve(listener: TcpListener, app: Arc<App>, router: Router) {
    let mut ending = app.ending.clone();
    let mut tell = interval(TELL);
    tell.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = 0;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = tell.tick() => {
                tell_refusals(&app, &mut told);
                continue;
            }
            _ = ending.wait_for(|ending| *ending) => break,
        };
        while app.connections.many_close() {
            sleep(MOMENT).await;
        }
        match accepted {
            Ok((stream, from)) => match app.connections.enter(from.ip()) {
                Ok(place) => {
                    let heads = meter(&app.budget, place.connection());
                    tokio::spawn(connection(stream, router.clone(), ending.clone(), place, heads));
                }
                Err(_) => refuse(stream).await,
            },
            Err(_) => sleep(PAUSE).await,
        }
    }
    drop(listener);
    let _ = timeout(GRACE, app.connections.all_gone()).await;
}

/// Tells of what was refused since the last time, if anything was.
fn tell_refusals(app: &App, told: &mut u64) {
    let refused = app.refused();
    let all = refused.iter().map(|(_, count)| count).sum();
    if all > *told {
        let counts: Vec<_> = refused.iter().map(|(why, count)| format!("{why} {count}")).collect();
        let counts = counts.join(", ");
        show::note(&format!(
            "{} refused or closed for room; since the start: {counts}",
            all - *told
        ));
        *told = all;
    }
}

/// Counts the heads of a connection's requests, as far as they are longer than usual.
fn meter(budget: &Arc<Budget>, connection: &Arc<Connection>) -> Meter {
    let (budget, connection) = (Arc::clone(budget), Arc::clone(connection));
    let (mut of, mut length, mut room) = (0, 0, None);
    Box::new(move |read| {
        let Some(head) = connection.head() else { return Ok(()) };
        if head != of {
            (of, length, room) = (head, 0, None);
        }
        length += read;
        if length > USUAL_HEAD && !budget.head(&mut room, length) {
            return Err(io::Error::other("no room for the head of a request"));
        }
        Ok(())
    })
}

async fn connection(
    stream: TcpStream,
    router: Router,
    mut ending: watch::Receiver<bool>,
    place: Place,
    heads: Meter,
) {
    let connection = place.connection();
    // Replies are written whole, and small ones must not wait for more.
    let _ = stream.set_nodelay(true);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIME).max_buf_size(MAX_HEAD);
    let backlog = Arc::clone(&connection.backlog);
    let stream = NoStall::new(stream, READ_TIME, backlog, heads);
    let stream = TokioIo::new(Enveloped::new(stream));
    let service = Answering::new(router, Arc::clone(connection));
    let served = http.serve_connection(stream, service);
    let mut served = std::pin::pin!(served);
    // Whatever ends a connection, a broken request among it, concerns nobody else.
    tokio::select! {
        _ = served.as_mut() => return,
        () = connection.ended() => return,
        _ = ending.wait_for(|ending| *ending) => served.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ = served => {}
        () = connection.ended() => {}
    }
}

/// Says that there is no room; only as far as the socket takes it at once.
async fn refuse(mut stream: TcpStream) {
    let error = Error::new(ErrorKind::Busy, "too many connections at once");
    let later = (RETRY_AFTER, HeaderValue::from_static("1"));
    let answer = last_answer(StatusCode::SERVICE_UNAVAILABLE, error, Some(later));
    let _ = timeout(PAUSE, stream.write_all(&answer)).await;
    let _ = stream.shutdown().await;
}
