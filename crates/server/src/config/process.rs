//! What commands take from the process environment besides settings. Each variable has a function, so that
//! this file is the list of them.

/// The login name of whoever runs the command, for the audit. It is what the environment says and proves
/// nothing.
pub fn user() -> String {
    let name = std::env::var("USER").or_else(|_| std::env::var("USERNAME")).unwrap_or_default();
    let kept: String =
        name.chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).take(64).collect();
    if kept.is_empty() { "unknown".to_owned() } else { kept }
}

/// The program that runs, to start it again with another command.
///
/// # Errors
/// When the system does not say.
pub fn program() -> std::io::Result<std::path::PathBuf> {
    std::env::current_exe()
}

/// Whether the terminal's owner asked for text without colour, as on <https://no-color.org>.
pub fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Lets this process find what no door bound about a session, such as the chat, in its environment: for a command line that
/// a session started, and for nothing that serves several people.
pub fn allow_session() {
    let found = |name: &str| {
        let value = super::handed::variable(name).filter(|_| name.starts_with("HAVERSACK_SESSION_"))?;
        value.into_string().ok()
    };
    // A second command in one process finds it allowed.
    let _ = haversack::env::allow(found);
}
