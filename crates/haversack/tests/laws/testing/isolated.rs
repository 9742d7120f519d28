//! Contexts for tests: one line, fresh each time, whatever the test before did.

use haversack::testing::{self, Isolated, isolated, isolated_async};
use haversack::well_known::{PRINCIPAL, SESSION_ID, TENANT_ID};
use haversack::{Context, ContextVar, Entry};

use crate::runtimes::on_both;

static NOTE: ContextVar<u32> = ContextVar::new("note");

#[test]
fn each_test_starts_from_an_empty_context() {
    let leftover = testing::enter(|bindings| bindings.bind(&NOTE, 1));
    leftover.run(|| {
        drop(NOTE.set(2).unwrap());
        testing::tenant("acme").run(|| {
            assert!(NOTE.get().is_err());
            assert_eq!(Context::current().describe().bindings.len(), 2);
        });
        assert_eq!(testing::enter(|bindings| bindings).context().describe().bindings, []);
    });
}

#[test]
fn what_one_test_left_behind_the_next_one_does_not_see() {
    // One that sets and forgets, one that panics with its binding up, and one that leaves a value in its frame.
    isolated(|| drop(NOTE.set(1).unwrap()));
    let panicked = std::panic::catch_unwind(|| {
        isolated(|| {
            drop(NOTE.set(2).unwrap());
            std::panic::resume_unwind(Box::new("thrown"));
        })
    });
    assert!(panicked.is_err());
    let outer = NOTE.sync_scope(3, || {
        isolated(|| (NOTE.get().ok(), Context::current().describe().bindings.len(), Entry::current().is_ok()))
    });
    assert_eq!(outer, (None, 0, true));
    assert!(NOTE.get().is_err());
}

#[test]
fn an_async_test_starts_from_an_empty_context_at_each_poll() {
    on_both(|| {
        NOTE.scope(1, async {
            isolated_async(async {
                assert!(NOTE.get().is_err());
                drop(NOTE.set(2).unwrap());
                tokio::task::yield_now().await;
                assert_eq!(NOTE.get().unwrap(), 2);
            })
            .await;
            assert_eq!(NOTE.get().unwrap(), 1);
            isolated_async(async { assert!(NOTE.get().is_err()) }).await;
        })
    });
}

#[test]
fn a_test_binds_what_only_doors_bind() {
    let visit = Isolated::new().tenant("acme").session("s1").bind(&NOTE, 7).visit();
    visit.run(|| {
        assert_eq!(TENANT_ID.get().unwrap().as_str(), "acme");
        assert_eq!((SESSION_ID.get().unwrap().as_str(), NOTE.get().unwrap()), ("s1", 7));
        assert!(PRINCIPAL.get().is_err(), "only what it binds");
    });
    let line = line!() + 1;
    let text = Isolated::new().bind(&NOTE, 7).visit().context().to_string();
    assert!(text.contains(&format!("{}:{line}", file!())), "{text}");
}

#[test]
fn a_tenant_and_a_session_are_one_line() {
    let visit = testing::session("acme", "s1");
    visit.run(|| {
        assert_eq!(TENANT_ID.get().unwrap().as_str(), "acme");
        assert_eq!(PRINCIPAL.get().unwrap().as_str(), "tester");
        assert_eq!(SESSION_ID.get().unwrap().as_str(), "s1");
    });
    testing::tenant("acme").run(|| assert!(SESSION_ID.get().is_err()));
    assert_eq!(visit.entry().boundary(), testing::BOUNDARY.name());
}

#[test]
fn two_tests_of_one_tenant_are_two_entries() {
    let (first, second) = (testing::tenant("acme"), testing::tenant("acme"));
    assert_ne!(first.entry(), second.entry());
    assert!(second.run(|| first.entry().check("handle")).is_err());
    assert_ne!(isolated(|| Entry::current().unwrap()), isolated(|| Entry::current().unwrap()));
}
