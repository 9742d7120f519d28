//! The rules of a job: how long between attempts, what happens to a second job under one key, what an expired
//! credential means.
//!
//! They are plain values. A submitter chooses some of them, a program others, and the worker only follows.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::carried::AccessToken;

/// How long to wait after a failed attempt: doubling from `first` up to `max`, of which a random part between a half
/// and all is waited, so that jobs which failed together do not come back together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Backoff {
    /// After the first attempt; to the millisecond.
    pub first: Duration,
    /// The longest.
    pub max: Duration,
}

impl Default for Backoff {
    /// One second, up to five minutes.
    fn default() -> Self {
        Self { first: Duration::from_secs(1), max: Duration::from_secs(300) }
    }
}

impl Backoff {
    /// No wait at all.
    pub const NONE: Self = Self { first: Duration::ZERO, max: Duration::ZERO };

    /// The wait after attempt `attempt` (from 1); `random` spreads it.
    #[must_use]
    pub fn after(self, attempt: u32, random: u32) -> Duration {
        let doubled =
            self.first.saturating_mul(1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX));
        let whole = doubled.min(self.max);
        let half = whole / 2;
        half + (whole - half).mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
}

/// What becomes of a job whose key a live job already has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnExisting {
    /// The first one stands, and its id is the answer.
    #[default]
    Keep,
    /// The new one takes the place of one of the same principal that has not begun; one that has begun stands.
    Replace,
    /// The first one stands, and the answer says that this one was refused.
    Block,
}

/// What happens to a job whose access token is no longer valid when it is about to run.
#[derive(Clone, Default)]
pub enum ExpiredToken {
    /// The attempt fails, for good. The default: nothing ever runs with less than it was submitted with.
    #[default]
    Fail,
    /// The program makes a new one, inside the job's context; without one the attempt fails.
    Mint(Mint),
    /// The job runs without one, and its handler declares that it can. It needs no permission of
    /// [`Handlers::permitted`](crate::Handlers::permitted) either.
    Anonymous,
}

/// A program's verdict on the credential that a job was submitted with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Permission {
    /// The job may be done.
    Granted,
    /// The credential ended by itself. A job that has not begun fails; one that runs may end.
    Expired,
    /// The credential was withdrawn. The job is cancelled, wherever it stands.
    Withdrawn,
}

/// Makes a new access token from one that expired.
pub type Mint = Arc<dyn Fn(AccessToken) -> MintFuture + Send + Sync>;

/// What a [`Mint`] gives.
pub type MintFuture = Pin<Box<dyn Future<Output = Result<AccessToken, Failure>> + Send>>;

impl ExpiredToken {
    /// [`Mint`](Self::Mint) from an async function.
    #[must_use]
    pub fn mint<F, R>(mint: F) -> Self
    where
        F: Fn(AccessToken) -> R + Send + Sync + 'static,
        R: Future<Output = Result<AccessToken, Failure>> + Send + 'static,
    {
        Self::Mint(Arc::new(move |expired| Box::pin(mint(expired))))
    }
}

impl fmt::Debug for ExpiredToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fail => "Fail",
            Self::Mint(_) => "Mint",
            Self::Anonymous => "Anonymous",
        })
    }
}

/// A span in whole milliseconds, as it is stored. One too long for the clock is the longest that fits.
pub(crate) fn millis(span: Duration) -> i64 {
    // A third of the range, so that a time plus a span does not overflow.
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX).min(i64::MAX / 4)
}

/// A stored span.
pub(crate) fn span(millis: i64) -> Duration {
    Duration::from_millis(millis.max(0).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_are_spread() {
        let backoff = Backoff { first: Duration::from_millis(100), max: Duration::from_secs(1) };
        let longest = |attempt| backoff.after(attempt, u32::MAX).as_millis();
        assert_eq!([1, 2, 3, 4, 5, 40, u32::MAX].map(longest), [100, 200, 400, 800, 1000, 1000, 1000]);
        assert_eq!(backoff.after(2, 0), Duration::from_millis(100));
        assert!(backoff.after(2, u32::MAX / 2) < backoff.after(2, u32::MAX));
        assert_eq!(Backoff::NONE.after(9, 7), Duration::ZERO);
    }
}
