//! Each planted fault of the gateway turns a law red. A fault can be switched on once in a process, so the law is run in a
//! process of its own, with the fault and without.

use std::process::{Command, Stdio};

/// Whether a law holds, with a fault switched on by its name.
fn holds(law: &str, mutant: Option<&str>) -> bool {
    let mut laws = Command::new(std::env::current_exe().unwrap());
    laws.args(["--exact", law]).stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(mutant) = mutant {
        laws.env("HAVERSACK_LAWS_MUTANT", mutant);
    }
    laws.status().unwrap().success()
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
