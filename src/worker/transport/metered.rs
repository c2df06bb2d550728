//! yamux with a meter: reads the headers of its frames as they pass, and fails the connection once its peer
//! is over a budget (`util/budgets`).
//!
//! Streams are counted here and not where they surface: yamux itself drops those that nobody takes in time,
//! and pings, resets and window updates never surface. Over QUIC all that costs anything does.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::future::{BoxFuture, FutureExt, TryFutureExt};
use futures::{AsyncRead, AsyncWrite};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};
use libp2p::yamux;

use super::counted::{Counted, Traffic};
use crate::worker::util::budgets::{ConnectionMeter, OverBudget};

/// The length of a frame's header.
const HEADER: usize = 12;
/// A frame that moves, or makes room for, this many bytes or more costs what its bytes cost.
const BULK: u32 = 1024;
const DATA: u8 = 0;
const WINDOW_UPDATE: u8 = 1;
const SYN: u8 = 1;

/// The upgrade of a connection to yamux with a meter.
#[derive(Clone)]
pub(super) struct Metered {
    pub meter: Arc<ConnectionMeter>,
    pub traffic: Arc<Traffic>,
}

impl UpgradeInfo for Metered {
    type Info = &'static str;
    type InfoIter = <yamux::Config as UpgradeInfo>::InfoIter;

    fn protocol_info(&self) -> Self::InfoIter {
        yamux::Config::default().protocol_info()
    }
}

impl<S> InboundConnectionUpgrade<S> for Metered
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = Counted<yamux::Muxer<Frames<S>>>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Output>>;

    fn upgrade_inbound(self, socket: S, name: &'static str) -> Self::Future {
        let Metered { meter, traffic } = self;
        let frames = Frames::new(socket, Arc::clone(&meter));
        let upgrade = yamux::Config::default().upgrade_inbound(frames, name);
        upgrade.map_ok(|muxer| Counted::new(muxer, traffic, meter)).boxed()
    }
}

impl<S> OutboundConnectionUpgrade<S> for Metered
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = Counted<yamux::Muxer<Frames<S>>>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Output>>;

    fn upgrade_outbound(self, socket: S, name: &'static str) -> Self::Future {
        let Metered { meter, traffic } = self;
        let frames = Frames::new(socket, Arc::clone(&meter));
        let upgrade = yamux::Config::default().upgrade_outbound(frames, name);
        upgrade.map_ok(|muxer| Counted::new(muxer, traffic, meter)).boxed()
    }
}

/// The bytes below yamux, which are frames.
pub(super) struct Frames<S> {
    inner: S,
    meter: Arc<ConnectionMeter>,
    header: [u8; HEADER],
    /// The bytes of the header that have come.
    read: usize,
    /// The bytes of the frame's body that are still to come.
    body: usize,
}

impl<S> Frames<S> {
    fn new(inner: S, meter: Arc<ConnectionMeter>) -> Self {
        Frames { inner, meter, header: [0; HEADER], read: 0, body: 0 }
    }

    /// Counts the frames that begin in these bytes.
    fn passed(&mut self, mut bytes: &[u8]) -> Result<(), OverBudget> {
        while !bytes.is_empty() {
            if self.body > 0 {
                let skipped = self.body.min(bytes.len());
                self.body -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let (more, rest) = bytes.split_at(bytes.len().min(HEADER - self.read));
            self.header[self.read..self.read + more.len()].copy_from_slice(more);
            self.read += more.len();
            bytes = rest;
            if self.read == HEADER {
                self.read = 0;
                self.count()?;
            }
        }
        Ok(())
    }

    /// Counts the frame whose header has come.
    fn count(&mut self) -> Result<(), OverBudget> {
        let [_, kind, _, flags, _, _, _, _, length @ ..] = self.header;
        let length = u32::from_be_bytes(length);
        let carries = matches!(kind, DATA | WINDOW_UPDATE);
        if kind == DATA {
            self.body = length as usize;
        }
        if carries && flags & SYN != 0 {
            self.meter.stream()?;
        }
        if carries && length >= BULK { Ok(()) } else { self.meter.frame() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Frames<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        Poll::Ready(self.passed(&buffer[..count]).map(|()| count).map_err(io::Error::other))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Frames<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, buffers)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use futures::AsyncReadExt;
    use futures::io::Cursor;

    use super::*;
    use crate::PeerId;
    use crate::worker::util::budgets::Budgets;
    use crate::worker::util::clock::Clock;

    fn frame(kind: u8, flags: u8, length: u32) -> Vec<u8> {
        let mut frame = vec![0, kind, 0, flags, 0, 0, 0, 1];
        frame.extend(length.to_be_bytes());
        frame.resize(HEADER + if kind == DATA { length as usize } else { 0 }, 0xff);
        frame
    }

    #[tokio::test]
    async fn frames_are_counted_however_their_bytes_come() {
        const ACK: u8 = 2;
        const PING: u8 = 2;
        let frames = [
            frame(WINDOW_UPDATE, SYN, 0),
            frame(DATA, SYN, 20),
            frame(DATA, 0, 0),
            frame(WINDOW_UPDATE, ACK, BULK),
            frame(DATA, 0, 5000),
            frame(PING, SYN, 1 << 20),
        ]
        .concat();
        for piece in [1, 5, 12, 13, 10_000] {
            let budgets = Arc::new(Budgets::new(Arc::default(), Clock::stopped()));
            let meter = budgets.connection(PeerId::random());
            let mut socket = Frames::new(Cursor::new(frames.clone()), Arc::clone(&meter));
            let (mut read, mut buffer) = (0, vec![0; piece]);
            while read < frames.len() {
                read += socket.read(&mut buffer).await.unwrap();
            }
            // A stream costs a frame too; what carries a lot doesn't.
            assert_eq!(meter.counted(), (2, 4), "{piece}");
        }
    }
}
