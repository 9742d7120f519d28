//! Each planted fault turns the check red that is there for it. A fault that no check notices would mean that a real
//! one of that kind goes unnoticed too.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what it expects, and stops where it is not so"
)]

mod leak_check;

use haversack::mutants::Mutant;

#[test]
fn every_mutant_is_seen() {
    let mut unseen = Vec::new();
    for mutant in Mutant::ALL {
        let report = leak_check::run(Some(mutant.name()));
        let red = report.red();
        println!(
            "mutant {}: {}",
            mutant.name(),
            if red.is_empty() { "NOT SEEN".to_owned() } else { red.join(", ") }
        );
        // Other checks may go red too; the one that is there for this fault must.
        if !red.contains(&expected(mutant)) {
            unseen.push(format!("{}: {report}", mutant.name()));
        }
    }
    assert!(unseen.is_empty(), "not noticed by the check that is there for it:\n{}", unseen.join("\n"));
}

fn expected(mutant: Mutant) -> &'static str {
    match mutant {
        Mutant::TenantFile => "raw files",
        Mutant::SessionKey => "replies",
        Mutant::SpawnWrapper => "answers",
        Mutant::EntryCheck => "handles",
        Mutant::RingFilter => "spans",
    }
}

#[test]
fn without_a_mutant_nothing_is_red() {
    let report = leak_check::run(None);
    assert!(report.findings.is_empty(), "{report}");
    assert_eq!(report.turns, leak_check::TURNS, "every turn must be answered");
}

#[test]
#[ignore = "the process that the other tests start"]
fn probe() {
    leak_check::probe();
}
