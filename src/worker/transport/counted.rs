//! Counts the bytes of all connections, for `get_peer_stats`, and bounds their closing. Ends a connection
//! whose peer is over a budget of work (`util/budgets`).
//!
//! libp2p's own `BandwidthTransport` can only be read through a Prometheus registry, so this is a
//! muxer wrapper of the same shape with two counters. It counts what streams carry: not the
//! handshakes, and not the framing of the transports.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::{AsyncRead, AsyncWrite};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use tokio::time::{Sleep, sleep};

use crate::model::reply;
use crate::worker::util::budgets::{Budgets, ConnectionMeter};

/// Bytes over all connections of a run.
#[derive(Default)]
pub(crate) struct Traffic {
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl Traffic {
    /// Returns the counters as they stand.
    pub(crate) fn snapshot(&self) -> reply::Traffic {
        reply::Traffic {
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
        }
    }
}

/// Where the connections of a run are counted.
#[derive(Clone)]
pub(crate) struct Counters {
    pub traffic: Arc<Traffic>,
    pub budgets: Arc<Budgets>,
}

/// Time that a connection may take to close in good order. Closing waits until the remote has read
/// all that is still to be sent; one that has stopped reading would hold the connection for ever.
const CLOSING: Duration = Duration::from_secs(2);

/// The largest buffer of those that read names and lengths, which cost more than their bytes.
const SMALL: usize = 64;

/// A muxer whose bytes are counted. It fails once its peer is over a budget.
pub(crate) struct Counted<M> {
    inner: M,
    traffic: Arc<Traffic>,
    meter: Arc<ConnectionMeter>,
    /// True where streams are to be counted as they surface, and not below the muxer.
    counts_streams: bool,
    closing: Option<Pin<Box<Sleep>>>,
}

impl<M> Counted<M> {
    /// Wraps a muxer whose streams are counted below it.
    pub(super) fn new(inner: M, traffic: Arc<Traffic>, meter: Arc<ConnectionMeter>) -> Self {
        Counted { inner, traffic, meter, counts_streams: false, closing: None }
    }

    /// Wraps one whose streams all surface.
    #[cfg(feature = "quic")]
    pub(super) fn counting_streams(
        inner: M,
        traffic: Arc<Traffic>,
        meter: Arc<ConnectionMeter>,
    ) -> Self {
        Counted { counts_streams: true, ..Counted::new(inner, traffic, meter) }
    }
}

impl<M> StreamMuxer for Counted<M>
where
    M: StreamMuxer + Unpin,
    M::Substream: Unpin,
    M::Error: Send + Sync + 'static,
{
    type Substream = CountedStream<M::Substream>;
    type Error = io::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Self::Substream>> {
        let polled = Pin::new(&mut self.inner).poll_inbound(cx);
        let inner = ready!(polled).map_err(io::Error::other)?;
        if self.counts_streams {
            self.meter.stream().map_err(io::Error::other)?;
        }
        let meter = Some(Arc::clone(&self.meter));
        Poll::Ready(Ok(CountedStream { inner, traffic: Arc::clone(&self.traffic), meter }))
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Self::Substream>> {
        let polled = Pin::new(&mut self.inner).poll_outbound(cx);
        let inner = ready!(polled).map_err(io::Error::other)?;
        // A stream that this node opened is work of its own.
        Poll::Ready(Ok(CountedStream { inner, traffic: Arc::clone(&self.traffic), meter: None }))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(closed) = Pin::new(&mut self.inner).poll_close(cx) {
            return Poll::Ready(closed.map_err(io::Error::other));
        }
        let patience = self.closing.get_or_insert_with(|| Box::pin(sleep(CLOSING)));
        patience.as_mut().poll(cx).map(Ok)
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        self.meter.in_budget().map_err(io::Error::other)?;
        Pin::new(&mut self.inner).poll(cx).map_err(io::Error::other)
    }
}

/// A stream whose bytes are counted.
pub(crate) struct CountedStream<S> {
    inner: S,
    traffic: Arc<Traffic>,
    /// The meter of a stream that the remote opened.
    meter: Option<Arc<ConnectionMeter>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for CountedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        self.traffic.bytes_in.fetch_add(count as u64, Ordering::Relaxed);
        if buffer.len() <= SMALL
            && let Some(meter) = &self.meter
        {
            // The muxer, which is polled next, ends the connection.
            meter.frame().map_err(io::Error::other)?;
        }
        Poll::Ready(Ok(count))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CountedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.inner).poll_write(cx, buffer))?;
        self.traffic.bytes_out.fetch_add(count as u64, Ordering::Relaxed);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}
