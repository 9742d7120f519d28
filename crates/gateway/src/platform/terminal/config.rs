//! Who sits at a terminal, and under which account.

/// The person at a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TerminalUser {
    /// The account, of the platform `terminal`.
    pub account: String,
    /// Their id there.
    pub user: String,
    /// Names the conversation: the same chat goes on where it stopped.
    pub chat: String,
}
