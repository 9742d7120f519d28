//! What commands take from the process environment besides settings: the key of a caller and the name of who sits
//! there. Each variable has a function, so that this file is the list of them.

/// The API key of `HAVERSACK_KEY`, for commands that talk to a server.
pub fn api_key() -> Option<String> {
    std::env::var("HAVERSACK_KEY").ok().map(|key| key.trim().to_owned()).filter(|key| !key.is_empty())
}

/// The login name of whoever runs the command, for the audit. It is what the environment says and proves nothing.
pub fn user() -> String {
    let name = std::env::var("USER").or_else(|_| std::env::var("USERNAME")).unwrap_or_default();
    let kept: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).take(64).collect();
    if kept.is_empty() { "unknown".to_owned() } else { kept }
}
