//! The perf protocol of the raw peer, by its specification alone: any number of bytes, either way. With the
//! option `perf: {}` the peer speaks it, and as a server sends `short` bytes fewer than it was asked for.
//!
//! As a client it has a call: `perf {peer_id, download, upload}` asks a connected peer for `download` bytes,
//! whatever that number is, and uploads `upload`. The reply says how many `came`, and whether the stream ended
//! `well`. With `hold` its own side stays open: the reply comes at once, and the run never ends.

use std::collections::HashMap;
use std::time::Duration;
use std::{io, iter};

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::StreamProtocol;
use libp2p::request_response::{
    Behaviour, Codec, Config, Event, Message, OutboundRequestId, ProtocolSupport,
};
use serde_json::{Value, json};

/// A time as long as a test may take.
const PATIENCE: Duration = Duration::from_secs(600);

pub type RawPerf = Behaviour<Raw>;

pub fn behaviour(options: &Value) -> Option<RawPerf> {
    let short = options.as_object()?.get("short").and_then(Value::as_u64).unwrap_or(0);
    let protocol = StreamProtocol::new("/perf/1.0.0");
    let config = Config::default().with_request_timeout(PATIENCE);
    let both = iter::once((protocol, ProtocolSupport::Full));
    Some(Behaviour::with_codec(Raw { short }, both, config))
}

#[derive(Clone)]
pub struct Raw {
    short: u64,
}

#[derive(Debug)]
pub struct Ask {
    download: u64,
    upload: u64,
    hold: bool,
}

/// The bytes to send, or those that came and whether the stream ended well.
#[derive(Debug)]
pub struct Bytes(u64, bool);

/// The runs that are to be told of.
#[derive(Default)]
pub struct Runs(HashMap<OutboundRequestId, Value>);

impl Runs {
    /// Takes a request, where it is of this protocol; returns the answer of one that waits for nothing.
    pub fn on_request(&mut self, perf: &mut RawPerf, request: &Value) -> Option<Value> {
        let params = &request["params"];
        let number = |key: &str| params[key].as_u64().unwrap_or(0);
        let hold = params["hold"] == true;
        let ask = Ask { download: number("download"), upload: number("upload"), hold };
        let peer = params["peer_id"].as_str()?.parse().unwrap();
        let run = perf.send_request(&peer, ask);
        if hold {
            return Some(json!({ "id": request["id"], "reply": { "success": true } }));
        }
        self.0.insert(run, request["id"].clone());
        None
    }

    /// Takes an event; returns the answer of a run that has ended.
    pub fn on_event(&mut self, perf: &mut RawPerf, event: Event<Ask, Bytes>) -> Option<Value> {
        let (run, Bytes(came, well)) = match event {
            Event::Message { message: Message::Request { request, channel, .. }, .. } => {
                let _ = perf.send_response(channel, Bytes(request.download, true));
                return None;
            }
            Event::Message { message: Message::Response { request_id, response }, .. } => {
                (request_id, response)
            }
            Event::OutboundFailure { request_id, .. } => (request_id, Bytes(0, false)),
            _ => return None,
        };
        let reply = json!({ "success": true, "came": came, "well": well });
        Some(json!({ "id": self.0.remove(&run)?, "reply": reply }))
    }
}

impl Codec for Raw {
    type Protocol = StreamProtocol;
    type Request = Ask;
    type Response = Bytes;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Ask>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut download = [0; 8];
        io.read_exact(&mut download).await?;
        let Bytes(upload, _) = to_the_end(io).await;
        Ok(Ask { download: u64::from_be_bytes(download), upload, hold: false })
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        Bytes(bytes, _): Bytes,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write(io, bytes.saturating_sub(self.short)).await
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, ask: Ask) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&ask.download.to_be_bytes()).await?;
        write(io, ask.upload).await?;
        if ask.hold {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Bytes>
    where
        T: AsyncRead + Unpin + Send,
    {
        Ok(to_the_end(io).await)
    }
}

async fn write(io: &mut (impl AsyncWrite + Unpin), bytes: u64) -> io::Result<()> {
    let block = vec![1; 1 << 20];
    let mut left = bytes;
    while left > 0 {
        let count = left.min(block.len() as u64);
        io.write_all(&block[..count as usize]).await?;
        left -= count;
    }
    io.flush().await
}

async fn to_the_end(io: &mut (impl AsyncRead + Unpin)) -> Bytes {
    let mut block = vec![0; 1 << 20];
    let mut came = 0;
    loop {
        match io.read(&mut block).await {
            Ok(0) => return Bytes(came, true),
            Ok(count) => came += count as u64,
            Err(_) => return Bytes(came, false),
        }
    }
}
