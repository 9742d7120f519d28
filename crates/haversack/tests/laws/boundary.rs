//! Boundaries: a context begins empty, is refused at the edge when something is missing, and is open until its
//! visit ends.

use haversack::well_known::{PRINCIPAL, Principal, SESSION_ID, SessionId, TENANT_ID, TenantId};
use haversack::{Bindings, Boundary, Context, ContextVar, Entry, Reason};

use crate::door::{DOOR, arrive, tenant};
use crate::runtimes::as_task_on_both;

static NOTE: ContextVar<u32> = ContextVar::new("note");
static FULL: Boundary = Boundary::new("full").requires(&[&TENANT_ID, &PRINCIPAL, &SESSION_ID, &NOTE]);

/// Everything that [`FULL`] requires but the one of this name.
fn all_but(left_out: &str) -> impl FnOnce(Bindings) -> Bindings + use<'_> {
    move |bindings| {
        let given = |name: &str| name != left_out;
        bindings
            .bind_some(&TENANT_ID, given("tenant").then(|| TenantId::new("acme").unwrap()))
            .bind_some(&PRINCIPAL, given("principal").then(|| Principal::new("kim").unwrap()))
            .bind_some(&SESSION_ID, given("session").then(|| SessionId::new("s1").unwrap()))
            .bind_some(&NOTE, given("note").then_some(1))
    }
}

#[test]
fn each_required_variable_that_is_missing_is_refused_at_the_edge() {
    for left_out in ["tenant", "principal", "session", "note"] {
        let refused = FULL.enter(all_but(left_out)).unwrap_err();
        assert_eq!((refused.boundary(), refused.variable()), ("full", left_out));
        let text = refused.to_string();
        for part in ["`full`", &format!("`{left_out}`"), "boundary.rs"] {
            assert!(text.contains(part), "{text}");
        }
    }
    assert!(FULL.enter(all_but("nothing")).is_ok());
}

#[test]
fn a_required_default_does_not_stand_in_for_an_arrival() {
    static LOCALE: ContextVar<u32> = ContextVar::new("locale").default(|| 1);
    static STRICT: Boundary = Boundary::new("strict").requires(&[&LOCALE]);
    assert_eq!(STRICT.enter(|bindings| bindings).unwrap_err().variable(), "locale");
}

#[test]
fn a_context_begins_empty_whatever_is_current() {
    NOTE.sync_scope(5, || {
        arrive("outer").run(|| {
            let inner = arrive("inner");
            inner.run(|| {
                assert_eq!(tenant().as_deref(), Some("inner"));
                assert!(NOTE.get().is_err());
            });
            assert_eq!(tenant().as_deref(), Some("outer"));
        });
    });
}

#[test]
fn what_is_bound_at_the_door_is_there_and_nothing_else() {
    let visit = DOOR
        .enter(|bindings| {
            bindings
                .bind(&TENANT_ID, TenantId::new("first").unwrap())
                .bind(&TENANT_ID, TenantId::new("second").unwrap())
                .bind(&PRINCIPAL, Principal::new("kim").unwrap())
                .bind(&NOTE, 3)
        })
        .unwrap();
    visit.run(|| {
        assert_eq!(tenant().as_deref(), Some("second"), "the last binding of a variable stands");
        assert_eq!(NOTE.get().unwrap(), 3);
        assert!(SESSION_ID.get().is_err());
    });
    assert_eq!(visit.context().run(tenant).as_deref(), Some("second"));
}

#[test]
fn what_one_run_of_a_visit_sets_the_next_does_not_see() {
    let visit = arrive("acme");
    visit.run(|| drop(NOTE.set(1).unwrap()));
    visit.run(|| assert!(NOTE.get().is_err()));
}

#[test]
fn a_wrapped_future_carries_its_visit_over_awaits_and_workers() {
    as_task_on_both(|| {
        let visit = arrive("acme");
        let entry = visit.entry();
        visit.wrap(async move {
            for _ in 0..10 {
                tokio::task::yield_now().await;
                assert_eq!(tenant().as_deref(), Some("acme"));
                assert_eq!(Entry::current().unwrap(), entry);
            }
        })
    });
}

#[test]
fn a_refusal_runs_nothing_and_leaves_nothing() {
    let refused = DOOR.enter(|bindings| {
        assert!(tenant().is_none(), "nothing is current while it is bound");
        bindings.bind(&TENANT_ID, TenantId::new("acme").unwrap())
    });
    assert_eq!(refused.unwrap_err().variable(), "principal");
    assert_eq!(Context::current().entry(), None);
    assert_eq!(TENANT_ID.get().unwrap_err().reason(), Reason::NoFrame);
}

#[test]
fn a_boundary_says_its_name_and_what_it_requires() {
    assert_eq!(FULL.name(), "full");
    let text = format!("{FULL:?}");
    for part in ["full", "tenant", "principal", "session", "note"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn what_is_kept_comes_through_the_door_within_and_what_is_unbound_stays_unbound() {
    static WITHIN: Boundary = Boundary::new("within").requires(&[&TENANT_ID]);
    static DEFAULTED: ContextVar<u32> = ContextVar::new("defaulted").default(|| 1);
    let keep = || WITHIN.enter(|bindings| bindings.keep(&TENANT_ID).keep(&NOTE).keep(&DEFAULTED));
    let outer = arrive("outer");
    let inner = outer.run(|| NOTE.sync_scope(5, keep)).unwrap();
    assert_ne!(inner.entry(), outer.entry(), "a door within has an entry of its own");
    inner.run(|| {
        assert_eq!(tenant().as_deref(), Some("outer"));
        assert_eq!(NOTE.bound(), Some(5));
        assert_eq!(DEFAULTED.bound(), None, "a default is no binding that could be kept");
    });
    assert_eq!(keep().unwrap_err().variable(), "tenant", "outside there is nothing to keep");
}
