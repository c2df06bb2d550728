//! The transport over standard input and output: one message a line, each read by `message`. A task of its own reads,
//! so that an answer to what can't be read is written whole whatever the service is doing.

use std::io;
use std::sync::Arc;

use peerkit::text::visible_json;
use rmcp::RoleServer;
use rmcp::model::ClientJsonRpcMessage;
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::io::{StdioReader, StdioWriter};
use rmcp::transport::{Transport, stdio_pipes};
use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::{Mutex, mpsc};

use super::id::IdFinder;
use super::message::{self, Read, Refused};

/// The longest message, without what ends its line: as over HTTP, and as the library's own input.
const MAX_LINE: usize = 1 << 20;

/// The standard streams. Clones share them, and one session after the other may be served over them.
#[derive(Clone)]
pub struct Stdio {
    messages: Arc<Mutex<mpsc::Receiver<ClientJsonRpcMessage>>>,
    output: Output,
}

type Output = Arc<Mutex<StdioWriter>>;

impl Stdio {
    /// Begins to read; within a runtime, and once in a process.
    pub fn open() -> Self {
        let (input, output) = stdio_pipes();
        let output = Arc::new(Mutex::new(output));
        let (hand_on, messages) = mpsc::channel(1);
        tokio::spawn(read(BufReader::new(input), hand_on, Arc::clone(&output)));
        Stdio { messages: Arc::new(Mutex::new(messages)), output }
    }
}

/// Reads to the end of the input, or until nobody takes the messages any more.
async fn read(
    mut input: BufReader<StdioReader>,
    hand_on: mpsc::Sender<ClientJsonRpcMessage>,
    output: Output,
) {
    let mut line = Vec::new();
    while let Ok(Some(length)) = next_line(&mut input, &mut line).await {
        let read = match length {
            Length::Fits => message::read(&line),
            Length::TooLong { id } => Read::Refused(Refused::too_long(id, MAX_LINE)),
        };
        let goes_on = match read {
            Read::Nothing => true,
            Read::Message(message) => hand_on.send(*message).await.is_ok(),
            Read::Refused(refused) => write(&output, refused.to_json()).await.is_ok(),
        };
        if !goes_on {
            return;
        }
    }
}

/// The length of a line.
enum Length {
    Fits,
    /// More than is kept. Many clients write the id last, so it is looked for to the end.
    TooLong {
        id: Value,
    },
}

/// Reads the next line; None at the end. The last may lack its newline.
async fn next_line(
    input: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
) -> io::Result<Option<Length>> {
    const ENDING: usize = "\r\n".len();
    line.clear();
    let most = (MAX_LINE + ENDING) as u64;
    if input.take(most).read_until(b'\n', line).await? == 0 {
        return Ok(None);
    }
    let content = line.strip_suffix(b"\n").unwrap_or(line);
    let content = content.strip_suffix(b"\r").unwrap_or(content);
    if content.len() <= MAX_LINE {
        return Ok(Some(Length::Fits));
    }
    let mut finder = IdFinder::default();
    while !line.is_empty() {
        finder.read(line);
        if line.ends_with(b"\n") {
            break;
        }
        line.clear();
        input.take(most).read_until(b'\n', line).await?;
    }
    Ok(Some(Length::TooLong { id: finder.id() }))
}

/// Writes a line of JSON, in which the client finds what it stands for, and who looks at the line what is in it.
async fn write(output: &Output, line: String) -> io::Result<()> {
    let mut line = visible_json(line).into_owned();
    line.push('\n');
    let mut output = output.lock().await;
    output.write_all(line.as_bytes()).await?;
    output.flush().await
}

impl Transport<RoleServer> for Stdio {
    type Error = io::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let output = Arc::clone(&self.output);
        async move { write(&output, serde_json::to_string(&item)?).await }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        self.messages.lock().await.recv().await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.output.lock().await.flush().await
    }
}
