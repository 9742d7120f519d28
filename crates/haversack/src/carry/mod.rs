//! Carriage: handing work over together with its context.
//!
//! One module per kind of executor. These are the only places of the project that call the bare functions;
//! `clippy.toml` bans them everywhere else.

#[cfg(feature = "tokio")]
pub(crate) mod join_set;
#[cfg(feature = "rayon")]
pub mod rayon;
#[cfg(feature = "tokio")]
pub(crate) mod task_tracker;
#[cfg(feature = "tokio")]
pub(crate) mod tokio;

pub mod thread;
pub(crate) mod wrap;
