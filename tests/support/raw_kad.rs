//! A peer of the DHT that answers by hand and asks nothing, for `raw_peer`. Its options, all optional:
//!
//! - `protocol`: the name of the DHT (peerkit's own);
//! - `peers`: the peers it tells everybody of, `[{"id": .., "addrs": [..]}]`;
//! - `made_up`: `{"count": N, "addrs": [..]}`: N made-up peers at these addresses in each answer,
//!   closer to the key asked for than anybody real;
//! - `silent`: takes questions and never answers;
//! - `provide`, `put`, `ask`: the numbers of provider records, of values, and of questions who is close to a key,
//!   sent over one stream of each connection;
//! - `key_bytes`: the length of their keys (34).

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{AsyncReadExt, AsyncWriteExt, FutureExt};
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::kad::{KBucketKey, RecordKey};
use libp2p::swarm::handler::ConnectionEvent;
use libp2p::swarm::{
    ConnectionHandler, ConnectionHandlerEvent, Stream, StreamProtocol, SubstreamProtocol,
};
use libp2p::{Multiaddr, PeerId};
use serde_json::Value;

use super::each_connection::EachConnection;
use super::record::{field, varint};

const PUT_VALUE: usize = 0;
const ADD_PROVIDER: usize = 2;
const FIND_NODE: usize = 4;
/// Questions are small.
const MAX_QUESTION: usize = 16 * 1024;
/// Made-up ids to choose the closest from.
const STOCK: usize = 2000;
/// A time as long as a test may take.
const PATIENCE: Duration = Duration::from_secs(600);

pub type RawKad = EachConnection<Speaker>;

pub fn behaviour(options: &Value, local: PeerId) -> Option<RawKad> {
    let ways = options.is_object().then(|| Arc::new(Ways::new(options, local)))?;
    let floods = ways.provide + ways.put + ways.ask > 0;
    Some(EachConnection::new(move || Speaker { ways: Arc::clone(&ways), floods }))
}

/// Its options.
struct Ways {
    protocol: StreamProtocol,
    local: PeerId,
    peers: Vec<(PeerId, Vec<Multiaddr>)>,
    made_up: (usize, Vec<Multiaddr>),
    stock: Vec<PeerId>,
    silent: bool,
    provide: u64,
    put: u64,
    ask: u64,
    key_bytes: usize,
}

fn peer_id(id: &Value) -> PeerId {
    id.as_str().unwrap().parse().unwrap()
}

fn addresses(texts: &Value) -> Vec<Multiaddr> {
    let texts = texts.as_array().into_iter().flatten();
    texts.map(|text| text.as_str().unwrap().parse().unwrap()).collect()
}

impl Ways {
    fn new(options: &Value, local: PeerId) -> Self {
        let number = |key: &str| options[key].as_u64().unwrap_or(0);
        let name = options["protocol"].as_str().unwrap_or("/peerkit/kad/1.0.0");
        let told = options["peers"].as_array().into_iter().flatten();
        let made_up = &options["made_up"];
        let count = made_up["count"].as_u64().unwrap_or(0) as usize;
        Ways {
            protocol: StreamProtocol::try_from_owned(name.to_owned()).unwrap(),
            local,
            peers: told.map(|peer| (peer_id(&peer["id"]), addresses(&peer["addrs"]))).collect(),
            made_up: (count, addresses(&made_up["addrs"])),
            stock: (0..if count > 0 { STOCK } else { 0 }).map(|_| PeerId::random()).collect(),
            silent: options["silent"] == true,
            provide: number("provide"),
            put: number("put"),
            ask: number("ask"),
            key_bytes: options["key_bytes"].as_u64().unwrap_or(34) as usize,
        }
    }

    fn answer(&self, question: &HashMap<u8, Vec<u8>>) -> Vec<u8> {
        let kind = question.get(&1).map_or(0, |kind| usize::from(kind[0]));
        let key = RecordKey::new(question.get(&2).unwrap_or(&Vec::new()));
        let mut told: Vec<(PeerId, &[Multiaddr])> =
            self.peers.iter().map(|(id, addrs)| (*id, addrs.as_slice())).collect();
        let key = KBucketKey::new(key);
        let mut stock = self.stock.clone();
        stock.sort_by_cached_key(|id| KBucketKey::from(*id).distance(&key));
        told.extend(
            stock.into_iter().take(self.made_up.0).map(|id| (id, self.made_up.1.as_slice())),
        );
        let mut answer = number(1, kind);
        for (id, addrs) in told {
            answer.extend(field(8, &peer(&id, addrs)));
        }
        answer
    }

    /// Makes the unrequested message of this number.
    fn flood(&self, nth: u64) -> Vec<u8> {
        let mut key = vec![0x12, 0x20];
        key.extend(nth.to_be_bytes());
        key.resize(self.key_bytes, 0);
        if nth < self.provide {
            let addrs = ["/ip4/127.0.0.1/tcp/9".parse().unwrap()];
            let provider = field(9, &peer(&self.local, &addrs));
            return [number(1, ADD_PROVIDER), field(2, &key), provider].concat();
        }
        if nth >= self.provide + self.put {
            return [number(1, FIND_NODE), field(2, &key)].concat();
        }
        let record = [field(1, &key), field(2, &[7; 1000])].concat();
        [number(1, PUT_VALUE), field(2, &key), field(3, &record)].concat()
    }
}

fn peer(id: &PeerId, addrs: &[Multiaddr]) -> Vec<u8> {
    let addrs = addrs.iter().flat_map(|addr| field(2, &addr.to_vec()));
    field(1, &id.to_bytes()).into_iter().chain(addrs).collect()
}

fn number(key: u8, value: usize) -> Vec<u8> {
    [vec![key << 3], varint(value as u64)].concat()
}

/// Reads one message; None at the end of the stream.
async fn read(stream: &mut Stream) -> io::Result<Option<HashMap<u8, Vec<u8>>>> {
    let (mut length, mut shift, mut byte) = (0, 0, [0]);
    loop {
        if stream.read(&mut byte).await? == 0 {
            return Ok(None);
        }
        length |= usize::from(byte[0] & 0x7f) << shift;
        shift += 7;
        if byte[0] < 0x80 {
            break;
        }
    }
    let mut message = vec![0; length.min(MAX_QUESTION)];
    stream.read_exact(&mut message).await?;
    Ok(Some(fields(&message)))
}

/// Returns the fields that are bytes, and those that are numbers below 128.
fn fields(mut message: &[u8]) -> HashMap<u8, Vec<u8>> {
    let mut found = HashMap::new();
    while let [tag, rest @ ..] = message {
        let (mut length, mut shift, mut at) = (0, 0, 0);
        while let Some(byte) = rest.get(at) {
            length |= usize::from(byte & 0x7f) << shift;
            (shift, at) = (shift + 7, at + 1);
            if *byte < 0x80 {
                break;
            }
        }
        if tag & 7 == 0 {
            found.insert(tag >> 3, vec![length as u8]);
            message = &rest[at..];
        } else {
            let end = (at + length).min(rest.len());
            found.insert(tag >> 3, rest[at..end].to_vec());
            message = &rest[end..];
        }
    }
    found
}

async fn write(stream: &mut Stream, message: &[u8]) -> io::Result<()> {
    stream.write_all(&[varint(message.len() as u64), message.to_vec()].concat()).await?;
    stream.flush().await
}

pub struct Speaker {
    ways: Arc<Ways>,
    floods: bool,
}

impl ConnectionHandler for Speaker {
    type FromBehaviour = Infallible;
    type ToBehaviour = Infallible;
    type InboundProtocol = Talk;
    type OutboundProtocol = Talk;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Talk> {
        SubstreamProtocol::new(Talk(Arc::clone(&self.ways)), ()).with_timeout(PATIENCE)
    }

    fn on_behaviour_event(&mut self, never: Infallible) {
        match never {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Talk, (), Infallible>> {
        if std::mem::take(&mut self.floods) {
            let protocol = self.listen_protocol();
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        Poll::Pending
    }

    fn on_connection_event(&mut self, _: ConnectionEvent<'_, Talk, Talk>) {}
}

pub struct Talk(Arc<Ways>);

impl UpgradeInfo for Talk {
    type Info = StreamProtocol;
    type InfoIter = std::iter::Once<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        std::iter::once(self.0.protocol.clone())
    }
}

impl InboundUpgrade<Stream> for Talk {
    type Output = ();
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<()>>;

    fn upgrade_inbound(self, mut stream: Stream, _: StreamProtocol) -> Self::Future {
        async move {
            while let Some(question) = read(&mut stream).await? {
                if !self.0.silent {
                    write(&mut stream, &self.0.answer(&question)).await?;
                }
            }
            Ok(())
        }
        .boxed()
    }
}

impl OutboundUpgrade<Stream> for Talk {
    type Output = ();
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<()>>;

    fn upgrade_outbound(self, mut stream: Stream, _: StreamProtocol) -> Self::Future {
        async move {
            let Ways { provide, put, ask, .. } = *self.0;
            for nth in 0..provide + put + ask {
                write(&mut stream, &self.0.flood(nth)).await?;
                // A value is answered by the same value, a question by peers; a provider record isn't answered.
                if nth >= provide {
                    read(&mut stream).await?;
                }
            }
            // The answer to this comes after the last message was read.
            write(&mut stream, &[number(1, FIND_NODE), field(2, b"over")].concat()).await?;
            read(&mut stream).await.map(drop)
        }
        .boxed()
    }
}
