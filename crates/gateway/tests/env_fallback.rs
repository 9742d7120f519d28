//! The entry-point fallback of the session variables. It is installed once for a whole process, so this test has a process
//! of its own.
#![allow(clippy::unwrap_used, reason = "a broken law ends its test")]

use std::sync::Mutex;

use haversack::well_known::TENANT_ID;
use haversack::{Boundary, env};
use haversack_gateway::session::along;
use haversack_gateway::session::{CAN_DELIVER_LATER, CHAT_ID, MESSAGE_ID, PLATFORM, REPLY_ROUTE, THREAD_ID};

static COMMAND: Boundary = Boundary::new("command");

/// What the environment was asked for, since somebody last looked.
static ASKED: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn asked() -> Vec<String> {
    std::mem::take(&mut ASKED.lock().unwrap())
}

fn lookup(name: &str) -> Option<String> {
    ASKED.lock().unwrap().push(name.to_owned());
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
    assert_eq!(asked(), [""; 0]);

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
        asked();
        assert_eq!(CHAT_ID.get().unwrap(), "");
        assert_eq!(asked(), [""; 0], "nobody asks for what is bound");
        // What this door did not bind is asked for by its own name, once, and missing when there is nothing of that name.
        assert_eq!(THREAD_ID.get().unwrap(), "");
        assert_eq!(asked(), ["HAVERSACK_SESSION_THREAD_ID"]);
        let missing = MESSAGE_ID.get().unwrap_err();
        assert_eq!(asked(), ["HAVERSACK_SESSION_MESSAGE_ID"]);
        assert_eq!(missing.variable(), "gateway.message_id");
        let turn = COMMAND.enter(along).unwrap();
        turn.run(|| {
            assert!(CHAT_ID.is_bound() && !THREAD_ID.is_bound() && !CAN_DELIVER_LATER.is_bound());
            assert_eq!(CHAT_ID.get().unwrap(), "");
        });
    });

    // An address is captured, or there is none: no name of the environment is asked for it.
    asked();
    assert!(REPLY_ROUTE.get().is_err());
    assert!(TENANT_ID.get().is_err());
    assert_eq!(asked(), [""; 0]);
}
