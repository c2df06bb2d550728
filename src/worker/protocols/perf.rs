//! The perf protocol, `/perf/1.0.0`, as client and server: the client writes how many bytes it wants, and
//! those it uploads; the server reads to the end, then sends what was asked for.
//!
//! A server works for whoever asks, so a node is one only where its user says so, and each run has bounds.
//! A run beyond them ends the stream: the protocol has no word for a refusal.
//!
//! Spec: <https://github.com/libp2p/specs/blob/master/perf/perf.md>

use std::io;
use std::iter;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::StreamProtocol;
use libp2p::request_response::{self as rr, Message, ProtocolSupport};
use libp2p::swarm::ConnectionId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::worker::util::clock::Clock;

pub(crate) use rr::{OutboundFailure, OutboundRequestId};

/// The name of the protocol.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/perf/1.0.0");
/// Bytes of one run, each way: two seconds of a gigabit, time enough for a connection to get up to speed.
pub(crate) const MAX_BYTES: u64 = 256 << 20;
/// Time of one run, at either end: nobody holds a place for longer by sending or reading slowly.
const MAX_TIME: Duration = Duration::from_secs(2 * 60);
/// Runs served at once, whoever asks for them. Each takes a share from the others, so more would measure
/// one another.
const MAX_SERVED: usize = 4;
/// Streams of one connection: those served, one of ours, and as many that are about to end.
const MAX_STREAMS: usize = 2 * (MAX_SERVED + 1);
/// Bytes written or read at once.
const BLOCK: usize = 64 * 1024;

pub(crate) type Perf = rr::Behaviour<Codec>;

/// Makes the client, and with `serves` the server too.
pub(crate) fn behaviour(serves: bool, clock: Clock) -> Perf {
    let support = if serves { ProtocolSupport::Full } else { ProtocolSupport::Outbound };
    let config = rr::Config::default()
        .with_request_timeout(MAX_TIME)
        .with_max_concurrent_streams(MAX_STREAMS);
    Perf::with_codec(Codec::new(clock), iter::once((PROTOCOL, support)), config)
}

/// A run: what a client uploads, then has sent back.
#[derive(Debug)]
pub(crate) struct Run {
    upload: u64,
    download: u64,
    /// Goes off when nobody waits for a run of ours any more; None where a remote asks.
    unwanted: Option<oneshot::Receiver<()>>,
}

/// Keeps a run of ours going: dropped, it ends the run's stream.
pub(crate) struct Wanted {
    _until_dropped: oneshot::Sender<()>,
}

impl Run {
    pub(crate) fn new(upload: u64, download: u64) -> (Self, Wanted) {
        let (sender, unwanted) = oneshot::channel();
        (Run { upload, download, unwanted: Some(unwanted) }, Wanted { _until_dropped: sender })
    }
}

/// The end of a run.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The server is to send this many bytes.
    Owed(u64),
    /// The client has got all it asked for, this long after it began to write.
    Took(Duration),
}

/// The outcome of a run of ours.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub request: OutboundRequestId,
    pub connection: ConnectionId,
    pub took: Result<Duration, OutboundFailure>,
}

/// Takes an event: serves a remote's request, or returns the outcome of a run of ours.
pub(crate) fn take(perf: &mut Perf, event: rr::Event<Run, Answer>) -> Option<Outcome> {
    match event {
        rr::Event::Message { message: Message::Request { request, channel, .. }, .. } => {
            // Fails where the connection has closed meanwhile.
            let _ = perf.send_response(channel, Answer::Owed(request.download));
            None
        }
        rr::Event::Message {
            connection_id: connection,
            message: Message::Response { request_id: request, response: Answer::Took(took) },
            ..
        } => Some(Outcome { request, connection, took: Ok(took) }),
        rr::Event::OutboundFailure {
            connection_id: connection,
            request_id: request,
            error,
            ..
        } => Some(Outcome { request, connection, took: Err(error) }),
        rr::Event::Message { .. }
        | rr::Event::InboundFailure { .. }
        | rr::Event::ResponseSent { .. } => None,
    }
}

/// One end of a stream. Each stream has a clone of its own.
pub(crate) struct Codec {
    clock: Clock,
    places: Arc<Semaphore>,
    /// The place of a run that is served.
    place: Option<OwnedSemaphorePermit>,
    /// The run of ours that is under way, and when it began.
    ours: Option<(Instant, Run)>,
}

impl Clone for Codec {
    /// Clones it for another stream, which has no place yet.
    fn clone(&self) -> Self {
        let places = Arc::clone(&self.places);
        Codec { clock: self.clock.clone(), places, place: None, ours: None }
    }
}

impl Codec {
    fn new(clock: Clock) -> Self {
        let places = Arc::new(Semaphore::new(MAX_SERVED));
        Codec { clock, places, place: None, ours: None }
    }
}

impl rr::Codec for Codec {
    type Protocol = StreamProtocol;
    type Request = Run;
    type Response = Answer;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Run>
    where
        T: AsyncRead + Unpin + Send,
    {
        let place = Arc::clone(&self.places).try_acquire_owned();
        self.place = Some(place.map_err(|_| io::Error::other("too many runs are served already"))?);
        let mut download = [0; 8];
        io.read_exact(&mut download).await?;
        let download = u64::from_be_bytes(download);
        if download > MAX_BYTES {
            return Err(io::Error::other(format!("{download} bytes are too many to send")));
        }
        let upload = discard(io, MAX_BYTES).await?;
        Ok(Run { upload, download, unwanted: None })
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        answer: Answer,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        match answer {
            Answer::Owed(bytes) => write_zeros(io, bytes).await,
            Answer::Took(_) => Ok(()),
        }
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, run: Run) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let (_, run) = self.ours.insert((self.clock.now(), run));
        let (upload, download) = (run.upload, run.download);
        while_wanted(&mut run.unwanted, async {
            io.write_all(&download.to_be_bytes()).await?;
            write_zeros(io, upload).await
        })
        .await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Answer>
    where
        T: AsyncRead + Unpin + Send,
    {
        let Some((began, run)) = &mut self.ours else {
            return Err(io::Error::other("nothing was asked for"));
        };
        let came = while_wanted(&mut run.unwanted, discard(io, run.download)).await?;
        if came < run.download {
            let short = format!("{came} bytes came of {}", run.download);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, short));
        }
        Ok(Answer::Took(self.clock.now().saturating_duration_since(*began)))
    }
}

/// Goes on with a transfer until nobody waits for it.
async fn while_wanted<T>(
    unwanted: &mut Option<oneshot::Receiver<()>>,
    transfer: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    let Some(unwanted) = unwanted else { return transfer.await };
    tokio::select! {
        biased;
        _ = unwanted => Err(io::Error::other("nobody waits for it any more")),
        done = transfer => done,
    }
}

async fn write_zeros(io: &mut (impl AsyncWrite + Unpin), mut left: u64) -> io::Result<()> {
    static ZEROS: [u8; BLOCK] = [0; BLOCK];
    while left > 0 {
        let block = left.min(BLOCK as u64);
        io.write_all(&ZEROS[..block as usize]).await?;
        left -= block;
    }
    io.flush().await
}

/// Reads to the end, and returns how many bytes there were; fails at more than `most`.
async fn discard(io: &mut (impl AsyncRead + Unpin), most: u64) -> io::Result<u64> {
    let mut block = vec![0; BLOCK];
    let mut came = 0;
    loop {
        match io.read(&mut block).await? {
            0 => return Ok(came),
            count => came += count as u64,
        }
        if came > most {
            return Err(io::Error::other(format!("more than {most} bytes came")));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll};

    use futures::FutureExt;
    use futures::io::{Cursor, repeat, sink};
    use libp2p::request_response::Codec as _;

    use super::*;

    /// A stream on which nothing comes.
    struct Silent;

    impl AsyncRead for Silent {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }
    }

    /// Reads a request that wants `download` bytes and has `upload` of its own, as a server would.
    async fn served(codec: &mut Codec, download: u64, upload: u64) -> io::Result<Run> {
        let mut stream = Cursor::new(download.to_be_bytes()).chain(repeat(0).take(upload));
        codec.read_request(&PROTOCOL, &mut stream).await
    }

    #[tokio::test]
    async fn a_server_takes_and_sends_so_many_bytes_and_no_more() {
        let codec = Codec::new(Clock::default());
        let run = served(&mut codec.clone(), MAX_BYTES, MAX_BYTES).await.unwrap();
        assert_eq!((run.download, run.upload), (MAX_BYTES, MAX_BYTES));
        served(&mut codec.clone(), MAX_BYTES + 1, 0).await.unwrap_err();
        served(&mut codec.clone(), u64::MAX, 0).await.unwrap_err();
        served(&mut codec.clone(), 0, MAX_BYTES + 1).await.unwrap_err();
        served(&mut codec.clone(), 0, u64::MAX).await.unwrap_err();
    }

    #[tokio::test]
    async fn a_place_is_held_until_the_stream_ends() {
        let codec = Codec::new(Clock::default());
        let mut held: Vec<_> = (0..MAX_SERVED).map(|_| codec.clone()).collect();
        for codec in &mut held {
            served(codec, 0, 0).await.unwrap();
        }
        served(&mut codec.clone(), 0, 0).await.unwrap_err();
        held.pop();
        served(&mut codec.clone(), 0, 0).await.unwrap();
    }

    #[tokio::test]
    async fn a_client_counts_what_comes_and_takes_the_time_of_all_of_it() {
        let clock = Clock::stopped();
        let codec = Codec::new(clock.clone());
        for (came, fits) in [(99, false), (100, true), (101, false)] {
            let mut codec = codec.clone();
            let (run, _wanted) = Run::new(1000, 100);
            codec.write_request(&PROTOCOL, &mut sink(), run).await.unwrap();
            clock.advance(Duration::from_secs(3));
            let mut stream = repeat(0).take(came);
            let answer = codec.read_response(&PROTOCOL, &mut stream).await;
            let took = matches!(answer, Ok(Answer::Took(took)) if took == Duration::from_secs(3));
            assert_eq!(took, fits, "{came}: {answer:?}");
        }
    }

    #[tokio::test]
    async fn a_run_that_nobody_waits_for_ends() {
        let mut codec = Codec::new(Clock::default());
        let (run, wanted) = Run::new(0, 1);
        codec.write_request(&PROTOCOL, &mut sink(), run).await.unwrap();
        let (name, mut stream) = (PROTOCOL, Silent);
        let answer = codec.read_response(&name, &mut stream);
        let mut silent = pin!(answer.map(|answer| answer.is_err()));
        assert_eq!(silent.as_mut().now_or_never(), None);
        drop(wanted);
        assert_eq!(silent.now_or_never(), Some(true), "it ended");
    }
}
