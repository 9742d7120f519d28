//! Rows in the file that all tenants share are reached under a scope, and a folder may be shared by processes.

use haversack::testing::tenant;
use haversack_store::sqlite::params;
use haversack_store::{ControlRows, Store, StoreError};

use crate::{add_session, fresh, open, options, sessions};

/// Any table of the control file with a tenant column does.
async fn add(rows: &ControlRows, id: &str) -> Result<(), StoreError> {
    let id = id.to_owned();
    rows.write("add a row", move |tx, scope| {
        tx.execute(
            "INSERT INTO keys (id, tenant, principal, label, secret_hash, demo, created_at)
             VALUES (?1, ?2, 'p', 'l', zeroblob(32), 0, 1)",
            params![id, scope.tenant().as_str()],
        )?;
        Ok(())
    })
    .await
}

async fn ids(rows: &ControlRows) -> Result<Vec<String>, StoreError> {
    rows.read("list rows", |conn, scope| {
        let mut statement = conn.prepare_cached("SELECT id FROM keys WHERE tenant = ?1 ORDER BY id")?;
        let found = statement.query_map([scope.tenant().as_str()], |row| row.get(0))?;
        Ok(found.collect::<Result<_, _>>()?)
    })
    .await
}

#[tokio::test]
async fn rows_are_the_current_tenants() {
    let (_dir, store) = fresh();
    assert!(matches!(store.rows(), Err(StoreError::Unbound(_))), "outside a door nobody asks");
    for name in ["a", "b"] {
        tenant(name).wrap(async { add(&store.rows().unwrap(), name).await.unwrap() }).await;
    }
    let seen = tenant("b").wrap(async { ids(&store.rows().unwrap()).await.unwrap() }).await;
    assert_eq!(seen, ["b"]);
    let all: i64 = store
        .control()
        .engine()
        .read("count", |conn| Ok(conn.query_row("SELECT count(*) FROM keys", [], |row| row.get(0))?))
        .await
        .unwrap();
    assert_eq!(all, 2, "an engine serves all");
}

#[tokio::test]
async fn rows_of_another_entry_are_refused_before_io() {
    let (_dir, store) = fresh();
    let mine = tenant("a").run(|| store.rows().unwrap());
    let before = store.control().generation().unwrap();
    tenant("a")
        .wrap(async {
            assert!(matches!(add(&mine, "x").await, Err(StoreError::Foreign(_))));
            assert!(matches!(ids(&mine).await, Err(StoreError::Foreign(_))));
        })
        .await;
    assert_eq!(store.control().generation().unwrap(), before);
}

#[tokio::test]
async fn a_recalled_row_is_its_askers_whoever_polls() {
    let (_dir, store) = fresh();
    tenant("a").wrap(async { add(&store.rows().unwrap(), "of-a").await.unwrap() }).await;
    let asker = tenant("a");
    let asked = asker.run(|| {
        let rows = store.rows().unwrap();
        rows.read("list rows", |conn, scope| {
            Ok(conn.query_row("SELECT id FROM keys WHERE tenant = ?1", [scope.tenant().as_str()], |row| {
                row.get::<_, String>(0)
            })?)
        })
    });
    assert_eq!(tenant("b").wrap(asked).await.unwrap(), "of-a");
}

#[tokio::test]
async fn a_guest_works_beside_the_server_and_after_it() {
    let (dir, server) = fresh();
    let guest = Store::join(dir.path(), options()).unwrap();
    let second = Store::join(dir.path(), options()).unwrap();
    let before = server.control().generation().unwrap();
    tenant("a")
        .wrap(async {
            add(&guest.rows().unwrap(), "by-guest").await.unwrap();
            add_session(&guest.tenant().unwrap(), "by-guest").await.unwrap();
            assert_eq!(ids(&server.rows().unwrap()).await.unwrap(), ["by-guest"]);
            assert_eq!(sessions(&server.tenant().unwrap()).await.unwrap(), ["by-guest"]);
        })
        .await;
    assert_ne!(server.control().generation().unwrap(), before, "the server sees that something changed");
    server.close().await.unwrap();
    tenant("a")
        .wrap(async {
            add_session(&second.tenant().unwrap(), "later").await.unwrap();
            assert_eq!(sessions(&guest.tenant().unwrap()).await.unwrap(), ["by-guest", "later"]);
        })
        .await;
    drop(open(dir.path())); // guests do not keep the next server out
}

#[tokio::test]
async fn no_schema_changes_under_a_guest() {
    let (dir, server) = fresh();
    server.close().await.unwrap();
    drop(server);
    let guest = Store::join(dir.path(), options()).unwrap();
    // As if an older release had made the file: the tables are there, the version says otherwise.
    guest
        .control()
        .engine()
        .write("age the file", |tx| Ok(tx.execute("UPDATE meta SET schema_version = 1", [])?))
        .await
        .unwrap();
    assert!(matches!(Store::open(dir.path(), options()), Err(StoreError::InUse { .. })));
    assert!(matches!(Store::join(dir.path(), options()), Err(StoreError::InUse { .. })));
}
