//! The rules for names. Inside, tenant, principal and session are opaque keys and any bytes are safe; at the
//! boundary they are held to an alphabet that reads well in lists, paths and logs. Keys are issued, and
//! sessions named, only through here. The gateway names its sessions itself, after places on other platforms, and so does
//! the MCP endpoint; such a name can be asked for and never be chosen.

use haversack::well_known::SessionId;

use crate::code::Code;
use crate::problem::Fault;

/// Checks the name of a tenant or principal: 1 to 64 of `a-z 0-9 . _ -`, starting with a letter or digit.
///
/// # Errors
/// [`Code::TenantName`]; the text says which of the two, by `what`, and does not repeat the name.
pub fn check_name(what: &'static str, name: &str) -> Result<(), Fault> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    let starts = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if (1..=64).contains(&name.len())
        && name.bytes().all(allowed)
        && name.as_bytes().first().is_some_and(starts)
    {
        return Ok(());
    }
    let rule = "has 1 to 64 characters of a-z 0-9 . _ - and starts with a letter or a digit";
    Err(Fault::new(Code::TenantName, format!("A {what} name {rule}.")))
}

/// Reads a session name: 1 to 128 of `A-Z a-z 0-9 . _ : -`, not starting with a dot.
///
/// # Errors
/// [`Code::SessionName`]; the text does not repeat the name.
pub fn session_name(name: &str) -> Result<SessionId, Fault> {
    let refused = || {
        let rule = "has 1 to 128 characters of A-Z a-z 0-9 . _ : - and does not start with a dot";
        Fault::new(Code::SessionName, format!("A session name {rule}."))
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    if !(1..=128).contains(&name.len()) || !name.bytes().all(allowed) || name.starts_with('.') {
        return Err(refused());
    }
    SessionId::new(name).map_err(|_| refused())
}

/// What the names of sessions begin with that the product made: the gateway, and the MCP endpoint.
const OURS: [&str; 2] = ["gateway/", "mcp/"];

/// Reads the name of a session that is there, if it is: one that a caller chose, one that the gateway made of a platform,
/// an account and a chat, which may hold anything, or one that the MCP endpoint made of what its client calls it.
///
/// # Errors
/// As [`session_name`].
pub fn known_session(name: &str) -> Result<SessionId, Fault> {
    match OURS.iter().any(|made| name.starts_with(made)) {
        // Too long for any session.
        true => SessionId::new(name).map_err(|_| Fault::new(Code::SessionName, "A session name is shorter.")),
        false => session_name(name),
    }
}

#[cfg(test)]
mod tests {
    use super::{check_name, known_session, session_name};

    #[test]
    fn a_name_of_the_gateway_can_be_asked_for_and_not_chosen() {
        let name = "gateway/platform=7:webhook/account=4:desk/chat=8:\u{fc} / ..";
        assert_eq!(known_session(name).unwrap().as_str(), name);
        assert!(session_name(name).is_err());
        assert!(known_session("a").is_ok() && known_session("mcp/12a7584e").is_ok());
        assert!(session_name("mcp/12a7584e").is_err());
        let long = format!("gateway/{}", "a".repeat(5000));
        for bad in ["a/b", "../gateway/x", "cron/x", "", &long] {
            assert!(known_session(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_held_to_their_alphabet() {
        for good in ["a", "acme", "acme-corp", "acme.eu_1", "1st", &"a".repeat(64)] {
            assert!(check_name("tenant", good).is_ok(), "{good}");
        }
        let long = "a".repeat(65);
        let unicode = "ü".repeat(2048);
        for bad in [
            "", "Acme", "../x", ".a", "-a", "_a", "a/b", "a b", "a\0", "acme%", "acme:1", "ü", &long,
            &unicode,
        ] {
            assert!(check_name("tenant", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn session_names_are_held_to_their_alphabet() {
        for good in ["a", "A-1", "mail:42", "a.b_c", "-", ":", &"a".repeat(128)] {
            assert!(session_name(good).is_ok(), "{good}");
        }
        let long = "a".repeat(129);
        let unicode = "ü".repeat(2048);
        for bad in
            ["", ".", "..", "../x", ".hidden", "a/b", "a\\b", "a b", "a\0", "a\n", "ü", &long, &unicode]
        {
            assert!(session_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_refusal_does_not_repeat_the_name() {
        let fault = session_name("canary/../x").unwrap_err();
        assert!(!fault.detail().contains("canary"));
    }
}
