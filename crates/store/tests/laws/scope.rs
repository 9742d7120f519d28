//! Unbound and foreign are refused at the call, before any I/O; who polls does not matter.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use haversack::testing::{enter, tenant};
use haversack_store::{Scope, StoreError};

use crate::{add_session, fresh, sessions, tenant_files};

#[tokio::test]
async fn missing_is_loud() {
    let (dir, store) = fresh();
    let error = store.tenant().unwrap_err();
    assert!(matches!(error, StoreError::Unbound(_)), "{error:?}");
    assert!(error.to_string().contains("tenant"), "{error}");

    // A door that binds no tenant is no better than none.
    let error = enter(|bindings| bindings).run(|| store.tenant().unwrap_err());
    assert!(matches!(error, StoreError::Unbound(_)), "{error:?}");
    assert!(matches!(Scope::current().unwrap_err(), StoreError::Unbound(_)));
    assert!(tenant_files(dir.path()).is_empty());
}

#[tokio::test]
async fn foreign_entry_is_refused_before_io() {
    let (dir, store) = fresh();
    let a = tenant("a");
    let db = a.run(|| store.tenant().unwrap());
    let ran = Arc::new(AtomicBool::new(false));

    let calls = |db: &haversack_store::TenantDb| {
        let (one, two, three) = (Arc::clone(&ran), Arc::clone(&ran), Arc::clone(&ran));
        (
            db.read("r", move |_| {
                one.store(true, Ordering::SeqCst);
                Ok(())
            }),
            db.write("w", move |_| {
                two.store(true, Ordering::SeqCst);
                Ok(())
            }),
            db.erase("e", move |_| {
                three.store(true, Ordering::SeqCst);
                Ok(())
            }),
        )
    };
    // In another tenant's visit, in another visit of the same tenant, and in none. Only then polled by A itself:
    // the refusal is of the call, not of the poll.
    let made = [tenant("b").run(|| calls(&db)), tenant("a").run(|| calls(&db)), calls(&db)];
    a.wrap(async move {
        for (read, write, erase) in made {
            for refused in [read.await, write.await, erase.await] {
                let error = refused.unwrap_err();
                assert!(matches!(error, StoreError::Foreign(_)), "{error:?}");
            }
        }
    })
    .await;
    assert!(!ran.load(Ordering::SeqCst));
    assert!(tenant_files(dir.path()).is_empty(), "no file was made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poll_donation_keeps_the_callers_data() {
    let (_dir, store) = fresh();
    let (a, b) = (tenant("a"), tenant("b"));
    for (visit, name) in [(&a, "of-a"), (&b, "of-b")] {
        let write = visit.run(|| {
            let db = store.tenant().unwrap();
            async move { add_session(&db, name).await }
        });
        // The handle is A's and its call must be made in A, so the whole future goes in by context.
        haversack::FutureExt::with_context(write, visit.context()).await.unwrap();
    }
    // Called by A, first polled and finished by B's driver; the closure itself asks whose context it runs in.
    let submitted = a.run(|| {
        let db = store.tenant().unwrap();
        db.read("who am I", |conn| {
            let name: String = conn.query_row("SELECT session_id FROM sessions", [], |row| row.get(0))?;
            Ok((name, Scope::current()?.tenant().as_str().to_owned()))
        })
    });
    let found = b.wrap(async move { haversack::spawn(submitted).await.unwrap() }).await.unwrap();
    assert_eq!(found, ("of-a".to_owned(), "a".to_owned()));
}

#[tokio::test]
async fn a_scope_comes_from_the_context_alone() {
    let (_dir, store) = fresh();
    tenant("a")
        .wrap(async move {
            let db = store.tenant().unwrap();
            assert_eq!(db.scope().tenant().as_str(), "a");
            db.scope().check("again").unwrap();
            add_session(&db, "s").await.unwrap();
            assert_eq!(sessions(&db).await.unwrap(), ["s"]);
        })
        .await;
}
