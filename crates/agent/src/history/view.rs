//! Reading sessions and turns back.
//!
//! Every query for a principal names it, so that a foreign session is no row rather than a forbidden one;
//! [`super::TenantHistory`] alone asks for those of everybody.

use haversack::well_known::{Principal, SessionId};
use haversack_store::StoreError;
use haversack_store::sqlite::{
    Connection, FromSql, FromSqlError, FromSqlResult, OptionalExtension, Row, ValueRef, params,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::turn::TurnId;

/// Turns of one session that are shown, the newest.
const MAX_TURNS: i64 = 500;

/// One line of a list of sessions. Times are milliseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionSummary {
    /// The session's name.
    pub session: String,
    /// The title, if it has one.
    pub title: Option<String>,
    /// When its first turn began.
    pub created_at: i64,
    /// When its newest turn began.
    pub last_active_at: i64,
    /// Turns, of every status.
    pub turns: u64,
}

/// A session with its turns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionView {
    /// The session itself.
    #[serde(flatten)]
    pub summary: SessionSummary,
    /// Its turns, and the notices and summaries between them, oldest first: the newest 500.
    pub history: Vec<TurnView>,
}

/// A turn with its messages. Times are milliseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TurnView {
    /// The id.
    pub turn: TurnId,
    /// The session it belongs to.
    pub session: String,
    /// Its number in the session, from one.
    pub number: u64,
    /// How it ended, or that it runs.
    pub status: TurnStatus,
    /// When it began.
    pub started_at: i64,
    /// When it ended.
    pub ended_at: Option<i64>,
    /// The messages in their order: the caller's, tool calls and results, the reply.
    pub messages: Vec<MessageView>,
    /// What entered the last prompt.
    pub manifest: Option<Value>,
}

/// One message of a turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MessageView {
    /// `user`, `assistant` or `tool`; `notice` or `summary` where it is no turn.
    pub role: String,
    /// The message as it was recorded.
    pub content: Value,
    /// When it was recorded, in milliseconds since the Unix epoch, UTC.
    pub at: i64,
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnStatus {
    /// It has not ended.
    Running,
    /// It has a reply.
    Completed,
    /// It failed.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// Its deadline passed.
    TimedOut,
    /// Its process ended, or nobody waited for it any more.
    Interrupted,
    /// It is no turn but a notice: one message in the role `notice`.
    Notice,
    /// It is no turn but a summary of those before it: one message in the role `summary`.
    Summary,
}

impl TurnStatus {
    const ALL: [Self; 8] = [
        Self::Running,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::TimedOut,
        Self::Interrupted,
        Self::Notice,
        Self::Summary,
    ];

    /// The word under which it is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
            Self::Interrupted => "interrupted",
            Self::Notice => "notice",
            Self::Summary => "summary",
        }
    }
}

impl FromSql for TurnStatus {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let word = value.as_str()?;
        Self::ALL.into_iter().find(|status| status.as_str() == word).ok_or(FromSqlError::InvalidType)
    }
}

const SUMMARY: &str = "SELECT s.session_id, s.title, s.created_at, s.last_active_at,
                              (SELECT count(*) FROM turns t
                                WHERE t.session_id = s.session_id AND t.status NOT IN ('notice', 'summary'))
                       FROM sessions s";

const TURN: &str = "SELECT t.turn_id, t.session_id, t.number, t.status, t.started_at, t.ended_at,
                           (SELECT json FROM manifests f WHERE f.turn_id = t.turn_id)
                    FROM turns t";

/// A session of the principal's own, or a shared one in which it spoke.
const VISIBLE: &str = "(s.principal = ?1 OR EXISTS (SELECT 1 FROM session_members m
                         WHERE m.principal = ?1 AND m.session_id = s.session_id))";

pub(super) fn sessions(
    db: &Connection,
    owner: &Principal,
    limit: i64,
    before: Option<&SessionId>,
) -> Result<Vec<SessionSummary>, StoreError> {
    // Each half walks its own index, and neither sorts more than a page of sessions that the other one has.
    let sql = format!(
        "WITH start AS (SELECT s.last_active_at, s.session_id FROM sessions s WHERE s.session_id = ?2 AND {VISIBLE}),
              page (id) AS (
                  SELECT * FROM (SELECT s.session_id FROM sessions s WHERE s.principal = ?1
                       AND (?2 IS NULL OR (s.last_active_at, s.session_id) < (SELECT * FROM start))
                     ORDER BY s.last_active_at DESC, s.session_id DESC LIMIT ?3)
                  UNION ALL
                  SELECT * FROM (SELECT s.session_id FROM session_members m JOIN sessions s ON s.session_id = m.session_id
                     WHERE m.principal = ?1 AND s.principal <> ?1
                       AND (?2 IS NULL OR (s.last_active_at, s.session_id) < (SELECT * FROM start))
                     ORDER BY s.last_active_at DESC, s.session_id DESC LIMIT ?3))
         {SUMMARY} JOIN page ON page.id = s.session_id
         ORDER BY s.last_active_at DESC, s.session_id DESC LIMIT ?3"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let before = before.map(SessionId::as_str);
    let rows = statement.query_map(params![owner.as_str(), before, limit], summary)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Sessions of every principal.
pub(super) fn all_sessions(
    db: &Connection,
    limit: i64,
    before: Option<&SessionId>,
) -> Result<Vec<SessionSummary>, StoreError> {
    let sql = format!(
        "{SUMMARY} WHERE ?1 IS NULL OR (s.last_active_at, s.session_id) <
                (SELECT b.last_active_at, b.session_id FROM sessions b WHERE b.session_id = ?1)
         ORDER BY s.last_active_at DESC, s.session_id DESC LIMIT ?2"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(params![before.map(SessionId::as_str), limit], summary)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn session(
    db: &Connection,
    owner: &Principal,
    id: &SessionId,
) -> Result<Option<SessionView>, StoreError> {
    let sql = format!("SELECT 1 FROM sessions s WHERE s.session_id = ?2 AND {VISIBLE}");
    match db.prepare_cached(&sql)?.exists(params![owner.as_str(), id.as_str()])? {
        true => any_session(db, id),
        false => Ok(None),
    }
}

/// A session, whoever owns it.
pub(super) fn any_session(db: &Connection, id: &SessionId) -> Result<Option<SessionView>, StoreError> {
    let sql = format!("{SUMMARY} WHERE s.session_id = ?1");
    let found = db.prepare_cached(&sql)?.query_row([id.as_str()], summary).optional()?;
    let Some(summary) = found else { return Ok(None) };
    let sql = format!("{TURN} WHERE t.session_id = ?1 ORDER BY t.number DESC LIMIT ?2");
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(params![id.as_str(), MAX_TURNS], bare_turn)?;
    let mut history = rows.collect::<Result<Vec<_>, _>>()?;
    history.reverse();
    for turn in &mut history {
        turn.messages = messages(db, turn.turn)?;
    }
    Ok(Some(SessionView { summary, history }))
}

pub(super) fn turn(db: &Connection, owner: &Principal, id: TurnId) -> Result<Option<TurnView>, StoreError> {
    // The session's owner decides, not the turn's: they are the same today, and the session is what is owned.
    let sql = format!(
        "{TURN} JOIN sessions s ON s.session_id = t.session_id WHERE t.turn_id = ?1 AND s.principal = ?2
            AND t.status NOT IN ('notice', 'summary')"
    );
    let found =
        db.prepare_cached(&sql)?.query_row(params![id.to_string(), owner.as_str()], bare_turn).optional()?;
    let Some(mut turn) = found else { return Ok(None) };
    turn.messages = messages(db, id)?;
    Ok(Some(turn))
}

fn summary(row: &Row<'_>) -> Result<SessionSummary, haversack_store::sqlite::Error> {
    Ok(SessionSummary {
        session: row.get(0)?,
        title: row.get(1)?,
        created_at: row.get(2)?,
        last_active_at: row.get(3)?,
        turns: row.get::<_, i64>(4)?.unsigned_abs(),
    })
}

fn bare_turn(row: &Row<'_>) -> Result<TurnView, haversack_store::sqlite::Error> {
    let manifest = row.get::<_, Option<String>>(6)?;
    Ok(TurnView {
        turn: row.get(0)?,
        session: row.get(1)?,
        number: row.get::<_, i64>(2)?.unsigned_abs(),
        status: row.get(3)?,
        started_at: row.get(4)?,
        ended_at: row.get(5)?,
        messages: Vec::new(),
        manifest: manifest.and_then(|json| serde_json::from_str(&json).ok()),
    })
}

fn messages(db: &Connection, turn: TurnId) -> Result<Vec<MessageView>, StoreError> {
    let sql = "SELECT role, content, at FROM messages WHERE turn_id = ?1 ORDER BY seq";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map([turn.to_string()], |row| {
        let content = row.get::<_, String>(1)?;
        // The table accepts valid JSON only; a text that serde reads differently is shown as it is.
        let content = serde_json::from_str(&content).unwrap_or(Value::String(content));
        Ok(MessageView { role: row.get(0)?, content, at: row.get(2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
