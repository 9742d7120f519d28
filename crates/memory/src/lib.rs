//! What an agent remembers, in three layers, always of the tenant in whose context it is asked.
//!
//! It is modelled as the session-learning cache ([`SessionCache`]: what was tried in this session and how it went),
//! the working context ([`buffer`]: what the model reads in this call, under a budget) and recall ([`Recall`]: what
//! is kept and found again). Code inside a door may use all three; no function here takes a tenant or a session,
//! they come from the context and nowhere else.
//!
//! ```no_run
//! use haversack_memory::{Memory, MemoryOptions, NewMemory, Query, Source};
//! # async fn inside_a_door(store: haversack_store::Store) -> Result<(), haversack_memory::MemoryError> {
//! let memory = Memory::new(store, MemoryOptions::default());
//! let recall = memory.recall()?; // loud outside a tenant's context
//! recall
//!     .remember(NewMemory {
//!         text: "Our account manager is Kim.".into(),
//!         subject: Some("account manager".into()),
//!         source: Source::User,
//!     })
//!     .await?;
//! let found = recall.search(Query { text: "who is the account manager?".into(), limit: 5 }).await?;
//! assert_eq!(found.hits.len(), 1);
//! # Ok(()) }
//! ```
//!
//! # Whose data
//! A handle keeps the entry under which it was made and compares it with the current one at each call, before any
//! I/O: used in another request it is [`MemoryError::Foreign`]. A future that it returned carries its own context
//! along, so whoever polls it, it works on the data of the one who called.
//!
//! # Not here
//! No embeddings yet: recall is lexical and says so in every answer ([`Mode`]). The tables have the columns for
//! vectors and their spaces, and rows of a space that this release cannot search are counted, not hidden.

#![forbid(unsafe_code)]

pub mod buffer;
mod error;
mod facade;
pub mod recall;
pub mod session;

pub use error::MemoryError;
pub use facade::{Memory, MemoryOptions};
pub use recall::{Hit, Mode, NewMemory, Query, Recall, Recalled, Remembered, Source, StoredMemory};
pub use session::{Attempt, NewAttempt, SessionCache};
