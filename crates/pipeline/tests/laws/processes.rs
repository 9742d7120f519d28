//! A child ends with everything it started, however the attempt ends.

use std::path::Path;
use std::time::Duration;

use haversack::testing::tenant;
use haversack_pipeline::PipelineError;
use haversack_pipeline::builder::{python, shell};
use haversack_pipeline::run::RunStatus::{Cancelled, Failed, Running, Succeeded};
use haversack_pipeline::run_log::AttemptStatus;
use haversack_pipeline::secrets::{self, Secret};

use crate::{House, chain, ended, id, none, started, until};

/// A command that starts a grandchild, writes both ids into `file`, and goes on as `then` says.
pub(crate) fn family(file: &Path, then: &str) -> String {
    format!("sleep 1000 & echo $$ $! > {0}.half; mv {0}.half {0}; {then}", file.display())
}

pub(crate) fn ids(file: &Path) -> Vec<u32> {
    std::fs::read_to_string(file).unwrap().split_whitespace().map(|id| id.parse().unwrap()).collect()
}

/// Gone, or dead and not yet collected by whoever adopted it.
pub(crate) fn is_gone(id: u32) -> bool {
    match std::fs::read_to_string(format!("/proc/{id}/stat")) {
        Ok(stat) => stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')),
        Err(_) => true,
    }
}

async fn all_gone(ids: &[u32]) {
    until("the processes to be gone", || ids.iter().all(|id| is_gone(*id))).await;
}

#[tokio::test]
async fn a_cancelled_run_leaves_no_process() {
    let house = House::new();
    let file = house.dir.path().join("ids");
    tenant("a")
        .wrap(async {
            let pipeline = chain([("s", shell(family(&file, "wait")).put(["*"])), ("never", shell("true"))]);
            house.pipelines.start(&pipeline, none(), id("r")).await.unwrap();
            let running = haversack::spawn(house.pipelines.execute(&id("r")));
            until("the family to be there", || file.exists()).await;
            house.pipelines.cancel(&id("r")).await.unwrap();
            let view = running.await.unwrap().unwrap();
            assert_eq!(view.entry.status, Cancelled);
            assert_eq!(ended(&house.log("r").await), [("s", AttemptStatus::Cancelled)]);
        })
        .await;
    // The child itself was waited for; what it left behind is for the system to collect.
    assert!(!Path::new(&format!("/proc/{}", ids(&file)[0])).exists());
    all_gone(&ids(&file)).await;
}

#[tokio::test]
async fn a_timeout_leaves_no_process() {
    let house = House::new();
    let file = house.dir.path().join("ids");
    tenant("a")
        .wrap(async {
            let step = shell(family(&file, "wait")).timeout(Duration::from_millis(300));
            assert_eq!(house.run(&chain([("s", step)]), none(), "r").await.entry.status, Failed);
        })
        .await;
    all_gone(&ids(&file)).await;
}

#[tokio::test]
async fn a_dropped_executor_leaves_no_process() {
    let house = House::new();
    let file = house.dir.path().join("ids");
    tenant("a")
        .wrap(async {
            house
                .pipelines
                .start(&chain([("s", shell(family(&file, "wait")))]), none(), id("r"))
                .await
                .unwrap();
            let running = haversack::spawn(house.pipelines.execute(&id("r")));
            until("the family to be there", || file.exists()).await;
            running.abort();
            assert!(running.await.unwrap_err().is_cancelled());

            // It stands as after a crash: asked to end now, it ends with whoever takes it next.
            assert!(house.pipelines.cancel(&id("r")).await.unwrap().entry.cancel_requested);
            assert_eq!(house.pipelines.execute(&id("r")).await.unwrap().entry.status, Cancelled);
            assert_eq!(ended(&house.log("r").await), [("s", AttemptStatus::Lost)]);
        })
        .await;
    all_gone(&ids(&file)).await;
}

#[tokio::test]
async fn what_a_child_leaves_in_the_background_ends_with_it() {
    let house = House::new();
    let file = house.dir.path().join("ids");
    tenant("a")
        .wrap(async {
            assert_eq!(
                house.run(&chain([("s", shell(family(&file, "true")))]), none(), "r").await.entry.status,
                Succeeded
            );
        })
        .await;
    all_gone(&ids(&file)).await;
}

#[tokio::test]
async fn the_callers_cancel_stops_the_executor_and_the_run_goes_on_later() {
    use haversack::well_known::{CANCEL, Cancel};
    let house = House::new();
    let file = house.dir.path().join("ids");
    tenant("a")
        .wrap(async {
            let cancel = Cancel::new();
            let step = shell(format!("test $HAVERSACK_ATTEMPT = 1 || exit 0; {}", family(&file, "wait")));
            house.pipelines.start(&chain([("s", step)]), none(), id("r")).await.unwrap();
            let execute = CANCEL.sync_scope(cancel.clone(), || house.pipelines.execute(&id("r")));
            let running = haversack::spawn(execute);
            until("the family to be there", || file.exists()).await;
            cancel.cancel();
            assert!(matches!(running.await.unwrap(), Err(PipelineError::Stopped)));
            assert_eq!(house.pipelines.get(&id("r")).await.unwrap().entry.status, Running);
            all_gone(&ids(&file)).await;

            assert_eq!(house.pipelines.execute(&id("r")).await.unwrap().entry.status, Succeeded);
            use AttemptStatus::{Cancelled, Succeeded as S};
            assert_eq!(ended(&house.log("r").await), [("s", Cancelled), ("s", S)]);
        })
        .await;
}

/// Both kinds of children, with and without secrets that the filter looks for, and also words of a line that has no end yet.
#[tokio::test]
async fn what_a_child_prints_is_read_while_it_runs() {
    let known = secrets::from_map([("KEY".to_owned(), Secret::new("canary-hunter2"))]);
    let house = House::with(|options| options.secrets(known));
    let gate = |key: &str| house.dir.path().join(format!("{key}.gate"));
    let in_shell = |key: &str| {
        let wait = format!("while ! test -e {}; do sleep 0.02; done", gate(key).display());
        shell(format!("echo one >&2; printf 'two without an end'; {wait}; echo '; three'"))
    };
    let script = "import os, time\nprint('one')\nprint('two without an end', end='')\n\
                  while not os.path.exists(parameters['gate']): time.sleep(0.02)\nprint('; three')";
    let steps = [
        ("shell", in_shell("shell")),
        ("secret", in_shell("secret").secrets(["KEY"])),
        ("python", python(script)),
        ("secret-python", python(script).secrets(["KEY"])),
    ];
    tenant("a")
        .wrap(async {
            for (key, step) in steps {
                let given = none().with("gate", gate(key).to_str().unwrap());
                house.pipelines.start(&chain([("s", step)]), given, id(key)).await.unwrap();
                let running = haversack::spawn(house.pipelines.execute(&id(key)));
                let printed = async {
                    loop {
                        let started = started(&house.log(key).await, "s");
                        if let Some(started) = started.first()
                            && let Ok(bytes) = house.pipelines.output(&id(key), *started, u64::MAX).await
                        {
                            let text = String::from_utf8(bytes).unwrap();
                            if text.contains("an end") && text.contains("one") {
                                return text;
                            }
                        }
                        // A file tells nobody that it grew.
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                };
                let printed = tokio::time::timeout(Duration::from_secs(60), printed).await;
                let printed =
                    printed.unwrap_or_else(|_| panic!("{key}: what is printed is not to be read yet"));
                assert!(!printed.contains("three"), "{key}: {printed}");
                assert_eq!(house.pipelines.get(&id(key)).await.unwrap().entry.status, Running, "{key}");
                assert!(ended(&house.log(key).await).is_empty() && !running.is_finished(), "{key}");
                std::fs::write(gate(key), "").unwrap();
                assert_eq!(running.await.unwrap().unwrap().entry.status, Succeeded, "{key}");
                let all = house.printed(key, "s").await;
                assert_eq!(all.strip_prefix(&printed), Some("; three\n"), "{key}: {all}");
            }
        })
        .await;
}

#[tokio::test]
async fn a_run_that_is_given_up_ends_once_and_only_in_its_own_try() {
    let house = House::new();
    let file = house.dir.path().join("ids");
    let step = shell(format!("test $HAVERSACK_ATTEMPT = 1 || exit 0; {}", family(&file, "wait")));
    tenant("a")
        .wrap(async {
            let runs = &house.pipelines;
            runs.start(&chain([("s", step)]), none(), id("r")).await.unwrap();
            let running = haversack::spawn(runs.execute(&id("r")));
            until("the family to be there", || file.exists()).await;
            runs.give_up(&id("r"), 2, false, "of another try").await.unwrap();
            assert_eq!(runs.get(&id("r")).await.unwrap().entry.status, Running);
            runs.give_up(&id("r"), 1, false, "nobody goes on").await.unwrap();
            assert!(matches!(running.await.unwrap(), Err(PipelineError::TakenOver)));
            runs.give_up(&id("r"), 1, true, "too late").await.unwrap();
            let view = runs.get(&id("r")).await.unwrap();
            assert_eq!((view.entry.status, view.reason.as_deref()), (Failed, Some("nobody goes on")));
            runs.retry(&id("r")).await.unwrap();
            runs.give_up(&id("r"), 1, false, "of the try before").await.unwrap();
            assert_eq!(runs.execute(&id("r")).await.unwrap().entry.status, Succeeded);
        })
        .await;
    all_gone(&ids(&file)).await;
}

/// As after `kill -9`: the executor is dropped, and nobody comes after it.
#[tokio::test]
async fn a_run_that_is_given_up_leaves_no_parameters_behind() {
    use std::os::unix::fs::PermissionsExt;
    let house = House::new();
    let begun = house.dir.path().join("begun");
    let step = shell(format!("echo > {}; sleep 60", begun.display()));
    let given = |house: &House| {
        let found = glob::glob(&format!("{}/*/*/attempts/*/parameters.json", house.catalog().display()));
        found.unwrap().flatten().next()
    };
    tenant("a")
        .wrap(async {
            let runs = &house.pipelines;
            let parameters = none().with("canary", "planted");
            runs.start(&chain([("s", step)]), parameters, id("r")).await.unwrap();
            let running = haversack::spawn(runs.execute(&id("r")));
            until("the step to begin", || begun.exists()).await;
            let file = given(&house).unwrap();
            assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
            running.abort();
            assert!(running.await.is_err_and(|end| end.is_cancelled()));
            assert!(file.exists());
            runs.give_up(&id("r"), 1, false, "nobody goes on").await.unwrap();
            assert_eq!(given(&house), None);
        })
        .await;
}

#[tokio::test]
async fn a_run_that_nobody_executes_is_cancelled_at_once() {
    let house = House::new();
    tenant("a")
        .wrap(async {
            house.pipelines.start(&chain([("s", shell("true"))]), none(), id("r")).await.unwrap();
            assert_eq!(house.pipelines.cancel(&id("r")).await.unwrap().entry.status, Cancelled);
            assert_eq!(house.pipelines.execute(&id("r")).await.unwrap().entry.status, Cancelled);
            assert_eq!(ended(&house.log("r").await), []);

            house.pipelines.retry(&id("r")).await.unwrap();
            assert_eq!(house.pipelines.execute(&id("r")).await.unwrap().entry.status, Succeeded);
        })
        .await;
}
