//! A write is whole or not there, one at a time, and history is never rewritten.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use haversack::testing::tenant;
use haversack_store::{Store, StoreError, StoreOptions};

use crate::{add_session, fresh, options, sessions};

#[tokio::test]
async fn an_error_rolls_back() {
    let (_dir, store) = fresh();
    tenant("a")
        .wrap(async {
            let db = store.tenant().unwrap();
            let failed: Result<(), _> = db
                .write("half", |tx| {
                    tx.execute(
                        "INSERT INTO sessions (session_id, principal, created_at, last_active_at)
                         VALUES ('half', 't', 1, 1)",
                        [],
                    )?;
                    tx.execute("INSERT INTO nowhere VALUES (1)", [])?;
                    Ok(())
                })
                .await;
            assert!(matches!(failed, Err(StoreError::Sqlite { what: "half", .. })), "{failed:?}");
            assert!(sessions(&db).await.unwrap().is_empty());
        })
        .await;
}

#[tokio::test]
async fn a_panic_is_an_error_and_rolls_back() {
    let (_dir, store) = fresh();
    tenant("a")
        .wrap(async {
            let db = store.tenant().unwrap();
            let failed: Result<(), _> = db
                .write("panics", |tx| {
                    tx.execute(
                        "INSERT INTO sessions (session_id, principal, created_at, last_active_at)
                         VALUES ('half', 't', 1, 1)",
                        [],
                    )?;
                    panic!("planted");
                })
                .await;
            assert!(matches!(failed, Err(StoreError::Panicked { what: "panics" })), "{failed:?}");
            let failed: Result<(), _> = db.read("panics too", |_| panic!("planted")).await;
            assert!(matches!(failed, Err(StoreError::Panicked { .. })));
            add_session(&db, "after").await.unwrap();
            assert_eq!(sessions(&db).await.unwrap(), ["after"]);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_future_leaves_a_started_write_whole() {
    let (_dir, store) = fresh();
    tenant("a")
        .wrap(async {
            let db = store.tenant().unwrap();
            let (entered, has_entered) = tokio::sync::oneshot::channel();
            let (release, released) = std::sync::mpsc::channel::<()>();
            let write = db.write("two rows", move |tx| {
                let sql = "INSERT INTO sessions (session_id, principal, created_at, last_active_at) VALUES (?1,'t',1,1)";
                tx.execute(sql, ["one"])?;
                entered.send(()).unwrap();
                released.recv().unwrap();
                tx.execute(sql, ["two"])?;
                Ok(())
            });
            tokio::select! {
                biased;
                _ = write => panic!("it cannot end before it is released"),
                entered = has_entered => entered.unwrap(),
            }
            // The future is gone; the write is not.
            release.send(()).unwrap();
            // The next write waits for its turn, so it sees what became of the first.
            add_session(&db, "zzz").await.unwrap();
            assert_eq!(sessions(&db).await.unwrap(), ["one", "two", "zzz"]);
        })
        .await;
}

#[tokio::test]
async fn a_future_dropped_before_it_started_leaves_nothing() {
    let (_dir, store) = fresh();
    tenant("a")
        .wrap(async {
            let db = store.tenant().unwrap();
            drop(add_session(&db, "never"));
            assert!(sessions(&db).await.unwrap().is_empty());
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_writer_a_tenant() {
    // Without patience for SQLite's own lock: whoever does not wait at the gate fails.
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions { busy_timeout: Duration::ZERO, ..options() }).unwrap();
    tenant("a")
        .wrap(async {
            let inside = Arc::new(AtomicUsize::new(0));
            let mut writes = haversack::JoinSet::new();
            for _ in 0..64 {
                let (db, inside) = (store.tenant().unwrap(), Arc::clone(&inside));
                writes.spawn(async move {
                    db.write("count", move |tx| {
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "somebody else is writing");
                        let n: i64 = tx.query_row("SELECT count(*) FROM sessions", [], |row| row.get(0))?;
                        tx.execute(
                            "INSERT INTO sessions (session_id, principal, created_at, last_active_at)
                             VALUES (?1, 't', 1, 1)",
                            [format!("{n:03}")],
                        )?;
                        inside.fetch_sub(1, Ordering::SeqCst);
                        Ok(())
                    })
                    .await
                });
            }
            while let Some(done) = writes.join_next().await {
                done.unwrap().unwrap();
            }
            assert_eq!(sessions(&store.tenant().unwrap()).await.unwrap().len(), 64);
        })
        .await;
}

#[tokio::test]
async fn a_read_cannot_write() {
    let (_dir, store) = fresh();
    tenant("a")
        .wrap(async {
            let db = store.tenant().unwrap();
            let refused = db
                .read("sly", |conn| {
                    conn.execute("DELETE FROM sessions", [])?;
                    Ok(())
                })
                .await;
            assert!(
                matches!(refused, Err(StoreError::Sqlite { .. } | StoreError::ReadOnly { .. })),
                "{refused:?}"
            );
        })
        .await;
}

#[tokio::test]
async fn an_idempotency_key_is_used_once_a_session() {
    let (_dir, store) = fresh();
    tenant("a")
        .wrap(async {
            let db = store.tenant().unwrap();
            add_session(&db, "s1").await.unwrap();
            add_session(&db, "s2").await.unwrap();
            let turn = |id: &'static str, session: &'static str, number: i64, key: Option<&'static str>| {
                db.write("a turn", move |tx| {
                    Ok(tx.execute(
                        "INSERT INTO turns (turn_id, session_id, number, principal, idempotency_key, status, started_at)
                         VALUES (?1, ?2, ?3, 'tester', ?4, 'done', 1)",
                        (id, session, number, key),
                    )?)
                })
            };
            turn("t1", "s1", 1, Some("k")).await.unwrap();
            turn("t2", "s2", 1, Some("k")).await.unwrap();
            turn("t3", "s1", 2, None).await.unwrap();
            turn("t4", "s1", 3, None).await.unwrap();
            turn("t5", "s1", 4, Some("k")).await.unwrap_err();
            turn("t6", "s1", 3, None).await.unwrap_err();
            let plan: String = db
                .read("how a key is found", |conn| {
                    Ok(conn.query_row(
                        "EXPLAIN QUERY PLAN SELECT turn_id FROM turns WHERE session_id = ?1 AND idempotency_key = ?2",
                        ["s1", "k"],
                        |row| row.get("detail"),
                    )?)
                })
                .await
                .unwrap();
            assert!(plan.contains("turns_by_key"), "{plan}");
        })
        .await;
}

#[tokio::test]
async fn messages_are_append_only() {
    let (_dir, store) = fresh();
    tenant("a")
        .wrap(async {
            let db = store.tenant().unwrap();
            add_session(&db, "s").await.unwrap();
            db.write("a turn", |tx| {
                tx.execute_batch(
                    "INSERT INTO turns (turn_id, session_id, number, principal, status, started_at)
                         VALUES ('t1', 's', 1, 'tester', 'done', 1);
                     INSERT INTO messages VALUES ('s', 't1', 0, 'user', '\"said\"', 1);",
                )?;
                Ok(())
            })
            .await
            .unwrap();
            for sly in [
                "UPDATE messages SET content = '\"unsaid\"'",
                "UPDATE messages SET role = 'assistant' WHERE seq = 0",
                "INSERT OR REPLACE INTO messages VALUES ('s', 't1', 0, 'user', '\"unsaid\"', 1)",
                "INSERT INTO messages VALUES ('s', 't1', 0, 'user', '\"unsaid\"', 1)
                     ON CONFLICT DO UPDATE SET content = excluded.content",
            ] {
                let refused = db.write("rewrite", move |tx| Ok(tx.execute(sly, [])?)).await;
                assert!(refused.is_err(), "{sly}");
            }
            let said: String = db
                .read("what was said", |conn| {
                    Ok(conn.query_row("SELECT content FROM messages", [], |row| row.get(0))?)
                })
                .await
                .unwrap();
            assert_eq!(said, "\"said\"");
            // Forgetting a session takes everything that hangs on it.
            db.erase("forget", |tx| Ok(tx.execute("DELETE FROM sessions", [])?)).await.unwrap();
            let left: i64 = db
                .read("what is left", |conn| {
                    Ok(conn.query_row(
                        "SELECT (SELECT count(*) FROM messages) + (SELECT count(*) FROM turns)",
                        [],
                        |row| row.get(0),
                    )?)
                })
                .await
                .unwrap();
            assert_eq!(left, 0);
        })
        .await;
}
