//! One task and its handle: what it sees, what comes out, and that it always ends.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use haversack::ContextVar;
use haversack::well_known::{CANCEL, Cancel, DEADLINE, Deadline, TENANT_ID};
use haversack_agent::crew::{Failure, TASK_ID, Task, TaskError, TaskHandle, TaskInput};

use super::house::door;

static LOCALE: ContextVar<String> = ContextVar::new("locale");

/// The same work as an async task, on the pool, and on a thread of its own.
pub(crate) fn everywhere(
    name: &str,
    work: impl Fn(TaskInput) -> Result<String, Failure> + Clone + Send + Sync + 'static,
) -> [Task; 3] {
    let (pool, thread) = (work.clone(), work.clone());
    [
        Task::new(name, move |input| {
            let work = work.clone();
            async move { work(input) }
        }),
        Task::blocking(name, pool),
        Task::threaded(name, thread),
    ]
}

fn start(task: &Task) -> TaskHandle {
    task.execute_async(TaskInput::default())
}

async fn text(handle: &TaskHandle) -> String {
    handle.output().await.unwrap().text
}

/// Waits on a thread until something is so. What never comes is a failure and not a test that hangs.
pub(crate) fn until(so: impl Fn() -> bool) -> Result<(), Failure> {
    let patience = Instant::now() + Duration::from_secs(60);
    while !so() {
        if Instant::now() > patience {
            return Err("what was waited for never came".into());
        }
        std::thread::yield_now();
    }
    Ok(())
}

/// As [`until`], in a task.
async fn until_so(so: impl Fn() -> bool) -> Result<(), Failure> {
    let waited = async {
        while !so() {
            tokio::task::yield_now().await;
        }
    };
    Ok(tokio::time::timeout(Duration::from_secs(60), waited).await?)
}

#[tokio::test]
async fn what_is_bound_before_the_start_is_visible_and_what_is_bound_after_is_not() {
    let read = || -> Result<String, Failure> { Ok(format!("{} {}", LOCALE.get()?, TENANT_ID.get()?)) };
    // Each reads when it begins, and again when its caller has bound something else.
    let (began, later) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (at_start, at_end) = (began.clone(), later.clone());
    let on_a_thread = move |_: TaskInput| -> Result<String, Failure> {
        let first = read()?;
        at_start.store(true, Ordering::SeqCst);
        until(|| at_end.load(Ordering::SeqCst))?;
        Ok(format!("{first}, {}", read()?))
    };
    let (at_start, at_end) = (began.clone(), later.clone());
    let in_a_task = move |_| {
        let (began, later) = (at_start.clone(), at_end.clone());
        async move {
            let first = read()?;
            began.store(true, Ordering::SeqCst);
            until_so(|| later.load(Ordering::SeqCst)).await?;
            Ok(format!("{first}, {}", read()?))
        }
    };
    let tasks = [
        Task::new("task", in_a_task),
        Task::blocking("pool", on_a_thread.clone()),
        Task::threaded("thread", on_a_thread),
    ];
    for (task, late) in tasks.iter().flat_map(|task| [(task, false), (task, true)]) {
        let visit = door("acme", "kim", "s");
        began.store(false, Ordering::SeqCst);
        later.store(false, Ordering::SeqCst);
        let work = async {
            let before = LOCALE.set("de".to_owned()).unwrap();
            let handle = start(task);
            if late {
                until_so(|| began.load(Ordering::SeqCst)).await.unwrap();
            }
            let _after = LOCALE.set("fr".to_owned()).unwrap();
            later.store(true, Ordering::SeqCst);
            assert_eq!(text(&handle).await, "de acme, de acme", "{task:?}");
            assert!(before.reset().is_err(), "a newer one is there");
        };
        visit.wrap(work).await;
    }
}

#[test]
fn blocking_work_leaves_the_runtime_and_threaded_work_has_a_thread_of_its_own() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_name("the pool of this law")
        .max_blocking_threads(1)
        .build()
        .unwrap();
    let here = || {
        let thread = std::thread::current();
        format!("{:?} {}", thread.id(), thread.name().unwrap_or_default())
    };
    let [task, pool, thread] = everywhere("where", move |_| Ok(here()));
    let (free, held) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (until_free, is_held) = (free.clone(), held.clone());
    let holds = Task::blocking("holds", move |_| {
        is_held.store(true, Ordering::SeqCst);
        until(|| until_free.load(Ordering::SeqCst))?;
        Ok(here())
    });
    haversack::block_on(&runtime, async {
        assert_eq!(text(&start(&task)).await, here(), "an async task runs where the runtime does");
        let (one, other) = (text(&start(&thread)).await, text(&start(&thread)).await);
        assert_ne!(one, other, "ids of threads are not used again");
        assert!(one.ends_with("haversack-task") && other.ends_with("haversack-task"), "{one}, {other}");
        // While its one thread is held, the pool has none for others; the runtime and threads of their own go on.
        let holding = start(&holds);
        until_so(|| held.load(Ordering::SeqCst)).await.unwrap();
        let waiting = start(&pool);
        assert_eq!(text(&start(&task)).await, here());
        assert!(text(&start(&thread)).await.ends_with("haversack-task"));
        assert!(!waiting.is_finished() && !holding.is_finished());
        free.store(true, Ordering::SeqCst);
        let (held_by, waited) = (text(&holding).await, text(&waiting).await);
        assert_eq!(held_by, waited, "one thread, one after the other");
        assert!(waited.ends_with("the pool of this law"), "{waited}");
        assert_ne!(waited, here());
    });
}

#[tokio::test]
async fn what_a_task_sets_reaches_neither_the_caller_nor_a_sibling() {
    for task in everywhere("set", |input| {
        let seen = LOCALE.get()?;
        let _ = LOCALE.set(format!("of {}", input.message))?;
        Ok(format!("{seen}, then {}", LOCALE.get()?))
    }) {
        let work = async {
            let handles: Vec<_> =
                (0..50).map(|n| task.execute_async(TaskInput::new(n.to_string()))).collect();
            for (n, handle) in handles.iter().enumerate() {
                assert_eq!(text(handle).await, format!("mine, then of {n}"));
            }
            assert_eq!(LOCALE.get().unwrap(), "mine");
        };
        LOCALE.scope("mine".to_owned(), work).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn as_many_tasks_as_values_each_see_their_own() {
    for task in everywhere("own", |_| Ok(LOCALE.get()?)) {
        let start = |n: usize| LOCALE.sync_scope(n.to_string(), || start(&task));
        let handles: Vec<_> = (0..100).map(start).collect();
        for (n, handle) in handles.iter().enumerate() {
            assert_eq!(text(handle).await, n.to_string());
        }
    }
}

#[tokio::test]
async fn the_running_task_is_named() {
    for task in everywhere("named", |_| Ok(TASK_ID.get()?.to_string())) {
        assert!(TASK_ID.get().is_err(), "unbound is loud");
        let (one, other) = (start(&task), start(&task));
        assert_eq!(text(&one).await, one.id().to_string());
        assert_eq!(text(&other).await, other.id().to_string());
        assert_ne!(one.id(), other.id());
        assert_eq!(one.id().name(), "named");
    }
}

#[tokio::test]
async fn a_handle_gives_its_output_as_often_as_it_is_asked() {
    let runs = Arc::new(AtomicUsize::new(0));
    let count = runs.clone();
    for task in everywhere("once", move |_| Ok(count.fetch_add(1, Ordering::SeqCst).to_string())) {
        let before = runs.load(Ordering::SeqCst);
        let handle = start(&task);
        let other = handle.clone();
        let (a, b) = tokio::join!(handle.output(), other.output());
        assert_eq!(a.unwrap(), b.unwrap());
        assert_eq!(text(&handle).await, before.to_string());
        assert!(handle.is_finished());
        assert_eq!(runs.load(Ordering::SeqCst), before + 1);
    }
}

#[derive(Debug, thiserror::Error, PartialEq)]
#[error("out of paper, tray {0}")]
struct OutOfPaper(u8);

#[tokio::test]
async fn an_error_comes_out_unchanged() {
    for task in everywhere("print", |_| Err(OutOfPaper(3).into())) {
        let handle = start(&task);
        for _ in 0..2 {
            let error = handle.output().await.unwrap_err();
            assert_eq!(error.failure().unwrap().downcast_ref(), Some(&OutOfPaper(3)));
            assert_eq!(error.to_string(), "out of paper, tray 3");
        }
    }
}

#[tokio::test]
async fn a_missing_variable_in_a_task_is_loud() {
    for task in everywhere("read", |_| Ok(LOCALE.get()?)) {
        let error = start(&task).output().await.unwrap_err();
        let missing: &haversack::MissingContext = error.failure().unwrap().downcast_ref().unwrap();
        assert_eq!(missing.variable(), "locale");
    }
}

#[tokio::test]
async fn a_panic_is_an_error_and_never_a_hang() {
    let panics = everywhere("panic", |_| panic!("secret"));
    let at_the_call =
        Task::new("call", |_| -> std::future::Ready<Result<String, Failure>> { panic!("secret") });
    let judged =
        everywhere("judged", |_| Ok("x".to_owned())).map(|task| task.guardrail(|_| panic!("secret")));
    for task in panics.into_iter().chain([at_the_call]).chain(judged) {
        let error = start(&task).output().await.unwrap_err();
        assert!(matches!(error, TaskError::Panicked), "{task:?}: {error:?}");
        assert!(!error.to_string().contains("secret"));
    }
}

#[test]
fn a_runtime_that_goes_away_is_an_error_and_never_a_hang() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(1).build().unwrap();
    let pending = Task::new("pending", |_| std::future::pending());
    let handle = haversack::block_on(&runtime, async { start(&pending) });
    assert!(!handle.is_finished());
    runtime.shutdown_background();
    let ended = futures_executor::block_on(handle.output());
    assert!(matches!(ended, Err(TaskError::Gone)), "{ended:?}");
}

#[test]
fn without_a_runtime_a_handle_says_so() {
    let [task, pool, thread] = everywhere("lost", |_| Ok("done".to_owned()));
    for task in [task, pool] {
        let ended = futures_executor::block_on(start(&task).output());
        assert!(matches!(ended, Err(TaskError::Gone)), "{ended:?}");
    }
    assert_eq!(futures_executor::block_on(start(&thread).output()).unwrap().text, "done");
}

#[tokio::test]
async fn a_cancelled_task_may_end_by_itself() {
    let tidy = Task::new("tidy", |_| async {
        CANCEL.get()?.cancelled().await;
        Ok("tidied up".to_owned())
    });
    let blocking = Task::blocking("tidy", |_| {
        let cancel = CANCEL.get()?;
        while !cancel.is_cancelled() {
            std::thread::yield_now();
        }
        Ok("tidied up".to_owned())
    });
    for task in [tidy, blocking] {
        let handle = start(&task);
        handle.cancel();
        // One that had not begun when it was cancelled does not begin.
        match handle.output().await {
            Ok(output) => assert_eq!(output.text, "tidied up"),
            Err(error) => assert!(matches!(error, TaskError::Cancelled), "{error:?}"),
        }
    }
}

#[tokio::test]
async fn a_cancelled_task_that_does_not_end_is_dropped() {
    struct Flag(Arc<AtomicBool>);
    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let dropped = Arc::new(AtomicBool::new(false));
    let (inner, (begun, wait)) = (dropped.clone(), mpsc::channel());
    let stubborn = Task::new("stubborn", move |_| {
        let (flag, begun) = (Flag(inner.clone()), begun.clone());
        async move {
            let _flag = flag;
            begun.send(())?;
            std::future::pending().await
        }
    });
    let caller = Cancel::new();
    let handle = CANCEL.sync_scope(caller.clone(), || start(&stubborn));
    while wait.try_recv().is_err() {
        tokio::task::yield_now().await;
    }
    caller.cancel();
    assert!(matches!(handle.output().await, Err(TaskError::Cancelled)), "by the caller's own cancel");
    assert!(dropped.load(Ordering::SeqCst), "the work is gone before the handle says so");
}

#[tokio::test]
async fn cancelling_a_task_does_not_cancel_its_caller() {
    let caller = Cancel::new();
    let handle = CANCEL.sync_scope(caller.clone(), || start(&Task::new("p", |_| std::future::pending())));
    handle.cancel();
    assert!(handle.output().await.is_err());
    assert!(!caller.is_cancelled());
}

#[tokio::test]
async fn a_task_ends_at_the_nearer_of_two_deadlines() {
    let soon = Duration::from_millis(20);
    let hour = Duration::from_secs(3600);
    let pending = || Task::new("pending", |_| std::future::pending());
    let own = start(&pending().time_limit(soon));
    let limited = pending().time_limit(hour);
    let callers = DEADLINE.sync_scope(Deadline::after(soon), || start(&limited));
    for handle in [own, callers] {
        assert!(matches!(handle.output().await, Err(TaskError::TimedOut)));
    }
    // Blocking work sees its deadline, and what comes after it does not count.
    let late = |_| {
        let deadline = DEADLINE.get()?;
        while !deadline.expired() {
            std::thread::yield_now();
        }
        Ok("too late".to_owned())
    };
    for task in [Task::blocking("late", late), Task::threaded("late", late)] {
        let outcome = start(&task.time_limit(soon)).output().await;
        assert!(matches!(outcome, Err(TaskError::TimedOut)), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_refused_output_is_made_again_with_feedback_up_to_the_limit() {
    let work = |input: TaskInput| Ok(input.feedback.unwrap_or_else(|| "first".to_owned()) + "!");
    for task in everywhere("draft", work) {
        let longer = |least: usize| {
            move |text: &str| if text.len() >= least { Ok(()) } else { Err(format!("longer than {text}")) }
        };
        let accepted = start(&task.clone().guardrail(longer(15))).output().await.unwrap();
        assert_eq!((accepted.text.as_str(), accepted.attempts), ("longer than first!!", 2));
        let refused = start(&task.clone().guardrail(longer(1000)).retries(1)).output().await.unwrap_err();
        let TaskError::Refused { attempts: 2, feedback } = &refused else { panic!("{refused:?}") };
        assert_eq!(feedback, "longer than longer than first!!");
        assert!(!refused.to_string().contains("first"), "no text of an error quotes the output");
    }
}
