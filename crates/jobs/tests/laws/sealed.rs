//! What a job carries and says is sealed: nothing of it is readable, and what is not authentic never runs.

use haversack::ContextVar;
use haversack::well_known::{PRINCIPAL, TENANT_ID};
use haversack::{Manifest, manifest};
use haversack_jobs::carried::{ACCESS_TOKEN, AccessToken, HEADERS, Headers};
use haversack_jobs::{
    Args, Failure, FailureKind, Handlers, JobId, JobOptions, Jobs, NewJob, Outcome, Progress, State,
};
use haversack_store::{KeyFile, sqlite::params};
use std::time::Duration;

use crate::{AtWork, Place, caller, on_disk, options, submit, submit_and_wait, succeeded};

const TOKEN: &str = "canary-token-5b1f";
const ARGUMENT: &str = "canary-argument-77aa";
const HEADER: &str = "canary-header-01cd";
const RESULT: &str = "canary-result-e3e3";
const NOTE: &str = "canary-note-9c9c";
const WORDS: &str = "canary-words-4d4d";
const KEY: &str = "canary-key-2f2f";

#[tokio::test]
async fn nothing_that_a_job_carries_or_says_is_readable_on_the_disk() {
    let place = Place::fresh();
    let work = |Args(argument): Args<String>, progress: Progress, token: AccessToken| async move {
        assert_eq!((argument.as_str(), token.reveal()?), (ARGUMENT, TOKEN));
        progress.say(1, None, NOTE).await?;
        Ok(RESULT)
    };
    let fail = || async { Err::<(), _>(Failure::permanent(WORDS)) };
    let worker = place.work(Handlers::new().on("work", work).on("fail", fail));
    let data = place.dir.path().join("data");
    let jobs = place.jobs.clone();
    let inside = async {
        // One that waits, one that is done, one that failed.
        let waiting = NewJob::new("work", &ARGUMENT).unwrap().key(KEY).delay(Duration::from_secs(3600));
        submit(&jobs, waiting).await;
        let done = submit(&jobs, NewJob::new("work", &ARGUMENT).unwrap()).await;
        assert_eq!(jobs.wait(&done).await.unwrap(), succeeded(RESULT));
        let note = jobs.get(&done).await.unwrap().progress.unwrap().note;
        assert_eq!(note.as_deref(), Some(NOTE), "its owner reads it");
        let outcome = submit_and_wait(&jobs, NewJob::new("fail", &()).unwrap()).await;
        assert!(matches!(outcome, Outcome::Failed { text: Some(text), .. } if text == WORDS));
    };
    let token = AccessToken::new(TOKEN, None);
    let headers = Headers::allowed(&["x-canary"], [("x-canary", HEADER)]);
    caller("acme", "ada").wrap(ACCESS_TOKEN.scope(token, HEADERS.scope(headers, inside))).await;

    // While everything still stands in the log, and when it was copied into the file.
    assert!(!on_disk(&data, "acme").is_empty(), "the scan would see what is there");
    for canary in [TOKEN, ARGUMENT, HEADER, RESULT, NOTE, WORDS, KEY] {
        assert_eq!(on_disk(&data, canary), Vec::<std::path::PathBuf>::new(), "{canary}");
    }
    worker.stop().await;
    place.store.close().await.unwrap();
    for canary in [TOKEN, ARGUMENT, HEADER, RESULT, NOTE, WORDS, KEY] {
        assert_eq!(on_disk(&data, canary), Vec::<std::path::PathBuf>::new(), "{canary}");
    }
}

#[tokio::test]
async fn what_is_done_keeps_nothing_of_what_it_was_given() {
    let place = Place::fresh();
    let worker = place.work(Handlers::new().on("work", || async { Ok(()) }));
    let jobs = place.jobs.clone();
    caller("acme", "ada")
        .wrap(async move { submit_and_wait(&jobs, NewJob::new("work", &()).unwrap()).await })
        .await;
    assert_eq!(requests(&place).await, 0);
    worker.stop().await;
}

async fn requests(place: &Place) -> i64 {
    let count = place.store.control().engine().read("count requests", |conn| {
        Ok(conn.query_row("SELECT count(*) FROM job_requests", [], |row| row.get(0))?)
    });
    count.await.unwrap()
}

/// Changes what is stored of a job that waits, lets a worker meet it, and gives what came of it.
async fn tampered(sql: &'static str) -> (FailureKind, Option<String>) {
    let place = Place::fresh();
    let jobs = place.jobs.clone();
    let (id, other) = caller("acme", "ada")
        .wrap(async {
            let later = || NewJob::new("work", &()).unwrap();
            (submit(&jobs, later()).await, submit(&jobs, later()).await)
        })
        .await;
    let (one, two) = (id.to_string(), other.to_string());
    let change = place.store.control().engine().write("tamper", move |tx| {
        // Another's request, for the one who wants to swap it in.
        let other: Vec<u8> = tx.query_row(
            "SELECT sealed FROM job_requests r JOIN jobs j ON j.number = r.number WHERE j.id = ?1",
            [two],
            |row| row.get(0),
        )?;
        tx.execute(sql, params![one, other])?;
        Ok(())
    });
    change.await.unwrap();
    // A worker that would say so if it ran.
    let worker = place.work(Handlers::new().on("work", || async { Ok(()) }));
    let outcome = failed(&place, id).await;
    worker.stop().await;
    outcome
}

async fn failed(place: &Place, id: JobId) -> (FailureKind, Option<String>) {
    let jobs = place.jobs.clone();
    match caller("acme", "ada").wrap(async move { jobs.wait(&id).await.unwrap() }).await {
        Outcome::Failed { kind, code, .. } => (kind, code),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_way_of_tampering_fails_the_job_with_its_own_error() {
    const OF: &str = "WHERE number = (SELECT number FROM jobs WHERE id = ?1) AND ?2 IS NOT NULL";
    for (sql, code) in [
        (format!("UPDATE job_requests SET sealed = CAST('{{\"plain\":1}}' AS BLOB) {OF}"), "not_sealed"),
        (format!("UPDATE job_requests SET sealed = substr(sealed, 1, length(sealed) - 9) {OF}"), "truncated"),
        (format!("UPDATE job_requests SET sealed = ?2 {OF}"), "forged"),
    ] {
        let found = tampered(sql.leak()).await;
        assert_eq!(found, (FailureKind::Unopened, Some(code.to_owned())));
    }
}

#[tokio::test]
async fn a_row_that_names_another_principal_than_its_seal_never_runs() {
    let place = Place::fresh();
    let jobs = place.jobs.clone();
    let id =
        caller("acme", "ada").wrap(async { submit(&jobs, NewJob::new("work", &()).unwrap()).await }).await;
    let change = place.store.control().engine().write("tamper", |tx| {
        tx.execute("UPDATE jobs SET principal = 'mallory'", [])?;
        Ok(())
    });
    change.await.unwrap();
    let worker = place.work(Handlers::new().on("work", || async { Ok("ran") }));
    let outcome = caller("acme", "mallory").wrap(async move { jobs.wait(&id).await.unwrap() }).await;
    assert!(matches!(outcome, Outcome::Failed { kind: FailureKind::ForeignOwner, .. }), "{outcome:?}");
    worker.stop().await;
}

#[tokio::test]
async fn another_installations_key_opens_nothing_and_the_job_waits_for_the_right_one() {
    let place = Place::fresh();
    let jobs = place.jobs.clone();
    let id =
        caller("acme", "ada").wrap(async { submit(&jobs, NewJob::new("work", &()).unwrap()).await }).await;
    let wrong = KeyFile::open(&place.dir.path().join("other-keys"), &place.dir.path().join("data")).unwrap();
    let theirs = Jobs::new(place.store.clone(), wrong, &crate::OUT, JobOptions::default());
    let worker = AtWork::start(theirs, Handlers::new().on("work", || async { Ok(()) }), options());
    parked(&place, &id, "unknown_key").await;
    worker.stop().await;
    let worker = place.work(Handlers::new().on("work", || async { Ok(7) }));
    let jobs = place.jobs.clone();
    assert_eq!(caller("acme", "ada").wrap(async move { jobs.wait(&id).await.unwrap() }).await, succeeded(7));
    worker.stop().await;
}

async fn parked(place: &Place, id: &JobId, code: &str) {
    let (jobs, id) = (place.jobs.clone(), id.clone());
    let job = caller("acme", "ada").wrap(async move {
        let mut watch = jobs.watch(&id).unwrap();
        loop {
            let job = watch.next().await.unwrap().unwrap();
            if job.state == State::Parked || job.finished_at.is_some() {
                return job;
            }
        }
    });
    let job = job.await;
    assert_eq!((job.state, job.failure), (State::Parked, Some(FailureKind::Unopened)));
    assert_eq!(job.failure_code.as_deref(), Some(code));
}

#[tokio::test]
async fn a_job_whose_key_retired_waits_for_a_clock_that_is_right() {
    let place = Place::fresh();
    let jobs = place.jobs.clone();
    let id =
        caller("acme", "ada").wrap(async { submit(&jobs, NewJob::new("work", &()).unwrap()).await }).await;
    // As if the clock had jumped over the end of the key, and somebody rotated just then.
    let retires = place.keys.rotate(Duration::ZERO).unwrap().keys().next().unwrap().retires_at.unwrap();
    place.keys.rotate(Duration::from_secs(3600)).unwrap();
    let worker = place.work(Handlers::new().on("work", || async { Ok(7) }));
    parked(&place, &id, "retired_key").await;
    let text = std::fs::read_to_string(place.keys.path()).unwrap();
    let later = (retires + 3_600_000).to_string();
    std::fs::write(place.keys.path(), text.replacen(&format!(" {retires} "), &format!(" {later} "), 1))
        .unwrap();
    let jobs = place.jobs.clone();
    assert_eq!(caller("acme", "ada").wrap(async move { jobs.wait(&id).await.unwrap() }).await, succeeded(7));
    worker.stop().await;
}

#[tokio::test]
async fn a_key_rotation_fails_no_job_in_flight() {
    let place = Place::fresh();
    let jobs = place.jobs.clone();
    let ids = caller("acme", "ada")
        .wrap(async {
            let before = submit(&jobs, NewJob::new("work", &1).unwrap()).await;
            place.keys.rotate(Duration::from_secs(3600)).unwrap();
            [before, submit(&jobs, NewJob::new("work", &2).unwrap()).await]
        })
        .await;
    let worker = place.work(Handlers::new().on("work", |Args(n): Args<u32>| async move { Ok(n) }));
    caller("acme", "ada")
        .wrap(async move {
            for (id, n) in ids.iter().zip(1..) {
                assert_eq!(jobs.wait(id).await.unwrap(), succeeded(n));
            }
        })
        .await;
    worker.stop().await;
}

static REGION: ContextVar<String> = ContextVar::new("region").portable(1);
static NEWER: Manifest = manifest![TENANT_ID, PRINCIPAL, REGION];

#[tokio::test]
async fn an_older_worker_parks_what_it_cannot_read_and_a_newer_one_runs_it() {
    let place = Place::fresh();
    let newer = Jobs::new(place.store.clone(), place.keys.clone(), &NEWER, JobOptions::default());
    let handlers = || Handlers::new().on("work", || async { Ok(REGION.get()?) });
    let old_worker = place.work(handlers());
    let (jobs, submitter) = (place.jobs.clone(), newer.clone());
    let id = caller("acme", "ada")
        .wrap(REGION.scope("north".to_owned(), async move {
            let id = submit(&submitter, NewJob::new("work", &()).unwrap()).await;
            let mut watch = jobs.watch(&id).unwrap();
            loop {
                let job = watch.next().await.unwrap().expect("it does not end here");
                if job.state == State::Parked {
                    assert_eq!(job.failure, Some(FailureKind::Unrestored));
                    assert_eq!(job.failure_code.as_deref(), Some("unknown_required"));
                    return id;
                }
            }
        }))
        .await;
    // Both run side by side, as in a rolling deployment.
    let new_worker = AtWork::start(newer.clone(), handlers(), options());
    let outcome = caller("acme", "ada").wrap(async move { newer.wait(&id).await.unwrap() }).await;
    assert_eq!(outcome, succeeded("north"));
    old_worker.stop().await;
    new_worker.stop().await;
}

#[tokio::test]
async fn a_job_without_a_handler_here_is_parked_for_who_has_one() {
    let place = Place::fresh();
    let old = place.work(Handlers::new());
    let jobs = place.jobs.clone();
    let id = caller("acme", "ada")
        .wrap(async {
            let id = submit(&jobs, NewJob::new("work", &()).unwrap()).await;
            let mut watch = jobs.watch(&id).unwrap();
            while watch.next().await.unwrap().unwrap().failure != Some(FailureKind::NoHandler) {}
            id
        })
        .await;
    let new = place.work(Handlers::new().on("work", || async { Ok(7) }));
    assert_eq!(caller("acme", "ada").wrap(async move { jobs.wait(&id).await.unwrap() }).await, succeeded(7));
    old.stop().await;
    new.stop().await;
}
