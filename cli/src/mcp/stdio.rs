//! The transport over standard input and output: one message a line, each read by `message`. A task of its own reads,
//! so that an answer to what can't be read is written whole whatever the service is doing.

use std::io;
use std::sync::Arc;

use rmcp::RoleServer;
use rmcp::model::ClientJsonRpcMessage;
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::io::{StdioReader, StdioWriter};
use rmcp::transport::{Transport, stdio_pipes};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::{Mutex, mpsc};

use super::message::{self, Read, Refused};

/// The longest message, as over HTTP.
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
    while let Ok(true) = next_line(&mut input, &mut line).await {
        let read = if line.len() > MAX_LINE {
            Read::Refused(Refused::too_long(&line, MAX_LINE))
        } else {
            message::read(&line)
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

/// Reads the next line; false at the end. Of one that is too long it keeps the beginning. The last may lack its newline.
async fn next_line(
    input: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
) -> io::Result<bool> {
    line.clear();
    let mut read = input.take(MAX_LINE as u64 + 1).read_until(b'\n', line).await?;
    let some = read > 0;
    let mut rest = Vec::new();
    let mut ended = line.ends_with(b"\n") || line.len() <= MAX_LINE;
    while !ended && read > 0 {
        rest.clear();
        read = input.take(MAX_LINE as u64).read_until(b'\n', &mut rest).await?;
        ended = rest.ends_with(b"\n");
    }
    Ok(some)
}

async fn write(output: &Output, mut line: String) -> io::Result<()> {
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
