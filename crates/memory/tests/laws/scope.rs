//! Whose memory it is comes from the context, at every entry of every layer.

use haversack::FutureExt;
use haversack::testing::{Copies, enter, session, tenant};
use haversack::well_known::{SESSION_ID, SessionId};
use haversack_memory::recall::Query;
use haversack_memory::session::{NewAttempt, Outcome};
use haversack_memory::{MemoryError, Recall, SessionCache};

use crate::{fact, find, fresh, tenant_files, texts};

fn attempt(action: &str) -> NewAttempt {
    NewAttempt { action: action.to_owned(), outcome: Outcome::Failed, detail: None }
}

#[tokio::test]
async fn missing_is_loud() {
    let (dir, memory) = fresh();
    assert!(matches!(memory.recall().unwrap_err(), MemoryError::Unbound(_)));
    assert!(matches!(memory.session().unwrap_err(), MemoryError::Unbound(_)));
    let nobody = enter(|bindings| bindings);
    assert!(matches!(nobody.run(|| memory.recall().unwrap_err()), MemoryError::Unbound(_)));
    // A tenant without a session has recall and no session cache, and the error says what is missing.
    tenant("a").run(|| {
        memory.recall().unwrap();
        let error = memory.session().unwrap_err();
        assert!(matches!(error, MemoryError::Unbound(_)));
        assert!(error.to_string().contains("session"), "{error}");
    });
    assert!(tenant_files(dir.path()).is_empty());
}

#[tokio::test]
async fn foreign_entry_is_refused_before_io() {
    let (dir, memory) = fresh();
    let a = session("a", "s");
    let (recall, cache): (Recall, SessionCache) =
        a.run(|| (memory.recall().unwrap(), memory.session().unwrap()));
    for other in [session("b", "s"), session("a", "s")] {
        // Called under another entry; polled under A's own, which must not help.
        let calls = other.run(|| {
            (
                (recall.remember(fact("x")), recall.remember(fact("")), recall.forget("x")),
                (recall.search(Query { text: "x".into(), limit: 1 }), recall.get("x"), recall.history("x")),
                (cache.note(attempt("x")), cache.note(attempt("")), cache.attempts(), cache.forget()),
            )
        });
        let all = async move {
            let (writes, reads, session) = calls;
            [
                writes.0.await.unwrap_err(),
                writes.1.await.unwrap_err(),
                writes.2.await.unwrap_err(),
                reads.0.await.unwrap_err(),
                reads.1.await.unwrap_err(),
                reads.2.await.unwrap_err(),
                session.0.await.unwrap_err(),
                session.1.await.unwrap_err(),
                session.2.await.unwrap_err(),
                session.3.await.unwrap_err(),
            ]
        };
        for error in all.with_context(a.context()).await {
            assert!(matches!(error, MemoryError::Foreign(_)), "{error:?}");
        }
    }
    assert!(tenant_files(dir.path()).is_empty(), "no file was made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poll_donation_keeps_the_callers_data() {
    let (_dir, memory) = fresh();
    let (a, b) = (session("a", "s"), session("b", "s"));
    for (visit, text) in [(&a, "the manager of a is Ann"), (&b, "the manager of b is Bob")] {
        let write = visit.run(|| memory.recall().unwrap().remember(fact(text)));
        write.await.unwrap();
        visit.run(|| memory.session().unwrap().note(attempt(text))).await.unwrap();
    }
    let handle = a.run(|| memory.recall().unwrap());
    // One driver in B's visit polls what A and B submitted, twenty of each, in whatever order they get ready.
    let mut submitted = futures_util::stream::FuturesUnordered::new();
    for n in 0..40 {
        let (visit, whose) = if n % 2 == 0 { (&a, "a") } else { (&b, "b") };
        let search = visit.run(|| {
            let query = Query { text: "manager".into(), limit: 5 };
            let (recall, cache) = (memory.recall().unwrap(), memory.session().unwrap());
            (recall.search(query), cache.attempts(), recall.remember(fact(&format!("note {n} for {whose}"))))
        });
        submitted.push(async move {
            let noted = search.1.await.unwrap();
            let found = search.0.await.unwrap();
            search.2.await.unwrap();
            (whose, found, noted)
        });
    }
    let memory_in_b = memory.clone();
    b.wrap(async move {
        let mut done = 0;
        while let Some((whose, found, noted)) = futures_util::StreamExt::next(&mut submitted).await {
            let expected = if whose == "a" { "the manager of a is Ann" } else { "the manager of b is Bob" };
            assert_eq!(found.hits.iter().map(|hit| hit.text.as_str()).collect::<Vec<_>>(), [expected]);
            assert_eq!(noted.iter().map(|attempt| attempt.action.as_str()).collect::<Vec<_>>(), [expected]);
            done += 1;
        }
        assert_eq!(done, 40);
        // Writes landed with their callers too.
        let here = texts(&memory_in_b.recall().unwrap(), "note").await;
        assert!(!here.is_empty() && here.iter().all(|text| text.ends_with("for b")), "{here:?}");
        // And A's handle in B's visit is loud.
        let error = handle.search(Query { text: "manager".into(), limit: 5 }).await.unwrap_err();
        assert!(matches!(error, MemoryError::Foreign(_)), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn an_id_of_another_tenant_is_not_found() {
    let (_dir, memory) = fresh();
    let (memory_a, memory_b) = (memory.clone(), memory.clone());
    let id = tenant("a")
        .wrap(async move { memory_a.recall().unwrap().remember(fact("of a")).await.unwrap().id })
        .await;
    let theirs = id.clone();
    tenant("b")
        .wrap(async move {
            let recall = memory_b.recall().unwrap();
            assert_eq!(recall.get(&theirs).await.unwrap(), None);
            assert!(!recall.forget(&theirs).await.unwrap());
        })
        .await;
    tenant("a")
        .wrap(async move {
            let recall = memory.recall().unwrap();
            assert_eq!(recall.get(&id).await.unwrap().unwrap().text, "of a");
            assert_eq!(find(&recall, "of a").await.rows_in_fence, 1);
        })
        .await;
}

#[test]
fn tenants_who_remember_at_once_read_only_their_own() {
    let (_dir, memory) = fresh();
    // One name of a session for all: it is the tenant that keeps them apart.
    let copies = Copies::new(8).bind(|_, context| context.bind(&SESSION_ID, SessionId::new("desk").unwrap()));
    copies.assert_isolated(move |own| {
        let memory = memory.clone();
        async move {
            let (recall, cache) = (memory.recall().unwrap(), memory.session().unwrap());
            recall.remember(fact(&format!("the manager is {}", own.value()))).await.unwrap();
            own.step("remembered").await;
            cache.note(attempt(&format!("asked {}", own.value()))).await.unwrap();
            own.step("noted").await;
            let (found, tried) = (texts(&recall, "manager").await, cache.attempts().await.unwrap());
            assert!(!found.is_empty() && !tried.is_empty());
            own.reads("recall", &format!("{found:?}"));
            own.reads("the session cache", &format!("{tried:?}"));
        }
    });
}
