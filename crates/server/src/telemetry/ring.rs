//! The ring of recent turns.

use haversack::MissingContext;

/// The ring. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Ring {}

/// The tree of one turn.
#[derive(Debug, Clone, serde::Serialize)]
pub struct TurnTree {}

impl Ring {
    /// The tree of a turn of the current tenant AND principal; `None` when the ring does not hold it or it belongs to another.
    ///
    /// # Errors
    /// [`MissingContext`] outside a door.
    pub fn turn(&self, _turn: &str) -> Result<Option<TurnTree>, MissingContext> {
        Ok(None)
    }
}
