//! A connection whose other side has to take what it is sent. A client that asks and never reads, or a byte now and
//! then, would keep its place and its reply's memory for ever; one that reads slowly keeps them, up to a limit. Heads of
//! requests that are longer than usual take room of the budget for them here, for nobody else sees them come.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::backlog::Backlog;

/// Told of what was read; an error ends the connection.
pub type Meter = Box<dyn FnMut(usize) -> io::Result<()> + Send>;

/// A stream whose writes fail when its reader has fallen too far behind.
pub struct NoStall<S> {
    stream: S,
    limit: Duration,
    backlog: Arc<Backlog>,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
    meter: Meter,
}

impl<S> NoStall<S> {
    /// Wraps a stream whose reader may be late by `limit`; keeps up its backlog, and tells the meter of what is read.
    pub fn new(stream: S, limit: Duration, backlog: Arc<Backlog>, meter: Meter) -> Self {
        NoStall { stream, limit, backlog, waiting: None, meter }
    }

    /// Passes on what a write of so many bytes gave.
    fn wrote(
        &mut self,
        context: &mut Context<'_>,
        offered: usize,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(taken)) if *taken == offered => self.backlog.is_empty(),
            Poll::Ready(Ok(taken)) => self.backlog.waits(*taken),
            _ => {}
        }
        self.watch(context, written)
    }

    /// Passes on what came of a write, or fails once its reader is too late.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        self.backlog.waits(0);
        let left = self.limit.saturating_sub(self.backlog.late());
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(left)));
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
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        Poll::Ready((self.meter)(buffer.filled().len() - before))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for NoStall<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(context, bytes.len(), written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        let offered = pieces.iter().map(|piece| piece.len()).sum();
        self.wrote(context, offered, written)
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::runtime::{Builder, Runtime};
    use tokio::time::Instant;

    use super::super::backlog::Speeds;
    use super::*;

    const LIMIT: Duration = Duration::from_millis(400);
    const SPEEDS: Speeds = Speeds { least: 80, pressed: 80 };

    fn wrap(stream: DuplexStream) -> NoStall<DuplexStream> {
        let backlog = Arc::new(Backlog::new(SPEEDS));
        NoStall::new(stream, LIMIT, backlog, Box::new(|_| Ok(())))
    }

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_time().build().unwrap()
    }

    #[test]
    fn one_who_never_reads_is_given_up() {
        runtime().block_on(async {
            let (ours, _theirs) = duplex(16);
            let began = Instant::now();
            let failure = wrap(ours).write_all(&[0; 64]).await.unwrap_err();
            assert_eq!(failure.kind(), io::ErrorKind::TimedOut);
            assert!(began.elapsed() >= LIMIT);
        });
    }

    #[test]
    fn one_who_reads_slowly_gets_everything() {
        runtime().block_on(async {
            let (ours, mut theirs) = duplex(16);
            let mut ours = wrap(ours);
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
    fn one_who_reads_a_byte_now_and_then_is_given_up() {
        runtime().block_on(async {
            let (ours, mut theirs) = duplex(16);
            let mut ours = wrap(ours);
            let drips = async {
                let mut byte = [0; 1];
                while theirs.read_exact(&mut byte).await.is_ok() {
                    sleep(LIMIT / 8).await;
                }
            };
            let written = tokio::select! {
                written = ours.write_all(&[0; 256]) => written,
                () = drips => Ok(()),
            };
            assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        });
    }

    #[test]
    fn silence_between_writes_is_no_waiting() {
        runtime().block_on(async {
            let (ours, mut theirs) = duplex(16);
            let mut ours = wrap(ours);
            for _ in 0..2 {
                ours.write_all(&[0; 16]).await.unwrap();
                sleep(LIMIT + LIMIT / 4).await;
                theirs.read_exact(&mut [0; 16]).await.unwrap();
            }
        });
    }
}
