//! The laws see a broken handler: with the mutant on, a call runs in the context of whoever began the session.
//!
//! A mutant stays on for the rest of its process, so this binary holds one.

#![forbid(unsafe_code)]
// `unwrap` ends a test wherever it stands, and `#[tokio::test]` blocks on its runtime where no frame is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]
// The laws use more of it.
#![allow(dead_code)]

#[path = "laws/house.rs"]
mod house;

use haversack::mutants::{Mutant, enable};
use serde_json::json;

#[tokio::test]
async fn a_handler_of_the_connection_is_visible() {
    enable(Mutant::McpRebind);
    let house = house::House::offering([house::whoami()]).await;
    let mut client = house.client("acme", "kim");
    client.initialize().await;
    let answer = client.call("whoami", json!({})).await;
    assert_eq!(answer.result()["structuredContent"]["request"], "of-initialize");
}
