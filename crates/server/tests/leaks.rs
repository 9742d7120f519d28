//! Nothing of one tenant comes out on another tenant's side. See [`leak_check`].
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what it expects, and stops where it is not so"
)]

mod leak_check;

#[test]
fn no_canary_crosses() {
    let report = leak_check::run(None);
    assert!(report.findings.is_empty(), "{report}");
    assert_eq!(report.turns, leak_check::TURNS, "every turn must be answered");
}

#[test]
#[ignore = "the process that the other test starts"]
fn probe() {
    leak_check::probe();
}
