//! Tokens: what takes one `set` back.
//!
//! A token belongs to the frame in which the `set` was made. `reset` consumes it, so there is no second reset
//! and no mix-up of variables; a token used elsewhere or out of order is an error that changes nothing.

use std::fmt;
use std::marker::PhantomData;

use crate::cell::{self, Undo};
use crate::error::ResetError;

/// Takes one [`set`](crate::ContextVar::set) back, in the frame in which it was made.
#[must_use = "dropping the token keeps the binding until its frame ends; call `reset` to take it back"]
pub struct Token<T: 'static> {
    undo: Undo,
    _value: PhantomData<fn(T) -> T>,
}

#[cfg(target_pointer_width = "64")]
const _: () =
    assert!(size_of::<Token<[u8; 100]>>() == 32, "a token is held over awaits, whatever it restores");

impl<T: 'static> Token<T> {
    pub(crate) fn new(undo: Undo) -> Self {
        Self { undo, _value: PhantomData }
    }

    /// Restores what was bound before the `set`: the earlier value, or unbound.
    ///
    /// # Errors
    /// [`ResetError::OtherContext`] in another frame or task than the one that set;
    /// [`ResetError::OutOfOrder`] while a newer `set` of the same variable stands. Nothing changes then.
    #[inline]
    pub fn reset(self) -> Result<(), ResetError> {
        cell::current(|frame| match frame {
            Some(frame) => frame.undo(self.undo),
            None => Err(ResetError::OtherContext),
        })
    }
}

impl<T: 'static> fmt::Debug for Token<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").finish_non_exhaustive()
    }
}
