//! Faults that outsiders found, as cases: the input that they sent and the right value. A case drives the program from
//! outside, by its command line and over the network, and uses nothing of our crates, so that the same case can be
//! run against an older program: `HAVERSACK_BIN` names it, and `cargo xtask cases` demands that each case fails there.

#![forbid(unsafe_code)]
// `unwrap` ends a test wherever it stands, and `#[tokio::test]` blocks on its runtime where no frame is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]
#![allow(missing_docs, unreachable_pub)]

mod clients;
mod gateway;
#[allow(dead_code)] // the areas use different parts of it
mod installation;
mod jobs;
mod mcp;
mod offline;
mod pipelines;
mod roles;
mod sandbox;
mod security;
#[allow(dead_code)] // the areas use different parts of it
mod stub;
