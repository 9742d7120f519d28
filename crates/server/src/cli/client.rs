//! The HTTP client of the command line: what `chat`, `replay`, `jobs` and `context show` say to a server. It speaks the public
//! API with a key and knows nothing that another client could not know. Commands make one and call it.

use std::time::Duration;

use futures_util::StreamExt;
use reqwest::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::sse::Parser;
use crate::code::Code;
use crate::problem::{Fault, Problem};

/// Where a server is looked for when no `--server` is given.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:8787";

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// How long a whole answer may take: longer than a server lets a turn run.
const ANSWER: Duration = Duration::from_secs(3_700);

/// The pauses before a broken stream is continued, in milliseconds, as long as no event comes in between: half a minute in
/// all, in which a server restarts.
const PAUSES: [u64; 10] = [100, 250, 500, 1_000, 2_000, 4_000, 5_000, 5_000, 6_000, 6_000];

/// Options that name a server and the key to it.
#[derive(Debug, Clone, clap::Args)]
pub struct ServerArgs {
    /// The server.
    #[arg(long, value_name = "URL", default_value = DEFAULT_SERVER)]
    pub server: String,
    /// The API key; better in the variable than here, where other users of the machine see it.
    #[arg(long, value_name = "KEY", env = "HAVERSACK_KEY", hide_env_values = true)]
    pub key: Option<String>,
}

impl ServerArgs {
    /// A client for that server.
    ///
    /// # Errors
    /// [`Code::KeyMissing`] when there is no key, [`Code::ServerUnreachable`] when the address is none.
    pub fn client(&self) -> Result<Client, Fault> {
        Client::new(&self.server, &key(self.key.as_deref())?)
    }
}

/// The key that was given.
///
/// # Errors
/// [`Code::KeyMissing`] when there is none.
pub fn key(given: Option<&str>) -> Result<String, Fault> {
    let missing = "There is no API key: set HAVERSACK_KEY, or give --key. `haversack keys issue` makes one.";
    given.map(str::to_owned).ok_or_else(|| Fault::new(Code::KeyMissing, missing))
}

/// A server and the key to it. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    key: String,
}

/// A message to send.
#[derive(Debug, Clone, Serialize)]
pub struct Message<'a> {
    /// The text.
    pub message: &'a str,
    /// Sent as `Idempotency-Key`.
    #[serde(skip)]
    pub idempotency_key: Option<&'a str>,
}

/// What a reply says, as far as a client reads it.
#[derive(Debug, Clone, Deserialize)]
pub struct Reply {
    /// The turn's id.
    pub turn: String,
    /// The answer.
    pub text: String,
    /// The specialist that wrote it.
    pub agent: String,
}

/// An event of a running turn, as far as a client reads it.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A specialist took over.
    Agent {
        /// Its name.
        name: String,
    },
    /// A tool began.
    ToolStarted {
        /// Its name.
        name: String,
    },
    /// More of the answer.
    TextDelta {
        /// The words.
        text: String,
    },
    /// The whole reply; the last event.
    Finished {
        /// The reply.
        reply: Reply,
    },
    /// There is no reply; the last event.
    Failed {
        /// The error code.
        code: String,
        /// What happened.
        detail: String,
    },
    /// Anything else.
    #[serde(other)]
    Other,
}

/// A reply and everything that was received on the way to it.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The reply.
    pub reply: Reply,
    /// The body as it arrived: JSON, or the data of all events and the streamed words put together.
    pub raw: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server did not answer, or broke off.
    #[error("no answer from the server")]
    Unreachable(#[source] reqwest::Error),
    /// The server refused with a problem.
    #[error("{code}: {detail}")]
    Problem {
        /// HTTP status; 0 when the refusal came as an event.
        status: u16,
        /// The error code.
        code: String,
        /// What happened.
        detail: String,
        /// When to try again.
        retry_after: Option<Duration>,
    },
    /// The answer is not one of a Haversack server.
    #[error("the answer is not that of a Haversack server: {0}")]
    Strange(String),
}

/// The HTTP client for a server at `base`.
///
/// # Errors
/// [`Code::ServerUnreachable`] when `base` is no HTTP address or the machine has no sockets to give.
pub(super) fn http_client(base: &str) -> Result<reqwest::Client, Fault> {
    let bad =
        || Fault::new(Code::ServerUnreachable, "The server's address is not of the form http://host:port.");
    let url = reqwest::Url::parse(base).map_err(|_| bad())?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(bad());
    }
    crate::tls::install();
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .timeout(ANSWER)
        .build()
        .map_err(|error| Fault::caused(Code::ServerUnreachable, "The HTTP client cannot be built.", error))
}

impl Client {
    /// A client of the server at `base`, as in `http://127.0.0.1:8787`.
    ///
    /// # Errors
    /// [`Code::ServerUnreachable`] when `base` is no HTTP address or the machine has no sockets to give.
    pub fn new(base: &str, key: &str) -> Result<Self, Fault> {
        let http = http_client(base)?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned(), key: key.to_owned() })
    }

    /// The same server with another key.
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    /// Asks whether the server is there.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] when nobody answers.
    pub async fn alive(&self) -> Result<(), ClientError> {
        let answer = self.request(Method::GET, "/healthz").send().await.map_err(ClientError::Unreachable)?;
        match answer.status().is_success() {
            true => Ok(()),
            false => Err(problem(answer).await),
        }
    }

    /// Reads a JSON resource.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        read(self.request(Method::GET, path)).await
    }

    /// Runs a turn and waits for its reply.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn turn(&self, session: &str, message: Message<'_>) -> Result<Answer, ClientError> {
        let request = self.post(session, &message).header(ACCEPT, "application/json");
        let answer = request.send().await.map_err(ClientError::Unreachable)?;
        if !answer.status().is_success() {
            return Err(problem(answer).await);
        }
        let raw = answer.text().await.map_err(ClientError::Unreachable)?;
        let reply = serde_json::from_str(&raw).map_err(|error| ClientError::Strange(error.to_string()))?;
        Ok(Answer { reply, raw })
    }

    /// Runs a turn and calls `on_event` for each event as it arrives.
    ///
    /// # Errors
    /// [`ClientError`]; also when the stream ends without a reply.
    pub async fn stream(
        &self,
        session: &str,
        message: Message<'_>,
        mut on_event: impl FnMut(&Event),
    ) -> Result<Answer, ClientError> {
        let request = self.post(session, &message).header(ACCEPT, "text/event-stream");
        let answer = request.send().await.map_err(ClientError::Unreachable)?;
        if !answer.status().is_success() {
            return Err(problem(answer).await);
        }
        let (mut parser, mut raw, mut said) = (Parser::default(), String::new(), String::new());
        let mut chunks = answer.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(ClientError::Unreachable)?;
            let events = parser.push(&chunk).map_err(|error| ClientError::Strange(error.to_string()))?;
            for event in events {
                raw.push_str(&event.data);
                raw.push('\n');
                let event: Event = serde_json::from_str(&event.data)
                    .map_err(|error| ClientError::Strange(error.to_string()))?;
                on_event(&event);
                match event {
                    Event::TextDelta { text } => said.push_str(&text),
                    Event::Finished { reply } => return Ok(Answer { reply, raw: raw + &said }),
                    Event::Failed { code, detail } => {
                        return Err(ClientError::Problem { status: 0, code, detail, retry_after: None });
                    }
                    _ => {}
                }
            }
        }
        Err(ClientError::Strange("the stream ended before the turn".to_owned()))
    }

    /// Sends a request with or without a JSON body, and reads the JSON that answers.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<T, ClientError> {
        let request = self.request(method, path);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        read(request).await
    }

    /// Calls `on_event` with the data of each event of a stream, until the server ends it. A stream that breaks is
    /// continued behind its last event; a server that is gone then has half a minute to come back.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn follow(&self, path: &str, mut on_event: impl FnMut(&str)) -> Result<(), ClientError> {
        let (mut last, mut broken, mut began) = (None::<String>, 0, false);
        loop {
            let mut request = self.request(Method::GET, path).header(ACCEPT, "text/event-stream");
            if let Some(last) = &last {
                request = request.header("Last-Event-ID", last);
            }
            let answer = match request.send().await {
                Ok(answer) => answer,
                // One that never answered is not waited for.
                Err(error) if !began => return Err(ClientError::Unreachable(error)),
                Err(error) => {
                    pause(&mut broken, ClientError::Unreachable(error)).await?;
                    continue;
                }
            };
            if !answer.status().is_success() {
                let refused = problem(answer).await;
                match began.then(|| refused.retry_after()).flatten() {
                    Some(_) => pause(&mut broken, refused).await?,
                    None => return Err(refused),
                }
                continue;
            }
            began = true;
            let mut parser = Parser::default();
            let mut chunks = answer.bytes_stream();
            let end = loop {
                let chunk = match chunks.next().await {
                    None => break None,
                    Some(Err(error)) => break Some(error),
                    Some(Ok(chunk)) => chunk,
                };
                let events = parser.push(&chunk).map_err(|error| ClientError::Strange(error.to_string()))?;
                for event in events {
                    broken = 0;
                    on_event(&event.data);
                    last = event.id;
                }
            };
            match end {
                None => return Ok(()),
                Some(error) => pause(&mut broken, ClientError::Unreachable(error)).await?,
            }
        }
    }

    fn post(&self, session: &str, message: &Message<'_>) -> RequestBuilder {
        let path = format!("/v1/sessions/{session}/turns");
        let mut request = self.request(Method::POST, &path).header(CONTENT_TYPE, "application/json");
        if let Some(key) = message.idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        request.json(message)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.key)
    }
}

/// Waits before a stream is continued; gives `why` back when it was tried often enough.
async fn pause(broken: &mut usize, why: ClientError) -> Result<(), ClientError> {
    let Some(wait) = PAUSES.get(*broken) else { return Err(why) };
    *broken += 1;
    tokio::time::sleep(Duration::from_millis(*wait)).await;
    Ok(())
}

/// Sends a request and reads the JSON of its answer.
async fn read<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, ClientError> {
    let answer = request.send().await.map_err(ClientError::Unreachable)?;
    if !answer.status().is_success() {
        return Err(problem(answer).await);
    }
    answer.json().await.map_err(|error| ClientError::Strange(error.to_string()))
}

/// Reads the problem document of a refusal.
async fn problem(answer: Response) -> ClientError {
    let status = answer.status();
    let retry_after = answer
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .map(Duration::from_secs);
    match answer.json::<Problem>().await {
        Ok(problem) => ClientError::Problem {
            status: status.as_u16(),
            code: problem.code,
            detail: problem.detail,
            retry_after,
        },
        Err(_) => ClientError::Strange(format!("status {status} without a problem document")),
    }
}

impl ClientError {
    /// Whether the same request may succeed later, and when.
    pub fn retry_after(&self) -> Option<Duration> {
        let busy = [StatusCode::TOO_MANY_REQUESTS.as_u16(), StatusCode::SERVICE_UNAVAILABLE.as_u16()];
        match self {
            Self::Problem { status, retry_after, .. } if busy.contains(status) => {
                Some(retry_after.unwrap_or(Duration::from_secs(1)))
            }
            _ => None,
        }
    }
}

impl From<ClientError> for Fault {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Problem { code, detail, .. } => {
                Fault::new(Code::find(&code).unwrap_or(Code::Internal), detail)
            }
            ClientError::Unreachable(source) => {
                // The source names the address, which is no secret; a key is in a header and not in it.
                Fault::caused(
                    Code::ServerUnreachable,
                    "The server does not answer; is it running there?",
                    source,
                )
            }
            strange @ ClientError::Strange(_) => Fault::caused(
                Code::ServerUnreachable,
                "What answers there is not a Haversack server.",
                strange,
            ),
        }
    }
}
