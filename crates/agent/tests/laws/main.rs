//! The laws of the agents, each named as it is written down, on real files, real HTTP and a real clock.
//!
//! A test looks at effects: what lies in a tenant's file, what a model was asked, which spans there were.

#![forbid(unsafe_code)]
// `unwrap` ends a test wherever it stands, and `#[tokio::test]` blocks on its runtime where no frame is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod background;
mod config;
mod crew_config;
mod crew_order;
mod crew_run;
mod crew_task;
mod further;
mod history;
mod house;
mod isolation;
mod knowledge;
mod model;
mod notices;
mod offline;
#[cfg(feature = "genai")]
mod provider;
mod session_end;
mod tools;
mod turn;
