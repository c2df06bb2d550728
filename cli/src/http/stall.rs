//! A connection whose other side has to take what it is sent. A client that asks and never reads would keep its
//! place for ever; one that reads slowly keeps it, as long as it reads at all.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A stream whose writes fail when for a while nothing of them could be written.
pub struct NoStall<S> {
    stream: S,
    limit: Duration,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> NoStall<S> {
    /// Wraps a stream; a write may wait for `limit`.
    pub fn new(stream: S, limit: Duration) -> Self {
        NoStall { stream, limit, waiting: None }
    }

    /// Passes on what a write gave, or fails once writes have waited too long.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let limit = self.limit;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(waiting.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the other side doesn't read")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for NoStall<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for NoStall<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch(context, shut)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::runtime::{Builder, Runtime};
    use tokio::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_millis(400);

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_time().build().unwrap()
    }

    #[test]
    fn one_who_never_reads_is_given_up() {
        runtime().block_on(async {
            let (ours, _theirs) = duplex(16);
            let began = Instant::now();
            let failure = NoStall::new(ours, LIMIT).write_all(&[0; 64]).await.unwrap_err();
            assert_eq!(failure.kind(), io::ErrorKind::TimedOut);
            assert!(began.elapsed() >= LIMIT);
        });
    }

    #[test]
    fn one_who_reads_slowly_gets_everything() {
        runtime().block_on(async {
            let (ours, mut theirs) = duplex(16);
            let mut ours = NoStall::new(ours, LIMIT);
            let began = Instant::now();
            let reads = async {
                let mut piece = [0; 16];
                for _ in 0..16 {
                    sleep(LIMIT / 8).await;
                    theirs.read_exact(&mut piece).await.unwrap();
                }
            };
            let (written, ()) = tokio::join!(ours.write_all(&[0; 256]), reads);
            written.unwrap();
            assert!(began.elapsed() > LIMIT, "it took longer than a single write may wait");
        });
    }

    #[test]
    fn silence_between_writes_is_no_waiting() {
        runtime().block_on(async {
            let (ours, mut theirs) = duplex(16);
            let mut ours = NoStall::new(ours, LIMIT);
            for _ in 0..2 {
                ours.write_all(&[0; 16]).await.unwrap();
                sleep(LIMIT + LIMIT / 4).await;
                theirs.read_exact(&mut [0; 16]).await.unwrap();
            }
        });
    }
}
