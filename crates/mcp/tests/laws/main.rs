//! The laws of this crate, each named as it is written down.

#![forbid(unsafe_code)]
// `unwrap` ends a test wherever it stands, and `#[tokio::test]` blocks on its runtime where no frame is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]
