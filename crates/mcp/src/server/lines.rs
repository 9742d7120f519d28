//! The transport over a pair of streams: one message a line.
//!
//! A line is bounded, and one that is too long or no message is answered, with its id where that can be read: rmcp's own
//! transport drops both, and the client would wait for its timeout. One task owns the writer, so that an answer which is
//! given up half-way never mixes with the next.

use std::io;

use rmcp::model::ServerJsonRpcMessage;
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use rmcp::{ErrorData, RoleServer};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::{mpsc, oneshot};

use super::id::Scan;
use super::message::{self, Refusal};

/// Lines that may wait for the writer. Beyond that the reader waits, so a client that reads nothing is not read either.
const WAITING: usize = 64;
/// Windows programs begin what they write with it.
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// The transport of one connection.
pub(super) struct Lines<R> {
    read: BufReader<R>,
    line: Vec<u8>,
    most: usize,
    /// The line is too long: what is still to come of it is read for its id alone.
    skipping: Option<Scan>,
    /// A refusal that is still to be written.
    refusal: Option<Box<Refusal>>,
    write: Option<mpsc::Sender<Line>>,
}

/// One line on its way, and who waits until it is written.
struct Line {
    text: Vec<u8>,
    written: Option<oneshot::Sender<io::Result<()>>>,
}

impl<R: AsyncRead + Send + Unpin> Lines<R> {
    /// Lines of at most `most` bytes. The writer's task lives until the transport is closed and all is written.
    pub(super) fn new(read: R, write: impl AsyncWrite + Send + Unpin + 'static, most: usize) -> Self {
        let (lines, waiting) = mpsc::channel(WAITING);
        haversack::spawn_detached(write_all(write, waiting));
        Self {
            read: BufReader::new(read),
            line: Vec::new(),
            most,
            skipping: None,
            refusal: None,
            write: Some(lines),
        }
    }

    /// Reads until there is a line or a refusal; `None` at the end of the stream. Nothing is lost when the future is dropped.
    async fn next_line(&mut self) -> Option<Result<Vec<u8>, Box<Refusal>>> {
        loop {
            let piece = match self.read.fill_buf().await {
                Ok([]) => return None,
                Ok(piece) => piece,
                Err(error) => {
                    tracing::error!(%error, "the messages of an MCP client cannot be read");
                    return None;
                }
            };
            let end = piece.iter().position(|byte| *byte == b'\n');
            let (text, taken) = end.map_or((piece, piece.len()), |end| (&piece[..end], end + 1));
            if let Some(scan) = &mut self.skipping {
                scan.read(text);
            } else if self.line.len() + text.len() > self.most {
                let mut scan = Scan::default();
                scan.read(&self.line);
                scan.read(text);
                self.line = Vec::new();
                self.skipping = Some(scan);
            } else {
                self.line.extend_from_slice(text);
            }
            self.read.consume(taken);
            if end.is_none() {
                continue;
            }
            if let Some(scan) = self.skipping.take() {
                let why = format!("the message is longer than {} bytes", self.most);
                return Some(Err(Refusal::with_id(scan.found(), ErrorData::invalid_request(why, None))));
            }
            return Some(Ok(std::mem::take(&mut self.line)));
        }
    }
}

async fn write_all(mut write: impl AsyncWrite + Unpin, mut waiting: mpsc::Receiver<Line>) {
    while let Some(Line { text, written }) = waiting.recv().await {
        let told = async {
            write.write_all(&text).await?;
            write.flush().await
        };
        let told = told.await;
        let broken = told.is_err();
        // Whoever waited may be gone.
        if let Some(written) = written {
            let _ = written.send(told);
        }
        if broken {
            return;
        }
    }
}

fn line_of(value: &impl serde::Serialize) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(value).map_err(io::Error::other)?;
    text.push(b'\n');
    Ok(text)
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the connection is closed")
}

impl<R: AsyncRead + Send + Unpin> Transport<RoleServer> for Lines<R> {
    type Error = io::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let write = self.write.clone();
        async move {
            let item: ServerJsonRpcMessage = item;
            let (written, told) = oneshot::channel();
            let line = Line { text: line_of(&item)?, written: Some(written) };
            write.ok_or_else(closed)?.send(line).await.map_err(|_| closed())?;
            told.await.map_err(|_| closed())?
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            if let Some(refusal) = &self.refusal {
                let text = line_of(&refusal.answer()).ok()?;
                self.write.as_ref()?.send(Line { text, written: None }).await.ok()?;
                self.refusal = None;
            }
            let line = match self.next_line().await? {
                Ok(line) => line,
                Err(refusal) => {
                    self.refusal = Some(refusal);
                    continue;
                }
            };
            let line = line.strip_prefix(MARK).unwrap_or(&line).trim_ascii();
            if line.is_empty() {
                continue;
            }
            match message::read(line) {
                Ok(message) => return Some(message),
                Err(refusal) => self.refusal = Some(refusal),
            }
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        let Some(write) = self.write.take() else { return Ok(()) };
        // An empty line is written when everything before it is.
        let (written, told) = oneshot::channel();
        if write.send(Line { text: Vec::new(), written: Some(written) }).await.is_ok() {
            return told.await.unwrap_or(Ok(()));
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // `#[tokio::test]` blocks on its runtime where no frame is
mod tests {
    use rmcp::model::JsonRpcMessage;
    use serde_json::{Value, json};
    use tokio::io::AsyncReadExt;

    use super::*;

    /// Reads the lines: the number of messages, and the answers to the other lines.
    async fn told(input: &str, most: usize) -> (usize, Vec<Value>) {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let mut lines = Lines::new(input.as_bytes(), near, most);
        let mut read = 0;
        while let Some(message) = lines.receive().await {
            assert!(matches!(message, JsonRpcMessage::Request(_)));
            read += 1;
        }
        lines.close().await.unwrap();
        drop(lines);
        let mut text = String::new();
        far.read_to_string(&mut text).await.unwrap();
        (read, text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    #[tokio::test]
    async fn each_line_is_read_or_answered() {
        let long = "x".repeat(2_000);
        let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        let input = format!(
            "\u{feff}{ping}\n\n{{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":5}}\n{{\"params\":\"{long}\",\"id\":\"c\"}}\r\n{ping}\n\
             {{\"id\":4,\n{}\n{ping}\n",
            "[".repeat(300)
        );
        let (read, answers) = told(&input, 1_000).await;
        assert_eq!(read, 3);
        let ids: Vec<_> = answers.iter().map(|answer| answer.get("id").cloned()).collect();
        assert_eq!(ids, [Some(json!(2)), Some(json!("c")), Some(json!(4)), None]);
        let codes: Vec<_> = answers.iter().map(|answer| answer["error"]["code"].as_i64().unwrap()).collect();
        assert_eq!(codes, [-32600, -32600, -32700, -32700]);
    }
}
