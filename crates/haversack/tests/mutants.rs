//! The planted faults of the library are seen: with one on, a context is where it should not be, or not where it
//! should.
//!
//! A mutant stays on for the rest of its process, so each fault is planted in a process of its own.
#![allow(clippy::unwrap_used, reason = "a broken law ends its test")]

use std::process::Command;

use haversack::mutants::{Mutant, enable};
use haversack::well_known::{PRINCIPAL, Principal, TENANT_ID, TenantId};
use haversack::{Boundary, ContextVar, Keyring, Manifest, SealedFor, Snapshot, Visit, manifest};

static DOOR: Boundary = Boundary::new("door");
static TOKEN: ContextVar<String> = ContextVar::new("token").portable(1).secret();
static OUT: Manifest = manifest![TENANT_ID; PRINCIPAL, TOKEN];

#[test]
fn each_planted_fault_is_visible() {
    for planted in
        ["a_restore_that_keeps_what_was_bound", "a_thread_without_its_context", "a_seal_that_hides_nothing"]
    {
        let mut test = Command::new(std::env::current_exe().unwrap());
        let output = test.args(["--exact", planted, "--ignored"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    }
}

fn enter(principal: Option<&str>, token: Option<&str>) -> Visit {
    DOOR.enter(|bindings| {
        bindings
            .bind(&TENANT_ID, TenantId::new("acme").unwrap())
            .bind_some(&PRINCIPAL, principal.map(|name| Principal::new(name).unwrap()))
            .bind_some(&TOKEN, token.map(str::to_owned))
    })
    .unwrap()
}

/// Submits under `visit` and restores where nothing is bound.
fn worked(visit: &Visit) -> Visit {
    let keys = Keyring::generate().unwrap();
    let job = SealedFor { tenant: "acme", queue: "q", id: "1" };
    let sealed = visit.run(|| OUT.capture().unwrap().seal(b"", &keys, &job).unwrap());
    let (snapshot, _) = Snapshot::open(&sealed, &keys, &job).unwrap();
    snapshot.restore(&OUT, &DOOR, |bindings| bindings).unwrap()
}

#[test]
#[ignore = "run by each_planted_fault_is_visible, in a process of its own"]
fn a_restore_that_keeps_what_was_bound() {
    let anonymous = enter(None, None);
    let seen = |visit: &Visit| visit.run(|| (PRINCIPAL.get().is_ok(), TOKEN.get().ok()));
    assert_eq!(seen(&worked(&anonymous)), (false, None));
    enable(Mutant::SnapshotRestore);
    // From the job before.
    drop(worked(&enter(Some("ada"), Some("hunter2"))));
    assert_eq!(seen(&worked(&anonymous)), (true, Some("hunter2".to_owned())));
    // From the restoring thread.
    let job = TOKEN.sync_scope("of the worker".to_owned(), || worked(&anonymous));
    assert_eq!(seen(&job).1.as_deref(), Some("of the worker"));
}

#[test]
#[ignore = "run by each_planted_fault_is_visible, in a process of its own"]
fn a_thread_without_its_context() {
    let visit = enter(None, None);
    let seen = || {
        let thread = haversack::thread::spawn(|| TENANT_ID.get().is_ok());
        let built = haversack::thread::Builder::new().spawn(|| TENANT_ID.get().is_ok());
        [thread.join().unwrap(), built.unwrap().join().unwrap()]
    };
    assert_eq!(visit.run(seen), [true; 2]);
    enable(Mutant::ThreadCarriage);
    assert_eq!(visit.run(seen), [false; 2]);
}

#[test]
#[ignore = "run by each_planted_fault_is_visible, in a process of its own"]
fn a_seal_that_hides_nothing() {
    let keys = Keyring::generate().unwrap();
    let job = SealedFor { tenant: "acme", queue: "q", id: "1" };
    let seal = || {
        enter(None, Some("hunter2")).run(|| OUT.capture().unwrap().seal(b"argument", &keys, &job).unwrap())
    };
    let shows = |sealed: &[u8]| {
        ["hunter2", "argument"].map(|word| sealed.windows(word.len()).any(|part| part == word.as_bytes()))
    };
    assert_eq!(shows(&seal()), [false; 2]);
    enable(Mutant::Seal);
    let sealed = seal();
    assert_eq!(shows(&sealed), [true; 2]);
    let (_, payload) = Snapshot::open(&sealed, &keys, &job).unwrap();
    assert_eq!(payload, b"argument", "its receiver notices nothing");
}
