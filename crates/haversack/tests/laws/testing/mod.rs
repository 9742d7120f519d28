//! What is offered to tests: contexts in one line, and checks that see what they are there to see.

mod canary;
#[cfg(feature = "tokio")]
mod copies;
mod isolated;
mod missing_path;
