//! The laws of the server: a real server on a port of its own, a real client, and what goes over the wire
//! between them. Each module holds the laws of one subject; `harness` starts servers and holds models back.

#![forbid(unsafe_code)]
// `unwrap` ends a test wherever it stands, and `#[tokio::test]` blocks on its runtime where no frame is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]
#![allow(missing_docs, unreachable_pub)]

mod bad_input;
mod cancel;
mod cli;
mod computing;
mod config;
mod drain;
mod gateway;
mod harness;
mod idempotency;
mod jobs;
mod journal;
mod keys;
mod limits;
mod mcp;
mod messages;
mod missing_paths;
mod openapi;
mod operator;
mod pipelines;
mod program;
mod replay;
mod resume;
mod roles;
mod sessions;
mod startup;
mod tenants;
mod traces;
