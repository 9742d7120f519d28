//! What a turn is told about the past of its session.
//!
//! The newest turns as they were, the notices between them, and a summary in the place of what is older than
//! it. Read in the transaction that begins the turn; the prompt is made of it.

use haversack::well_known::SessionId;
use haversack_store::StoreError;
use haversack_store::sqlite::{Connection, OptionalExtension, params};

use super::TurnStatus;
use super::notice::summary_key;

/// An earlier turn of the session, as far as a model reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exchange {
    pub(crate) turn: String,
    pub(crate) user: String,
    pub(crate) assistant: String,
}

/// What was said in the session beside its turns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Aside {
    pub(crate) id: String,
    pub(crate) source: String,
    pub(crate) text: String,
}

/// The past of a session, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Past {
    /// What stands for everything before the exchanges.
    pub(crate) summary: Option<Aside>,
    pub(crate) exchanges: Vec<Exchange>,
    pub(crate) notices: Vec<Aside>,
}

pub(super) fn read(db: &Connection, session: &SessionId, turns: i64) -> Result<Past, StoreError> {
    let mut past = Past::default();
    // By its key, which is in an index: most sessions have no summary, and this is asked at every turn.
    let sql = "SELECT t.turn_id, m.content ->> '$.text', m.content ->> '$.through'
               FROM turns t JOIN messages m ON m.turn_id = t.turn_id AND m.seq = 0
               WHERE t.session_id = ?1 AND t.idempotency_key = ?2";
    let row = db
        .prepare_cached(sql)?
        .query_row(params![session.as_str(), summary_key()], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?))
        })
        .optional()?;
    let through = row.as_ref().map_or(0, |(_, _, through)| *through);
    past.summary = row.map(|(id, text, _)| Aside { id, source: "summary".to_owned(), text });

    // What was added to a turn is read with its message: its reply answered both.
    let sql = "SELECT t.turn_id,
                      concat_ws(char(10), u.content ->> '$.text',
                                (SELECT group_concat(f.content ->> '$.text', char(10) ORDER BY f.seq)
                                 FROM messages f WHERE f.turn_id = t.turn_id AND f.role = 'user' AND f.seq > 0)),
                      a.content ->> '$.text', u.content ->> '$.source'
               FROM turns t
               JOIN messages u ON u.turn_id = t.turn_id AND u.seq = 0
               JOIN messages a ON a.turn_id = t.turn_id
                              AND a.seq = (SELECT max(m.seq) FROM messages m WHERE m.turn_id = t.turn_id)
               WHERE t.session_id = ?1 AND t.status = ?4 AND t.number > ?3
               ORDER BY t.number DESC LIMIT ?2";
    let mut statement = db.prepare_cached(sql)?;
    // Each kind has a limit of its own: what ten jobs had to say does not push out what was talked about.
    let mut newest = |status: TurnStatus| {
        let of = params![session.as_str(), turns, through, status.as_str()];
        let rows = statement.query_map(of, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        let mut rows = rows.collect::<Result<Vec<(String, String, String, Option<String>)>, _>>()?;
        rows.reverse();
        Ok::<_, StoreError>(rows)
    };
    let exchanges = newest(TurnStatus::Completed)?.into_iter();
    past.exchanges = exchanges.map(|(turn, user, assistant, _)| Exchange { turn, user, assistant }).collect();
    let notices = newest(TurnStatus::Notice)?.into_iter();
    past.notices =
        notices.map(|(id, text, _, source)| Aside { id, source: source.unwrap_or_default(), text }).collect();
    Ok(past)
}
