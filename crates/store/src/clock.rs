//! The one clock of stored times: whole milliseconds since the Unix epoch, UTC.
//!
//! It is a plain function over the system clock, so stored times may jump when an operator sets the clock; order
//! is kept by row numbers and not by times. Any crate above may call it, so that all tables agree.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch, UTC; 0 for a clock set before 1970.
#[must_use]
pub fn now_millis() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
