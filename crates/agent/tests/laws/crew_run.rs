//! A crew at work: who runs beside whom, who reads what, and that nothing is left behind.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use haversack::FutureExt;
use haversack::well_known::{CANCEL, Cancel, TENANT_ID};
use haversack_agent::crew::{Crew, CrewError, CrewOutput, Failure, TASK_ID, Task, TaskError, TaskInput};
use tokio::sync::{Barrier, Notify};

use super::crew_task::{everywhere, until};
use super::house::door;

fn crew(tasks: impl IntoIterator<Item = Task>) -> Crew {
    tasks.into_iter().fold(Crew::builder("crew"), haversack_agent::crew::CrewBuilder::task).build().unwrap()
}

fn says(name: &'static str) -> Task {
    Task::new(name, move |_| async move { Ok(name.to_uppercase()) })
}

/// Says what it reads.
fn reads(name: &str) -> Task {
    Task::new(name, |input| async move { Ok(read(&input)) })
}

fn read(input: &TaskInput) -> String {
    let read: Vec<_> = input.context.iter().map(|output| output.text.as_str()).collect();
    format!("[{}]", read.join(" "))
}

fn texts(output: &CrewOutput) -> Vec<&str> {
    output.outputs.iter().map(|output| output.text.as_str()).collect()
}

#[tokio::test]
async fn background_tasks_run_together_and_the_next_reads_them_in_the_order_of_definition() {
    // The barrier opens only when all three wait at it; then they end in reverse.
    let (together, turn) = (Arc::new(Barrier::new(3)), Arc::new(AtomicUsize::new(2)));
    let tasks = [0, 1, 2].map(|n: usize| {
        let (together, turn) = (together.clone(), turn.clone());
        let work = move |_| {
            let (together, turn) = (together.clone(), turn.clone());
            async move {
                together.wait().await;
                while turn.load(Ordering::SeqCst) != n {
                    tokio::task::yield_now().await;
                }
                turn.fetch_sub(1, Ordering::SeqCst);
                Ok(n.to_string())
            }
        };
        Task::new(n.to_string(), work).in_background()
    });
    let output = crew(tasks.into_iter().chain([reads("last")])).execute("go").await.unwrap();
    assert_eq!(texts(&output), ["0", "1", "2", "[0 1 2]"]);
    assert_eq!(output.text(), "[0 1 2]");
}

#[tokio::test]
async fn background_tasks_run_together_on_the_pool_and_on_threads() {
    type Place = fn(String, Box<Work>) -> Task;
    type Work = dyn Fn(TaskInput) -> Result<String, Failure> + Send + Sync;
    let (pool, thread): (Place, Place) = (Task::blocking, Task::threaded);
    for places in [[pool, pool, pool], [thread, thread, thread], [pool, thread, pool]] {
        // They go on only when all three are there; then they end in reverse.
        let (there, turn) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(2)));
        let tasks = [0, 1, 2].map(|n: usize| {
            let (there, turn) = (there.clone(), turn.clone());
            let work = move |_: TaskInput| {
                there.fetch_add(1, Ordering::SeqCst);
                until(|| there.load(Ordering::SeqCst) == 3)?;
                until(|| turn.load(Ordering::SeqCst) == n)?;
                turn.fetch_sub(1, Ordering::SeqCst);
                Ok(n.to_string())
            };
            places[n](n.to_string(), Box::new(work)).in_background()
        });
        let output = crew(tasks.into_iter().chain([reads("last")])).execute("go").await.unwrap();
        assert_eq!(texts(&output), ["0", "1", "2", "[0 1 2]"]);
    }
}

#[tokio::test]
async fn outputs_of_earlier_tasks_survive_the_background() {
    let output =
        crew([says("a"), says("b").in_background(), says("c").in_background(), reads("d"), reads("e")])
            .execute("go")
            .await
            .unwrap();
    assert_eq!(texts(&output), ["A", "B", "C", "[A B C]", "[A B C [A B C]]"]);
}

#[tokio::test]
async fn outputs_that_were_waited_for_survive_a_skipped_task() {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let inner = seen.clone();
    let skipped = says("s").only_if(move |outputs| {
        inner.lock().unwrap().extend(outputs.iter().map(|output| output.text.clone()));
        false
    });
    let output =
        crew([says("a").in_background(), says("b").in_background(), skipped, reads("c")]).execute("go");
    let output = output.await.unwrap();
    assert_eq!(texts(&output), ["A", "B", "[A B]"]);
    assert_eq!(output.skipped, ["s"]);
    assert!(output.of("s").is_none());
    assert_eq!(*seen.lock().unwrap(), ["A", "B"], "the condition looks at what was waited for");
}

#[tokio::test]
async fn a_background_task_reads_the_last_output_or_its_list_and_never_a_sibling() {
    let tasks = [
        says("a"),
        says("b"),
        reads("c").in_background(),
        reads("d").in_background().with_context(["b", "a"]),
        reads("e").in_background().with_context([""; 0]),
        reads("f").with_context(["d", "a"]),
        reads("g").in_background(),
    ];
    let output = crew(tasks).execute("go").await.unwrap();
    assert_eq!(texts(&output)[2..], ["[B]", "[B A]", "[]", "[[B A] A]", "[[[B A] A]]"]);
    let first = crew([reads("x").in_background()]).execute("go").await.unwrap();
    assert_eq!(first.text(), "[]", "nothing was before it");
}

#[tokio::test]
async fn every_task_reads_the_message_and_what_is_wanted_of_it() {
    let work =
        |input: TaskInput| Ok(format!("{}; {}; {}", input.message, input.description, input.expected_output));
    for task in everywhere("t", work) {
        let output = crew([task.describe("do it").expect("well")]).execute("the question").await.unwrap();
        assert_eq!(output.text(), "the question; do it; well");
    }
}

#[derive(Debug, thiserror::Error)]
#[error("broken")]
struct Broken;

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn the_first_failure_cancels_and_joins_the_others() {
    struct Running(Arc<AtomicUsize>);
    impl Drop for Running {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let (running, together) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let here = {
        let (running, together) = (running.clone(), together.clone());
        move || {
            running.fetch_add(1, Ordering::SeqCst);
            together.fetch_add(1, Ordering::SeqCst);
            Running(running.clone())
        }
    };
    let (a, b, all) = (here.clone(), here.clone(), together.clone());
    let polite = Task::new("polite", move |_| {
        let here = a();
        async move {
            CANCEL.get()?.cancelled().await;
            drop(here);
            Err(Failure::from("second failure"))
        }
    });
    let stubborn = Task::new("stubborn", move |_| {
        let here = b();
        async move {
            let _here = here;
            std::future::pending().await
        }
    });
    let looks = move |_| {
        let _here = here();
        let cancel = CANCEL.get()?;
        until(|| cancel.is_cancelled())?;
        Ok("never mind".to_owned())
    };
    let blocking = Task::blocking("blocking", looks.clone());
    let threaded = Task::threaded("threaded", looks);
    let fails = Task::new("fails", move |_| {
        let all = all.clone();
        async move {
            while all.load(Ordering::SeqCst) < 4 {
                tokio::task::yield_now().await;
            }
            Err(Broken.into())
        }
    });
    let after = Arc::new(AtomicBool::new(false));
    let begun = after.clone();
    let never = Task::new("never", move |_| {
        begun.store(true, Ordering::SeqCst);
        async { Ok(String::new()) }
    });
    let crew = [polite, stubborn, blocking, threaded, fails]
        .into_iter()
        .fold(Crew::builder("crew").grace(Duration::from_millis(10)), |crew, task| {
            crew.task(task.in_background())
        })
        .task(never)
        .build()
        .unwrap();
    let CrewError { task, error } = crew.execute("go").await.unwrap_err();
    assert_eq!(task, "fails");
    assert!(error.failure().unwrap().is::<Broken>(), "unchanged");
    assert_eq!(running.load(Ordering::SeqCst), 0, "nothing of the crew runs on");
    assert!(!after.load(Ordering::SeqCst), "what comes later does not begin");
}

#[tokio::test]
async fn a_failure_on_the_pool_or_on_a_thread_cancels_and_joins_the_others() {
    for fails in everywhere("fails", |_| Err(Broken.into())) {
        let (began, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (began_by, ended_by) = (began.clone(), ended.clone());
        let looks = move |_| {
            began_by.fetch_add(1, Ordering::SeqCst);
            let cancel = CANCEL.get()?;
            until(|| cancel.is_cancelled())?;
            ended_by.fetch_add(1, Ordering::SeqCst);
            Ok("never mind".to_owned())
        };
        let tasks = [Task::blocking("pool", looks.clone()), Task::threaded("thread", looks), fails.clone()];
        let failed = crew(tasks.map(Task::in_background)).execute("go").await.unwrap_err();
        assert_eq!(failed.task, "fails");
        assert!(failed.error.failure().unwrap().is::<Broken>(), "unchanged");
        // One that had not begun when it was cancelled does not begin.
        assert_eq!(began.load(Ordering::SeqCst), ended.load(Ordering::SeqCst), "{fails:?}: none runs on");
    }
}

#[tokio::test]
async fn the_callers_cancel_ends_the_crew() {
    let begun = Arc::new(Notify::new());
    let inner = begun.clone();
    let pending = Task::new("pending", move |_| {
        inner.notify_one();
        std::future::pending()
    });
    let crew = Crew::builder("crew").grace(Duration::ZERO).task(pending).task(says("b")).build().unwrap();
    let cancel = Cancel::new();
    let executing = CANCEL.sync_scope(cancel.clone(), || haversack::spawn(crew.execute("go")));
    begun.notified().await;
    cancel.cancel();
    let error = executing.await.unwrap().unwrap_err();
    assert!(matches!(error.error, TaskError::Cancelled), "{error}");
}

#[tokio::test]
async fn a_crew_that_is_dropped_ends_its_tasks() {
    struct Flag(Arc<Notify>);
    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let (begun, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (b, e) = (begun.clone(), ended.clone());
    let pending = Task::new("pending", move |_| {
        let flag = Flag(e.clone());
        b.notify_one();
        async move {
            let _flag = flag;
            std::future::pending().await
        }
    });
    let crew = crew([pending]);
    tokio::select! {
        _ = crew.execute("go") => panic!("it never ends"),
        () = begun.notified() => {}
    }
    ended.notified().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn crews_of_many_tenants_on_one_driver_do_not_cross() {
    let who = |input: TaskInput| -> Result<String, Failure> {
        let (tenant, task) = (TENANT_ID.get()?, TASK_ID.get()?);
        Ok(format!("{tenant} {} {}", task.name(), read(&input)))
    };
    let beside = [
        Task::new("a", move |input| async move { who(input) }),
        Task::blocking("b", who),
        Task::threaded("c", who),
    ];
    let last = Task::new("d", move |input| async move { who(input) });
    let crew = crew(beside.map(Task::in_background).into_iter().chain([last]));
    let driver = door("driver", "mallory", "s");
    let visits: Vec<_> = (0..20).map(|n| (format!("t{n}"), door(&format!("t{n}"), "kim", "s"))).collect();
    let work = async {
        let executing = visits.iter().map(|(_, visit)| visit.run(|| crew.execute("go")));
        let done = futures_util::future::join_all(executing).await;
        for ((tenant, _), output) in visits.iter().zip(done) {
            let all = format!("{tenant} d [{tenant} a [] {tenant} b [] {tenant} c []]");
            assert_eq!(output.unwrap().text(), all);
        }
    };
    work.with_context(driver.context()).await;
}

#[tokio::test]
async fn a_panicking_condition_is_a_failure_of_its_task() {
    let error = crew([says("a"), says("b").only_if(|_| panic!("secret"))]).execute("go").await.unwrap_err();
    assert_eq!(error.task, "b");
    assert!(matches!(error.error, TaskError::Panicked));
    assert_eq!(error.to_string(), "the task `b` failed: the task panicked");
}
