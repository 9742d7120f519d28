//! Missing paths: each required variable is taken away once, and whatever is not loud at the boundary is found.

use haversack::testing::{Fault, missing_paths, missing_paths_at};
use haversack::well_known::{PRINCIPAL, Principal, TENANT_ID, TenantId};
use haversack::{Boundary, ContextVar, Refused, Visit};

use crate::door::{DOOR, arrive};
use crate::runtimes::{limited, on_both};

static LOCALE: ContextVar<&str> = ContextVar::new("locale of mail");

static MAIL: Boundary = Boundary::new("mail").requires(&[&TENANT_ID, &PRINCIPAL]);

#[track_caller]
fn enter() -> Result<Visit, Refused> {
    MAIL.enter(|bindings| {
        bindings
            .bind(&TENANT_ID, TenantId::new("acme").unwrap())
            .bind(&PRINCIPAL, Principal::new("kim").unwrap())
            .bind_some(&LOCALE, Some("de"))
    })
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn arrived() -> Result<(), Failure> {
    Ok(enter()?.run(|| TENANT_ID.get().map(drop))?)
}

#[test]
fn an_entry_point_that_fails_at_its_boundary_has_no_fault() {
    on_both(|| async {
        let report = missing_paths(&MAIL).run(arrived).await;
        assert_eq!(report.variables(), ["tenant", "principal"]);
        report.assert_loud();
        missing_paths_at("mail").run(arrived).await.assert_loud();
        assert_eq!(missing_paths_at("male").run(arrived).await.faults(), [Fault::NeverEntered]);
        // Afterwards everything is bound again.
        assert!(arrived().await.is_ok());
    });
}

#[test]
fn an_entry_point_that_swallows_the_refusal_is_found() {
    async fn swallows() -> Result<(), Failure> {
        enter().map(drop).unwrap_or_default();
        Ok(())
    }
    async fn tries_again_without() -> Result<(), Failure> {
        match enter() {
            Ok(_) => Ok(()),
            Err(refused) => {
                static ANYBODY: Boundary = Boundary::new("anybody");
                drop(ANYBODY.enter(|bindings| bindings)?);
                println!("served as nobody, for want of {}", refused.variable());
                Ok(())
            }
        }
    }
    on_both(|| async {
        let swallowed = ["tenant", "principal"].map(|variable| Fault::Swallowed { variable });
        assert_eq!(missing_paths(&MAIL).run(swallows).await.faults(), swallowed);
        let report = missing_paths(&MAIL).run(tries_again_without).await;
        assert_eq!(report.faults(), swallowed);
        let text = report.to_string();
        assert!(text.contains("`mail`: 2 checked") && text.contains("without `tenant`"), "{text}");
    });
}

#[test]
fn what_the_work_needs_and_the_boundary_does_not_require_is_found() {
    async fn fails_late() -> Result<(), Failure> {
        enter()?.run(|| LOCALE.get())?;
        Ok(())
    }
    on_both(|| async {
        let report = missing_paths(&MAIL).and(&[&LOCALE, &TENANT_ID]).run(fails_late).await;
        assert_eq!(report.variables(), ["tenant", "principal", "locale of mail"]);
        assert_eq!(report.faults(), [Fault::Late { variable: "locale of mail" }]);
        let report = missing_paths(&MAIL).and(&[&LOCALE]).run(arrived).await;
        assert_eq!(report.faults(), [Fault::Silent { variable: "locale of mail" }]);
    });
}

#[test]
fn a_check_that_proves_nothing_says_so() {
    on_both(|| async {
        let report = missing_paths(&MAIL).run(|| async { Err::<(), _>("no such mailbox") }).await;
        assert_eq!(report.faults(), [Fault::NeverEntered]);
        let fails_anyway = || async {
            drop(enter().unwrap());
            Err::<(), _>("the mailbox is full")
        };
        assert_eq!(missing_paths(&MAIL).run(fails_anyway).await.faults(), [Fault::Control]);
        // Whoever only enters is loud.
        let asks_first = || async { enter().map(drop) };
        missing_paths(&MAIL).run(asks_first).await.assert_loud();
    });
}

#[test]
#[should_panic(expected = "without `tenant` the boundary refused and the work went on")]
fn a_fault_ends_the_test() {
    let check = missing_paths(&DOOR).run(|| async { DOOR.enter(|bindings| bindings).map(drop) });
    // Nobody binds anything, so the door is never passed: the control says so. With it bound, the fault is.
    assert_eq!(futures_util::FutureExt::now_or_never(check).unwrap().faults(), [Fault::NeverEntered]);
    let check = missing_paths(&MAIL)
        .run(|| async { enter().map_or(Ok::<_, Refused>("to nobody"), |_| Ok("to kim")) });
    futures_util::FutureExt::now_or_never(check).unwrap().assert_loud();
}

#[test]
fn another_thread_is_left_alone() {
    // Whoever arrives beside the check is not refused.
    on_both(|| async {
        let report = missing_paths(&MAIL).run(|| async {
            let beside = std::thread::spawn(|| enter().is_ok()).join().unwrap();
            assert!(beside && arrive("acme").run(|| TENANT_ID.is_bound()));
            arrived().await
        });
        limited(report).await.assert_loud();
    });
}

#[test]
fn a_door_that_other_threads_enter_is_checked_in_the_whole_process() {
    static POST: Boundary = Boundary::new("post").requires(&[&TENANT_ID]);
    fn on_a_thread() -> Result<(), Refused> {
        let enter = || POST.enter(|bindings| bindings.bind(&TENANT_ID, TenantId::new("acme").unwrap()));
        std::thread::spawn(move || enter().map(drop)).join().unwrap()
    }
    on_both(|| async {
        let report = missing_paths(&POST).run(|| async { on_a_thread() }).await;
        assert_eq!(report.faults(), [Fault::NeverEntered]);
        missing_paths(&POST).process_wide().run(|| async { on_a_thread() }).await.assert_loud();
    });
}

#[test]
#[cfg(feature = "snapshot")]
fn a_restore_is_a_door_like_any_other() {
    use haversack::{Keyring, Manifest, SealedFor, Snapshot, manifest};
    static OUT: Manifest = manifest![TENANT_ID, PRINCIPAL];
    let keys = Keyring::generate().unwrap();
    let sealed_for = SealedFor { tenant: "acme", queue: "mail", id: "1" };
    let snapshot = arrive("acme").run(|| OUT.capture().unwrap());
    let sealed = snapshot.seal(&[], &keys, &sealed_for).unwrap();
    on_both(|| async {
        let restored = || async {
            let (snapshot, _) = Snapshot::open(&sealed, &keys, &sealed_for)?;
            let visit = snapshot.restore(&OUT, &MAIL, |bindings| bindings)?;
            visit.run(|| TENANT_ID.get())?;
            Ok::<_, Failure>(())
        };
        missing_paths(&MAIL).run(restored).await.assert_loud();
    });
}
