//! Erased text is in no raw file: not in the table, not in the word index, not in the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use haversack::testing::tenant;
use haversack_store::StoreError;
use haversack_store::sqlite::{Connection, params};

use crate::{fresh, on_disk, tenant_files};

#[tokio::test]
async fn erased_text_is_in_no_raw_file() {
    let (dir, store) = fresh();
    let root = dir.path().to_path_buf();
    tenant("a")
        .wrap(async move {
            let db = store.tenant().unwrap();
            // Many neighbours, so that pages split and merge, and long texts, so that some overflow their page.
            for n in 0..40 {
                db.write("remember", move |tx| {
                    let filler = "lorem ipsum dolor sit amet ".repeat(if n % 7 == 0 { 400 } else { 3 });
                    tx.execute(
                        "INSERT INTO memories (id, text, text_hash, source, created_at, valid_from)
                         VALUES (?1, ?2, ?3, 'user', 1, 1)",
                        params![
                            format!("m{n}"),
                            format!("xyzzycanary{n}q {filler} zyxxycanary{n}q"),
                            [n as u8; 32]
                        ],
                    )?;
                    Ok(())
                })
                .await
                .unwrap();
            }
            assert!(!on_disk(&root, "xyzzycanary7q").is_empty(), "the test can see what is there");
            for n in [7, 14, 20, 21, 39] {
                let gone = db
                    .erase("forget", move |tx| {
                        Ok(tx.execute("DELETE FROM memories WHERE id = ?1", [format!("m{n}")])?)
                    })
                    .await
                    .unwrap();
                assert_eq!(gone, 1);
                for needle in [format!("xyzzycanary{n}q"), format!("zyxxycanary{n}q")] {
                    assert_eq!(on_disk(&root, &needle), Vec::<std::path::PathBuf>::new(), "{needle}");
                }
            }
            assert!(!on_disk(&root, "xyzzycanary6q").is_empty(), "its neighbours stay");
            let intact: String = db
                .read("check", |conn| Ok(conn.query_row("PRAGMA integrity_check", [], |row| row.get(0))?))
                .await
                .unwrap();
            assert_eq!(intact, "ok");
        })
        .await;
}

#[tokio::test]
async fn an_erasure_that_cannot_finish_says_so() {
    let (dir, store) = fresh();
    let root = dir.path().to_path_buf();
    tenant("a")
        .wrap(async move {
            let db = store.tenant().unwrap();
            db.write("remember", |tx| {
                Ok(tx.execute(
                    "INSERT INTO memories (id, text, text_hash, source, created_at, valid_from)
                     VALUES ('m', 'wumpuscanaryq', x'00', 'user', 1, 1)",
                    [],
                )?)
            })
            .await
            .unwrap();
            // What a backup by another process does: it reads a state from before the erasure.
            let beside = Connection::open(&tenant_files(&root)[0]).unwrap();
            beside.execute_batch("BEGIN; SELECT count(*) FROM memories;").unwrap();
            let forget = || db.erase("forget", |tx| Ok(tx.execute("DELETE FROM memories", [])?));
            let held = forget().await.unwrap_err();
            assert!(matches!(held, StoreError::LogHeld { .. }), "{held:?}");
            assert!(held.to_string().contains("deleted"), "{held}");

            beside.execute_batch("COMMIT").unwrap();
            assert_eq!(forget().await.unwrap(), 0, "it was committed the first time");
            drop(beside);
            assert_eq!(on_disk(&root, "wumpuscanaryq"), Vec::<std::path::PathBuf>::new());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_waits_for_readers() {
    let (_dir, store) = fresh();
    tenant("a")
        .wrap(async move {
            let db = store.tenant().unwrap();
            let inside = Arc::new(AtomicBool::new(false));
            let (entered, has_entered) = tokio::sync::oneshot::channel();
            let (release, released) = std::sync::mpsc::channel::<()>();
            let reader = Arc::clone(&inside);
            let read = haversack::spawn(db.read("slow", move |_| {
                reader.store(true, Ordering::SeqCst);
                entered.send(()).unwrap();
                released.recv().unwrap();
                reader.store(false, Ordering::SeqCst);
                Ok(())
            }));
            has_entered.await.unwrap();
            let reader = Arc::clone(&inside);
            let erase = haversack::spawn(db.erase("forget", move |_| Ok(reader.load(Ordering::SeqCst))));
            // Time enough for an erasure that does not wait: other work of its kind comes and goes.
            for n in 0..20 {
                store.control().keys().find(&n.to_string()).await.unwrap();
            }
            release.send(()).unwrap();
            read.await.unwrap().unwrap();
            assert!(!erase.await.unwrap().unwrap(), "a reader was still inside");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn erasing_works_beside_reads_and_a_backup() {
    let (dir, store) = fresh();
    let elsewhere = tempfile::tempdir().unwrap();
    let root = dir.path().to_path_buf();
    tenant("a")
        .wrap(async move {
            let db = store.tenant().unwrap();
            for n in 0..20 {
                let text = format!("plughcanary{n}q");
                db.write("remember", move |tx| {
                    tx.execute(
                        "INSERT INTO memories (id, text, text_hash, source, created_at, valid_from)
                         VALUES (?1, ?2, ?3, 'user', 1, 1)",
                        params![format!("m{n}"), text, [n as u8; 32]],
                    )?;
                    Ok(())
                })
                .await
                .unwrap();
                let mut beside = haversack::JoinSet::new();
                for _ in 0..4 {
                    let read = db.read("beside", |conn| {
                        Ok(conn.query_row("SELECT count(*) FROM memories", [], |row| row.get::<_, i64>(0))?)
                    });
                    beside.spawn(async move { read.await.map(|_| ()) });
                }
                let backup = store.backup(&elsewhere.path().join(n.to_string()));
                beside.spawn(async move { backup.await.map(|_| ()) });
                db.erase("forget", |tx| Ok(tx.execute("DELETE FROM memories", [])?)).await.unwrap();
                assert_eq!(on_disk(&root, &format!("plughcanary{n}q")), Vec::<std::path::PathBuf>::new());
                while let Some(done) = beside.join_next().await {
                    done.unwrap().unwrap();
                }
            }
        })
        .await;
}
