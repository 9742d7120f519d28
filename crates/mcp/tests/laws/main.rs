//! The laws of this crate, each named as it is written down, over real HTTP and real streams.
//!
//! A test looks at effects: what a tool saw, what went over the wire, what lies in a file.

#![forbid(unsafe_code)]
// `unwrap` ends a test wherever it stands, and `#[tokio::test]` blocks on its runtime where no frame is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod arguments;
mod context;
mod house;
mod missing_paths;
mod origin;
mod sessions;
mod streams;
mod tasks;
mod tools;
