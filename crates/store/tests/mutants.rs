//! The leak check sees a broken routing: with the mutant on, one tenant reads another's rows.
//!
//! A mutant stays on for the rest of its process, so this binary holds one.

#![forbid(unsafe_code)]
// `unwrap` ends a test wherever it stands, and `#[tokio::test]` blocks on its runtime where no frame is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

use haversack::mutants::{Mutant, enable};
use haversack::testing::tenant;
use haversack_store::{Store, StoreOptions};

#[tokio::test]
async fn broken_routing_is_visible() {
    enable(Mutant::TenantFile);
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    tenant("a")
        .wrap(async {
            let write = store.tenant().unwrap().write("plant", |tx| {
                Ok(tx.execute(
                    "INSERT INTO sessions (session_id, principal, created_at, last_active_at) VALUES ('canary','t',1,1)",
                    [],
                )?)
            });
            write.await.unwrap();
        })
        .await;
    let crossed: i64 = tenant("b")
        .wrap(async {
            let read = store.tenant().unwrap().read("look", |conn| {
                Ok(conn.query_row(
                    "SELECT count(*) FROM sessions WHERE session_id = 'canary'",
                    [],
                    |row| row.get(0),
                )?)
            });
            read.await.unwrap()
        })
        .await;
    assert_eq!(crossed, 1);
}
