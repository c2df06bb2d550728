//! Gossipsub, kept in its bounds: a wrapper around libp2p's behaviour that mends three things of it.
//!
//! Its streams stay open as long as the connection and count as use of it, so no connection would ever
//! be idle: here they don't count. It verifies whatever a neighbour sends as fast as it comes: here each
//! connection gets a share of the one thread. And it doesn't tell its filters which neighbour a message
//! comes from: here [`MessageFilter`] is told. `config` makes it.

pub(crate) mod config;
pub(crate) mod message_filter;

pub(crate) use self::config::behaviour;

use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::gossipsub;
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
    InboundUpgradeSend, ListenUpgradeError, OutboundUpgradeSend, UpgradeInfoSend,
};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
    NetworkBehaviour, Stream, SubstreamProtocol, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use tokio::time::Sleep;

use self::config::Topics;
use self::message_filter::MessageFilter;
use crate::worker::util::clock::Clock;
use crate::{Multiaddr, PeerId};

/// Time that each message costs of a connection's share besides the time it took: at most 500 a second.
const EACH: Duration = Duration::from_micros(400);
/// The divisor of a connection's share of the time: a fifth.
const SHARE: u32 = 5;
/// Time of its share that a connection may use at once: 1000 messages.
const BURST: Duration = Duration::from_millis(400);

type Inner = gossipsub::Behaviour<MessageFilter, Topics>;
type InnerHandler = <Inner as NetworkBehaviour>::ConnectionHandler;

/// libp2p's behaviour, with the filter that its messages pass before.
pub(crate) struct Gossipsub {
    inner: Inner,
    filter: MessageFilter,
    clock: Clock,
}

impl Gossipsub {
    fn new(inner: Inner, filter: MessageFilter, clock: Clock) -> Self {
        Gossipsub { inner, filter, clock }
    }

    /// Returns the filter that messages pass.
    pub(crate) fn filter(&self) -> MessageFilter {
        self.filter.clone()
    }

    fn handler(&self, inner: InnerHandler) -> Handler {
        let (share, filter, clock) = (Share::new(), self.filter.clone(), self.clock.clone());
        Handler { inner, share, pause: None, filter, clock }
    }
}

impl Deref for Gossipsub {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.inner
    }
}

impl DerefMut for Gossipsub {
    fn deref_mut(&mut self) -> &mut Inner {
        &mut self.inner
    }
}

impl NetworkBehaviour for Gossipsub {
    type ConnectionHandler = Handler;
    type ToSwarm = gossipsub::Event;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        let inner =
            self.inner.handle_established_inbound_connection(connection, peer, local, remote)?;
        Ok(self.handler(inner))
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port_use: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        let inner = self
            .inner
            .handle_established_outbound_connection(connection, peer, address, role, port_use)?;
        Ok(self.handler(inner))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ConnectionClosed(closed) = &event
            && closed.remaining_established == 0
        {
            self.filter.forget(&closed.peer_id);
        }
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.filter.begin(peer);
        self.inner.on_connection_handler_event(peer, connection, event);
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.inner.poll(cx)
    }
}

/// Gossipsub's part of a connection.
pub(crate) struct Handler {
    inner: InnerHandler,
    share: Share,
    /// The wait of a neighbour that has used up its share.
    pause: Option<Pin<Box<Sleep>>>,
    filter: MessageFilter,
    clock: Clock,
}

type Event<H> = ConnectionHandlerEvent<
    Aside<<H as ConnectionHandler>::OutboundProtocol>,
    <H as ConnectionHandler>::OutboundOpenInfo,
    <H as ConnectionHandler>::ToBehaviour,
>;

impl ConnectionHandler for Handler {
    type FromBehaviour = <InnerHandler as ConnectionHandler>::FromBehaviour;
    type ToBehaviour = <InnerHandler as ConnectionHandler>::ToBehaviour;
    type InboundProtocol = Aside<<InnerHandler as ConnectionHandler>::InboundProtocol>;
    type OutboundProtocol = Aside<<InnerHandler as ConnectionHandler>::OutboundProtocol>;
    type InboundOpenInfo = <InnerHandler as ConnectionHandler>::InboundOpenInfo;
    type OutboundOpenInfo = <InnerHandler as ConnectionHandler>::OutboundOpenInfo;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        self.inner.listen_protocol().map_upgrade(Aside)
    }

    /// Keeps a connection that is in a mesh while the user subscribes to anything; peer records alone
    /// don't count as use.
    fn connection_keep_alive(&self) -> bool {
        self.filter.is_wanted() && self.inner.connection_keep_alive()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Event<InnerHandler>> {
        if let Some(pause) = &mut self.pause {
            if pause.as_mut().poll(cx).is_pending() {
                // The messages wait unread at the neighbour's end.
                return Poll::Pending;
            }
            self.pause = None;
        }
        let begun = self.clock.now();
        let polled = self.inner.poll(cx);
        if let Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(_)) = polled {
            let now = self.clock.now();
            if let Some(wait) = self.share.spend(EACH + (now - begun), now) {
                self.pause = Some(Box::pin(tokio::time::sleep(wait)));
            }
        }
        polled.map(|event| event.map_protocol(Aside))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::ToBehaviour>> {
        self.inner.poll_close(cx)
    }

    fn on_behaviour_event(&mut self, event: Self::FromBehaviour) {
        self.inner.on_behaviour_event(event);
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>,
    ) {
        self.inner.on_connection_event(match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, info }) => {
                ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, info })
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol,
                info,
            }) => {
                ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info })
            }
            ConnectionEvent::AddressChange(change) => ConnectionEvent::AddressChange(change),
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error })
            }
            ConnectionEvent::ListenUpgradeError(ListenUpgradeError { info, error }) => {
                ConnectionEvent::ListenUpgradeError(ListenUpgradeError { info, error })
            }
            ConnectionEvent::LocalProtocolsChange(change) => {
                ConnectionEvent::LocalProtocolsChange(change)
            }
            ConnectionEvent::RemoteProtocolsChange(change) => {
                ConnectionEvent::RemoteProtocolsChange(change)
            }
            _ => return,
        });
    }
}

/// A connection's share of the thread, as time it may still use.
struct Share {
    left: Duration,
    counted: Option<Instant>,
}

impl Share {
    fn new() -> Self {
        Share { left: BURST, counted: None }
    }

    /// Uses up `cost` of the share; where less is left, returns how long to wait.
    fn spend(&mut self, cost: Duration, now: Instant) -> Option<Duration> {
        let passed =
            self.counted.map_or(Duration::ZERO, |then| now.saturating_duration_since(then));
        self.counted = Some(now);
        self.left = (self.left + passed / SHARE).min(BURST);
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                None
            }
            None => {
                let owed = cost - self.left;
                self.left = Duration::ZERO;
                // The wait earns what is owed, so its time doesn't count again.
                self.counted = Some(now + owed * SHARE);
                Some(owed * SHARE)
            }
        }
    }
}

/// A protocol whose streams don't count as use of the connection they run over.
pub(crate) struct Aside<U>(U);

impl<U: UpgradeInfoSend> UpgradeInfo for Aside<U> {
    type Info = U::Info;
    type InfoIter = U::InfoIter;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.protocol_info()
    }
}

impl<U: InboundUpgradeSend> InboundUpgrade<Stream> for Aside<U> {
    type Output = U::Output;
    type Error = U::Error;
    type Future = U::Future;

    fn upgrade_inbound(self, mut stream: Stream, info: U::Info) -> Self::Future {
        stream.ignore_for_keep_alive();
        self.0.upgrade_inbound(stream, info)
    }
}

impl<U: OutboundUpgradeSend> OutboundUpgrade<Stream> for Aside<U> {
    type Output = U::Output;
    type Error = U::Error;
    type Future = U::Future;

    fn upgrade_outbound(self, mut stream: Stream, info: U::Info) -> Self::Future {
        stream.ignore_for_keep_alive();
        self.0.upgrade_outbound(stream, info)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_uses_up_its_share_waits_until_it_is_earned() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut share = Share::new();
        assert_eq!(share.spend(BURST, at(0)), None);
        let wait = share.spend(Duration::from_millis(10), at(0));
        assert_eq!(wait, Some(Duration::from_millis(50)), "a fifth of the time");
        assert_eq!(share.spend(Duration::from_millis(1), at(50)), Some(Duration::from_millis(5)));
        assert_eq!(share.spend(Duration::from_millis(1), at(60)), None);
        assert_eq!(share.spend(BURST, at(60_000)), None, "no more than that is saved up");
    }
}
