//! The session cache knows what was tried here, for a while, and tells nobody else.

use std::time::Duration;

use haversack::Visit;
use haversack::testing::{enter, session, tenant};
use haversack::well_known::{PRINCIPAL, Principal, SESSION_ID, SessionId, TENANT_ID, TenantId};
use haversack_memory::session::{NewAttempt, Outcome};
use haversack_memory::{Memory, MemoryError, MemoryOptions};

use crate::{fresh, on_disk, raw, with};

fn failed(action: &str) -> NewAttempt {
    NewAttempt { action: action.to_owned(), outcome: Outcome::Failed, detail: Some("no light".to_owned()) }
}

async fn actions(memory: &Memory) -> Vec<String> {
    let attempts = memory.session().unwrap().attempts().await.unwrap();
    attempts.into_iter().map(|attempt| attempt.action).collect()
}

#[tokio::test]
async fn attempts_are_read_in_the_order_they_were_noted() {
    let (_dir, memory) = fresh();
    session("a", "s")
        .wrap(async {
            let cache = memory.session().unwrap();
            let noted = cache.note(failed("restart the scanner")).await.unwrap();
            cache.note(NewAttempt { outcome: Outcome::Worked, ..failed("change the cable") }).await.unwrap();
            let attempts = cache.attempts().await.unwrap();
            assert_eq!(attempts[0], noted);
            assert_eq!((attempts[0].outcome, attempts[1].outcome), (Outcome::Failed, Outcome::Worked));
            assert_eq!(attempts[1].action, "change the cable");

            // The last outcome of an action counts, however it is spelt.
            cache
                .note(NewAttempt { outcome: Outcome::Worked, ..failed("Restart  the scanner.") })
                .await
                .unwrap();
            let attempts = cache.attempts().await.unwrap();
            assert_eq!(attempts.len(), 2);
            assert_eq!(
                (attempts[1].action.as_str(), attempts[1].outcome),
                ("Restart  the scanner.", Outcome::Worked)
            );
        })
        .await;
}

/// As a principal in a session named `s`.
fn as_principal(name: &str) -> Visit {
    enter(|bindings| {
        bindings
            .bind(&TENANT_ID, TenantId::new("a").unwrap())
            .bind(&PRINCIPAL, Principal::new(name).unwrap())
            .bind(&SESSION_ID, SessionId::new("s").unwrap())
    })
}

#[tokio::test]
async fn whoever_gets_a_sessions_name_later_gets_nothing_of_what_was_noted_in_it() {
    let (_dir, memory) = fresh();
    let note = async |text: &str| memory.session().unwrap().note(failed(text)).await.unwrap();
    as_principal("kim").wrap(note("kim's restart")).await;
    as_principal("lee").wrap(note("lee's restart")).await;
    as_principal("kim").wrap(note("Kim's restart.")).await;
    assert_eq!(as_principal("kim").wrap(actions(&memory)).await, ["Kim's restart."]);
    assert_eq!(as_principal("lee").wrap(actions(&memory)).await, ["lee's restart"]);
    let gone = as_principal("lee").wrap(async { memory.session().unwrap().forget().await.unwrap() }).await;
    assert_eq!((gone, as_principal("kim").wrap(actions(&memory)).await.len()), (1, 1));
}

#[tokio::test]
async fn another_session_never_reads_it() {
    let (_dir, memory) = fresh();
    let names = ["s", "s ", "S", "s%", "s_", "%", "s1", "s/../s", "s\0", "*"];
    for name in names {
        session("a", name)
            .wrap(async {
                memory.session().unwrap().note(failed(&format!("tried in {name:?}"))).await.unwrap();
            })
            .await;
    }
    for name in names {
        let found = session("a", name).wrap(async { actions(&memory).await }).await;
        assert_eq!(found, [format!("tried in {name:?}")]);
        // The same name at another tenant is another session.
        assert!(session("b", name).wrap(async { actions(&memory).await }).await.is_empty());
    }
    // Forgetting one leaves the others.
    let gone = session("a", "s").wrap(async { memory.session().unwrap().forget().await.unwrap() }).await;
    assert_eq!(gone, 1);
    assert_eq!(session("a", "s%").wrap(async { actions(&memory).await }).await.len(), 1);
}

#[tokio::test]
async fn attempts_expire() {
    let (dir, memory) = with(MemoryOptions { attempt_ttl: Duration::ZERO, ..MemoryOptions::default() });
    let hour = Memory::clone(&memory);
    session("a", "s")
        .wrap(async {
            memory.session().unwrap().note(failed("at once")).await.unwrap();
            assert!(actions(&memory).await.is_empty());
        })
        .await;
    drop((memory, hour));

    let (_other, memory) = fresh();
    drop(dir);
    session("a", "s")
        .wrap(async {
            let cache = memory.session().unwrap();
            let noted = cache.note(failed("old")).await.unwrap();
            assert_eq!(noted.expires_at - noted.created_at, 24 * 60 * 60 * 1000);
            cache.note(failed("young")).await.unwrap();
            let raw = raw(_other.path());
            raw.execute("UPDATE attempts SET expires_at = 1 WHERE action = 'old'", []).unwrap();
            assert_eq!(actions(&memory).await, ["young"]);
            // The next note sweeps what expired, of every session.
            cache.note(failed("younger")).await.unwrap();
            let rows: i64 = raw.query_row("SELECT count(*) FROM attempts", [], |row| row.get(0)).unwrap();
            assert_eq!(rows, 2);
        })
        .await;
}

#[tokio::test]
async fn the_size_is_bounded_per_session() {
    let (_dir, memory) = with(MemoryOptions { max_attempts: 3, ..MemoryOptions::default() });
    session("a", "other")
        .wrap(async { memory.session().unwrap().note(failed("stays")).await.unwrap() })
        .await;
    session("a", "s")
        .wrap(async {
            let cache = memory.session().unwrap();
            for n in 0..10 {
                cache.note(failed(&format!("action {n}"))).await.unwrap();
            }
            assert_eq!(actions(&memory).await, ["action 7", "action 8", "action 9"]);
        })
        .await;
    assert_eq!(session("a", "other").wrap(async { actions(&memory).await }).await, ["stays"]);
}

#[tokio::test]
async fn a_closed_session_has_none() {
    let (dir, memory) = fresh();
    session("a", "s")
        .wrap(async {
            memory.session().unwrap().note(failed("before")).await.unwrap();
            raw(dir.path())
                .execute("INSERT INTO sessions VALUES ('s', 'tester', 1, 1, 2, NULL)", [])
                .unwrap();
            assert!(actions(&memory).await.is_empty());
        })
        .await;
}

#[tokio::test]
async fn bad_attempts_are_refused_without_a_file() {
    let (dir, memory) = fresh();
    session("a", "s")
        .wrap(async {
            let cache = memory.session().unwrap();
            let long = NewAttempt { detail: Some("x".repeat(4097)), ..failed("ok") };
            for bad in [failed(""), failed(" .\n"), failed(&"x".repeat(1025)), long] {
                let error = cache.note(bad).await.unwrap_err();
                assert!(matches!(error, MemoryError::Invalid { .. }), "{error:?}");
            }
        })
        .await;
    assert!(crate::tenant_files(dir.path()).is_empty());
}

#[tokio::test]
async fn forget_leaves_the_text_in_no_raw_file() {
    let (dir, memory) = fresh();
    session("a", "s")
        .wrap(async {
            let cache = memory.session().unwrap();
            for n in 0..20 {
                cache.note(failed(&format!("plover{n}canary"))).await.unwrap();
            }
            assert!(!on_disk(dir.path(), "plover7canary").is_empty(), "the test can see it");
            assert_eq!(cache.forget().await.unwrap(), 20);
            for n in 0..20 {
                assert!(on_disk(dir.path(), &format!("plover{n}canary")).is_empty());
            }
        })
        .await;
    assert!(tenant("a").run(|| memory.recall().is_ok()));
}
