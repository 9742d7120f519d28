//! Terminals: a platform of lines, for one person at one program.
//!
//! Each line is a message and its answer is printed when it is there. Nothing can be said later: the terminal ends with its
//! program. The program runs [`serve`] over any reader and writer.

mod config;
mod receive;
mod send;

pub use config::TerminalUser;
pub use receive::serve;

/// The name of the platform.
pub const TERMINAL: &str = "terminal";
