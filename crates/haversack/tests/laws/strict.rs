//! Strict mode: what a debug build reports, and that it reports nothing else.

use std::sync::{Mutex, MutexGuard, Once};

use haversack::strict::{self, Report};
use haversack::{Context, ContextVar, Entry, FutureExt};
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use crate::door::{arrive, tenant};
use crate::runtimes::{as_task_on_both, current_thread, on_both};

static REPORTS: Mutex<Vec<Report>> = Mutex::new(Vec::new());

static LOGGED: ContextVar<u32> = ContextVar::new("read by the hook too");

/// The reports of this process so far. The hook is one for all tests, so each looks for its own.
fn reports() -> MutexGuard<'static, Vec<Report>> {
    static HOOKED: Once = Once::new();
    HOOKED.call_once(|| {
        strict::on_report(|report| {
            // As a log does that puts the bindings into each line.
            let _ = LOGGED.bound();
            REPORTS.lock().unwrap().push(*report);
        });
    });
    REPORTS.lock().unwrap()
}

/// The lines of this file in which a bare task read or set the variable.
fn bare_reads(name: &str) -> Vec<u32> {
    let found = reports();
    let reads = found.iter().filter_map(|report| match report {
        Report::BareTask { variable, at } if *variable == name => Some(at.line()),
        _ => None,
    });
    reads.collect()
}

/// The lines of this file in which a bare task handed work over.
fn bare_hand_overs() -> Vec<u32> {
    let found = reports();
    let places = found.iter().filter_map(|report| match report {
        Report::BareHandOver { at } if at.file().ends_with("strict.rs") => Some(at.line()),
        _ => None,
    });
    places.collect()
}

/// Where work was handed over that went on after `entry` ended.
fn outlived(entry: Entry) -> Vec<u32> {
    let found = reports();
    let places = found.iter().filter_map(|report| match report {
        Report::OutlivedEntry { entry: ended, handed_over_at } if *ended == entry => {
            Some(handed_over_at.line())
        }
        _ => None,
    });
    places.collect()
}

#[test]
fn a_bare_task_that_reads_somebodys_frame_is_reported() {
    static READ: ContextVar<u32> = ContextVar::new("read by a bare task");
    drop(reports());
    let runtime = current_thread();
    let mut line = 0;
    READ.sync_scope(1, || {
        runtime.block_on(async {
            line = line!() + 1;
            let bare = tokio::spawn(async { READ.get().unwrap() });
            bare.await.unwrap();
        });
    });
    assert_eq!(bare_reads(READ.name()), [line]);
    let text = reports().iter().find(|report| report.to_string().contains(READ.name())).unwrap().to_string();
    assert!(text.contains("strict.rs") && text.contains("haversack::spawn"), "{text}");
}

#[test]
fn a_bare_task_that_changes_somebodys_frame_is_reported() {
    static SET: ContextVar<u32> = ContextVar::new("set by a bare task");
    drop(reports());
    let runtime = current_thread();
    let mut line = 0;
    SET.sync_scope(1, || {
        runtime.block_on(async {
            line = line!() + 1;
            let bare = tokio::spawn(async { drop(SET.set(2).unwrap()) });
            bare.await.unwrap();
        });
        drop(SET.set(3).unwrap());
    });
    assert_eq!(bare_reads(SET.name()), [line], "the task's, and not that of whoever owns the frame");
}

#[test]
fn work_that_a_bare_task_hands_over_with_somebodys_context_is_reported() {
    static TAKEN: ContextVar<u32> = ContextVar::new("taken along by a bare task");
    drop(reports());
    let runtime = current_thread();
    let mut line = 0;
    let taken = TAKEN.sync_scope(1, || {
        runtime.block_on(async {
            line = line!() + 1;
            let bare = tokio::spawn(async { haversack::spawn(async { TAKEN.get() }).await.unwrap() });
            bare.await.unwrap()
        })
    });
    assert_eq!((taken.unwrap(), bare_reads(TAKEN.name())), (1, vec![]), "the work has a frame of its own");
    assert_eq!(bare_hand_overs().iter().filter(|at| **at == line).count(), 1);
}

#[test]
fn what_the_hook_reads_is_not_reported() {
    drop(reports());
    let runtime = current_thread();
    LOGGED.sync_scope(1, || {
        runtime.block_on(async { tokio::spawn(async { LOGGED.get().unwrap() }).await.unwrap() });
    });
    assert_eq!(bare_reads(LOGGED.name()).len(), 1, "the task's read, and not the hook's of it");
}

#[test]
fn a_bare_local_task_that_borrows_somebodys_frame_is_reported() {
    static BORROWED: ContextVar<u32> = ContextVar::new("borrowed by a bare local task");
    drop(reports());
    let mut line = 0;
    let driver = async {
        let members = async {
            line = line!() + 1;
            let bare = tokio::task::spawn_local(async { BORROWED.with(|value| *value).unwrap() });
            bare.await.unwrap();
        };
        LocalSet::new().run_until(members).await;
    };
    current_thread().block_on(driver.with_context(Context::empty().bind(&BORROWED, 1)));
    assert_eq!(bare_reads(BORROWED.name()), [line]);
}

#[test]
fn work_that_keeps_to_the_rules_is_not_reported() {
    static QUIET: ContextVar<u32> = ContextVar::new("quiet");
    drop(reports());
    let begins = line!();
    let entries = Mutex::new(Vec::new());
    as_task_on_both(|| {
        let visit = arrive("acme");
        entries.lock().unwrap().push(visit.entry());
        visit.wrap(async {
            drop(QUIET.set(1).unwrap());
            let read = || QUIET.get().unwrap();
            haversack::spawn(async move { read() }).await.unwrap();
            haversack::spawn_blocking(read).await.unwrap();
            haversack::spawn_blocking(move || {
                let handle = tokio::runtime::Handle::current();
                handle.block_on(async move { read() });
                haversack::block_on(&current_thread(), async move { read() })
            })
            .await
            .unwrap();
            async move { read() }.isolated().await;
            QUIET.scope(2, async move { read() }).await;
            QUIET.sync_scope(3, read);
            haversack::thread::spawn(read).join().unwrap();
            tokio::join!(async move { read() }, async move { read() }.in_current_context());
            haversack::spawn_detached(async { drop(QUIET.set(1).unwrap()) }).await.unwrap();
            tokio::task::unconstrained(async move { read() }).await;
            let mut members = haversack::JoinSet::new();
            members.spawn(async move { read() });
            members.spawn_blocking(read);
            members.join_all().await;
            let tracker = haversack::TaskTracker::new();
            tracker.spawn(async move { read() }).await.unwrap();
            let message = haversack::Enveloped::new(());
            tokio::spawn(message.open_async(move |()| async move { read() })).await.unwrap();
            #[cfg(feature = "rayon")]
            haversack::rayon::join(read, read);
            assert_eq!(tenant().as_deref(), Some("acme"));
        })
    });
    assert_eq!(bare_reads(QUIET.name()), Vec::<u32>::new());
    let here = begins..line!();
    assert_eq!(bare_hand_overs().into_iter().filter(|at| here.contains(at)).count(), 0);
    for entry in entries.into_inner().unwrap() {
        assert_eq!(outlived(entry), Vec::<u32>::new());
    }
}

#[test]
fn work_that_goes_on_after_its_entry_ended_is_reported_once() {
    drop(reports());
    on_both(|| async {
        let visit = arrive("acme");
        let entry = visit.entry();
        let (end, ended) = oneshot::channel::<()>();
        let work = async {
            ended.await.unwrap();
            tokio::task::yield_now().await;
        };
        let line = line!() + 1;
        let task = visit.run(|| haversack::spawn(work));
        // It has been polled while the visit was open, or not yet; only what follows the end counts.
        drop(visit);
        end.send(()).unwrap();
        task.await.unwrap();
        assert_eq!(outlived(entry), [line]);
        let text = reports()
            .iter()
            .find(|report| report.to_string().contains(&entry.to_string()))
            .unwrap()
            .to_string();
        assert!(text.contains("strict.rs") && text.contains("detach"), "{text}");
    });
}

#[test]
fn a_wrapped_future_keeps_its_entry_open_until_it_has_been_dropped() {
    struct ReadsAtDrop;
    impl Drop for ReadsAtDrop {
        fn drop(&mut self) {
            haversack::wrap(tenant)();
        }
    }
    drop(reports());
    on_both(|| async {
        let visit = arrive("acme");
        let entry = visit.entry();
        visit
            .wrap(async {
                let _reads = ReadsAtDrop;
                tokio::task::yield_now().await;
            })
            .await;
        assert_eq!(outlived(entry), Vec::<u32>::new());

        let visit = arrive("acme");
        let entry = visit.entry();
        let reads = ReadsAtDrop;
        drop(visit.wrap(async move { drop(reads) }));
        assert_eq!(outlived(entry), Vec::<u32>::new(), "dropped before its first poll");
    });
}

#[test]
fn a_context_kept_after_its_visit_is_reported_where_it_is_run() {
    drop(reports());
    let visit = arrive("acme");
    let (entry, context) = (visit.entry(), visit.context());
    drop(visit);
    assert_eq!(outlived(entry), Vec::<u32>::new(), "keeping it is no work");
    context.run(|| ());
    assert_eq!(outlived(entry), [line!() - 1]);
}

#[test]
fn a_message_opened_after_its_entry_ended_is_reported_where_it_was_sent() {
    drop(reports());
    let visit = arrive("acme");
    let entry = visit.entry();
    let message = visit.run(|| haversack::Enveloped::new(()));
    drop(visit);
    assert_eq!(outlived(entry), Vec::<u32>::new(), "lying in a queue is no work");
    message.open(|()| ());
    assert_eq!(outlived(entry), [line!() - 4]);
}
