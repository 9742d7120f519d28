//! Taking a lock that is held for a few instructions.
//!
//! A poisoned lock is entered all the same: what these locks guard is moved out before foreign code runs, so a
//! panic elsewhere cannot leave it half changed. Only this crate calls it, and never over an await.

use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
