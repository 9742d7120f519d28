//! The spawn auditor: which bare spawns it lists, and which not. A target of its own, because it needs tokio's unstable
//! hooks; `cargo xtask test --deep` builds them.
#![cfg(tokio_unstable)]
#![allow(clippy::disallowed_methods, reason = "the tests spawn as code that knows nothing of the library")]
#![allow(clippy::unwrap_used, reason = "a broken law ends its test")]

use haversack::audit::{Auditor, RawSpawn};
use haversack::{Boundary, ContextVar, FutureExt};
use hyper::rt::Executor;

static USER: ContextVar<&str> = ContextVar::new("user");
static QUIET: ContextVar<&str> = ContextVar::new("secret thing").secret();
static DOOR: Boundary = Boundary::new("door");

/// Runs `work` on two kinds of runtime, with an auditor of its own on each.
fn audited<F: Future<Output = ()>>(auditor: impl Fn() -> Auditor, work: impl Fn() -> F) -> [Auditor; 2] {
    let kinds = [tokio::runtime::Builder::new_current_thread(), tokio::runtime::Builder::new_multi_thread()];
    kinds.map(|mut builder| {
        let auditor = auditor();
        auditor.install(&mut builder);
        haversack::block_on(&builder.enable_all().build().unwrap(), work());
        auditor
    })
}

/// Spawns bare, and says in which line.
#[rustfmt::skip]
async fn spawn_bare() -> u32 { tokio::spawn(async {}).await.unwrap(); line!() }

#[test]
fn a_raw_spawn_under_a_bound_context_is_listed_with_its_line() {
    let line = std::sync::atomic::AtomicU32::new(0);
    let seen = audited(Auditor::new, || async {
        let visit = DOOR.enter(|bindings| bindings.bind(&USER, "ada").bind(&QUIET, "hush")).unwrap();
        let thrice = visit.wrap(async {
            for _ in 0..3 {
                line.store(spawn_bare().await, std::sync::atomic::Ordering::Relaxed);
            }
        });
        thrice.await;
    });
    let line = line.into_inner();
    for auditor in seen {
        let report = auditor.report();
        let [RawSpawn { at, times, boundary, variables }] = &report.raw[..] else { panic!("{report}") };
        assert_eq!((at.file(), at.line()), (file!(), line), "{report}");
        assert_eq!((*times, *boundary), (3, Some("door")));
        assert_eq!(*variables, ["user", "secret thing"]);
        let text = report.to_string();
        assert!(text.contains(&format!("tests/audit.rs:{line}")) && !text.contains("hush"), "{text}");
    }
}

#[test]
fn a_raw_spawn_inside_a_dependency_is_listed_with_the_dependencys_line() {
    let spawn = || async {
        USER.scope("ada", async {
            let (done, ended) = tokio::sync::oneshot::channel();
            hyper_util::rt::TokioExecutor::new().execute(async { done.send(()).unwrap() });
            ended.await.unwrap();
        })
        .await;
    };
    for auditor in audited(Auditor::new, spawn) {
        let report = auditor.report();
        let [raw] = &report.raw[..] else { panic!("{report}") };
        assert!(raw.at.file().contains("/hyper-util-"), "{report}");
    }
    for auditor in audited(|| Auditor::new().allow("/hyper-util-", "binds nothing"), spawn) {
        let report = auditor.report();
        assert!(report.raw.is_empty(), "{report}");
        let [(_, reason)] = &report.allowed[..] else { panic!("{report}") };
        assert_eq!(*reason, "binds nothing");
    }
}

#[test]
fn what_goes_through_the_library_is_not_listed() {
    let seen = audited(Auditor::new, || async {
        USER.scope("ada", async {
            haversack::spawn(async {}).await.unwrap();
            haversack::spawn_detached(async {}).await.unwrap();
            haversack::spawn_on(async {}, &tokio::runtime::Handle::current()).await.unwrap();
            let mut set = haversack::JoinSet::new();
            set.spawn(async {});
            set.join_next().await.unwrap().unwrap();
            let tracker = haversack::TaskTracker::new();
            tracker.spawn(async {}).await.unwrap();
        })
        .await;
    });
    for auditor in seen {
        let report = auditor.report();
        assert!(report.raw.is_empty() && report.tasks == 5, "{report}");
    }
}

#[test]
fn a_raw_spawn_where_nothing_is_bound_is_counted_and_not_listed() {
    let seen = audited(Auditor::new, || async {
        tokio::spawn(async {}).await.unwrap();
        haversack::detached(async { tokio::spawn(async {}).await.unwrap() }).await;
    });
    for auditor in seen {
        let report = auditor.report();
        assert!(report.raw.is_empty() && report.tasks == 2, "{report}");
    }
}

#[test]
fn the_spawn_after_one_of_ours_is_looked_at_again() {
    let seen = audited(Auditor::new, || async {
        USER.scope("ada", async {
            haversack::spawn(async {}).await.unwrap();
            tokio::spawn(async {}.in_current_context()).await.unwrap();
        })
        .await;
    });
    for auditor in seen {
        assert_eq!(auditor.report().raw.len(), 1);
    }
}

#[test]
fn the_spawn_after_one_of_ours_that_tokio_did_not_tell_of_is_looked_at_again() {
    let unwatched = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let elsewhere = unwatched.handle().clone();
    let seen = audited(Auditor::new, || {
        let elsewhere = elsewhere.clone();
        let work = USER.scope("ada", async move {
            haversack::spawn_local(async {}).await.unwrap();
            tokio::spawn(async {}).await.unwrap();
            let mut set = haversack::JoinSet::new();
            set.spawn_local(async {});
            tokio::spawn(async {}).await.unwrap();
            set.spawn_on(async {}, &elsewhere);
            tokio::spawn(async {}).await.unwrap();
            let tracker = haversack::TaskTracker::new();
            drop(tracker.spawn_local(async {}));
            tokio::spawn(async {}).await.unwrap();
            drop(tracker.spawn_on(async {}, &elsewhere));
            tokio::spawn(async {}).await.unwrap();
            haversack::spawn_on(async {}, &elsewhere).await.unwrap();
            tokio::spawn(async {}).await.unwrap();
        });
        async move { tokio::task::LocalSet::new().run_until(work).await }
    });
    for auditor in seen {
        let report = auditor.report();
        assert_eq!((report.raw.len(), report.tasks), (6, 6), "{report}");
    }
}
