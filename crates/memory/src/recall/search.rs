//! The search itself: count the fence, look each word up, rank, read the best rows.
//!
//! It is exact and reads one state of one tenant's file; the rows are those of the current embedding space, which in
//! mode lexical is *none*, and the live rows of other spaces are counted and reported. Only
//! [`Recall`](super::Recall) calls it, on the blocking pool.

use haversack_store::StoreError;
use haversack_store::sqlite::{Connection, Error, OptionalExtension, Row};

use super::query::{has_words, quoted, words};
use super::rank::{Found, rank};
use super::{Hit, Mode, Recalled, Source};

const OUTSIDE: &str = "memories of an embedding space that is not in use were not searched";
const ONLY_STOP_WORDS: &str = "the question has only words that every memory may have";
const NO_WORDS: &str = "the question has no words";

pub(super) fn run(conn: &Connection, text: &str, limit: usize) -> Result<Recalled, StoreError> {
    let (rows_in_fence, rows_outside) = count(conn)?;
    let words = words(text);
    let degraded = if !has_words(text) {
        Some(NO_WORDS)
    } else if words.is_empty() {
        Some(ONLY_STOP_WORDS)
    } else if rows_outside > 0 {
        Some(OUTSIDE)
    } else {
        None
    };
    let hits = if rows_in_fence == 0 { Vec::new() } else { hits(conn, &words, rows_in_fence, limit)? };
    Ok(Recalled { hits, mode: Mode::Lexical, rows_in_fence, rows_outside, degraded })
}

/// The newest memories in the fence, newest first, each with the score of a whole answer.
pub(super) fn newest(conn: &Connection, limit: usize) -> Result<Recalled, StoreError> {
    let (rows_in_fence, rows_outside) = count(conn)?;
    let mut read = conn.prepare_cached(
        "SELECT id, text, source, session_id, principal, created_at FROM memories
         WHERE superseded_at IS NULL AND space IS NULL ORDER BY pk DESC LIMIT ?1",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let hits = read.query_map([limit], |row| hit_of_row(row, 1.0))?.collect::<Result<Vec<_>, _>>()?;
    let degraded = (rows_outside > 0).then_some(OUTSIDE);
    Ok(Recalled { hits, mode: Mode::Lexical, rows_in_fence, rows_outside, degraded })
}

/// How many live memories are in the fence, and how many outside.
fn count(conn: &Connection) -> Result<(u64, u64), StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT count(*) FILTER (WHERE space IS NULL), count(*) FILTER (WHERE space IS NOT NULL)
         FROM memories WHERE superseded_at IS NULL",
    )?;
    let counts = statement.query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
    Ok((counts.0.unsigned_abs(), counts.1.unsigned_abs()))
}

fn hits(conn: &Connection, words: &[String], rows: u64, limit: usize) -> Result<Vec<Hit>, StoreError> {
    let mut lookup = conn.prepare_cached("SELECT rowid FROM memories_fts WHERE memories_fts MATCH ?1")?;
    let mut found = Vec::with_capacity(words.len());
    for word in words {
        let rows = lookup.query_map([quoted(word)], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
        found.push(Found { rows });
    }
    // The index also knows rows outside the fence; here is where they stay out.
    let mut read = conn.prepare_cached(
        "SELECT id, text, source, session_id, principal, created_at FROM memories
         WHERE pk = ?1 AND superseded_at IS NULL AND space IS NULL",
    )?;
    let mut hits = Vec::new();
    for (row, score) in rank(&found, rows) {
        if hits.len() == limit {
            break;
        }
        hits.extend(read.query_row([row], |row| hit_of_row(row, score)).optional()?);
    }
    Ok(hits)
}

fn hit_of_row(row: &Row<'_>, score: f64) -> Result<Hit, Error> {
    Ok(Hit {
        id: row.get(0)?,
        text: row.get(1)?,
        score,
        source: Source::parse(&row.get::<_, String>(2)?)?,
        session: row.get(3)?,
        principal: row.get(4)?,
        created_at: row.get(5)?,
    })
}
