//! What goes over the wire besides the crates' own plain data: requests, the state of a turn, lists, and the
//! parts of a path. The types with "documents" in their text are the schema of data that other crates
//! serialise; a law compares the two.

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use haversack::well_known::SessionId;
use haversack_agent::TurnId;
use haversack_agent::history::{TurnStatus, TurnView};
use http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::schema::{Reply, SessionSummary};
use crate::auth::name::{known_session, session_name};
use crate::code::Code;
use crate::problem::{Fault, Problem};
use crate::turns::{LiveTurn, Status};

/// What a person says.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TurnRequest {
    /// The message: not empty, at most `message_bytes` bytes of UTF-8.
    #[schema(example = "Remember that our account manager is Robin Vega.")]
    message: String,
}

impl TurnRequest {
    /// The message, when it is within its limits.
    pub(super) fn checked(self, most: usize) -> Result<String, Fault> {
        let size = self.message.len();
        if size > most {
            let detail = format!("`message` has {size} bytes; at most {most} are allowed.");
            return Err(Fault::new(Code::FieldInvalid, detail));
        }
        if self.message.trim().is_empty() {
            return Err(Fault::new(Code::FieldInvalid, "`message` is empty."));
        }
        Ok(self.message)
    }
}

/// Where a turn stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TurnState {
    /// The turn's id.
    turn: String,
    /// The session that it belongs to.
    session: String,
    /// Where it stands.
    status: TurnStateStatus,
    /// The reply of a finished turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Reply>)]
    reply: Option<Box<haversack_agent::Reply>>,
    /// Why there is no reply, when it ended without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

/// Where a turn stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TurnStateStatus {
    /// It waits for earlier turns of its session.
    Queued,
    /// It runs.
    Running,
    /// It has a reply.
    Finished,
    /// It failed; `problem` says why.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// It took too long.
    TimedOut,
    /// The process ended while it ran.
    Interrupted,
}

impl TurnState {
    /// The state of a live turn; `request_id` is that of the request that asks.
    pub(super) fn of_live(live: &LiveTurn, request_id: &str) -> Self {
        let (status, reply, problem) = match live.status() {
            Status::Queued => (TurnStateStatus::Queued, None, None),
            Status::Running => (TurnStateStatus::Running, None, None),
            Status::Ended(Ok(reply)) => {
                (TurnStateStatus::Finished, Some(Box::new(haversack_agent::Reply::clone(&reply))), None)
            }
            Status::Ended(Err(fault)) => {
                let status = match fault.code() {
                    Code::TurnCancelled => TurnStateStatus::Cancelled,
                    Code::TurnTimedOut => TurnStateStatus::TimedOut,
                    Code::TurnInterrupted => TurnStateStatus::Interrupted,
                    _ => TurnStateStatus::Failed,
                };
                (status, None, Some(fault.problem(request_id)))
            }
        };
        let (turn, session) = (live.id().to_owned(), live.session().as_str().to_owned());
        Self { turn, session, status, reply, problem }
    }

    /// The state of a turn that only the history knows.
    pub(super) fn of_stored(stored: &TurnView, request_id: &str) -> Result<Self, Fault> {
        let (status, ended) = match stored.status {
            TurnStatus::Completed => (TurnStateStatus::Finished, None),
            TurnStatus::Failed => (TurnStateStatus::Failed, Some((Code::Internal, "The turn failed."))),
            TurnStatus::Cancelled => {
                (TurnStateStatus::Cancelled, Some((Code::TurnCancelled, "The turn was cancelled.")))
            }
            TurnStatus::TimedOut => {
                (TurnStateStatus::TimedOut, Some((Code::TurnTimedOut, "The turn took longer than it may.")))
            }
            // Nobody runs it here: the process that did is gone. (Notices and summaries are no turns, and are not
            // found as such.)
            TurnStatus::Running | TurnStatus::Interrupted | TurnStatus::Notice | TurnStatus::Summary => {
                (TurnStateStatus::Interrupted, Some((Code::TurnInterrupted, "The turn was interrupted.")))
            }
        };
        let reply = match ended {
            None => Some(Box::new(stored_reply(stored)?)),
            Some(_) => None,
        };
        let problem = ended.map(|(code, detail)| Fault::new(code, detail).problem(request_id));
        let (turn, session) = (stored.turn.to_string(), stored.session.clone());
        Ok(Self { turn, session, status, reply, problem })
    }

    /// The last event of its turn: its name and its data.
    pub(super) fn last_event(&self) -> (&'static str, serde_json::Value) {
        match (&self.reply, &self.problem) {
            (Some(reply), _) => ("finished", serde_json::json!({ "event": "finished", "reply": reply })),
            (None, problem) => {
                let (code, detail) = problem.as_ref().map(|p| (&*p.code, &*p.detail)).unwrap_or_default();
                ("failed", serde_json::json!({ "event": "failed", "code": code, "detail": detail }))
            }
        }
    }

    /// Its turn's id.
    pub(super) fn turn(&self) -> &str {
        &self.turn
    }
}

/// The reply is the last message of a completed turn, with its manifest beside it.
fn stored_reply(stored: &TurnView) -> Result<haversack_agent::Reply, Fault> {
    let broken = || Fault::internal("a stored reply does not have the shape of one");
    let last = stored.messages.last().ok_or_else(broken)?;
    let mut reply = last.content.as_object().cloned().ok_or_else(broken)?;
    reply.insert("turn".into(), stored.turn.to_string().into());
    reply.insert("session".into(), stored.session.clone().into());
    reply.insert("manifest".into(), stored.manifest.clone().unwrap_or_default());
    reply.insert("replayed".into(), true.into());
    serde_json::from_value(reply.into()).map_err(Fault::internal)
}

/// The sessions of a principal, the most recently active first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SessionList {
    /// The sessions.
    #[schema(value_type = Vec<SessionSummary>)]
    pub(super) sessions: Vec<haversack_agent::history::SessionSummary>,
    /// Send it as `before` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) before: Option<String>,
}

/// A session name from the path.
pub(super) struct SessionPath(pub(super) SessionId);

impl FromRequestParts<App> for SessionPath {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Fault> {
        let name: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, app).await;
        // What does not decode to text is no name either; the empty one is refused with the same words.
        session_name(&name.map(|Path(name)| name).unwrap_or_default()).map(Self)
    }
}

/// The name of a session that is asked for, from the path: also one that the gateway made, percent-encoded.
pub(super) struct KnownSession(pub(super) SessionId);

impl FromRequestParts<App> for KnownSession {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Fault> {
        let name: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, app).await;
        known_session(&name.map(|Path(name)| name).unwrap_or_default()).map(Self)
    }
}

/// A turn's id from the path.
pub(super) struct TurnPath(pub(super) TurnId);

impl FromRequestParts<App> for TurnPath {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Fault> {
        let id: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, app).await;
        let id = id.ok().and_then(|Path(id)| id.parse().ok());
        // What cannot be an id names no turn: one answer for both.
        id.map(Self).ok_or_else(|| Fault::new(Code::TurnNotFound, "You have no turn with this id."))
    }
}

/// What can be asked for in the journal: an id of ours, or a request's, which a caller may have chosen.
pub(super) struct TracePath(pub(super) String);

impl FromRequestParts<App> for TracePath {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Fault> {
        let id: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, app).await;
        let id = id.ok().map(|Path(id)| id).filter(|id| plain_id(id));
        id.map(Self).ok_or_else(super::traces::no_trace)
    }
}

/// Whether a text has the shape of an id that something can be found under.
pub(crate) fn plain_id(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    (1..=128).contains(&id.len()) && !id.starts_with('.') && id.bytes().all(allowed)
}
