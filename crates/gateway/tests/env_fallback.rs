//! The entry-point fallback of the session variables. It is installed once for a whole process, so this test has a process
//! of its own.
#![allow(clippy::unwrap_used, reason = "a broken law ends its test")]

use haversack::well_known::TENANT_ID;
use haversack::{Boundary, env};
use haversack_gateway::session::{CAN_DELIVER_LATER, CHAT_ID, MESSAGE_ID, PLATFORM, REPLY_ROUTE, THREAD_ID};
use haversack_gateway::session::along;

static COMMAND: Boundary = Boundary::new("command");

fn lookup(name: &str) -> Option<String> {
    match name {
        "HAVERSACK_SESSION_CHAT_ID" => Some("of the environment".to_owned()),
        "HAVERSACK_SESSION_THREAD_ID" => Some(String::new()),
        "HAVERSACK_SESSION_CAN_DELIVER_LATER" => Some("true".to_owned()),
        "HAVERSACK_SESSION_REPLY_ROUTE" => Some(r#"{"platform":"x","account":"x","chat":"x"}"#.to_owned()),
        _ => None,
    }
}

#[test]
fn the_environment_is_read_where_the_program_allows_it_and_never_instead_of_what_is_bound() {
    // A server installs no look-up: nothing of its environment is seen.
    assert!(CHAT_ID.get().is_err());

    env::allow(lookup).unwrap();
    assert_eq!(CHAT_ID.get().unwrap(), "of the environment");
    assert_eq!(THREAD_ID.get().unwrap(), "", "an empty value is a value");
    assert!(CAN_DELIVER_LATER.get().unwrap());
    assert!(!CHAT_ID.is_bound(), "a fallback binds nothing");

    // Then it is the caller's default.
    assert_eq!(PLATFORM.get().unwrap_or_else(|_| "cli".to_owned()), "cli");

    // What is bound wins, also when it is empty; what is taken along is what was bound.
    let visit = COMMAND.enter(|bind| bind.bind(&CHAT_ID, String::new())).unwrap();
    visit.run(|| {
        assert_eq!(CHAT_ID.get().unwrap(), "");
        assert!(MESSAGE_ID.get().is_err());
        let turn = COMMAND.enter(along).unwrap();
        turn.run(|| {
            assert!(CHAT_ID.is_bound() && !THREAD_ID.is_bound() && !CAN_DELIVER_LATER.is_bound());
            assert_eq!(CHAT_ID.get().unwrap(), "");
        });
    });

    // An address is captured, or there is none: no name of the environment is asked for it.
    assert!(REPLY_ROUTE.get().is_err());
    assert!(TENANT_ID.get().is_err());
}
