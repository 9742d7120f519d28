//! Seats: so many children for all, so many of them one tenant's, and who waits for one holds nothing and loses nothing.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use haversack::testing::tenant;
use haversack_pipeline::Parameters;
use haversack_pipeline::builder::{function, map, shell};
use haversack_pipeline::run::RunStatus::{Cancelled, Failed, Succeeded};
use haversack_pipeline::run_log::What;
use haversack_pipeline::{Functions, StepOutput};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::{House, branch, chain, ended, id, none, reason, until};

/// A step that says that it is there, and ends when its file does.
fn held(file: &Path) -> String {
    format!("echo > {0}; while test -e {0}; do sleep 0.02; done", file.display())
}

fn files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[tokio::test]
async fn who_waits_for_a_seat_uses_up_no_time() {
    let house = House::with(|options| options.children(1));
    let file = house.dir.path().join("held");
    let long = chain([("s", shell(held(&file)))]);
    // Much for a command that does nothing, also where every core is busy.
    let time = Duration::from_secs(8);
    let short = chain([("s", shell("true").timeout(time))]);
    let holding = tenant("a")
        .wrap(async {
            house.pipelines.start(&long, none(), id("long")).await.unwrap();
            let holding = haversack::spawn(house.pipelines.execute(&id("long")));
            until("the seat to be taken", || file.exists()).await;
            Some(holding)
        })
        .await
        .unwrap();
    tenant("b")
        .wrap(async {
            house.pipelines.start(&short, none(), id("short")).await.unwrap();
            let waiting = haversack::spawn(house.pipelines.execute(&id("short")));
            // Longer than the time that it has once it runs.
            tokio::time::sleep(time + Duration::from_millis(500)).await;
            assert!(!waiting.is_finished());
            std::fs::remove_file(&file).unwrap();
            assert_eq!(
                waiting.await.unwrap().unwrap().entry.status,
                Succeeded,
                "{:?}",
                house.log("short").await
            );
            let took = house.log("short").await.into_iter().find_map(|event| match event.what {
                What::AttemptEnded { ms, .. } => Some(ms),
                _ => None,
            });
            assert!(u128::from(took.unwrap()) < time.as_millis(), "what it waited is not what it took");
        })
        .await;
    assert_eq!(holding.await.unwrap().unwrap().entry.status, Succeeded);
}

#[tokio::test]
async fn who_waits_for_a_seat_can_be_called_off() {
    let house = House::with(|options| options.children(1));
    let file = house.dir.path().join("held");
    tenant("a")
        .wrap(async {
            house.pipelines.start(&chain([("s", shell(held(&file)))]), none(), id("long")).await.unwrap();
            let holding = haversack::spawn(house.pipelines.execute(&id("long")));
            until("the seat to be taken", || file.exists()).await;
            house.pipelines.start(&chain([("s", shell("true"))]), none(), id("r")).await.unwrap();
            let waiting = haversack::spawn(house.pipelines.execute(&id("r")));
            let mut follow = house.pipelines.follow(&id("r"), 0).unwrap();
            while !matches!(follow.next().await.unwrap().unwrap().what, What::AttemptStarted { .. }) {}
            house.pipelines.cancel(&id("r")).await.unwrap();
            // Without being called off it waits until the file goes, and that is below.
            let called_off = tokio::time::timeout(Duration::from_secs(60), waiting).await;
            let called_off = called_off.expect("who waits for a seat hears that it is called off");
            assert_eq!(called_off.unwrap().unwrap().entry.status, Cancelled);
            assert!(file.exists() && !holding.is_finished());
            std::fs::remove_file(&file).unwrap();
            holding.await.unwrap().unwrap();
        })
        .await;
}

#[tokio::test]
async fn a_tenant_has_no_more_than_its_share_of_the_seats() {
    let house = House::with(|options| options.children(3).children_per_tenant(2));
    let dir = house.dir.path().join("there");
    std::fs::create_dir(&dir).unwrap();
    let step = format!("echo > {0}/$x; while test -e {0}; do sleep 0.02; done", dir.display());
    let each = map("xs", "x", branch([("s", shell(step).parameters(["x"]))]));
    let greedy = chain([("each", each)]);
    let running = tenant("a")
        .wrap(async {
            let xs = Parameters::new().with("xs", json!([1, 2, 3, 4, 5]));
            house.pipelines.start(&greedy, xs, id("r")).await.unwrap();
            let running = haversack::spawn(house.pipelines.execute(&id("r")));
            let mut follow = house.pipelines.follow(&id("r"), 0).unwrap();
            let mut begun = 0;
            while begun < 5 {
                let event = follow.next().await.unwrap().unwrap();
                begun += usize::from(matches!(event.what, What::AttemptStarted { .. }));
            }
            Some(running)
        })
        .await
        .unwrap();
    let there = || std::fs::read_dir(&dir).unwrap().count();
    until("its share to be taken", || there() >= 2).await;
    // All five wait or work, and one seat is free for the others.
    let other = tenant("b").wrap(async {
        let short = chain([("s", shell("true"))]);
        let run = house.run(&short, none(), "r");
        // Without its share it waits until the file goes, and that is below.
        tokio::time::timeout(Duration::from_secs(60), run).await.map(|run| run.entry.status)
    });
    assert_eq!(other.await.ok(), Some(Succeeded), "nobody's share is all of the seats");
    assert_eq!(there(), 2, "no more than its share, though a seat was free");
    std::fs::remove_dir_all(&dir).unwrap();
    assert!(running.await.unwrap().is_ok());
}

#[tokio::test]
async fn who_waits_for_a_seat_holds_no_file() {
    let house = House::with(|options| options.children(1));
    let file = house.dir.path().join("held");
    let each = map("xs", "x", branch([("s", shell(held(&file)))]));
    tenant("a")
        .wrap(async {
            let (none_yet, xs) = (files(), Parameters::new().with("xs", vec![json!(0); 300]));
            house.pipelines.start(&chain([("each", each)]), xs, id("r")).await.unwrap();
            let running = haversack::spawn(house.pipelines.execute(&id("r")));
            let mut follow = house.pipelines.follow(&id("r"), 0).unwrap();
            let mut begun = 0;
            while begun < 64 {
                let event = follow.next().await.unwrap().unwrap();
                begun += usize::from(matches!(event.what, What::AttemptStarted { .. }));
            }
            until("the seat to be taken", || file.exists()).await;
            let (now, log) = (files(), house.log("r").await.len());
            assert!(now < none_yet + 40, "{none_yet} before, {now} now");
            assert!(log < 80, "no more branches are begun than run at a time: {log}");
            running.abort();
        })
        .await;
}

#[tokio::test]
async fn a_list_that_is_too_long_is_refused_before_a_branch_runs() {
    let ran = Arc::new(Semaphore::new(0));
    let functions = {
        let ran = Arc::clone(&ran);
        Functions::new().on("count", move |_| {
            ran.add_permits(1);
            async { Ok(StepOutput::nothing()) }
        })
    };
    let house = House::with(|options| options.functions(functions).largest_list(70));
    let pipeline = chain([("each", map("xs", "x", branch([("s", function("count"))])))]);
    tenant("a")
        .wrap(async {
            let xs = |count| Parameters::new().with("xs", vec![json!(0); count]);
            assert_eq!(house.run(&pipeline, xs(71), "long").await.entry.status, Failed);
            assert_eq!(ended(&house.log("long").await), []);
            let why = reason(&house.log("long").await);
            assert!(why.contains("71 elements") && why.contains("at most 70"), "{why}");
            assert_eq!(ran.available_permits(), 0);
            assert_eq!(house.run(&pipeline, xs(70), "short").await.entry.status, Succeeded);
            assert_eq!(ran.available_permits(), 70);
        })
        .await;
}
