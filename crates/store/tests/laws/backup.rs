//! A backup is complete, verified and consistent, or it is refused.

use haversack::testing::tenant;
use haversack_store::backup::BackupManifest;
use haversack_store::sqlite::Connection;
use haversack_store::{KeyRole, KeyRow, Store, StoreError, backup_beside, restore};

use crate::{add_session, fresh, on_disk, open, sessions, tenant_files};

async fn filled() -> (tempfile::TempDir, Store) {
    let (dir, store) = fresh();
    for name in ["a", "b", "acme/../b"] {
        tenant(name)
            .wrap(async {
                add_session(&store.tenant().unwrap(), &format!("canary of {name}")).await.unwrap();
            })
            .await;
    }
    let key = KeyRow {
        id: "k1".to_owned(),
        tenant: "a".to_owned(),
        principal: "kim".to_owned(),
        label: String::new(),
        secret_hash: [1; 32],
        demo: false,
        created_at: 1,
        expires_at: None,
        revoked_at: None,
        replaced_by: None,
        role: KeyRole::Member,
    };
    store.control().keys().insert(key).await.unwrap();
    (dir, store)
}

fn refused(outcome: Result<BackupManifest, StoreError>) {
    assert!(matches!(outcome, Err(StoreError::BackupRefused { .. })), "{outcome:?}");
}

#[tokio::test]
async fn backup_and_restore_round_trip() {
    let (dir, store) = filled().await;
    let place = tempfile::tempdir().unwrap();
    let (backup, data) = (place.path().join("backup"), place.path().join("data"));
    let manifest = store.backup(&backup).await.unwrap();
    assert_eq!(manifest.files.len(), 4);
    assert!(manifest.skipped.is_empty());
    // Online: what comes later is in the store and not in the backup.
    tenant("a").wrap(async { add_session(&store.tenant().unwrap(), "later").await.unwrap() }).await;

    assert_eq!(restore(&backup, &data).unwrap(), manifest);
    let again = open(&data);
    for name in ["a", "b", "acme/../b"] {
        let found = tenant(name).wrap(async { sessions(&again.tenant().unwrap()).await.unwrap() }).await;
        assert_eq!(found, [format!("canary of {name}")]);
    }
    assert!(again.control().keys().find("k1").await.unwrap().is_some());
    assert!(!data.join(".restoring").exists());
    // Both go on working, each in its own folder.
    tenant("b")
        .wrap(async { add_session(&again.tenant().unwrap(), "only in the copy").await.unwrap() })
        .await;
    assert!(on_disk(dir.path(), "only in the copy").is_empty());
}

#[tokio::test]
async fn a_backup_beside_the_holder_is_as_good() {
    let (dir, store) = filled().await;
    let place = tempfile::tempdir().unwrap();
    let (backup, data) = (place.path().join("backup"), place.path().join("data"));
    let manifest = backup_beside(dir.path(), &backup, &crate::options()).unwrap();
    assert_eq!((manifest.files.len(), manifest.skipped.len()), (4, 0));
    assert_eq!(restore(&backup, &data).unwrap(), manifest);
    let again = open(&data);
    let found = tenant("b").wrap(async { sessions(&again.tenant().unwrap()).await.unwrap() }).await;
    assert_eq!(found, ["canary of b"]);
    // The holder goes on, and still holds.
    tenant("b").wrap(async { add_session(&store.tenant().unwrap(), "later").await.unwrap() }).await;
    assert!(matches!(Store::open(dir.path(), crate::options()), Err(StoreError::InUse { .. })));

    refused(backup_beside(dir.path(), &dir.path().join("inside"), &crate::options()));
    let empty = tempfile::tempdir().unwrap();
    refused(backup_beside(empty.path(), &place.path().join("none"), &crate::options()));
}

#[tokio::test]
async fn an_altered_backup_is_refused_and_writes_nothing() {
    let (_dir, store) = filled().await;
    let place = tempfile::tempdir().unwrap();
    let (backup, data) = (place.path().join("backup"), place.path().join("data"));
    let manifest = store.backup(&backup).await.unwrap();
    let tenant_file = backup.join(&manifest.files[1].path);
    let good = std::fs::read(&tenant_file).unwrap();

    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    std::fs::write(&tenant_file, bad).unwrap();
    refused(restore(&backup, &data));
    std::fs::remove_file(&tenant_file).unwrap();
    refused(restore(&backup, &data));
    assert!(!data.exists());
    std::fs::write(&tenant_file, good).unwrap();

    let text = std::fs::read_to_string(backup.join("manifest.json")).unwrap();
    for altered in [
        text.replace("\"format\": 1", "\"format\": 2"),
        text.replace("\"control.sqlite\"", "\"../control.sqlite\""),
        text.replacen("tenants/", "tenants/../", 1),
        text[..text.len() / 2].to_owned(),
    ] {
        assert_ne!(altered, text);
        std::fs::write(backup.join("manifest.json"), altered).unwrap();
        refused(restore(&backup, &data));
    }
    std::fs::remove_file(backup.join("manifest.json")).unwrap();
    refused(restore(&backup, &data));
    assert!(!data.exists());
    std::fs::write(backup.join("manifest.json"), text).unwrap();
    restore(&backup, &data).unwrap();
}

#[tokio::test]
async fn a_manifest_cannot_lead_out_of_the_folder() {
    let (_dir, store) = filled().await;
    let place = tempfile::tempdir().unwrap();
    let (backup, data) = (place.path().join("backup"), place.path().join("sub/data"));
    let manifest = store.backup(&backup).await.unwrap();
    // A true copy with a true hash, under names that no backup writes.
    let good = manifest.files[1].clone();
    std::fs::copy(backup.join(&good.path), place.path().join("outside")).unwrap();
    std::fs::copy(backup.join(&good.path), backup.join("tenants/short.sqlite")).unwrap();
    let absolute = place.path().join("outside").to_str().unwrap().to_owned();
    for path in ["tenants/../../outside", "../outside", "tenants/short.sqlite", &absolute] {
        let mut forged = manifest.clone();
        forged.files.push(haversack_store::backup::BackupFile { path: path.to_owned(), ..good.clone() });
        std::fs::write(backup.join("manifest.json"), serde_json::to_vec(&forged).unwrap()).unwrap();
        refused(restore(&backup, &data));
        assert!(!data.exists());
    }
}

#[tokio::test]
async fn restore_never_overwrites() {
    let (dir, store) = filled().await;
    let place = tempfile::tempdir().unwrap();
    let backup = place.path().join("backup");
    store.backup(&backup).await.unwrap();
    let outcome = restore(&backup, dir.path());
    assert!(matches!(outcome, Err(StoreError::InUse { .. })), "{outcome:?}");
    store.close().await.unwrap();
    refused(restore(&backup, dir.path()));
    refused(restore(&backup, &backup));
    assert_eq!(tenant_files(dir.path()).len(), 3);
}

#[tokio::test]
async fn backup_wants_a_folder_of_its_own() {
    let (dir, store) = filled().await;
    refused(store.backup(&dir.path().join("inside")).await);
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("something"), "mine").unwrap();
    refused(store.backup(place.path()).await);
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_bad_file_is_skipped_and_named() {
    let (dir, store) = filled().await;
    store.close().await.unwrap();
    drop(store);
    let bad = tenant_files(dir.path()).remove(0);
    Connection::open(&bad).unwrap().execute("UPDATE meta SET schema_version = 999", []).unwrap();
    let store = open(dir.path());
    let place = tempfile::tempdir().unwrap();
    let manifest = store.backup(&place.path().join("backup")).await.unwrap();
    assert_eq!(manifest.files.len(), 3, "control and two tenants");
    assert_eq!(manifest.skipped.len(), 1);
    assert!(bad.ends_with(&manifest.skipped[0].path), "{:?}", manifest.skipped);
    restore(&place.path().join("backup"), &place.path().join("data")).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_beside_writes_is_consistent() {
    let (_dir, store) = filled().await;
    let place = tempfile::tempdir().unwrap();
    let visit = tenant("busy");
    let writes = visit.wrap({
        let store = store.clone();
        async move {
            let db = store.tenant().unwrap();
            for n in 0..200 {
                db.write("pair", move |tx| {
                    for half in ["left", "right"] {
                        tx.execute(
                            "INSERT INTO sessions (session_id, principal, created_at, last_active_at)
                             VALUES (?1, ?2, 1, 1)",
                            (format!("{n}-{half}"), half),
                        )?;
                    }
                    Ok(())
                })
                .await
                .unwrap();
            }
        }
    });
    let writes = haversack::spawn(writes);
    let mut taken = 0;
    while !writes.is_finished() || taken == 0 {
        store.backup(&place.path().join(taken.to_string())).await.unwrap();
        taken += 1;
    }
    writes.await.unwrap();
    for n in 0..taken {
        for file in tenant_files(&place.path().join(n.to_string())) {
            let conn = Connection::open(file).unwrap();
            let count = |half: &str| -> i64 {
                conn.query_row("SELECT count(*) FROM sessions WHERE principal = ?1", [half], |row| row.get(0))
                    .unwrap()
            };
            assert_eq!(count("left"), count("right"));
            let intact: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
            assert_eq!(intact, "ok");
        }
    }
}
