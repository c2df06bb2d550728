//! Identify pushes of the raw peer, of words made by hand, one after the other on a connection. The option `pushes`
//! has `count`, how many are made on each connection; `every_ms`, the time between two (0: as fast as it goes); and
//! `protocols`, the number of protocols in each. Each names another agent, `agent 1` and so on, and half a second
//! after all of them one comes with the agent `last`. A push that comes before the first identify is taken by nobody.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{AsyncWriteExt, FutureExt};
use libp2p::core::upgrade::{DeniedUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::identity::Keypair;
use libp2p::swarm::handler::ConnectionEvent;
use libp2p::swarm::{
    ConnectionHandler, ConnectionHandlerEvent, Stream, StreamProtocol, SubstreamProtocol,
};
use serde_json::{Value, json};
use tokio::time::{Sleep, sleep};

use super::each_connection::EachConnection;
use super::raw_peer::message;

/// The time before the last one.
const REST: Duration = Duration::from_millis(500);

pub type RawPush = EachConnection<Pusher>;

pub fn behaviour(keypair: &Keypair, options: &Value) -> Option<RawPush> {
    let (keypair, options) = (keypair.clone(), options.clone());
    options.is_object().then(|| EachConnection::new(move || Pusher::new(&keypair, &options)))
}

pub struct Pusher {
    keypair: Keypair,
    count: u64,
    every: Duration,
    protocols: u64,
    sent: u64,
    under_way: bool,
    next: Pin<Box<Sleep>>,
}

impl Pusher {
    fn new(keypair: &Keypair, options: &Value) -> Self {
        let count = options["count"].as_u64().unwrap_or(1);
        Pusher {
            keypair: keypair.clone(),
            count,
            every: Duration::from_millis(options["every_ms"].as_u64().unwrap_or(0)),
            protocols: options["protocols"].as_u64().unwrap_or(1),
            sent: 0,
            under_way: false,
            next: Box::pin(sleep(if count == 0 { REST } else { Duration::ZERO })),
        }
    }
}

impl ConnectionHandler for Pusher {
    type FromBehaviour = Infallible;
    type ToBehaviour = Infallible;
    type InboundProtocol = DeniedUpgrade;
    type OutboundProtocol = Push;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<DeniedUpgrade> {
        SubstreamProtocol::new(DeniedUpgrade, ())
    }

    fn on_behaviour_event(&mut self, never: Infallible) {
        match never {}
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Push, (), Infallible>> {
        if self.under_way || self.sent > self.count || self.next.poll_unpin(context).is_pending() {
            return Poll::Pending;
        }
        self.sent += 1;
        self.under_way = true;
        let agent = match self.sent > self.count {
            true => "last".to_owned(),
            false => format!("agent {}", self.sent),
        };
        let said = json!({ "agent": agent, "protocols": self.protocols });
        let push = Push(message(&self.keypair, &said));
        let protocol = SubstreamProtocol::new(push, ());
        Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol })
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, DeniedUpgrade, Push>) {
        if matches!(
            event,
            ConnectionEvent::FullyNegotiatedOutbound(_) | ConnectionEvent::DialUpgradeError(_)
        ) {
            self.under_way = false;
            let wait = if self.sent == self.count { REST } else { self.every };
            self.next = Box::pin(sleep(wait));
        }
    }
}

/// Writes one message on its stream.
pub struct Push(Vec<u8>);

impl UpgradeInfo for Push {
    type Info = StreamProtocol;
    type InfoIter = std::iter::Once<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        std::iter::once(StreamProtocol::new("/ipfs/id/push/1.0.0"))
    }
}

impl OutboundUpgrade<Stream> for Push {
    type Output = ();
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<()>>;

    fn upgrade_outbound(self, mut stream: Stream, _: StreamProtocol) -> Self::Future {
        async move {
            stream.write_all(&self.0).await?;
            stream.close().await
        }
        .boxed()
    }
}
