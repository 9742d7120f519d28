//! What a job carries and says is sealed: nothing of it is readable, and what is not authentic never runs.

use haversack::ContextVar;
use haversack::well_known::{PRINCIPAL, TENANT_ID};
use haversack::{Manifest, manifest};
use haversack_jobs::carried::{ACCESS_TOKEN, AccessToken, HEADERS, Headers};
use haversack_jobs::{
    Args, Attempt, Backoff, Failure, FailureKind, Handlers, Job, JobId, JobOptions, Jobs, NewJob, Outcome,
    Progress, State, WorkerOptions,
};
use haversack_store::{KeyFile, sqlite::params};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

use crate::child::rotated_in_another_process;
use crate::{AtWork, Notes, Place, all_on_disk, caller, options, submit, submit_and_wait, succeeded};

const TOKEN: &str = "canary-token-5b1f";
const ARGUMENT: &str = "canary-argument-77aa";
const HEADER: &str = "canary-header-01cd";
const RESULT: &str = "canary-result-e3e3";
const NOTE: &str = "canary-note-9c9c";
const WORDS: &str = "canary-words-4d4d";
const KEY: &str = "canary-key-2f2f";

const CANARIES: [&str; 7] = [TOKEN, ARGUMENT, HEADER, RESULT, NOTE, WORDS, KEY];

#[tokio::test]
async fn nothing_that_a_job_carries_or_says_is_readable_on_the_disk() {
    let place = Place::fresh();
    let (notes, mut heard) = Notes::new();
    let gate = Arc::new(Semaphore::new(0));
    let open = Arc::clone(&gate);
    let work = |Args(argument): Args<String>, progress: Progress, token: AccessToken| async move {
        assert_eq!((argument.as_str(), token.reveal()?), (ARGUMENT, TOKEN));
        progress.say(1, None, NOTE).await?;
        Ok(RESULT)
    };
    let hold = move |Args(argument): Args<String>, progress: Progress| {
        let (notes, gate) = (notes.clone(), Arc::clone(&open));
        async move {
            progress.say(1, None, NOTE).await?;
            notes.add("held");
            gate.acquire().await?.forget();
            Ok(format!("{argument} {RESULT}"))
        }
    };
    let handlers = Handlers::new()
        .on("work", work)
        .on("hold", hold)
        .on("fail", || async { Err::<(), _>(Failure::permanent(WORDS)) })
        .on("again", || async { Err::<(), _>(Failure::retry(WORDS)) });
    let worker = place.work(handlers);
    let data = place.dir.path().join("data");
    let jobs = place.jobs.clone();
    let inside = async {
        let job = |handler| NewJob::new(handler, &ARGUMENT).unwrap();
        let later = Duration::from_secs(3600);
        // One that waits, one that is done, one that failed, one that waits to be tried again, and one that runs.
        let waiting = submit(&jobs, job("work").key(KEY).delay(later)).await;
        let done = submit(&jobs, job("work")).await;
        assert_eq!(jobs.wait(&done).await.unwrap(), succeeded(RESULT));
        let note = jobs.get(&done).await.unwrap().progress.unwrap().note;
        assert_eq!(note.as_deref(), Some(NOTE), "its owner reads it");
        let failed = submit(&jobs, job("fail")).await;
        let outcome = jobs.wait(&failed).await.unwrap();
        assert!(matches!(outcome, Outcome::Failed { text: Some(text), .. } if text == WORDS));
        let retrying = submit(&jobs, job("again").backoff(Backoff { first: later, max: later })).await;
        let mut watch = jobs.watch(&retrying).unwrap();
        while watch.next().await.unwrap().unwrap().state != State::Retrying {}
        let running = submit(&jobs, job("hold")).await;
        heard.recv().await.unwrap();

        let all = [waiting, done, failed, retrying, running.clone()];
        let states = [State::Queued, State::Succeeded, State::Failed, State::Retrying, State::Running];
        for (id, state) in all.iter().zip(states) {
            assert_eq!(jobs.get(id).await.unwrap().state, state);
        }
        // While everything still stands in the log.
        let log = data.join("control.sqlite-wal");
        assert!(std::fs::metadata(&log).unwrap().len() > 0);
        let mut looked_for: Vec<&str> = all.iter().map(JobId::as_str).collect();
        looked_for.extend(CANARIES);
        let found = all_on_disk(&data, &looked_for);
        for id in &all {
            assert!(found.contains(&(id.as_str(), log.clone())), "the scan sees what is there: {found:?}");
        }
        assert!(found.iter().all(|(word, _)| word.starts_with("job_")), "{found:?}");
        gate.add_permits(1);
        assert_eq!(jobs.wait(&running).await.unwrap(), succeeded(format!("{ARGUMENT} {RESULT}")));
    };
    let token = AccessToken::new(TOKEN, None);
    let headers = Headers::allowed(&["x-canary"], [("x-canary", HEADER)]);
    caller("acme", "ada").wrap(ACCESS_TOKEN.scope(token, HEADERS.scope(headers, inside))).await;

    // And when it was copied into the file.
    worker.stop().await;
    place.store.close().await.unwrap();
    let mut looked_for = vec!["acme"];
    looked_for.extend(CANARIES);
    let found = all_on_disk(&data, &looked_for);
    assert_eq!(found.into_iter().map(|(word, _)| word).collect::<Vec<_>>(), ["acme"]);
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

/// Changes what is stored of a job that waits, lets a worker meet it, and gives what came of it. `?1` is the job, `?2` what
/// is stored of another, of this tenant and in this queue.
async fn tampered(sql: String, other: (&str, &str)) -> (FailureKind, Option<String>) {
    let place = Place::fresh();
    let jobs = place.jobs.clone();
    let job = || NewJob::new("work", &()).unwrap();
    let id = caller("acme", "ada").wrap(async { submit(&jobs, job()).await }).await;
    let (tenant, queue) = other;
    let theirs = caller(tenant, "ada").wrap(async { submit(&jobs, job().queue(queue)).await }).await;
    let (one, two) = (id.to_string(), theirs.to_string());
    let change = place.store.control().engine().write("tamper", move |tx| {
        let other: Vec<u8> = tx.query_row(
            "SELECT sealed FROM job_requests r JOIN jobs j ON j.number = r.number WHERE j.id = ?1",
            [two],
            |row| row.get(0),
        )?;
        assert_eq!(tx.execute(&sql, params![one, other])?, 1);
        Ok(())
    });
    change.await.unwrap();
    // A worker that would say so if it ran, and that may take all of them.
    let queues = ["default", "slow"].map(str::to_owned).into();
    let worker = place
        .work_with(Handlers::new().on("work", || async { Ok(()) }), WorkerOptions { queues, ..options() });
    let found = place.store.control().engine().read("whose is it", move |conn| {
        Ok(conn.query_row("SELECT tenant FROM jobs WHERE id = ?1", [id.as_str()], |row| {
            Ok((row.get::<_, String>(0)?, id.clone()))
        })?)
    });
    let (owner, id) = found.await.unwrap();
    let outcome = failed(&place, &owner, id).await;
    // What was not touched runs.
    let jobs = place.jobs.clone();
    let outcome_of_theirs =
        caller(tenant, "ada").wrap(async move { jobs.wait(&theirs).await.unwrap() }).await;
    assert_eq!(outcome_of_theirs, succeeded(()));
    worker.stop().await;
    outcome
}

async fn failed(place: &Place, tenant: &str, id: JobId) -> (FailureKind, Option<String>) {
    let jobs = place.jobs.clone();
    match caller(tenant, "ada").wrap(async move { jobs.wait(&id).await.unwrap() }).await {
        Outcome::Failed { kind, code, .. } => (kind, code),
        other => panic!("it ran: {other:?}"),
    }
}

#[tokio::test]
async fn each_way_of_tampering_fails_the_job_with_its_own_error() {
    const OF: &str = "WHERE number = (SELECT number FROM jobs WHERE id = ?1) AND ?2 IS NOT NULL";
    let here = ("acme", "default");
    let swap = format!("UPDATE job_requests SET sealed = ?2 {OF}");
    for (sql, other, code) in [
        (
            format!("UPDATE job_requests SET sealed = CAST('{{\"plain\":1}}' AS BLOB) {OF}"),
            here,
            "not_sealed",
        ),
        (
            format!("UPDATE job_requests SET sealed = substr(sealed, 1, length(sealed) - 9) {OF}"),
            here,
            "truncated",
        ),
        (swap.clone(), here, "forged"),
        // Swapped with another tenant's, and with one of another queue.
        (swap.clone(), ("evil", "default"), "forged"),
        (swap, ("acme", "slow"), "forged"),
        // Moved there, with all that it has.
        ("UPDATE jobs SET tenant = 'evil' WHERE id = ?1 AND ?2 IS NOT NULL".to_owned(), here, "forged"),
        ("UPDATE jobs SET queue = 'slow' WHERE id = ?1 AND ?2 IS NOT NULL".to_owned(), here, "forged"),
    ] {
        let found = tampered(sql.clone(), other).await;
        assert_eq!(found, (FailureKind::Unopened, Some(code.to_owned())), "{sql} {other:?}");
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
    parked(&place, &id, FailureKind::Unopened, "unknown_key").await;
    worker.stop().await;
    let worker = place.work(Handlers::new().on("work", || async { Ok(7) }));
    let jobs = place.jobs.clone();
    assert_eq!(caller("acme", "ada").wrap(async move { jobs.wait(&id).await.unwrap() }).await, succeeded(7));
    worker.stop().await;
}

async fn parked(place: &Place, id: &JobId, kind: FailureKind, code: &str) {
    let job = settled(place, id).await;
    assert_eq!((job.state, job.failure), (State::Parked, Some(kind)));
    assert_eq!(job.failure_code.as_deref(), Some(code));
}

/// Waits until a job is over, or parked.
async fn settled(place: &Place, id: &JobId) -> Job {
    let (jobs, id) = (place.jobs.clone(), id.clone());
    let job = caller("acme", "ada").wrap(async move {
        let mut watch = jobs.watch(&id).unwrap();
        loop {
            match watch.next().await.unwrap() {
                Some(job) if job.state != State::Parked && job.finished_at.is_none() => {}
                Some(job) => return job,
                None => return jobs.get(&id).await.unwrap(),
            }
        }
    });
    job.await
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
    parked(&place, &id, FailureKind::Unopened, "retired_key").await;
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

/// The program that rotates is another one: it shares nothing with the worker but the file.
#[tokio::test]
async fn a_rotation_by_another_process_fails_no_job_that_runs_waits_or_is_tried_again() {
    let place = Place::fresh();
    let (notes, mut heard) = Notes::new();
    let gate = Arc::new(Semaphore::new(0));
    let open = Arc::clone(&gate);
    let work = move |Args(n): Args<u64>, attempt: Attempt, progress: Progress| {
        let (notes, gate) = (notes.clone(), Arc::clone(&open));
        async move {
            match n {
                RUNS => {
                    notes.add("it runs");
                    gate.acquire().await?.forget();
                    progress.say(1, None, NOTE).await?;
                }
                FAILS if attempt.number() == 1 => return Err(Failure::retry("not yet")),
                _ => {}
            }
            Ok(n)
        }
    };
    const RUNS: u64 = 1;
    const FAILS: u64 = 2;
    let worker = place.work(Handlers::new().on("work", work));
    let jobs = place.jobs.clone();
    let later = Duration::from_secs(3600);
    let (running, retrying, queued) = caller("acme", "ada")
        .wrap(async {
            let job = |n| NewJob::new("work", &n).unwrap();
            let running = submit(&jobs, job(RUNS)).await;
            heard.recv().await.unwrap();
            let retrying = submit(&jobs, job(FAILS).backoff(Backoff { first: later, max: later })).await;
            let mut watch = jobs.watch(&retrying).unwrap();
            while watch.next().await.unwrap().unwrap().state != State::Retrying {}
            (running, retrying, submit(&jobs, job(3).delay(later)).await)
        })
        .await;
    let theirs = [(); 2].map(|()| rotated_in_another_process(place.dir.path()));
    assert_eq!(place.keys.keyring().unwrap().keys().count(), 3);
    // What is sealed with a key that this process never heard of.
    for id in &theirs {
        let job = settled(&place, id).await;
        assert_eq!((job.state, job.failure), (State::Succeeded, None));
    }
    let (id, jobs) = (running.clone(), place.jobs.clone());
    let state = caller("acme", "ada").wrap(async move { jobs.get(&id).await.unwrap().state });
    assert_eq!(state.await, State::Running, "through both rotations");
    gate.add_permits(1);
    let due = place.store.control().engine().write("make due", |tx| {
        Ok(tx.execute("UPDATE jobs SET run_at = 1 WHERE state IN ('queued', 'retrying')", [])?)
    });
    assert_eq!(due.await.unwrap(), 2);
    for (id, n, attempt) in [(running.clone(), RUNS, 1), (retrying, FAILS, 2), (queued, 3, 1)] {
        let job = settled(&place, &id).await;
        assert_eq!((job.state, job.attempt), (State::Succeeded, attempt), "{n}: {job:?}");
        let jobs = place.jobs.clone();
        let outcome = caller("acme", "ada").wrap(async move { jobs.wait(&id).await.unwrap() }).await;
        assert_eq!(outcome, succeeded(n));
    }
    // What it said and answered after the rotations is sealed with the newest key.
    let newest = place.keys.keyring().unwrap().keys().find(|key| key.seals).unwrap().id;
    let read = place.store.control().engine().read("look", move |conn| {
        let both = "SELECT outcome, progress_note FROM jobs WHERE id = ?1";
        Ok(conn.query_row(both, [running.as_str()], |row| Ok([row.get(0)?, row.get::<_, Vec<u8>>(1)?]))?)
    });
    for sealed in read.await.unwrap() {
        assert!(sealed[9..].starts_with(newest.as_bytes()), "{newest}");
    }
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

/// The same variable in a newer version.
static NEWER_REGION: ContextVar<(String, u8)> = ContextVar::new("region").portable(2);
static NEWEST: Manifest = manifest![TENANT_ID, PRINCIPAL, NEWER_REGION];

#[tokio::test]
async fn an_older_worker_parks_a_required_variable_of_a_newer_version() {
    let place = Place::fresh();
    let with = |manifest| Jobs::new(place.store.clone(), place.keys.clone(), manifest, JobOptions::default());
    let (older, newest) = (with(&NEWER), with(&NEWEST));
    let (notes, _) = Notes::new();
    let ran = notes.clone();
    let read = move || {
        ran.add("run by the older one");
        async { Ok(REGION.get()?) }
    };
    let old_worker = AtWork::start(older.clone(), Handlers::new().on("work", read), options());
    let submitter = newest.clone();
    let id = caller("acme", "ada")
        .wrap(NEWER_REGION.scope(("north".to_owned(), 7), async move {
            submit(&submitter, NewJob::new("work", &()).unwrap()).await
        }))
        .await;
    parked(&place, &id, FailureKind::Unrestored, "newer_version").await;
    // Both run side by side, as in a rolling deployment.
    let new_worker = AtWork::start(
        newest.clone(),
        Handlers::new().on("work", || async { Ok(NEWER_REGION.get()?) }),
        options(),
    );
    let outcome = caller("acme", "ada").wrap(async move { newest.wait(&id).await.unwrap() }).await;
    assert_eq!(outcome, succeeded(("north", 7)));

    // What is older than the worker is read: a value of version 1 by one that knows version 1, whoever else is there.
    assert_eq!(notes.all(), [""; 0], "the older one never ran it");
    new_worker.stop().await;
    let submitter = older.clone();
    let outcome = caller("acme", "ada").wrap(REGION.scope("south".to_owned(), async move {
        submit_and_wait(&submitter, NewJob::new("work", &()).unwrap()).await
    }));
    assert_eq!(outcome.await, succeeded("south"));
    old_worker.stop().await;
}

#[tokio::test]
async fn a_worker_parks_what_is_sealed_in_a_newer_format() {
    let place = Place::fresh();
    let jobs = place.jobs.clone();
    let id =
        caller("acme", "ada").wrap(async { submit(&jobs, NewJob::new("work", &()).unwrap()).await }).await;
    // Behind the seven bytes that say what it is.
    let format = |format: u8| {
        place.store.control().engine().write("change the format", move |tx| {
            let mut sealed: Vec<u8> =
                tx.query_row("SELECT sealed FROM job_requests", [], |row| row.get(0))?;
            let before = std::mem::replace(&mut sealed[7], format);
            tx.execute("UPDATE job_requests SET sealed = ?1", [sealed])?;
            Ok(before)
        })
    };
    let ours = format(2).await.unwrap();
    assert_eq!(ours, 1);
    let worker = place.work(Handlers::new().on("work", || async { Ok(7) }));
    parked(&place, &id, FailureKind::Unopened, "newer_format").await;
    // As a program that knows it would see it.
    format(ours).await.unwrap();
    assert_eq!(caller("acme", "ada").wrap(async move { jobs.wait(&id).await.unwrap() }).await, succeeded(7));
    worker.stop().await;
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
