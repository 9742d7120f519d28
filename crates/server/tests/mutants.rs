//! Each planted fault turns the check red that is there for it. A fault that no check notices would mean that a real
//! one of that kind goes unnoticed too.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what it expects, and stops where it is not so"
)]

mod leakcheck;

use haversack::mutants::Mutant;

/// Enough for a fault to show, and no more: each fault is a run of its own.
const WORLD: [&str; 4] = ["--tenants", "6", "--sessions", "2"];

#[test]
fn every_mutant_is_seen() {
    let mut unseen = Vec::new();
    for mutant in Mutant::ALL {
        let (hop, place) = expected(mutant);
        let arguments = [&["--mutant", mutant.name(), "--hop", hop], &WORLD[..]].concat();
        let report = leakcheck::check(&arguments);
        let red = report.red();
        println!(
            "mutant {}: {}",
            mutant.name(),
            if red.is_empty() { "NOT SEEN".to_owned() } else { red.join(", ") }
        );
        // Other places may go red too; the one that is there for this fault must.
        if report.is_clean() || !red.contains(&place) {
            unseen.push(format!("{}: {report}", mutant.name()));
        }
    }
    assert!(unseen.is_empty(), "not noticed by the check that is there for it:\n{}", unseen.join("\n"));
}

/// The hop on which a fault shows, and the place that is searched because of it.
fn expected(mutant: Mutant) -> (&'static str, &'static str) {
    match mutant {
        Mutant::TenantFile => ("http", "raw files"),
        Mutant::SessionKey => ("http", "replies"),
        Mutant::SpawnWrapper => ("http", "answers"),
        Mutant::EntryCheck => ("http", "handles"),
        Mutant::RingFilter => ("http", "spans"),
        Mutant::ThreadCarriage => ("crew", "answers"),
        Mutant::SnapshotRestore => ("jobs", "notices"),
        Mutant::JobOwner => ("jobs", "results"),
        Mutant::ChildEnvironment => ("pipelines", "child environments"),
        Mutant::ReplyRoute => ("gateway", "reply routes"),
        Mutant::RunFolder => ("pipelines", "catalogs"),
        Mutant::McpRebind => ("mcp", "logs"),
        Mutant::Seal => ("jobs", "control file"),
    }
}

/// A job's arguments and headers are both searched for. It carries no key.
#[test]
fn a_seal_that_hides_nothing_shows_argument_and_token() {
    let report = leakcheck::check(&[&["--mutant", "seal", "--hop", "jobs"], &WORLD[..]].concat());
    for kind in ["job argument", "token"] {
        assert!(report.tells_of("control file", kind), "{kind}: {report}");
    }
    assert!(!report.tells_of("control file", "secret of an API key"), "{report}");
}

#[test]
fn without_a_mutant_nothing_is_red() {
    let report = leakcheck::check(&WORLD);
    assert!(report.is_clean(), "{report}");
}
