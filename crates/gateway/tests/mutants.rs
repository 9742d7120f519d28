//! Each planted fault of the gateway turns a law red. A fault can be switched on once in a process, so the laws are run in
//! a process of their own, with the fault and without.
#![cfg(feature = "mutants")]
#![allow(clippy::unwrap_used, reason = "a broken law ends its test")]

use std::process::{Command, Stdio};

/// Whether these laws hold, in the test binary of the laws, with a fault switched on by its name.
fn holds(law: &str, mutant: Option<&str>) -> bool {
    let mut laws = Command::new(env!("CARGO"));
    laws.args([
        "test",
        "-q",
        "-p",
        "haversack-gateway",
        "--features",
        "mutants",
        "--test",
        "laws",
        "--",
        "--exact",
        law,
    ]);
    match mutant {
        Some(mutant) => laws.env("HAVERSACK_LAWS_MUTANT", mutant),
        None => laws.env_remove("HAVERSACK_LAWS_MUTANT"),
    };
    laws.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
}

#[test]
fn a_reply_that_goes_where_the_last_message_came_from_is_seen() {
    let law = "routes::an_answer_goes_where_its_message_came_from_and_not_where_the_last_one_did";
    assert!(holds(law, None));
    assert!(!holds(law, Some("reply-route")));
}

#[test]
fn a_child_that_inherits_our_environment_is_seen() {
    let law = "processes::a_child_gets_the_allow_list_and_the_session_and_nothing_else";
    assert!(holds(law, None));
    assert!(!holds(law, Some("child-environment")));
}
