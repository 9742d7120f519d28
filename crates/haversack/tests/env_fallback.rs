//! The entry-point fallback. It is installed once for a whole process, so this test has a process of its own.
#![allow(clippy::unwrap_used, reason = "a broken law ends its test")]

use haversack::well_known::{SESSION_ID, TENANT_ID};
use haversack::{AtDoor, Context, ContextVar, Reason, env};

static REGION: ContextVar<String> = ContextVar::new("region").env("TEST_REGION");
static RETRIES: ContextVar<u32> = ContextVar::new("retries").env("TEST_RETRIES").default(|| 3);
static BROKEN: ContextVar<u32> = ContextVar::new("broken").env("TEST_BROKEN");
static PLAIN: ContextVar<String> = ContextVar::new("plain");
static AT_DOOR: ContextVar<String, AtDoor> = ContextVar::new("at door").env("TEST_REGION").at_door();

fn lookup(name: &str) -> Option<String> {
    match name {
        "TEST_REGION" => Some("from the environment".to_owned()),
        "TEST_RETRIES" => Some("9".to_owned()),
        "TEST_BROKEN" => Some("not a number".to_owned()),
        "plain" | "PLAIN" | "tenant" | "TENANT_ID" => Some("never asked for".to_owned()),
        _ => None,
    }
}

#[test]
fn a_variable_falls_back_to_its_environment_name_only_where_the_program_allows_it() {
    // Before it is allowed nothing of the environment is seen.
    assert!(REGION.get().is_err());
    assert_eq!(RETRIES.get().unwrap(), 3);

    env::allow(lookup).unwrap();
    assert_eq!(REGION.get().unwrap(), "from the environment");
    assert_eq!(REGION.with(String::len).unwrap(), 20);
    assert!(!REGION.is_bound(), "a fallback binds nothing");
    assert_eq!(REGION.bound(), None, "and is nothing that could be handed on");
    assert_eq!(Context::empty().run(|| REGION.get().unwrap()), "from the environment");
    assert_eq!(AT_DOOR.get().unwrap(), "from the environment");
    assert_eq!(RETRIES.get().unwrap(), 9, "it comes before the default");

    // What is bound wins, also when it is empty.
    REGION.sync_scope(String::new(), || assert_eq!(REGION.get().unwrap(), ""));

    // A value that does not parse counts as unbound, and the error does not quote it.
    let error = BROKEN.get().unwrap_err();
    assert_eq!(error.reason(), Reason::NoFrame);
    assert!(!error.to_string().contains("not a number"), "{error}");

    // A variable that declares no name has no fallback.
    assert!(PLAIN.get().is_err());
    assert!(TENANT_ID.get().is_err() && SESSION_ID.get().is_err());

    // It is decided once.
    assert!(env::allow(|_| Some("second".to_owned())).is_err());
    assert_eq!(REGION.get().unwrap(), "from the environment");
}
