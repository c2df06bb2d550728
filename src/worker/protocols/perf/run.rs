//! One run of perf, at either end of its stream.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Semaphore, oneshot};

use super::{MAX_BYTES, RequestId};
use crate::worker::util::clock::Clock;

/// Bytes written or read at once.
const BLOCK: usize = 64 * 1024;

/// A run of ours: what it uploads, then has sent back.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) request: RequestId,
    upload: u64,
    download: u64,
    /// Goes off when nobody waits for the run any more.
    unwanted: oneshot::Receiver<()>,
}

/// Keeps a run of ours going: dropped, it ends the run's stream.
pub(crate) struct Wanted {
    _until_dropped: oneshot::Sender<()>,
}

impl Run {
    pub(crate) fn new(request: RequestId, upload: u64, download: u64) -> (Self, Wanted) {
        let (sender, unwanted) = oneshot::channel();
        (Run { request, upload, download, unwanted }, Wanted { _until_dropped: sender })
    }

    /// Makes the run until nobody waits for it, and returns the time from the first byte to the end of the
    /// answer.
    pub(super) async fn make(
        self,
        mut io: impl AsyncRead + AsyncWrite + Unpin,
        clock: Clock,
    ) -> io::Result<Duration> {
        let Run { upload, download, unwanted, .. } = self;
        let transfer = async {
            let began = clock.now();
            io.write_all(&download.to_be_bytes()).await?;
            write_zeros(&mut io, upload).await?;
            io.close().await?;
            let came = discard(&mut io, download).await?;
            if came < download {
                let short = format!("{came} bytes came of {download}");
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, short));
            }
            Ok(clock.now().saturating_duration_since(began))
        };
        tokio::select! {
            biased;
            _ = unwanted => Err(io::Error::other("nobody waits for it any more")),
            done = transfer => done,
        }
    }
}

/// Serves a run of a remote's, which has a place until the stream ends.
pub(super) async fn serve(
    mut io: impl AsyncRead + AsyncWrite + Unpin,
    places: Arc<Semaphore>,
) -> io::Result<()> {
    let place = places.try_acquire();
    let _place = place.map_err(|_| io::Error::other("too many runs are served already"))?;
    let mut download = [0; 8];
    io.read_exact(&mut download).await?;
    let download = u64::from_be_bytes(download);
    if download > MAX_BYTES {
        return Err(io::Error::other(format!("{download} bytes are too many to send")));
    }
    discard(&mut io, MAX_BYTES).await?;
    write_zeros(&mut io, download).await?;
    io.close().await
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
    use futures::io::{Cursor, repeat};

    use super::*;
    use crate::worker::protocols::perf::MAX_SERVED;

    /// A stream on which the remote sends what `sends` reads, and takes everything.
    struct Remote<R> {
        sends: R,
        /// Bytes that it has taken.
        took: u64,
        /// The clock that moves on while the remote takes our last byte.
        clock: Clock,
    }

    /// Time that the remote takes to take our last byte.
    const SLOWNESS: Duration = Duration::from_secs(3);

    impl<R: AsyncRead + Unpin> AsyncRead for Remote<R> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            into: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.sends).poll_read(cx, into)
        }
    }

    impl<R: Unpin> AsyncWrite for Remote<R> {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            from: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.took += from.len() as u64;
            Poll::Ready(Ok(from.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.clock.advance(SLOWNESS);
            Poll::Ready(Ok(()))
        }
    }

    fn remote<R>(sends: R) -> Remote<R> {
        Remote { sends, took: 0, clock: Clock::stopped() }
    }

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

    fn places() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(MAX_SERVED))
    }

    /// Serves a client that wants `download` bytes and has `upload` of its own; returns how many it got,
    /// and how many of its own are left.
    async fn served(places: &Arc<Semaphore>, download: u64, upload: u64) -> io::Result<(u64, u64)> {
        let request = Cursor::new(download.to_be_bytes()).chain(repeat(0).take(upload));
        let mut client = remote(request);
        serve(&mut client, Arc::clone(places)).await?;
        Ok((client.took, client.sends.get_ref().1.limit()))
    }

    #[tokio::test]
    async fn a_server_takes_and_sends_so_many_bytes_and_no_more() {
        let places = places();
        assert_eq!(served(&places, MAX_BYTES, MAX_BYTES).await.unwrap(), (MAX_BYTES, 0));
        served(&places, MAX_BYTES + 1, 0).await.unwrap_err();
        served(&places, u64::MAX, 0).await.unwrap_err();
        served(&places, 0, MAX_BYTES + 1).await.unwrap_err();
        served(&places, 0, u64::MAX).await.unwrap_err();
    }

    #[tokio::test]
    async fn a_place_is_held_until_the_stream_ends() {
        let places = places();
        let serve_silent = || serve(remote(Silent), Arc::clone(&places)).boxed();
        let mut held: Vec<_> = (0..MAX_SERVED).map(|_| serve_silent()).collect();
        for serving in &mut held {
            assert!(serving.now_or_never().is_none(), "it is served");
        }
        served(&places, 0, 0).await.unwrap_err();
        held.pop();
        served(&places, 0, 0).await.unwrap();
        served(&places, 0, 0).await.unwrap();
    }

    #[tokio::test]
    async fn a_client_counts_what_comes_and_takes_the_time_of_all_of_it() {
        for (came, fits) in [(99, false), (100, true), (101, false)] {
            let mut server = remote(repeat(0).take(came));
            let (run, _wanted) = Run::new(1, 1000, 100);
            let clock = server.clock.clone();
            let answer = run.make(&mut server, clock).await;
            assert_eq!(server.took, 8 + 1000);
            let took = matches!(answer, Ok(took) if took == SLOWNESS);
            assert_eq!(took, fits, "{came}: {answer:?}");
        }
    }

    #[tokio::test]
    async fn a_run_that_nobody_waits_for_ends() {
        let (run, wanted) = Run::new(1, 0, 1);
        let answer = run.make(remote(Silent), Clock::default());
        let mut silent = pin!(answer.map(|answer| answer.is_err()));
        assert_eq!(silent.as_mut().now_or_never(), None);
        drop(wanted);
        assert_eq!(silent.now_or_never(), Some(true), "it ended");
    }
}
