//! The laws of the library, one module a subject. Each test is named after the law it checks.
//!
//! Tests play executors, drivers and pools that know nothing of the library, so they call the bare functions
//! that the product may not.
#![allow(clippy::disallowed_methods, reason = "the tests play executors that know nothing of the library")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a broken law ends its test")]
#![allow(clippy::print_stderr, reason = "a failing test says under which runtime it failed")]

mod door;
mod leaked;
mod probe;
mod runtimes;

mod borrows;
mod boundary;
mod closures;
mod contexts;
mod declarations;
mod description;
mod drops;
mod entry;
mod frames;
mod missing;
mod model;
mod policy;
mod poll_donation;
mod scope;
mod siblings;
mod switched;
mod threads;
mod tokens;
mod variables;
mod well_known;

#[cfg(feature = "tokio")]
mod bare_tasks;
#[cfg(feature = "tokio")]
mod blocking;
#[cfg(all(feature = "tokio", any(feature = "io", feature = "futures-io")))]
mod connections;
#[cfg(feature = "tokio")]
mod crowd;
#[cfg(feature = "tokio")]
mod envelopes;
#[cfg(feature = "tokio")]
mod everywhere;
#[cfg(feature = "tokio")]
mod groups;
#[cfg(feature = "tokio")]
mod infrastructure;
#[cfg(all(feature = "opentelemetry", feature = "tokio"))]
mod otel;
#[cfg(feature = "rayon")]
mod pools;
#[cfg(feature = "propagator")]
mod propagator;
#[cfg(feature = "testing")]
mod secrets;
#[cfg(all(feature = "tokio", feature = "sink", feature = "stream"))]
mod sinks;
#[cfg(feature = "snapshot")]
mod snapshot;
#[cfg(feature = "tracing")]
mod spans;
#[cfg(feature = "stream")]
mod streams;
#[cfg(all(feature = "tokio", debug_assertions))]
mod strict;
#[cfg(feature = "tokio")]
mod tasks;
#[cfg(feature = "testing")]
mod testing;
#[cfg(feature = "tokio")]
mod transcript;
