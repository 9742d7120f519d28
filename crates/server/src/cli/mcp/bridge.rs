//! The bridge of `mcp stdio --server`: each line of standard input is one request to the endpoint of a server, and what the
//! server answers goes to standard output, one message a line. It reads no more of a message than the transport needs: its
//! method, its id, its revision and what it names. It knows nothing of the tools.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{AbortHandle, abortable};
use futures_util::stream::FuturesUnordered;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;

use crate::cli::client::http_client;
use crate::cli::sse::Parser;
use crate::problem::{Fault, Problem};

/// The longest line of the client, in bytes.
const LINE: usize = 4 << 20;
/// Requests under way at a time; further ones wait.
const MANY: usize = 64;
/// Lines that wait for standard output.
const WAITING: usize = 64;
/// How long requests may go on after standard input has ended.
const GRACE: Duration = Duration::from_secs(5);
/// How long the end of a session may take.
const END: Duration = Duration::from_secs(2);

const SESSION: &str = "mcp-session-id";
const REVISION: &str = "mcp-protocol-version";

/// A connection to the endpoint of one server.
pub(super) struct Bridge {
    http: reqwest::Client,
    url: String,
    key: String,
    /// The session that the tools work in.
    name: String,
    /// The session of the transport, in revisions that have one.
    begun: tokio::sync::Mutex<Begun>,
    /// The requests under way, by their ids.
    running: Mutex<HashMap<String, AbortHandle>>,
}

/// The transport's session and revision, known since `initialize`.
#[derive(Default, Clone)]
struct Begun {
    message: Option<Value>,
    session: Option<String>,
    revision: Option<String>,
}

/// One message of the client.
struct Message {
    bytes: Vec<u8>,
    id: Option<Value>,
    method: String,
    /// The name of the tool or the task.
    name: Option<String>,
    /// The revision that it says it is of; only those without sessions say so.
    revision: Option<String>,
    /// The request that it takes back.
    cancels: Option<String>,
}

impl Message {
    fn read(bytes: Vec<u8>) -> Self {
        let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let (method, params) = (text(&value["method"]).unwrap_or_default(), &value["params"]);
        let cancels = (method == "notifications/cancelled").then(|| params["requestId"].to_string());
        Self {
            id: value.get("id").filter(|_| !method.is_empty()).cloned(),
            name: text(&params["name"]).or_else(|| text(&params["taskId"])),
            revision: text(&params["_meta"]["io.modelcontextprotocol/protocolVersion"]),
            method,
            cancels,
            bytes,
        }
    }
}

impl Bridge {
    /// A bridge to the server at `base`, with this key, for tools in the session of this name.
    ///
    /// # Errors
    /// [`ServerUnreachable`](crate::code::Code::ServerUnreachable) when `base` is no HTTP address.
    pub(super) fn new(base: &str, key: &str, name: &str) -> Result<Self, Fault> {
        let base = base.trim_end_matches('/');
        let base = base.strip_suffix("/mcp").unwrap_or(base);
        Ok(Self {
            http: http_client(base)?,
            url: format!("{base}/mcp"),
            key: key.to_owned(),
            name: name.to_owned(),
            begun: tokio::sync::Mutex::default(),
            running: Mutex::default(),
        })
    }

    /// Carries messages until `read` ends.
    ///
    /// # Errors
    /// When `read` or `write` breaks.
    ///
    /// # Cancellation
    /// Requests under way are dropped.
    pub(super) async fn carry(
        &self,
        read: impl AsyncRead + Unpin,
        mut write: impl AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let (out, mut lines) = mpsc::channel::<String>(WAITING);
        let writing = async {
            while let Some(mut line) = lines.recv().await {
                line.push('\n');
                write.write_all(line.as_bytes()).await?;
                write.flush().await?;
            }
            Ok(())
        };
        let reading = async move { self.read(read, out).await };
        let (read, written) = futures_util::future::join(reading, writing).await;
        read.and(written)
    }

    async fn read(&self, read: impl AsyncRead + Unpin, out: mpsc::Sender<String>) -> io::Result<()> {
        let mut read = BufReader::new(read);
        let mut under_way = FuturesUnordered::new();
        let mut line = Vec::new();
        loop {
            let ended = tokio::select! {
                biased;
                Some(()) = under_way.next(), if !under_way.is_empty() => continue,
                ended = next_line(&mut read, &mut line), if under_way.len() < MANY => ended?,
            };
            let Some(fits) = ended else { break };
            let bytes = std::mem::take(&mut line);
            if bytes.trim_ascii().is_empty() {
                continue;
            }
            let message = Message::read(bytes);
            if !fits {
                let why = format!("the message is longer than {LINE} bytes");
                let _ = out.send(error(message.id.as_ref(), -32600, &why)).await;
            } else if let Some(id) = &message.cancels
                && message.revision.is_some()
            {
                // Without sessions a request is taken back by closing its connection.
                if let Some(running) = self.running().remove(id) {
                    running.abort();
                }
            } else if message.id.is_none() || message.method == "initialize" {
                self.ask(&message, &out).await;
            } else {
                let id = message.id.as_ref().map(Value::to_string).unwrap_or_default();
                let out = out.clone();
                let (asking, handle) = abortable(async move { self.ask(&message, &out).await });
                self.running().insert(id.clone(), handle);
                under_way.push(async move {
                    let _ = asking.await;
                    self.running().remove(&id);
                });
            }
        }
        let rest = async { while under_way.next().await.is_some() {} };
        let _ = tokio::time::timeout(GRACE, rest).await;
        Ok(())
    }

    /// Sends a message and passes on what answers it. A reader of `out` that went away ends it.
    async fn ask(&self, message: &Message, out: &mpsc::Sender<String>) {
        if let Err(why) = self.pass(message, out).await {
            match &message.id {
                Some(id) => drop(out.send(error(Some(id), -32603, &why)).await),
                None => tracing::warn!(%why, "a message of the MCP client was not taken"),
            }
        }
    }

    async fn pass(&self, message: &Message, out: &mpsc::Sender<String>) -> Result<(), String> {
        let begun = self.begun.lock().await.clone();
        let begun = if message.method == "initialize" { Begun::default() } else { begun };
        let mut answer = self.send(message, &begun).await?;
        let lost = answer.status() == StatusCode::NOT_FOUND && !is(&answer, "application/json");
        if lost && begun.session.is_some() && message.revision.is_none() {
            let begun = self.begin_again(&begun).await?;
            answer = self.send(message, &begun).await?;
        }
        if message.method == "initialize" {
            let session = answer.headers().get(SESSION).and_then(|id| id.to_str().ok()).map(str::to_owned);
            let first = serde_json::from_slice(&message.bytes).ok();
            *self.begun.lock().await = Begun { message: first, session, revision: None };
        }
        self.answer(answer, message, out).await
    }

    async fn send(&self, message: &Message, begun: &Begun) -> Result<Response, String> {
        let mut request = self.request(self.http.post(&self.url));
        if let Some(revision) = &message.revision {
            request = request.header(REVISION, revision).header("mcp-method", &message.method);
            // The server fills in a name that no header can hold.
            if let Some(name) =
                message.name.as_ref().filter(|name| name.bytes().all(|b| b.is_ascii_graphic()))
            {
                request = request.header("mcp-name", name);
            }
        } else {
            for (name, value) in [(SESSION, &begun.session), (REVISION, &begun.revision)] {
                if let Some(value) = value {
                    request = request.header(name, value);
                }
            }
        }
        let request = request.header(CONTENT_TYPE, "application/json").body(message.bytes.clone());
        request.send().await.map_err(|error| format!("no answer from {}: {error}", self.url))
    }

    fn request(&self, request: RequestBuilder) -> RequestBuilder {
        request
            .bearer_auth(&self.key)
            .header(ACCEPT, "application/json, text/event-stream")
            .header(haversack_mcp::SESSION_HEADER, &self.name)
    }

    /// Begins a session of the transport in place of one that has ended, with the client's own words.
    async fn begin_again(&self, lost: &Begun) -> Result<Begun, String> {
        let mut begun = self.begun.lock().await;
        if begun.session != lost.session {
            return Ok(begun.clone());
        }
        let Some(first) = &lost.message else { return Err("the session has ended".to_owned()) };
        let first = Message::read(first.to_string().into_bytes());
        let answer = self.send(&first, &Begun::default()).await?;
        let session = answer.headers().get(SESSION).and_then(|id| id.to_str().ok()).map(str::to_owned);
        // The client had its answer to this message before.
        answer.bytes().await.map_err(|error| error.to_string())?;
        *begun = Begun { session, ..lost.clone() };
        let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        self.send(&Message::read(ready.to_string().into_bytes()), &begun).await?;
        Ok(begun.clone())
    }

    /// Passes on the messages of one answer.
    async fn answer(
        &self,
        answer: Response,
        message: &Message,
        out: &mpsc::Sender<String>,
    ) -> Result<(), String> {
        let status = answer.status();
        let broke = |error: reqwest::Error| format!("the answer of {} broke off: {error}", self.url);
        if is(&answer, "text/event-stream") {
            let mut parser = Parser::default();
            let mut pieces = answer.bytes_stream();
            let mut last = Value::Null;
            while let Some(piece) = pieces.next().await {
                for event in parser.push(&piece.map_err(broke)?).map_err(|error| error.to_string())? {
                    let Ok(value) = serde_json::from_str::<Value>(&event.data) else { continue };
                    last = value;
                    self.give(&last, message, out).await;
                }
            }
            if message.id.is_some() && last.get("id") != message.id.as_ref() {
                return Err("the server ended the stream before it answered".to_owned());
            }
            return Ok(());
        }
        let json = is(&answer, "application/json");
        let body = answer.bytes().await.map_err(broke)?;
        if json && let Ok(value) = serde_json::from_slice::<Value>(&body) {
            self.give(&value, message, out).await;
        } else if !status.is_success() {
            let problem = serde_json::from_slice::<Problem>(&body);
            let problem = problem.map_or_else(|_| String::new(), |p| format!(": {}: {}", p.code, p.detail));
            return Err(format!("the server refused the message with status {status}{problem}"));
        }
        Ok(())
    }

    async fn give(&self, value: &Value, message: &Message, out: &mpsc::Sender<String>) {
        if message.method == "initialize"
            && let Some(revision) = value["result"]["protocolVersion"].as_str()
        {
            self.begun.lock().await.revision = Some(revision.to_owned());
        }
        // When nobody writes any more, the connection is at its end.
        let _ = out.send(value.to_string()).await;
    }

    /// Ends the session of the transport, where there is one.
    pub(super) async fn end(&self) {
        let Begun { session: Some(session), revision, .. } = self.begun.lock().await.clone() else { return };
        let mut request = self.request(self.http.delete(&self.url)).header(SESSION, session).timeout(END);
        if let Some(revision) = revision {
            request = request.header(REVISION, revision);
        }
        if let Err(error) = request.send().await {
            tracing::debug!(%error, "the session of the server was left to its time");
        }
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<String, AbortHandle>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is(answer: &Response, kind: &str) -> bool {
    let given = answer.headers().get(CONTENT_TYPE).and_then(|given| given.to_str().ok());
    given.is_some_and(|given| given.starts_with(kind))
}

fn error(id: Option<&Value>, code: i32, why: &str) -> String {
    let mut answer = json!({ "jsonrpc": "2.0", "error": { "code": code, "message": why } });
    if let Some(id) = id {
        answer["id"] = id.clone();
    }
    answer.to_string()
}

/// Reads the next line into `line`; `None` at the end. False when the line is too long, and then `line` is what fits of it.
/// Nothing is lost when the future is dropped.
async fn next_line(
    read: &mut BufReader<impl AsyncRead + Unpin>,
    line: &mut Vec<u8>,
) -> io::Result<Option<bool>> {
    loop {
        let piece = read.fill_buf().await?;
        if piece.is_empty() {
            return Ok(None);
        }
        let end = piece.iter().position(|byte| *byte == b'\n');
        let (text, taken) = end.map_or((piece, piece.len()), |end| (&piece[..end], end + 1));
        // One byte more than fits marks a line that is too long.
        let room = (LINE + 1).saturating_sub(line.len()).min(text.len());
        line.extend_from_slice(&text[..room]);
        read.consume(taken);
        if end.is_some() {
            return Ok(Some(line.len() <= LINE));
        }
    }
}
