//! The id of a turn: 128 random bits, written `turn_` and 32 hexadecimal digits.
//!
//! It says nothing about tenant, session or time, and knowing one opens nothing: every lookup is inside the
//! caller's own history. Turns mint ids, everybody else parses them.

use std::fmt;
use std::str::FromStr;

use haversack_store::sqlite::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use serde::{Deserialize, Serialize};

use crate::error::TurnError;

const PREFIX: &str = "turn_";

/// The id of a turn.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TurnId(u128);

impl TurnId {
    /// A new id.
    ///
    /// # Errors
    /// [`TurnError::Internal`] when the system gives no random bits.
    pub(crate) fn mint() -> Result<Self, TurnError> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|_| TurnError::Internal("the system gives no random bits"))?;
        Ok(Self(u128::from_be_bytes(bytes)))
    }
}

impl fmt::Display for TurnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{:032x}", self.0)
    }
}

impl fmt::Debug for TurnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is no turn id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a turn id; expected `turn_` and 32 lower-case hexadecimal digits")]
pub struct InvalidTurnId;

impl FromStr for TurnId {
    type Err = InvalidTurnId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix(PREFIX).ok_or(InvalidTurnId)?;
        let plain = digits.len() == 32 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let bits = plain.then(|| u128::from_str_radix(digits, 16)).and_then(Result::ok);
        bits.map(Self).ok_or(InvalidTurnId)
    }
}

impl TryFrom<String> for TurnId {
    type Error = InvalidTurnId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TurnId> for String {
    fn from(id: TurnId) -> Self {
        id.to_string()
    }
}

impl FromSql for TurnId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map_err(|_| FromSqlError::InvalidType)
    }
}
