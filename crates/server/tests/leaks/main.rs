//! The leak check: 20 tenants with 10 sessions each talk to one server at once, ask the same questions under the same
//! session names and idempotency keys, and no canary may come out on another tenant's side, in any of the places where
//! it could: replies, recall, session cache, history, spans, logs, error texts, metrics, raw files, handles.
//!
//! The server runs in a child process (this binary again), so that its log is captured whole and a planted fault stays
//! in there. With the feature `mutants` each planted fault must turn one of the checks red.

mod canary;
mod child;
mod client;
mod files;
mod handles;
mod probe;
mod talk;

use child::run_probe;

#[test]
fn no_canary_crosses() {
    let report = run_probe(None);
    assert!(report.findings.is_empty(), "{report}");
    assert_eq!(report.turns, canary::TENANTS * canary::SESSIONS * 4, "every turn must be answered");
}

/// A mutant that no check notices would mean that a real fault of that kind goes unnoticed too.
#[cfg(feature = "mutants")]
#[test]
fn every_mutant_is_seen() {
    use haversack::mutants::Mutant;

    let mut unseen = Vec::new();
    for mutant in Mutant::ALL {
        let report = run_probe(Some(mutant.name()));
        let checks = report.red();
        println!("mutant {}: {}", mutant.name(), if checks.is_empty() { "NOT SEEN".to_owned() } else { checks.join(", ") });
        // Some other check may go red too; the one that is there for this fault must.
        if !checks.contains(&expected(mutant)) {
            unseen.push(mutant.name());
        }
    }
    assert!(unseen.is_empty(), "nothing noticed: {unseen:?}");

    fn expected(mutant: Mutant) -> &'static str {
        match mutant {
            Mutant::TenantFile => "raw files",
            Mutant::SessionKey => "replies",
            Mutant::SpawnWrapper => "answers",
            Mutant::EntryCheck => "handles",
            Mutant::RingFilter => "spans",
        }
    }
}

/// The child. It is not a test of its own: the others start it.
#[test]
#[ignore = "the process that the other tests start"]
fn probe() {
    probe::main();
}

