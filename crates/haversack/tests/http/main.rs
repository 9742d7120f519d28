//! The laws over HTTP: a real server, a real client, and services called by hand where a test has to be the
//! server. Needs the features `tokio`, `tower` and `axum`.
#![allow(clippy::disallowed_methods, reason = "the tests play servers that know nothing of the library")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a broken law ends its test")]
#![allow(clippy::result_large_err, reason = "a door refuses with a response, as the layer asks of it")]
#![allow(clippy::print_stderr, reason = "a failing test says under which runtime it failed")]

mod bodies;
mod extractor;
mod layer;
mod pool;
mod server;

#[path = "../laws/runtimes.rs"]
#[allow(dead_code, reason = "the laws use all of it")]
mod runtimes;
