//! What goes into recall and what comes out.
//!
//! Plain values with the names of the table's columns; a report of a search says how much it could see. Anyone may
//! build the ones that go in; the ones that come out are made here and in the search.

use haversack_store::sqlite::{Error, FromSqlError, Row};
use serde::{Deserialize, Serialize};

/// Who said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The user, in a message.
    User,
    /// An agent, as a conclusion of its own.
    Agent,
    /// A tool, as a result.
    Tool,
    /// A session that ended, as what helped in it.
    Learnt,
    /// An import by an operator.
    Import,
}

impl Source {
    /// The word for it, as stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Agent => "agent",
            Self::Tool => "tool",
            Self::Learnt => "learnt",
            Self::Import => "import",
        }
    }

    pub(super) fn parse(word: &str) -> Result<Self, Error> {
        [Self::User, Self::Agent, Self::Tool, Self::Learnt, Self::Import]
            .into_iter()
            .find(|source| source.as_str() == word)
            .ok_or_else(|| FromSqlError::InvalidType.into())
    }
}

/// A memory to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMemory {
    /// What to remember; not empty, at most 64 KiB.
    pub text: String,
    /// What it is about, where a newer statement would replace it; at most 1 KiB.
    pub subject: Option<String>,
    /// Who said it.
    pub source: Source,
}

/// What became of a memory that was to be kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// The id under which the text is kept.
    pub id: String,
    /// What happened.
    pub outcome: Outcome,
}

/// What happened to a memory that was to be kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is kept beside the others.
    New,
    /// The same text was there.
    Duplicate,
    /// It is kept, and these older ones on its subject are no longer found.
    Superseded(Vec<String>),
}

/// A question to recall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Any text.
    pub text: String,
    /// The most hits wanted.
    pub limit: usize,
}

/// How a search compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// By words, stemmed; a paraphrase without a common word is not found.
    Lexical,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Lexical => "lexical",
        })
    }
}

/// What a search found, and how much it could see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recalled {
    /// Best first.
    pub hits: Vec<Hit>,
    /// How it compared.
    pub mode: Mode,
    /// How many live memories it looked through.
    pub rows_in_fence: u64,
    /// How many live memories it did not look at, because they belong to another embedding space than the current
    /// one. (There is no current one in mode lexical.)
    pub rows_outside: u64,
    /// Why the answer may be poorer than it looks.
    #[serde(skip_deserializing)]
    pub degraded: Option<&'static str>,
}

/// One memory that was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// Its id.
    pub id: String,
    /// Its text.
    pub text: String,
    /// From above 0 to 1: how much of the question it covers, rare words weighing more.
    pub score: f64,
    /// Who said it.
    pub source: Source,
    /// In which session.
    pub session: Option<String>,
    /// The principal who said it.
    pub principal: Option<String>,
    /// When: milliseconds since the Unix epoch, UTC.
    pub created_at: i64,
}

/// A memory as it is kept. Times are milliseconds since the Unix epoch, UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredMemory {
    /// Its id.
    pub id: String,
    /// Its text.
    pub text: String,
    /// What it is about, in lower case and single spaces.
    pub subject: Option<String>,
    /// Who said it.
    pub source: Source,
    /// In which session.
    pub session: Option<String>,
    /// Who acted.
    pub principal: Option<String>,
    /// When it was kept.
    pub created_at: i64,
    /// Since when it holds.
    pub valid_from: i64,
    /// The memory that replaced it.
    pub superseded_by: Option<String>,
    /// When it was replaced: until then it held.
    pub superseded_at: Option<i64>,
}

pub(super) const COLUMNS: &str = "id, text, subject, source, session_id, principal, created_at, valid_from, \
                                  superseded_by, superseded_at";

pub(super) fn memory_of_row(row: &Row<'_>) -> Result<StoredMemory, Error> {
    Ok(StoredMemory {
        id: row.get(0)?,
        text: row.get(1)?,
        subject: row.get(2)?,
        source: Source::parse(&row.get::<_, String>(3)?)?,
        session: row.get(4)?,
        principal: row.get(5)?,
        created_at: row.get(6)?,
        valid_from: row.get(7)?,
        superseded_by: row.get(8)?,
        superseded_at: row.get(9)?,
    })
}
