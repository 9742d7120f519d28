//! The schema of data that other crates serialise, for `/openapi.json`. Nothing makes values of these types:
//! the law `every_answer_is_as_documented` holds real answers against them, so that the two cannot drift
//! apart.
#![allow(dead_code)] // documentation only, see above

use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

use crate::problem::Problem;

/// The reply of a turn.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Reply {
    /// The turn that made it.
    #[schema(example = "turn_4f1c0a9be2d84c53a7a1d0f5b6c7e8f9")]
    turn: String,
    /// The session it belongs to.
    session: String,
    /// The words.
    text: String,
    /// The specialist that answered.
    agent: String,
    /// The model that answered; `offline` for the rules of the server itself.
    model: String,
    /// The tools that ran, in their order.
    tools: Vec<ToolUse>,
    /// What recall could see before the turn.
    memory: MemoryReport,
    /// What entered the last prompt, from which layer, at what cost.
    manifest: Manifest,
    /// Whether this reply was given before, to the same request.
    replayed: bool,
}

/// One tool call of a turn.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolUse {
    /// The tool.
    name: String,
    /// False when it failed, panicked or timed out.
    ok: bool,
    /// How long it took, in milliseconds.
    ms: u64,
}

/// What recall could see, so that "nothing found" can be told from "not searched".
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MemoryReport {
    /// How the search worked.
    #[schema(example = "lexical")]
    mode: String,
    /// Facts that were found.
    hits: u64,
    /// Facts that were searched.
    rows_in_fence: u64,
    /// Facts that this kind of search cannot see.
    rows_outside: u64,
    /// Why the search was worse than configured, if it was.
    #[schema(required = true)]
    degraded: Option<String>,
}

/// What the model read in its last call, without the text.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    /// Tokens that were allowed, estimated.
    budget: u64,
    /// Tokens that were used, estimated.
    used: u64,
    /// Each candidate, whether it entered, and why not.
    entries: Vec<ManifestEntry>,
}

/// One candidate for the prompt.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ManifestEntry {
    /// The layer that it comes from.
    #[schema(example = "recall")]
    layer: String,
    /// Its name there; never its text.
    id: String,
    /// Its size in tokens, estimated.
    tokens: u64,
    /// Whether the model read it.
    included: bool,
    /// Why not, or why it was kept.
    #[schema(required = true)]
    reason: Option<String>,
}

/// One session of a list. Times are milliseconds since the Unix epoch, UTC.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionSummary {
    /// The session's name.
    session: String,
    /// The title, if it has one.
    #[schema(required = true)]
    title: Option<String>,
    /// When its first turn began.
    created_at: i64,
    /// When its newest turn began.
    last_active_at: i64,
    /// Turns, of every status.
    turns: u64,
}

/// A session with its turns. Times are milliseconds since the Unix epoch, UTC.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionView {
    /// The session's name.
    session: String,
    /// The title, if it has one.
    #[schema(required = true)]
    title: Option<String>,
    /// When its first turn began.
    created_at: i64,
    /// When its newest turn began.
    last_active_at: i64,
    /// Turns, of every status.
    turns: u64,
    /// Its turns, oldest first: the newest 500.
    history: Vec<TurnView>,
}

/// A turn with its messages. Times are milliseconds since the Unix epoch, UTC.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TurnView {
    /// The turn's id.
    turn: String,
    /// The session it belongs to.
    session: String,
    /// Its number in the session, from one.
    number: u64,
    /// How it ended, or that it runs: `running`, `completed`, `failed`, `cancelled`, `timed_out`,
    /// `interrupted`.
    status: String,
    /// When it began.
    started_at: i64,
    /// When it ended.
    #[schema(required = true)]
    ended_at: Option<i64>,
    /// The messages in their order: the person's, tool calls and results, the reply.
    messages: Vec<MessageView>,
    /// What entered the last prompt.
    #[schema(required = true)]
    manifest: Option<Manifest>,
}

/// One message of a turn.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MessageView {
    /// `user`, `assistant` or `tool`.
    role: String,
    /// The message as it was recorded.
    #[schema(value_type = Object)]
    content: serde_json::Value,
    /// When it was recorded.
    at: i64,
}

/// What a deletion removed.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Receipt {
    /// Turns.
    turns: u64,
    /// Messages of those turns.
    messages: u64,
    /// Attempts noted in the session.
    attempts: u64,
    /// Facts that were told in it, superseded ones included.
    memories: u64,
}

/// When a session was closed, and the job that promotes what it learnt.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionClosed {
    /// The session's name.
    session: String,
    /// When it was closed, in milliseconds since the Unix epoch, UTC.
    closed_at: i64,
    /// The job.
    job: String,
}

/// What posting a job gave.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SubmittedJob {
    /// `scheduled`, or `already_scheduled` when a live job has the key.
    #[schema(example = "scheduled")]
    outcome: String,
    /// The job.
    #[schema(example = "job_4f1c0a9be2d84c53a7a1d0f5b6c7e8f9")]
    job: String,
}

/// A job. Times are milliseconds since the Unix epoch, UTC.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct JobView {
    /// Its id.
    id: String,
    /// What does it: `tool`, `pipeline`, `session.promote`, `session.summarise`.
    handler: String,
    /// Where it waits or waited.
    queue: String,
    /// `queued`, `running`, `retrying`, `parked`, `succeeded`, `failed`, `cancelled`, `quarantined`.
    state: String,
    /// The attempt that runs or comes next, or the last one.
    attempt: u32,
    /// How many there are at most.
    max_attempts: u32,
    /// Whether calling it off was asked for and its worker has not followed yet.
    cancelling: bool,
    /// How far it says it is.
    #[schema(required = true)]
    progress: Option<JobStep>,
    /// Why it is not well.
    #[schema(required = true)]
    failure: Option<String>,
    /// The code that its handler gave the failure.
    #[schema(required = true)]
    failure_code: Option<String>,
    /// Grows with each change: the number of its events.
    change: u64,
    /// When it was submitted.
    created_at: i64,
    /// When it may next be claimed, while it waits.
    #[schema(required = true)]
    run_at: Option<i64>,
    /// When it first ran.
    #[schema(required = true)]
    started_at: Option<i64>,
    /// When it ended.
    #[schema(required = true)]
    finished_at: Option<i64>,
    /// Whether whoever was promised its end could not be told of it, because what it was submitted with cannot be opened.
    untold: bool,
    /// Counts from 1 how often it was begun from its first attempt; a redrive adds one.
    drive: u32,
    /// What it answered; not in lists.
    #[schema(value_type = Option<Object>)]
    result: Option<serde_json::Value>,
    /// Why it has no answer, when it was given up; not in lists.
    problem: Option<Problem>,
}

/// How far a job is.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct JobStep {
    /// How much is done, in the job's own unit.
    done: u64,
    /// How much there is, where it is known.
    #[schema(required = true)]
    total: Option<u64>,
    /// What it says about it.
    #[schema(required = true)]
    note: Option<String>,
}

/// Jobs of a principal, the newest first.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct JobsPage {
    /// The jobs.
    jobs: Vec<JobView>,
    /// Send it as `cursor` for the next page; absent on the last one.
    next: Option<String>,
}

/// What every route behind a key may answer.
#[derive(IntoResponses)]
pub(super) enum Refused {
    /// HV0201, HV0202, HV0203
    #[response(status = 401, content_type = "application/problem+json")]
    Key(Problem),
    /// HV0224
    #[response(status = 403, content_type = "application/problem+json")]
    Role(Problem),
    /// HV0221, with `Retry-After`
    #[response(status = 429, content_type = "application/problem+json")]
    Rate(Problem),
    /// HV0001, HV0002, HV0003, HV0106, HV0500
    #[response(status = 500, content_type = "application/problem+json")]
    Defect(Problem),
    /// HV0102, HV0104, HV0105, HV0222
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
}

/// The session's name is refused.
#[derive(IntoResponses)]
pub(super) enum NoSession {
    /// HV0207
    #[response(status = 400, content_type = "application/problem+json")]
    Name(Problem),
    /// HV0205
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
}

/// The turn is not there.
#[derive(IntoResponses)]
pub(super) enum NoTurn {
    /// HV0206
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
}

/// Nothing has this id.
#[derive(IntoResponses)]
pub(super) enum NoTrace {
    /// HV0218
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
}

/// Why a turn is refused or has no reply, besides [`Refused`].
#[derive(IntoResponses)]
pub(super) enum NoReply {
    /// HV0207, HV0209, HV0211
    #[response(status = 400, content_type = "application/problem+json")]
    Malformed(Problem),
    /// HV0201, HV0202, HV0203
    #[response(status = 401, content_type = "application/problem+json")]
    Key(Problem),
    /// HV0224
    #[response(status = 403, content_type = "application/problem+json")]
    Role(Problem),
    /// HV0206: `Last-Event-ID` names no turn of yours in this session
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
    /// HV0217
    #[response(status = 408, content_type = "application/problem+json")]
    Slow(Problem),
    /// HV0204, HV0231, HV0232
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(Problem),
    /// HV0210
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(Problem),
    /// HV0214
    #[response(status = 415, content_type = "application/problem+json")]
    MediaType(Problem),
    /// HV0212, HV0213, HV0304
    #[response(status = 422, content_type = "application/problem+json")]
    Invalid(Problem),
    /// HV0220, HV0221, with `Retry-After`
    #[response(status = 429, content_type = "application/problem+json")]
    Busy(Problem),
    /// HV0001, HV0002, HV0003, HV0106, HV0303, HV0500
    #[response(status = 500, content_type = "application/problem+json")]
    Defect(Problem),
    /// HV0301
    #[response(status = 502, content_type = "application/problem+json")]
    Model(Problem),
    /// HV0102, HV0104, HV0105, HV0222
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
    /// HV0230, HV0302
    #[response(status = 504, content_type = "application/problem+json")]
    TooSlow(Problem),
    /// HV0107
    #[response(status = 507, content_type = "application/problem+json")]
    Full(Problem),
}

/// The job is not there.
#[derive(IntoResponses)]
pub(super) enum NoJob {
    /// HV0601
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
}

/// The job is not in a state from which it can be driven again.
#[derive(IntoResponses)]
pub(super) enum NotDriven {
    /// HV0604
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(Problem),
}

/// Why a job is refused, besides [`Refused`].
#[derive(IntoResponses)]
pub(super) enum NotPosted {
    /// HV0207, HV0209, HV0211
    #[response(status = 400, content_type = "application/problem+json")]
    Malformed(Problem),
    /// HV0205
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
    /// HV0217
    #[response(status = 408, content_type = "application/problem+json")]
    Slow(Problem),
    /// HV0210, HV0603
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(Problem),
    /// HV0214
    #[response(status = 415, content_type = "application/problem+json")]
    MediaType(Problem),
    /// HV0212, HV0602
    #[response(status = 422, content_type = "application/problem+json")]
    Invalid(Problem),
    /// HV0107
    #[response(status = 507, content_type = "application/problem+json")]
    Full(Problem),
}
