//! A second try of a TCP dial whose TLS handshake failed for a certificate that isn't valid by this machine's clock:
//! on a connection of its own, without TLS. Noise needs no clock.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{BoxFuture, FutureExt};
use libp2p::core::transport::{DialOpts, ListenerId, Transport, TransportError, TransportEvent};
use parking_lot::Mutex;

use super::progress::{clock_cause, failing, leave_tls_out};
use crate::Multiaddr;

/// The layer around TCP with its handshakes.
pub(super) struct NoiseInstead<T> {
    /// Shared with the dials under way, each of which may begin another.
    inner: Arc<Mutex<T>>,
}

impl<T> NoiseInstead<T> {
    pub(super) fn new(inner: T) -> Self {
        NoiseInstead { inner: Arc::new(Mutex::new(inner)) }
    }
}

impl<T> Transport for NoiseInstead<T>
where
    T: Transport + Unpin + Send + 'static,
    T::Error: Send + 'static,
    T::Dial: Send + 'static,
{
    type Output = T::Output;
    type Error = T::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = BoxFuture<'static, Result<T::Output, T::Error>>;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<T::Error>> {
        self.inner.lock().listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.lock().remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        opts: DialOpts,
    ) -> Result<Self::Dial, TransportError<T::Error>> {
        let first = self.inner.lock().dial(address.clone(), opts)?;
        let inner = Arc::clone(&self.inner);
        Ok(async move {
            let failure = match first.await {
                Ok(output) => return Ok(output),
                Err(failure) => failure,
            };
            let Some(cause) = clock_cause() else { return Err(failure) };
            leave_tls_out();
            let again = inner.lock().dial(address, opts);
            match again {
                // A peer that has no Noise has done nothing wrong: the clock stays the cause.
                Ok(again) => again.await.map_err(|_| {
                    failing(cause);
                    failure
                }),
                Err(_) => Err(failure),
            }
        }
        .boxed())
    }

    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<T::ListenerUpgrade, T::Error>> {
        Pin::new(&mut *self.inner.lock()).poll(cx)
    }
}
