//! Contexts for tests: one line, fresh each time, whatever the test before did.

use haversack::testing;
use haversack::well_known::{PRINCIPAL, SESSION_ID, TENANT_ID};
use haversack::{Context, ContextVar};

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
}
