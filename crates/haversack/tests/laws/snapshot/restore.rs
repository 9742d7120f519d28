//! Restoring: from empty, complete or not at all, and loud about what did not come.

use std::time::Duration;

use haversack::well_known::{PRINCIPAL, SESSION_ID, SessionId, TENANT_ID};
use haversack::{
    Boundary, ContextVar, Entry, Manifest, MissingContext, Reason, RestoreError, Snapshot, manifest,
};

use super::{HTTP, LOCAL, LOCALE, OUT, TOKEN, WORKER, arrive, captured, restored, through};

fn reason<T: std::fmt::Debug>(read: Result<T, MissingContext>) -> Reason {
    read.unwrap_err().reason()
}

#[test]
fn what_is_captured_is_bound_on_the_other_side() {
    let session = SessionId::new("s-1").unwrap();
    let snapshot = captured(&OUT, |bindings| {
        bindings.bind(&SESSION_ID, session.clone()).bind(&LOCALE, "de".into()).bind(&TOKEN, "hunter2".into())
    });
    restored(&snapshot, &OUT).run(|| {
        assert_eq!(TENANT_ID.get().unwrap().as_str(), "acme");
        assert_eq!(PRINCIPAL.get().unwrap().as_str(), "ada");
        assert_eq!(SESSION_ID.get().unwrap(), session);
        assert_eq!(LOCALE.get().unwrap(), "de");
        assert_eq!(TOKEN.get().unwrap(), "hunter2");
    });
}

#[test]
fn a_restore_is_an_arrival_of_its_own() {
    let visit = arrive(|bindings| bindings);
    let snapshot = visit.run(|| OUT.capture().unwrap());
    assert_eq!((snapshot.origin(), snapshot.entry()), ("http", visit.entry().number()));
    let (first, second) = (restored(&snapshot, &OUT), restored(&snapshot, &OUT));
    assert_ne!(first.entry(), second.entry());
    assert_ne!(first.entry(), visit.entry());
    first.run(|| {
        assert_eq!(Entry::current().unwrap().boundary(), "worker");
        assert!(visit.entry().check("a handle").is_err());
    });
}

#[test]
fn nothing_of_the_restoring_thread_is_seen() {
    let snapshot = through(&captured(&OUT, |bindings| bindings));
    let worker = arrive(|bindings| bindings.bind(&LOCALE, "fr".into()).bind(&TOKEN, "of another".into()));
    worker.run(|| {
        drop(LOCAL.set(1).unwrap());
        let visit = snapshot.restore(&OUT, &WORKER, |bindings| bindings).unwrap();
        visit.run(|| {
            assert_eq!(reason(LOCALE.get()), Reason::NeverBound);
            assert_eq!(reason(TOKEN.get()), Reason::NeverBound);
            assert_eq!(reason(LOCAL.get()), Reason::NeverBound);
        });
    });
}

#[test]
fn what_one_attempt_sets_the_next_does_not_see() {
    let snapshot = through(&captured(&OUT, |bindings| bindings.bind(&LOCALE, "de".into())));
    for _ in 0..2 {
        snapshot.restore(&OUT, &WORKER, |bindings| bindings).unwrap().run(|| {
            assert_eq!(LOCALE.get().unwrap(), "de");
            drop(LOCALE.set("fr".into()).unwrap());
            drop(LOCAL.set(1).unwrap());
        });
    }
}

#[test]
fn what_the_door_adds_is_bound_too_and_wins() {
    let snapshot = through(&captured(&OUT, |bindings| bindings.bind(&LOCALE, "de".into())));
    let visit = snapshot
        .restore(&OUT, &WORKER, |bindings| bindings.bind(&LOCAL, 7).bind(&LOCALE, "fr".into()))
        .unwrap();
    visit.run(|| assert_eq!((LOCAL.get().unwrap(), LOCALE.get().unwrap()), (7, "fr".to_owned())));
}

#[test]
fn a_read_of_what_was_left_behind_says_so() {
    let snapshot = captured(&OUT, |bindings| bindings.bind(&LOCAL, 1));
    assert_eq!(snapshot.left_behind().collect::<Vec<_>>(), ["local"]);
    restored(&snapshot, &OUT).run(|| {
        let error = LOCAL.get().unwrap_err();
        assert_eq!(error.reason(), Reason::LeftBehind);
        let text = error.to_string();
        assert!(text.contains("did not travel") && text.contains("worker"), "{text}");
        drop(LOCAL.set(2).unwrap());
        assert_eq!(LOCAL.get().unwrap(), 2, "and it may be bound here");
    });
}

#[test]
fn what_was_left_behind_is_remembered_over_hops() {
    let snapshot = captured(&OUT, |bindings| bindings.bind(&LOCAL, 1));
    let second = restored(&snapshot, &OUT).run(|| OUT.capture().unwrap());
    let third = restored(&second, &OUT).run(|| haversack::thread::spawn(|| OUT.capture().unwrap()).join());
    restored(&third.unwrap(), &OUT).run(|| assert_eq!(reason(LOCAL.get()), Reason::LeftBehind));
}

static COLOUR: ContextVar<String> = ContextVar::new("colour").portable(1);
static WITH_COLOUR: Manifest = manifest![TENANT_ID, PRINCIPAL; COLOUR];
static NEEDS_COLOUR: Manifest = manifest![TENANT_ID, PRINCIPAL, COLOUR];

#[test]
fn an_unknown_optional_variable_is_passed_on_unharmed() {
    let snapshot = captured(&WITH_COLOUR, |bindings| bindings.bind(&COLOUR, "red".into()));
    let second = restored(&snapshot, &OUT).run(|| {
        let error = COLOUR.get().unwrap_err();
        assert_eq!(error.reason(), Reason::NotInManifest);
        assert!(error.to_string().contains("manifest of the restore"), "{error}");
        haversack::thread::spawn(|| OUT.capture().unwrap()).join().unwrap()
    });
    assert!(second.variables().any(|name| name == "colour"));
    assert_eq!(second.left_behind().count(), 0, "it travels on");
    restored(&second, &WITH_COLOUR).run(|| assert_eq!(COLOUR.get().unwrap(), "red"));
}

#[test]
fn what_is_bound_here_wins_over_what_passes_through() {
    let snapshot = captured(&WITH_COLOUR, |bindings| bindings.bind(&COLOUR, "red".into()));
    let second =
        restored(&snapshot, &OUT).run(|| COLOUR.sync_scope("blue".into(), || WITH_COLOUR.capture().unwrap()));
    assert_eq!(second.variables().filter(|name| *name == "colour").count(), 1);
    restored(&second, &WITH_COLOUR).run(|| assert_eq!(COLOUR.get().unwrap(), "blue"));
}

#[test]
fn an_unknown_required_variable_parks_the_work() {
    let snapshot = captured(&NEEDS_COLOUR, |bindings| bindings.bind(&COLOUR, "red".into()));
    let error = refused(&snapshot, &OUT);
    assert!(matches!(&error, RestoreError::UnknownRequired { variable } if variable == "colour"), "{error}");
    assert!(error.parks());
}

#[test]
fn a_variable_that_the_reader_requires_must_have_come() {
    let snapshot = captured(&WITH_COLOUR, |bindings| bindings);
    let error = refused(&snapshot, &NEEDS_COLOUR);
    assert!(matches!(error, RestoreError::Missing { variable: "colour" }), "{error}");
    assert!(!error.parks(), "no program will ever find it there");
}

#[test]
fn the_boundary_requires_too() {
    static STRICT: Boundary = Boundary::new("strict").requires(&[&LOCALE]);
    let snapshot = captured(&OUT, |bindings| bindings);
    let error = snapshot.restore(&OUT, &STRICT, |bindings| bindings).unwrap_err();
    assert!(matches!(&error, RestoreError::Refused(refused) if refused.variable() == "locale"), "{error}");
    assert!(!error.parks());
    drop(snapshot.restore(&OUT, &STRICT, |bindings| bindings.bind(&LOCALE, "de".into())).unwrap());
}

/// One variable as three programs declare it.
mod programs {
    use super::{ContextVar, Manifest, PRINCIPAL, TENANT_ID, manifest};

    pub(super) static OLD: ContextVar<u32> = ContextVar::new("shape").portable(1);
    pub(super) static NEW: ContextVar<u32> = ContextVar::new("shape").portable(2);
    pub(super) static OTHER: ContextVar<String> = ContextVar::new("shape").portable(2);
    pub(super) static OLD_OUT: Manifest = manifest![TENANT_ID, PRINCIPAL; OLD];
    pub(super) static NEW_OUT: Manifest = manifest![TENANT_ID, PRINCIPAL; NEW];
    pub(super) static OTHER_OUT: Manifest = manifest![TENANT_ID, PRINCIPAL; OTHER];
    pub(super) static OLD_NEEDS: Manifest = manifest![TENANT_ID, PRINCIPAL, OLD];
    pub(super) static NEW_NEEDS: Manifest = manifest![TENANT_ID, PRINCIPAL, NEW];
    pub(super) static OTHER_NEEDS: Manifest = manifest![TENANT_ID, PRINCIPAL, OTHER];
}

#[test]
fn a_new_program_reads_what_an_old_one_wrote() {
    use programs::{NEW, NEW_OUT, OLD, OLD_OUT};
    let snapshot = captured(&OLD_OUT, |bindings| bindings.bind(&OLD, 5));
    restored(&snapshot, &NEW_OUT).run(|| assert_eq!(NEW.get().unwrap(), 5));
}

#[test]
fn an_old_program_parks_what_it_needs_and_cannot_read() {
    use programs::{NEW, NEW_NEEDS, NEW_OUT, OLD_NEEDS, OLD_OUT};
    let optional = captured(&NEW_OUT, |bindings| bindings.bind(&NEW, 5));
    let required = captured(&NEW_NEEDS, |bindings| bindings.bind(&NEW, 5));
    // Required by the writer, by the reader, by both.
    for (snapshot, manifest) in [(&required, &OLD_OUT), (&optional, &OLD_NEEDS), (&required, &OLD_NEEDS)] {
        let error = refused(snapshot, manifest);
        assert!(
            matches!(error, RestoreError::NewerVersion { variable: "shape", written: 2, known: 1 }),
            "{error}"
        );
        assert!(error.parks());
    }
}

#[test]
fn an_old_program_leaves_a_newer_optional_value_loudly_and_passes_it_on() {
    use programs::{NEW, NEW_OUT, OLD, OLD_OUT};
    let snapshot = captured(&NEW_OUT, |bindings| bindings.bind(&NEW, 5));
    let second = restored(&snapshot, &OLD_OUT).run(|| {
        let error = OLD.get().unwrap_err();
        assert_eq!(error.reason(), Reason::NewerVersion { written: 2, known: 1 });
        assert!(error.to_string().contains("version 2"), "{error}");
        OLD_OUT.capture().unwrap()
    });
    restored(&second, &NEW_OUT).run(|| assert_eq!(NEW.get().unwrap(), 5));
}

#[test]
fn a_value_that_does_not_decode_is_loud() {
    use programs::{NEW, NEW_OUT, OLD, OLD_NEEDS, OTHER, OTHER_NEEDS, OTHER_OUT};
    let snapshot = captured(&NEW_OUT, |bindings| bindings.bind(&NEW, 471_147));
    restored(&snapshot, &OTHER_OUT).run(|| {
        let error = OTHER.get().unwrap_err();
        assert_eq!(error.reason(), Reason::Undecodable { written: 2 });
        assert!(!error.to_string().contains("471147"), "{error}");
        assert!(!OTHER_OUT.capture().unwrap().variables().any(|name| name == "shape"), "it goes no further");
    });
    for snapshot in [&snapshot, &captured(&OLD_NEEDS, |bindings| bindings.bind(&OLD, 471_147))] {
        let error = refused(snapshot, &OTHER_NEEDS);
        assert!(matches!(error, RestoreError::Undecodable { variable: "shape", .. }), "{error}");
        assert!(!error.parks() && !format!("{error} {error:?}").contains("471147"));
    }
}

#[test]
fn an_expired_snapshot_is_refused() {
    let now = captured(&OUT, |bindings| bindings).expires_in(Duration::ZERO);
    let error = refused(&now, &OUT);
    assert!(
        matches!(error, RestoreError::Expired { expired_at } if expired_at == now.created_at()),
        "{error}"
    );
    assert!(!error.parks());
    let later = captured(&OUT, |bindings| bindings).expires_in(Duration::from_secs(3600));
    assert_eq!(through(&later).expires_at(), Some(later.created_at() + 3_600_000));
    drop(restored(&later, &OUT));
    assert_eq!(later.expires_in(Duration::MAX).expires_at(), None);
}

#[test]
fn the_place_of_a_restored_binding_is_the_restore() {
    let snapshot = captured(&OUT, |bindings| bindings);
    let (visit, line) = (snapshot.restore(&OUT, &WORKER, |bindings| bindings).unwrap(), line!());
    let described = visit.context().describe();
    let tenant = described.bindings.iter().find(|binding| binding.name == "tenant").unwrap();
    assert!(tenant.bound_at.ends_with(&format!("restore.rs:{line}")), "{}", tenant.bound_at);
    assert_eq!(tenant.boundary, Some("worker"));
}

#[test]
fn a_deadline_is_the_same_moment_on_the_other_side() {
    use haversack::well_known::{DEADLINE, Deadline};
    static WITH_DEADLINE: Manifest = manifest![; DEADLINE];
    let deadline = Deadline::after(Duration::from_secs(60));
    let snapshot = captured(&WITH_DEADLINE, |bindings| bindings.bind(&DEADLINE, deadline));
    let visit = through(&snapshot).restore(&WITH_DEADLINE, &ANYONE, |bindings| bindings).unwrap();
    let there = visit.run(|| DEADLINE.get().unwrap());
    let apart = there.instant().max(deadline.instant()) - there.instant().min(deadline.instant());
    assert!(apart < Duration::from_secs(5), "{apart:?}");
    let passed = Deadline::at_unix_millis(1);
    assert!(passed.expired());
    assert!(passed.unix_millis() <= Deadline::after(Duration::ZERO).unix_millis());
}

static ANYONE: Boundary = Boundary::new("anyone");

#[track_caller]
fn refused(snapshot: &Snapshot, manifest: &'static Manifest) -> RestoreError {
    through(snapshot).restore(manifest, &HTTP, |bindings| bindings).unwrap_err()
}
