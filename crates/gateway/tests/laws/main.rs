//! The laws of the gateway, each named as it is written down: real HTTP, real children, real SQLite.
//!
//! A test looks at effects: what a callback server was sent, what a child saw in its environment, what lies in the file.

#![forbid(unsafe_code)]
// `unwrap` ends a test wherever it stands, and `#[tokio::test]` blocks on its runtime where no frame is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod approvals;
mod callbacks;
mod crowd;
mod house;
mod kill;
mod ledger;
mod limits;
mod lost;
mod missing_paths;
#[cfg(feature = "mutants")]
mod mutants;
mod order;
mod processes;
mod resume;
mod routes;
mod schedules;
mod senders;
mod sessions;
mod sockets;
mod terminals;
mod tools;
mod webhooks;
