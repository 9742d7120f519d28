//! A run is its principal's, its words are sealed, and it goes: with its session, and with time.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use haversack::Visit;
use haversack::testing::{enter, session};
use haversack::well_known::{PRINCIPAL, Principal, SESSION_ID, SessionId, TENANT_ID, TenantId};
use haversack_pipeline::builder::{function, shell, stub};
use haversack_pipeline::run::RunStatus::{Cancelled, Failed, Succeeded};
use haversack_pipeline::{Functions, PipelineError, StepOutput};
use tokio::sync::Semaphore;

use crate::processes::{family, ids, is_gone};
use crate::{House, chain, contains, id, none, on_disk, until};

/// Enters as one of the tenant's people.
fn person(name: &str) -> Visit {
    let name = Principal::new(name).unwrap();
    enter(|bindings| bindings.bind(&TENANT_ID, TenantId::new("acme").unwrap()).bind(&PRINCIPAL, name))
}

/// Enters as one of the tenant's people, in a session.
fn talking(name: &str, session: &str) -> Visit {
    let (name, session) = (Principal::new(name).unwrap(), SessionId::new(session).unwrap());
    enter(|bindings| {
        let bindings = bindings.bind(&TENANT_ID, TenantId::new("acme").unwrap());
        bindings.bind(&PRINCIPAL, name).bind(&SESSION_ID, session)
    })
}

/// The control file with its log, byte for byte.
fn control(house: &House) -> Vec<u8> {
    let data = house.dir.path().join("data");
    let mut bytes = std::fs::read(data.join("control.sqlite")).unwrap();
    bytes.extend(std::fs::read(data.join("control.sqlite-wal")).unwrap_or_default());
    bytes
}

/// The folders of runs, of whomever.
fn folders(house: &House) -> Vec<PathBuf> {
    let below = |folder: &Path| match std::fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
        Err(_) => Vec::new(),
    };
    below(&house.catalog()).iter().flat_map(|tenant| below(tenant)).collect()
}

/// How many rows there are of runs, events, definitions and folders that are to go.
async fn rows(house: &House) -> [i64; 4] {
    let counting = session("any", "any").run(|| {
        house.store.rows().unwrap().read("count", |conn, _| {
            let count = |table: &str| {
                conn.query_row(&format!("SELECT count(*) FROM pipeline_{table}"), [], |row| row.get(0))
            };
            Ok([count("runs")?, count("events")?, count("definitions")?, count("leftovers")?])
        })
    });
    session("any", "any").wrap(counting).await.unwrap()
}

#[tokio::test]
async fn a_run_is_its_principals_alone() {
    let house = House::new();
    let pipelines = &house.pipelines;
    let pipeline = chain([("s", shell("echo canary; exit 3").returns(["x"]))]);
    person("kim").wrap(async { house.run(&pipeline, none().with("word", "canary"), "r").await }).await;
    person("sam")
        .wrap(async {
            let unknown = |outcome: Result<(), PipelineError>| {
                assert!(matches!(outcome, Err(PipelineError::UnknownRun)), "{outcome:?}");
            };
            for key in ["r", "never"] {
                unknown(pipelines.get(&id(key)).await.map(drop));
                unknown(pipelines.entry(&id(key)).await.map(drop));
                unknown(pipelines.execute(&id(key)).await.map(drop));
                unknown(pipelines.cancel(&id(key)).await.map(drop));
                unknown(pipelines.retry(&id(key)).await.map(drop));
                unknown(pipelines.delete(&id(key)).await);
                unknown(pipelines.log(&id(key), 0, 10).await.map(drop));
                unknown(pipelines.output(&id(key), 3, 100).await.map(drop));
                unknown(pipelines.follow(&id(key), 0).unwrap().next().await.map(drop));
            }
            assert_eq!(pipelines.list(None, 10).await.unwrap(), []);
        })
        .await;
    // What a colleague tried changed nothing.
    let kims = person("kim").wrap(async { pipelines.get(&id("r")).await.unwrap() }).await;
    assert_eq!((kims.entry.status, kims.entry.generation, kims.entry.principal.as_str()), (Failed, 1, "kim"));
}

#[tokio::test]
async fn two_principals_use_one_key_and_do_not_meet() {
    let house = House::new();
    let step =
        shell("test ! -e x || exit 9; printf \"$who\" > x; cat x").put(["x"]).get(["*"]).parameters(["who"]);
    let pipeline = chain([("s", step)]);
    for name in ["kim", "sam"] {
        person(name)
            .wrap(async {
                let run = house.run(&pipeline, none().with("who", name), "same").await;
                assert_eq!((run.entry.status, run.entry.principal.as_str()), (Succeeded, name));
                assert_eq!(house.printed("same", "s").await, name);
            })
            .await;
    }
    // One deletes its run, and the other's is as it was.
    person("kim").wrap(async { house.pipelines.delete(&id("same")).await.unwrap() }).await;
    person("sam")
        .wrap(async {
            assert_eq!(house.pipelines.list(None, 10).await.unwrap().len(), 1);
            assert_eq!(house.printed("same", "s").await, "sam");
        })
        .await;
    assert_eq!((folders(&house).len(), rows(&house).await), (1, [1, 5, 1, 0]));
}

#[tokio::test]
async fn what_a_run_says_is_not_in_the_control_file_in_the_clear() {
    let functions = Functions::new()
        .on("say", |_| async { Ok(StepOutput::value("canary-output")) })
        .on("fail", |_| async { Err(haversack_pipeline::StepFailure::new("canary-reason")) });
    let house = House::with(|options| options.functions(functions));
    let pipeline = chain([("s", function("say").returns(["y"])), ("t", function("fail"))]);
    let view = talking("kim", "desk")
        .wrap(async { house.run(&pipeline, none().with("x", "canary-parameter"), "r").await })
        .await;
    assert_eq!(view.entry.session.as_deref(), Some("desk"));
    assert_eq!(
        (&view.parameters.get("x").unwrap().as_str(), &view.outputs["y"]),
        (&Some("canary-parameter"), &"canary-output".into())
    );
    assert!(view.reason.unwrap().contains("canary-reason"), "its owner reads it");
    assert!(contains(&control(&house), b"desk"), "the right files are searched");
    assert!(!contains(&control(&house), b"canary"), "words of a run lie in the control file");
}

#[tokio::test]
async fn a_row_that_was_moved_does_not_open() {
    let house = House::new();
    let pipeline = chain([("s", stub())]);
    for (name, key) in [("kim", "a"), ("kim", "b"), ("sam", "a")] {
        person(name).wrap(async { house.run(&pipeline, none().with("of", name), key).await }).await;
    }
    // Sealed words of one run under another, and a whole run under another principal.
    person("kim")
        .wrap(async {
            house
                .store
                .rows()
                .unwrap()
                .write("move rows", |tx, _| {
                    tx.execute_batch(
                        "UPDATE pipeline_runs SET parameters =
                             (SELECT parameters FROM pipeline_runs WHERE principal = 'kim' AND run = 'a')
                         WHERE principal = 'kim' AND run = 'b';
                         UPDATE pipeline_runs SET principal = 'eve' WHERE principal = 'sam';
                         INSERT INTO pipeline_events SELECT tenant, 'eve', run, number, at, generation, body
                         FROM pipeline_events WHERE principal = 'sam';",
                    )?;
                    Ok(())
                })
                .await
                .unwrap();
            let b = house.pipelines.get(&id("b")).await.unwrap();
            assert!(b.unreadable && b.parameters.is_empty() && b.entry.status == Succeeded, "{b:?}");
            assert!(!house.pipelines.get(&id("a")).await.unwrap().unreadable);
            // The others are still seen.
            assert_eq!(house.pipelines.list(None, 10).await.unwrap().len(), 2);
        })
        .await;
    person("eve")
        .wrap(async {
            let run = house.pipelines.get(&id("a")).await.unwrap();
            assert!(run.unreadable && run.parameters.is_empty(), "{run:?}");
            assert!(matches!(house.pipelines.log(&id("a"), 0, 10).await, Err(PipelineError::Sealed)));
        })
        .await;
}

#[tokio::test]
async fn a_run_whose_key_is_lost_ends_as_failed() {
    let mut house = House::new();
    person("kim")
        .wrap(async { house.pipelines.start(&chain([("s", stub())]), none(), id("r")).await.unwrap() })
        .await;
    let keys =
        haversack_store::KeyFile::open(&house.dir.path().join("others"), &house.dir.path().join("data"));
    house.pipelines = haversack_pipeline::Pipelines::new(
        house.store.clone(),
        keys.unwrap(),
        haversack_pipeline::PipelineOptions::new(house.catalog()),
    );
    person("kim")
        .wrap(async {
            let run = house.pipelines.execute(&id("r")).await.unwrap();
            assert_eq!(run.entry.status, Failed);
            assert!(run.unreadable && run.reason.unwrap().contains("cannot be opened"));
            house.pipelines.delete(&id("r")).await.unwrap();
        })
        .await;
    assert_eq!(rows(&house).await, [0, 0, 0, 0]);
}

#[tokio::test]
async fn a_deleted_session_takes_its_runs_along_also_one_that_runs() {
    let house = House::new();
    let file = house.dir.path().join("ids");
    let said = || none().with("word", "canary-word");
    let done = chain([("s", shell("echo $word; echo $word > x").parameters(["word"]).put(["x"]))]);
    let family = shell(family(&file, "echo $word; wait")).parameters(["word"]).put(["*"]);
    let slow = chain([("s", family), ("never", shell("touch never"))]);
    let session = SessionId::new("desk").unwrap();
    for (name, session) in [("kim", "other"), ("sam", "desk"), ("kim", "desk")] {
        talking(name, session)
            .wrap(async { house.run(&done, said(), &format!("done-{session}")).await })
            .await;
    }
    let running = talking("kim", "desk")
        .wrap(async {
            house.pipelines.start(&done, said(), id("waits")).await.unwrap();
            house.pipelines.start(&slow, said(), id("slow")).await.unwrap();
            let running = haversack::spawn(house.pipelines.execute(&id("slow")));
            until("the family to be there", || file.exists()).await;
            // A handle, not what it will give.
            Some(running)
        })
        .await
        .unwrap();
    assert_eq!(folders(&house).len(), 4);
    until("the words to be on disk", || on_disk(&house.catalog(), "canary-word").len() >= 7).await;

    // Deleted from outside of the session, as its owner.
    let deleted = person("kim").wrap(async { house.pipelines.forget(&session).await.unwrap() }).await;
    assert_eq!(deleted, 3);
    assert!(matches!(running.await.unwrap(), Err(PipelineError::TakenOver)));
    until("the children to be gone", || ids(&file).into_iter().all(is_gone)).await;
    person("kim")
        .wrap(async {
            let left = house.pipelines.list(None, 10).await.unwrap();
            assert_eq!(left.iter().map(|run| run.run.as_str()).collect::<Vec<_>>(), ["done-other"]);
            assert!(matches!(house.pipelines.execute(&id("slow")).await, Err(PipelineError::UnknownRun)));
        })
        .await;
    talking("sam", "desk").wrap(async { house.pipelines.get(&id("done-desk")).await.unwrap() }).await;
    // Whatever still wrote when the folder went, the next sweep finds it.
    house.pipelines.sweep(Duration::from_secs(3600)).await.unwrap();
    assert_eq!((folders(&house).len(), rows(&house).await[3]), (2, 0));

    let others =
        person("kim").wrap(async { house.pipelines.forget(&SessionId::new("other").unwrap()).await });
    assert_eq!(others.await.unwrap(), 1);
    person("sam").wrap(async { house.pipelines.forget(&session).await.unwrap() }).await;
    assert_eq!((folders(&house).len(), rows(&house).await), (0, [0, 0, 0, 0]));
    assert_eq!(on_disk(house.dir.path(), "canary-word"), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn an_executor_of_another_process_writes_nothing_of_a_deleted_run() {
    let (reached, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let functions = {
        let (reached, gate) = (Arc::clone(&reached), Arc::clone(&gate));
        Functions::new().on("wait", move |call: haversack_pipeline::StepCall| {
            let gate = Arc::clone(&gate);
            reached.add_permits(1);
            async move {
                gate.acquire().await.unwrap().forget();
                call.log().line("canary-late");
                Ok(StepOutput::value(1))
            }
        })
    };
    let house = House::with(|options| options.functions(functions.clone()));
    // It shares the rows and nothing in memory.
    let elsewhere = haversack_pipeline::Pipelines::new(
        house.store.clone(),
        house.keys.clone(),
        haversack_pipeline::PipelineOptions::new(house.catalog()).functions(functions),
    );
    let pipeline = chain([("s", function("wait").returns(["x"])), ("t", stub())]);
    talking("kim", "desk")
        .wrap(async {
            house.pipelines.start(&pipeline, none(), id("r")).await.unwrap();
            let running = haversack::spawn(house.pipelines.execute(&id("r")));
            reached.acquire().await.unwrap().forget();
            assert_eq!(elsewhere.forget(&SessionId::new("desk").unwrap()).await.unwrap(), 1);
            // The key is free again, and the new run is taken under the same generation.
            elsewhere.start(&pipeline, none(), id("r")).await.unwrap();
            let new = haversack::spawn(elsewhere.execute(&id("r")));
            reached.acquire().await.unwrap().forget();
            gate.add_permits(1);
            assert!(matches!(running.await.unwrap(), Err(PipelineError::TakenOver)));
            gate.add_permits(1);
            assert_eq!(new.await.unwrap().unwrap().entry.status, Succeeded);
            assert_eq!(house.log("r").await.len(), 7);
            assert_eq!(elsewhere.forget(&SessionId::new("desk").unwrap()).await.unwrap(), 1);
        })
        .await;
    assert_eq!(on_disk(&house.catalog(), "canary-late"), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn an_executor_of_another_process_stops_when_its_run_is_deleted() {
    let reached = Arc::new(Semaphore::new(0));
    let functions = {
        let reached = Arc::clone(&reached);
        Functions::new().on("wait", move |_| {
            reached.add_permits(1);
            std::future::pending()
        })
    };
    let house = House::with(|options| options.functions(functions));
    let elsewhere = haversack_pipeline::Pipelines::new(
        house.store.clone(),
        house.keys.clone(),
        haversack_pipeline::PipelineOptions::new(house.catalog()),
    );
    talking("kim", "desk")
        .wrap(async {
            house.pipelines.start(&chain([("s", function("wait"))]), none(), id("r")).await.unwrap();
            let running = haversack::spawn(house.pipelines.execute(&id("r")));
            reached.acquire().await.unwrap().forget();
            assert_eq!(elsewhere.forget(&SessionId::new("desk").unwrap()).await.unwrap(), 1);
            until("the executor to stop", || running.is_finished()).await;
            assert!(matches!(running.await.unwrap(), Err(PipelineError::TakenOver)));
        })
        .await;
}

#[tokio::test]
async fn an_old_ended_run_goes_with_its_folder_and_one_that_has_not_ended_stays() {
    let house = House::new();
    let pipeline = chain([("s", shell("echo canary > x; cat x").put(["x"]))]);
    person("kim")
        .wrap(async {
            house.run(&pipeline, none(), "old").await;
            house.run(&pipeline, none(), "young").await;
            house.pipelines.start(&pipeline, none(), id("waits")).await.unwrap();
            house.pipelines.start(&pipeline, none(), id("called-off")).await.unwrap();
            assert_eq!(house.pipelines.cancel(&id("called-off")).await.unwrap().entry.status, Cancelled);
            // All but one are a day old.
            let age = house.store.rows().unwrap().write("age", |tx, _| {
                Ok(tx.execute(
                    "UPDATE pipeline_runs SET created_at = created_at - 86400000, ended_at = ended_at - 86400000
                     WHERE run != 'young'",
                    [],
                )?)
            });
            assert_eq!(age.await.unwrap(), 3);
        })
        .await;
    // Outside of any door.
    assert_eq!(house.pipelines.sweep(Duration::from_secs(2 * 86_400)).await.unwrap(), 0);
    assert_eq!(house.pipelines.sweep(Duration::from_secs(3_600)).await.unwrap(), 2);
    person("kim")
        .wrap(async {
            let left = house.pipelines.list(None, 10).await.unwrap();
            assert_eq!(left.iter().map(|run| run.run.as_str()).collect::<Vec<_>>(), ["young", "waits"]);
            assert_eq!(house.pipelines.execute(&id("waits")).await.unwrap().entry.status, Succeeded);
        })
        .await;
    assert_eq!((folders(&house).len(), rows(&house).await[3]), (2, 0));
}

/// A crash between the rows and the folder: what is noted is found by the next sweep.
#[tokio::test]
async fn a_folder_that_a_crash_left_is_swept() {
    let house = House::new();
    person("kim").wrap(async { house.run(&chain([("s", shell("echo canary"))]), none(), "r").await }).await;
    let folder = folders(&house).remove(0);
    // What holds the folder: something that cannot be removed is in its place.
    let aside = house.dir.path().join("aside");
    std::fs::rename(&folder, &aside).unwrap();
    std::fs::write(&folder, "in the way").unwrap();
    person("kim").wrap(async { house.pipelines.delete(&id("r")).await.unwrap() }).await;
    assert_eq!(rows(&house).await, [0, 0, 0, 1], "the folder is noted, and nothing else is left");
    house.pipelines.sweep(Duration::from_secs(3_600)).await.unwrap();
    assert_eq!(rows(&house).await, [0, 0, 0, 1], "noted for as long as it is there");
    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(&aside, &folder).unwrap();
    house.pipelines.sweep(Duration::from_secs(3_600)).await.unwrap();
    assert_eq!((folders(&house).len(), rows(&house).await), (0, [0, 0, 0, 0]));
}
