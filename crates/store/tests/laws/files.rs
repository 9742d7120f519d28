//! A file that is not what it should be is loud, is left as it is, and stops its own tenant only.

use std::path::Path;

use haversack::testing::tenant;
use haversack::well_known::TenantId;
use haversack_store::sqlite::Connection;
use haversack_store::{Store, StoreError, StoreOptions};

use crate::{add_session, fresh, open, options, sessions, tenant_files};

async fn fill(store: &Store, names: &[&str]) {
    for name in names {
        tenant(name).wrap(async { add_session(&store.tenant().unwrap(), name).await.unwrap() }).await;
    }
}

async fn ask(store: &Store, name: &str) -> Result<Vec<String>, StoreError> {
    tenant(name).wrap(async { sessions(&store.tenant()?).await }).await
}

/// The file that holds the session which [`fill`] named after its tenant.
fn file_of(data: &Path, name: &str) -> std::path::PathBuf {
    let is_its = |path: &std::path::PathBuf| {
        let conn = Connection::open(path).unwrap();
        conn.query_row("SELECT tenant FROM stamp", [], |row| row.get::<_, Vec<u8>>(0)).unwrap()
            == name.as_bytes()
    };
    tenant_files(data).into_iter().find(is_its).unwrap()
}

#[tokio::test]
async fn stamp_mismatch_is_loud() {
    let (dir, store) = fresh();
    fill(&store, &["a", "b", "c"]).await;
    store.close().await.unwrap();
    drop(store);
    let (a, b, aside) = (file_of(dir.path(), "a"), file_of(dir.path(), "b"), dir.path().join("aside"));
    std::fs::rename(&a, &aside).unwrap();
    std::fs::rename(&b, &a).unwrap();
    std::fs::rename(&aside, &b).unwrap();

    let store = open(dir.path());
    for name in ["a", "b"] {
        let error = ask(&store, name).await.unwrap_err();
        assert!(matches!(error, StoreError::StampMismatch { .. }), "{error:?}");
    }
    assert_eq!(ask(&store, "c").await.unwrap(), ["c"], "the others are served");
    let tenants = store.tenants().await.unwrap();
    assert_eq!(tenants.iter().map(TenantId::as_str).collect::<Vec<_>>(), ["c"]);
    assert_eq!(
        store.inspect(true).await.unwrap().iter().filter(|report| report.problem.is_some()).count(),
        2
    );
}

#[tokio::test]
async fn newer_schema_is_refused_untouched() {
    let (dir, store) = fresh();
    fill(&store, &["a", "b"]).await;
    store.close().await.unwrap();
    drop(store);
    let file = file_of(dir.path(), "a");
    Connection::open(&file).unwrap().execute("UPDATE meta SET schema_version = 999", []).unwrap();
    let before = std::fs::read(&file).unwrap();

    let store = open(dir.path());
    let error = ask(&store, "a").await.unwrap_err();
    assert!(matches!(error, StoreError::NewerSchema { found: 999, known: 1.., .. }), "{error:?}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
    assert_eq!(ask(&store, "b").await.unwrap(), ["b"], "one bad file stops one tenant");
}

#[tokio::test]
async fn newer_control_file_stops_the_start() {
    let (dir, store) = fresh();
    store.close().await.unwrap();
    drop(store);
    let control = dir.path().join("control.sqlite");
    Connection::open(&control).unwrap().execute("UPDATE meta SET schema_version = 999", []).unwrap();
    let error = Store::open(dir.path(), options()).unwrap_err();
    assert!(matches!(error, StoreError::NewerSchema { found: 999, .. }), "{error:?}");
    let error = haversack_store::ControlDb::open_shared(dir.path(), &options()).unwrap_err();
    assert!(matches!(error, StoreError::NewerSchema { found: 999, .. }), "{error:?}");
}

#[tokio::test]
async fn one_damaged_file_stops_one_tenant() {
    let (dir, store) = fresh();
    fill(&store, &["a", "b", "c", "d"]).await;
    store.close().await.unwrap();
    drop(store);
    let (a, b, c) = (file_of(dir.path(), "a"), file_of(dir.path(), "b"), file_of(dir.path(), "c"));
    std::fs::write(&a, "this is no database, and long enough to be looked at".repeat(100)).unwrap();
    // A real database of some other program, and one whose first table page is garbage.
    std::fs::remove_file(&b).unwrap();
    Connection::open(&b).unwrap().execute("CREATE TABLE theirs (x)", []).unwrap();
    let theirs = std::fs::read(&b).unwrap();
    let mut bytes = std::fs::read(&c).unwrap();
    bytes[4096..].fill(0x5a);
    std::fs::write(&c, bytes).unwrap();

    let store = open(dir.path());
    for name in ["a", "b", "c"] {
        let error = ask(&store, name).await.unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{name}: {error:?}");
        assert!(error.to_string().contains(".sqlite"), "{error}");
    }
    assert_eq!(ask(&store, "d").await.unwrap(), ["d"]);
    assert!(std::fs::read(&b).unwrap() == theirs, "the other program's file is as it was");
}

#[tokio::test]
async fn a_repaired_file_is_served_without_restart() {
    let (dir, store) = fresh();
    fill(&store, &["a"]).await;
    store.close().await.unwrap();
    drop(store);
    let file = file_of(dir.path(), "a");
    let good = std::fs::read(&file).unwrap();
    std::fs::write(&file, "broken".repeat(1000)).unwrap();
    let store = open(dir.path());
    ask(&store, "a").await.unwrap_err();
    std::fs::write(&file, good).unwrap();
    assert_eq!(ask(&store, "a").await.unwrap(), ["a"]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_in_place_of_a_file_is_not_followed() {
    let (dir, store) = fresh();
    fill(&store, &["a"]).await;
    store.close().await.unwrap();
    drop(store);
    let file = file_of(dir.path(), "a");
    let elsewhere = dir.path().join("elsewhere.sqlite");
    std::fs::rename(&file, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    let store = open(dir.path());
    ask(&store, "a").await.unwrap_err();
}

#[tokio::test]
async fn the_pool_is_bounded_and_keeps_data() {
    let dir = tempfile::tempdir().unwrap();
    let few = StoreOptions { max_open_tenants: 3, ..options() };
    let store = Store::open(dir.path(), few).unwrap();
    let names: Vec<String> = (0..12).map(|n| format!("t{n}")).collect();
    for round in 0..2 {
        for name in &names {
            let session = format!("{name}-{round}");
            tenant(name).wrap(async { add_session(&store.tenant().unwrap(), &session).await.unwrap() }).await;
            assert!(store.open_tenants() <= 3);
        }
    }
    for name in &names {
        assert_eq!(ask(&store, name).await.unwrap(), [format!("{name}-0"), format!("{name}-1")]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_in_use_is_never_closed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions { max_open_tenants: 1, ..options() }).unwrap();
    let (entered, has_entered) = tokio::sync::oneshot::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    // A write of tenant a stands in the middle of its transaction ...
    let busy = tenant("a").wrap({
        let store = store.clone();
        async move {
            let db = store.tenant().unwrap();
            db.write("slow", move |tx| {
                tx.execute(
                    "INSERT INTO sessions (session_id, principal, created_at, last_active_at) VALUES ('kept','t',1,1)",
                    [],
                )?;
                entered.send(()).unwrap();
                released.recv().unwrap();
                Ok(())
            })
            .await
        }
    });
    let busy = haversack::spawn(busy);
    has_entered.await.unwrap();
    // ... while others push it out of the pool, if anything could.
    fill(&store, &["b", "c", "d"]).await;
    assert_eq!(store.open_tenants(), 2, "the one in use and the last one");
    release.send(()).unwrap();
    busy.await.unwrap().unwrap();
    assert_eq!(ask(&store, "a").await.unwrap(), ["kept"]);
    assert!(store.open_tenants() <= 2);
}
