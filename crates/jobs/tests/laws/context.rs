//! A job runs in its submitter's context: all of what was declared to travel, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use haversack::ContextVar;
use haversack::testing::Isolated;
use haversack::well_known::{CANCEL, DEADLINE, PRINCIPAL, REQUEST_ID, RequestId, SESSION_ID, TENANT_ID};
use haversack_jobs::current::{ATTEMPT, JOB_ID};
use haversack_jobs::{
    Args, Backoff, Class, Dependency, Depends, Failure, FailureKind, Handlers, JobId, NewJob, Outcome, State,
};
use tokio::sync::Barrier;

use crate::{Notes, Place, caller, submit, submit_and_wait, succeeded};

/// Not in the manifest.
static LOCAL: ContextVar<String> = ContextVar::new("local");

fn who() -> Result<(String, String), Failure> {
    Ok((TENANT_ID.get()?.as_str().to_owned(), PRINCIPAL.get()?.as_str().to_owned()))
}

#[tokio::test]
async fn a_job_runs_in_its_submitters_context_without_asking_for_it() {
    let place = Place::fresh();
    // No parameters: the values are read by whoever needs them, also in a spawned task and on the pool.
    let run = || async {
        let spawned = haversack::spawn(async { SESSION_ID.get() }).await??;
        let pooled = haversack::spawn_blocking(|| REQUEST_ID.get()).await??;
        let (tenant, principal) = who()?;
        Ok([tenant, principal, spawned.as_str().to_owned(), pooled.as_str().to_owned()])
    };
    let blocking = |_: ()| {
        let (tenant, principal) = who()?;
        Ok([tenant, principal, SESSION_ID.get()?.as_str().to_owned(), REQUEST_ID.get()?.as_str().to_owned()])
    };
    let worker = place.work(Handlers::new().on("run", run).on_blocking("blocking", blocking));
    let ada = Isolated::new().tenant("acme").principal("ada").session("s-1");
    let jobs = place.jobs.clone();
    ada.bind(&REQUEST_ID, RequestId::new("r-1").unwrap())
        .wrap(async move {
            for handler in ["run", "blocking"] {
                let outcome = submit_and_wait(&jobs, NewJob::new(handler, &()).unwrap()).await;
                assert_eq!(outcome, succeeded(["acme", "ada", "s-1", "r-1"]), "{handler}");
            }
        })
        .await;
    worker.stop().await;
}

#[tokio::test]
async fn the_context_is_captured_at_the_call_of_submit() {
    let place = Place::fresh();
    let worker =
        place.work(Handlers::new().on("read", || async { Ok(REQUEST_ID.get()?.as_str().to_owned()) }));
    let jobs = place.jobs.clone();
    caller("acme", "ada")
        .wrap(async move {
            let before = REQUEST_ID.sync_scope(RequestId::new("at the call").unwrap(), || {
                jobs.submit(NewJob::new("read", &()).unwrap())
            });
            let id = REQUEST_ID.scope(RequestId::new("at the poll").unwrap(), before).await.unwrap();
            assert_eq!(jobs.wait(id.id().unwrap()).await.unwrap(), succeeded("at the call"));
        })
        .await;
    worker.stop().await;
}

#[tokio::test]
async fn what_is_not_declared_does_not_travel_and_missing_is_loud() {
    let place = Place::fresh();
    let read = || async { Ok(LOCAL.get()?) };
    let worker = place.work(Handlers::new().on("read", read));
    let jobs = place.jobs.clone();
    caller("acme", "ada")
        .wrap(LOCAL.scope("here".to_owned(), async move {
            let id = submit(&jobs, NewJob::new("read", &()).unwrap()).await;
            let outcome = jobs.wait(&id).await.unwrap();
            assert!(matches!(outcome, Outcome::Failed { kind: FailureKind::Context, .. }), "{outcome:?}");
            assert_eq!(jobs.get(&id).await.unwrap().attempt, 1, "no attempt binds it, so none is made");
        }))
        .await;
    worker.stop().await;
}

#[tokio::test]
async fn the_second_job_sees_nothing_of_the_first() {
    let place = Place::fresh();
    let read = || async {
        let (session, request) = (SESSION_ID.is_bound(), REQUEST_ID.is_bound());
        let _kept = REQUEST_ID.set(RequestId::new("left by a job").unwrap())?;
        Ok((who()?.0, session, request))
    };
    let worker = place.work(Handlers::new().on("read", read));
    let jobs = place.jobs.clone();
    let visit = haversack::testing::session("first", "s-1");
    visit
        .wrap(async {
            let outcome = submit_and_wait(&jobs, NewJob::new("read", &()).unwrap()).await;
            assert_eq!(outcome, succeeded(("first", true, false)));
        })
        .await;
    caller("second", "b")
        .wrap(async {
            let outcome = submit_and_wait(&jobs, NewJob::new("read", &()).unwrap()).await;
            assert_eq!(outcome, succeeded(("second", false, false)));
        })
        .await;
    worker.stop().await;
}

#[tokio::test]
async fn many_jobs_at_once_each_have_their_own_context() {
    let place = Place::fresh();
    let read = |Args(tenant): Args<String>| async move {
        for _ in 0..5 {
            tokio::task::yield_now().await;
            let here = who()?.0;
            if here != tenant {
                return Err(Failure::permanent(format!("{tenant} ran as {here}")));
            }
        }
        Ok(())
    };
    let worker = place.work(Handlers::new().on("read", read));
    let mut callers = haversack::JoinSet::new();
    for number in 0..20 {
        let (jobs, tenant) = (place.jobs.clone(), format!("tenant-{number}"));
        callers.spawn(caller(&tenant, "p").wrap(async move {
            for _ in 0..5 {
                let outcome = submit_and_wait(&jobs, NewJob::new("read", &tenant).unwrap()).await;
                assert_eq!(outcome, succeeded(()));
            }
        }));
    }
    while let Some(done) = callers.join_next().await {
        done.unwrap();
    }
    worker.stop().await;
}

#[tokio::test]
async fn a_retry_restores_the_context_anew() {
    let place = Place::fresh();
    let attempt = || async {
        let attempt = ATTEMPT.get()?;
        let seen = REQUEST_ID.get()?.as_str().to_owned();
        let _kept = REQUEST_ID.set(RequestId::new(format!("set by {}", attempt.number())).unwrap())?;
        if attempt.is_last() { Ok(seen) } else { Err(Failure::retry("again")) }
    };
    let worker = place.work(Handlers::new().on("attempt", attempt));
    let jobs = place.jobs.clone();
    caller("acme", "ada")
        .wrap(REQUEST_ID.scope(RequestId::new("submitted").unwrap(), async move {
            let job = NewJob::new("attempt", &()).unwrap().max_attempts(3).backoff(Backoff::NONE);
            assert_eq!(submit_and_wait(&jobs, job).await, succeeded("submitted"));
        }))
        .await;
    worker.stop().await;
}

#[tokio::test]
async fn the_job_knows_its_own_id_attempt_deadline_and_cancel() {
    let place = Place::fresh();
    let read = |id: JobId| async move {
        let left = DEADLINE.get()?.remaining();
        let attempt = ATTEMPT.get()?;
        let fits = left <= Duration::from_secs(60) && !left.is_zero() && !CANCEL.get()?.is_cancelled();
        Ok((JOB_ID.get()? == id, id, attempt.number(), attempt.max(), attempt.generation(), fits))
    };
    let worker = place.work(Handlers::new().on("read", read));
    let jobs = place.jobs.clone();
    caller("acme", "ada")
        .wrap(async move {
            let id = submit(&jobs, NewJob::new("read", &()).unwrap().timeout(Duration::from_secs(60))).await;
            let outcome = jobs.wait(&id).await.unwrap();
            assert_eq!(outcome, succeeded((true, id, 1, 5, 1, true)));
        })
        .await;
    worker.stop().await;
}

/// Counts how many of it live, and notes who made it.
struct Connection {
    made_for: String,
    used: AtomicUsize,
}

static MADE: AtomicUsize = AtomicUsize::new(0);
static CLEANED: AtomicUsize = AtomicUsize::new(0);

impl Dependency for Connection {
    async fn make() -> Result<Self, Failure> {
        MADE.fetch_add(1, Ordering::SeqCst);
        Ok(Self { made_for: who()?.0, used: AtomicUsize::new(0) })
    }

    async fn clean_up(&self) {
        // Its own context is still there.
        assert_eq!(who().unwrap().0, self.made_for);
        CLEANED.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn dependencies_are_made_and_taken_down_for_each_invocation() {
    let place = Place::fresh();
    let work = |connection: Depends<Connection>, Args(how): Args<String>| async move {
        connection.used.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        match how.as_str() {
            "fails" => Err(Failure::permanent("as asked")),
            "panics" => panic!("as asked"),
            _ => Ok((connection.made_for.clone(), connection.used.load(Ordering::SeqCst))),
        }
    };
    let worker = place.work(Handlers::new().on("work", work));
    for tenant in ["a", "b"] {
        let jobs = place.jobs.clone();
        caller(tenant, "p")
            .wrap(async move {
                let mut ids = Vec::new();
                for how in ["", "", "fails", "panics"] {
                    ids.push(submit(&jobs, NewJob::new("work", &how).unwrap().max_attempts(1)).await);
                }
                for id in &ids[..2] {
                    assert_eq!(jobs.wait(id).await.unwrap(), succeeded((tenant, 1)));
                }
                for id in &ids[2..] {
                    assert!(matches!(jobs.wait(id).await.unwrap(), Outcome::Failed { .. }));
                }
            })
            .await;
    }
    worker.stop().await;
    assert_eq!((MADE.load(Ordering::SeqCst), CLEANED.load(Ordering::SeqCst)), (8, 8));
}

/// Where a [`Tracked`] says what becomes of it; bound around each attempt.
static LIVES: ContextVar<Notes> = ContextVar::new("lives");

/// Says for whom and in which attempt it was made, how often it was used when it was taken down, and by whom.
struct Tracked {
    made_in: u32,
    used: AtomicUsize,
}

impl Dependency for Tracked {
    async fn make() -> Result<Self, Failure> {
        let made_in = ATTEMPT.get()?.number();
        LIVES.get()?.add(format!("made for {} in {made_in}", who()?.0));
        Ok(Self { made_in, used: AtomicUsize::new(0) })
    }

    async fn clean_up(&self) {
        let (tenant, used) = (who().unwrap().0, self.used.load(Ordering::SeqCst));
        LIVES.get().unwrap().add(format!("down for {tenant} of {}, used {used}", self.made_in));
    }
}

fn tracking(handlers: Handlers, notes: &Notes) -> Handlers {
    let notes = notes.clone();
    handlers.around(move |_, work| Box::pin(LIVES.scope(notes.clone(), work)))
}

#[tokio::test]
async fn jobs_that_overlap_share_no_dependency() {
    const AT_ONCE: usize = 8;
    let place = Place::fresh();
    let (notes, _) = Notes::new();
    let meeting = Arc::new(Barrier::new(AT_ONCE));
    let work = move |tracked: Depends<Tracked>, Args(uses): Args<usize>| {
        let meeting = Arc::clone(&meeting);
        async move {
            // All of them have theirs before one uses it, and all have used it before one looks.
            let meet = || tokio::time::timeout(Duration::from_secs(60), meeting.wait());
            meet().await?;
            for _ in 0..uses {
                tracked.used.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
            }
            meet().await?;
            Ok(tracked.used.load(Ordering::SeqCst))
        }
    };
    let worker = place.work(tracking(Handlers::new().on("work", work), &notes));
    let mut callers = haversack::JoinSet::new();
    // Two of each tenant.
    for uses in 1..=AT_ONCE {
        let jobs = place.jobs.clone();
        callers.spawn(caller(&format!("tenant-{}", uses % 4), "p").wrap(async move {
            let job = NewJob::new("work", &uses).unwrap().max_attempts(1);
            assert_eq!(submit_and_wait(&jobs, job).await, succeeded(uses));
        }));
    }
    while let Some(done) = callers.join_next().await {
        done.unwrap();
    }
    worker.stop().await;
    let mut told = notes.all();
    let mut expected: Vec<String> = (1..=AT_ONCE)
        .flat_map(|uses| {
            let tenant = format!("tenant-{}", uses % 4);
            [format!("made for {tenant} in 1"), format!("down for {tenant} of 1, used {uses}")]
        })
        .collect();
    told.sort();
    expected.sort();
    assert_eq!(told, expected);
}

#[tokio::test]
async fn each_attempt_has_a_dependency_of_its_own() {
    let place = Place::fresh();
    let (notes, _) = Notes::new();
    let work = |tracked: Depends<Tracked>, attempt: haversack_jobs::Attempt| async move {
        let uses = tracked.used.fetch_add(1, Ordering::SeqCst) + 1;
        match attempt.number() {
            1 => Err(Failure::retry("as asked")),
            2 => panic!("as asked"),
            made_in => Ok((tracked.made_in == made_in, uses)),
        }
    };
    let worker = place.work(tracking(Handlers::new().on("work", work), &notes));
    let jobs = place.jobs.clone();
    caller("acme", "ada")
        .wrap(async move {
            let job = NewJob::new("work", &()).unwrap().max_attempts(3).backoff(Backoff::NONE);
            assert_eq!(submit_and_wait(&jobs, job).await, succeeded((true, 1)));
        })
        .await;
    worker.stop().await;
    let each =
        |attempt| [format!("made for acme in {attempt}"), format!("down for acme of {attempt}, used 1")];
    assert_eq!(notes.all(), [1, 2, 3].map(each).concat(), "each is down before the next is made");
}

struct Dropped(Notes);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.add("dropped");
    }
}

#[tokio::test]
async fn what_a_job_needs_is_taken_down_in_its_context_however_it_is_stopped() {
    let place = Place::fresh();
    let (notes, mut heard) = Notes::new();
    let noted = notes.clone();
    let work = move |tracked: Depends<Tracked>, attempt: haversack_jobs::Attempt| {
        let notes = noted.clone();
        async move {
            tracked.used.fetch_add(1, Ordering::SeqCst);
            if attempt.generation() > 1 {
                return Ok(());
            }
            let _guard = Dropped(notes.clone());
            notes.add("begun");
            std::future::pending().await
        }
    };
    let worker = place.work(tracking(Handlers::new().on("work", work), &notes));
    let jobs = place.jobs.clone();
    let made = ["made for acme in 1", "begun"];
    let down = ["dropped", "down for acme of 1, used 1"];
    caller("acme", "ada")
        .wrap(async {
            let mut hears = async |words: &[&str]| {
                for word in words {
                    let said = tokio::time::timeout(Duration::from_secs(60), heard.recv()).await;
                    assert_eq!(said.ok().flatten().as_deref(), Some(*word));
                }
            };
            let job = || NewJob::new("work", &()).unwrap().max_attempts(1);
            let cancelled = submit(&jobs, job()).await;
            hears(&made).await;
            jobs.cancel(&cancelled).await.unwrap();
            hears(&down).await;
            assert_eq!(jobs.wait(&cancelled).await.unwrap(), Outcome::Cancelled);

            let late = submit(&jobs, job().timeout(Duration::from_millis(50))).await;
            hears(&made).await;
            hears(&down).await;
            let outcome = jobs.wait(&late).await.unwrap();
            assert!(matches!(outcome, Outcome::Failed { kind: FailureKind::TimedOut, .. }), "{outcome:?}");

            let lost = submit(&jobs, job()).await;
            hears(&made).await;
            // As if another worker had it by now, and died.
            let taken = place.store.control().engine().write("take over", |tx| {
                Ok(tx.execute("UPDATE jobs SET generation = generation + 1 WHERE state = 'running'", [])?)
            });
            assert_eq!(taken.await.unwrap(), 1);
            hears(&down).await;
            assert_eq!(jobs.wait(&lost).await.unwrap(), succeeded(()));
            hears(&[made[0], down[1]]).await;
        })
        .await;
    worker.stop().await;
}

#[tokio::test]
async fn a_job_that_submits_a_job_hands_its_own_principal_on() {
    let place = Place::fresh();
    let jobs = place.jobs.clone();
    // Perpetual: each run submits the next, three times.
    let tick = move |Args(left): Args<u32>| {
        let jobs = jobs.clone();
        async move {
            if left == 0 {
                return who();
            }
            let next = jobs.submit(NewJob::new("tick", &(left - 1))?).await?;
            let outcome = jobs.wait(next.id().unwrap()).await?;
            Ok(outcome.into_result::<(String, String)>()?.unwrap())
        }
    };
    let worker = place.work(Handlers::new().on("tick", tick));
    let jobs = place.jobs.clone();
    caller("acme", "the clock")
        .wrap(async move {
            let id = submit(&jobs, NewJob::new("tick", &3).unwrap()).await;
            // Somebody else is busy meanwhile.
            caller("other", "mallory").wrap(submit_and_wait(&jobs, NewJob::new("tick", &0).unwrap())).await;
            assert_eq!(jobs.wait(&id).await.unwrap(), succeeded(("acme", "the clock")));
        })
        .await;
    worker.stop().await;
}

#[tokio::test]
async fn the_hook_runs_in_the_jobs_context_after_the_commit() {
    let place = Place::fresh();
    let (notes, mut heard) = Notes::new();
    let jobs = place.jobs.clone();
    let hook = move |finished: haversack_jobs::Finished| {
        let (notes, jobs) = (notes.clone(), jobs.clone());
        async move {
            let stored = jobs.get(&finished.id).await.unwrap().state;
            assert_eq!(stored, finished.state);
            assert_eq!(JOB_ID.get().unwrap(), finished.id);
            notes.add(format!("{} {} {}", who().unwrap().1, finished.handler, finished.state));
            Ok(())
        }
    };
    let fails = || async { Err::<(), _>(Failure::permanent("no")) };
    let handlers = Handlers::new().on("works", || async { Ok(1) }).on("fails", fails).on_finished(hook);
    let worker = place.work(handlers);
    for (principal, handler, state) in [("ada", "works", State::Succeeded), ("bob", "fails", State::Failed)] {
        let jobs = place.jobs.clone();
        caller("acme", principal)
            .wrap(async move { submit(&jobs, NewJob::new(handler, &()).unwrap()).await })
            .await;
        assert_eq!(heard.recv().await.unwrap(), format!("{principal} {handler} {state}"));
    }
    worker.stop().await;
}

#[test]
fn a_missing_context_anywhere_in_the_cause_is_final() {
    let missing = TENANT_ID.get().unwrap_err();
    let failure = Failure::from(haversack_store::StoreError::from(missing));
    assert_eq!(failure.class(), Class::Permanent);
    let other = Failure::from(std::io::Error::other("x"));
    assert_eq!(other.class(), Class::Retry);
    let _ = Arc::new(other);
}
