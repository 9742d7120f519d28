//! Keys are found until they are revoked, by whichever process; the audit trail only grows.

use haversack_store::sqlite::Connection;
use haversack_store::{AuditRow, ControlDb, KeyRole, KeyRow, Store, StoreError};

use crate::{fresh, options};

fn key(id: &str) -> KeyRow {
    KeyRow {
        id: id.to_owned(),
        tenant: "acme".to_owned(),
        principal: "kim".to_owned(),
        label: "test".to_owned(),
        secret_hash: [7; 32],
        demo: false,
        created_at: 1,
        expires_at: None,
        revoked_at: None,
        replaced_by: None,
        role: KeyRole::Member,
    }
}

#[tokio::test]
async fn keys_live_until_revoked() {
    let (_dir, store) = fresh();
    let keys = store.control().keys();
    keys.insert(key("one")).await.unwrap();
    assert_eq!(keys.find("one").await.unwrap(), Some(key("one")));
    assert_eq!(keys.find("On%").await.unwrap(), None);
    assert!(matches!(keys.insert(key("one")).await, Err(StoreError::Sqlite { .. })), "an id is used once");

    assert!(keys.revoke("one").await.unwrap());
    assert!(!keys.revoke("one").await.unwrap(), "only the first time");
    assert!(!keys.revoke("two").await.unwrap());
    let revoked = keys.find("one").await.unwrap().unwrap();
    assert!(revoked.revoked_at.is_some() && !revoked.is_live(2));
    assert_eq!(keys.list().await.unwrap().len(), 1);
    let expires = KeyRow { expires_at: Some(10), ..key("x") };
    assert!(expires.is_live(9) && !expires.is_live(10));
}

#[tokio::test]
async fn keys_from_before_roles_become_members() {
    let (dir, store) = fresh();
    store.control().keys().insert(key("old")).await.unwrap();
    drop(store);
    let control = Connection::open(dir.path().join("control.sqlite")).unwrap();
    control
        .execute_batch(
            "DROP INDEX audit_of_tenant; DROP INDEX keys_of_principal; ALTER TABLE audit DROP COLUMN note;
             ALTER TABLE keys DROP COLUMN role; UPDATE meta SET schema_version = 5;",
        )
        .unwrap();
    drop(control);
    let store = Store::open(dir.path(), options()).unwrap();
    let old = store.control().keys().find("old").await.unwrap().unwrap();
    assert_eq!(old.role, KeyRole::Member);
}

#[tokio::test]
async fn rotation_is_both_or_neither() {
    let (_dir, store) = fresh();
    let keys = store.control().keys();
    keys.insert(key("old")).await.unwrap();
    assert!(keys.rotate("old", key("new"), None).await.unwrap());
    assert!(keys.find("old").await.unwrap().unwrap().revoked_at.is_some());
    assert!(!keys.rotate("old", key("newer"), None).await.unwrap(), "a revoked key is not rotated");
    assert_eq!(keys.find("newer").await.unwrap(), None);
    assert!(keys.rotate("new", key("old"), None).await.is_err(), "the id exists");
    assert!(keys.find("new").await.unwrap().unwrap().is_live(2), "so the revocation was rolled back");
}

#[tokio::test]
async fn an_overlap_ends_the_old_key_and_never_extends_it() {
    let (_dir, store) = fresh();
    let keys = store.control().keys();
    keys.insert(key("open-ended")).await.unwrap();
    keys.insert(KeyRow { expires_at: Some(50), ..key("short") }).await.unwrap();
    assert!(keys.rotate("open-ended", key("new-1"), Some(100)).await.unwrap());
    assert!(keys.rotate("short", key("new-2"), Some(100)).await.unwrap());
    let old = keys.find("open-ended").await.unwrap().unwrap();
    assert!(old.is_live(99) && !old.is_live(100));
    let short = keys.find("short").await.unwrap().unwrap();
    assert!(short.is_live(49) && !short.is_live(50), "its own end was earlier");
    assert!(keys.find("new-1").await.unwrap().unwrap().is_live(100));
}

#[tokio::test]
async fn a_change_by_another_process_is_seen() {
    let (dir, store) = fresh();
    let keys = store.control().keys();
    keys.insert(key("one")).await.unwrap();
    let before = keys.generation().await.unwrap();
    assert_eq!(keys.generation().await.unwrap(), before, "nothing happened");

    // What a key command does beside a running server, which holds the folder.
    let beside = ControlDb::open_shared(dir.path(), &options()).unwrap();
    assert!(beside.keys().revoke("one").await.unwrap());
    assert_ne!(keys.generation().await.unwrap(), before);
    assert!(keys.find("one").await.unwrap().unwrap().revoked_at.is_some());

    let before = keys.generation().await.unwrap();
    keys.insert(key("two")).await.unwrap();
    assert_ne!(keys.generation().await.unwrap(), before, "our own change counts too");
}

#[tokio::test]
async fn open_shared_makes_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("new");
    let first = ControlDb::open_shared(&data, &options()).unwrap();
    first.keys().insert(key("one")).await.unwrap();
    let store = crate::open(&data);
    assert!(store.control().keys().find("one").await.unwrap().is_some());
}

#[tokio::test]
async fn the_audit_trail_is_append_only() {
    let (dir, store) = fresh();
    let audit = store.control().audit();
    for n in 0..5 {
        let row = AuditRow {
            actor: "operator:ann".to_owned(),
            action: "key.revoke".to_owned(),
            tenant: (n > 0).then(|| "acme".to_owned()),
            subject: Some(format!("key {n}")),
            note: None,
            at: n,
        };
        audit.append(row).await.unwrap();
    }
    let last = audit.list(2).await.unwrap();
    assert_eq!(last.iter().map(|row| row.at).collect::<Vec<_>>(), [4, 3]);
    let raw = Connection::open(dir.path().join("control.sqlite")).unwrap();
    raw.execute("UPDATE audit SET actor = 'nobody'", []).unwrap_err();
    raw.execute("DELETE FROM audit", []).unwrap_err();
    assert_eq!(audit.list(10).await.unwrap().len(), 5);
}

#[tokio::test]
async fn secrets_are_not_printed() {
    let printed = format!("{:?}", key("one"));
    assert!(printed.contains("one") && !printed.contains('7'), "{printed}");
}

#[tokio::test]
async fn a_long_read_holds_up_no_write_and_sees_one_state() {
    let (_dir, store) = fresh();
    let (keys, engine) = (store.control().keys(), store.control().engine());
    let (reads, reading) = std::sync::mpsc::channel();
    let (go, may_go) = std::sync::mpsc::channel::<()>();
    let count = |conn: &Connection| -> Result<i64, StoreError> {
        Ok(conn.query_row("SELECT count(*) FROM keys", [], |row| row.get(0))?)
    };
    let long = haversack::spawn(engine.read("read for long", move |conn| {
        let before = count(conn)?;
        reads.send(()).unwrap();
        may_go.recv().unwrap();
        Ok((before, count(conn)?))
    }));
    haversack::spawn_blocking(move || reading.recv().unwrap()).await.unwrap();
    // The read goes on until it is told to end, and that is below.
    let written = tokio::time::timeout(std::time::Duration::from_secs(60), keys.insert(key("one"))).await;
    let found = tokio::time::timeout(std::time::Duration::from_secs(60), keys.find("one")).await;
    go.send(()).unwrap();
    assert_eq!(long.await.unwrap().unwrap(), (0, 0), "one state, whatever is written beside it");
    written.expect("a write waits for no read").unwrap();
    assert!(found.expect("a read waits for no other").unwrap().is_some(), "what is committed is read");
}

#[tokio::test]
async fn a_read_changes_nothing_and_ends_with_the_file() {
    let (_dir, store) = fresh();
    let engine = store.control().engine();
    let change = |conn: &Connection| Ok(conn.execute("DELETE FROM keys", [])?);
    assert!(engine.read("change", change).await.is_err(), "a read refuses to write");
    let panics = engine.read("panic", |_| -> Result<(), StoreError> { panic!("a reader") });
    assert!(matches!(panics.await, Err(StoreError::Panicked { .. })));
    assert_eq!(engine.read("count", |_| Ok(1)).await.unwrap(), 1, "the next one is let in");
    store.close().await.unwrap();
    assert!(matches!(engine.read("count", |_| Ok(1)).await, Err(StoreError::Closed)));
    assert!(matches!(engine.write("count", |_| Ok(1)).await, Err(StoreError::Closed)));
}
