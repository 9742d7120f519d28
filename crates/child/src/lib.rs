//! Child processes: what they may read, write and reach, and the launcher that holds them to it.
//!
//! A [`Confinement`] is made once, by the program, and says how its children are confined. It makes a command that starts the
//! program's own binary as a launcher: the launcher restricts itself with Landlock, sets limits, closes what it inherited, and
//! becomes the command. Nothing here needs unsafe code, because a process that restricts itself before `exec` needs no hook
//! between `fork` and `exec`. Crates that start children call [`Confinement::command`]; a binary calls [`launch::run`] first of all.

#![forbid(unsafe_code)]

mod confinement;
pub mod harden;
pub mod launch;
mod level;
mod system;

pub use confinement::{Access, Confinement, ConfinementError, Limits, Sandbox, Tcp};
pub use level::{Level, level};
pub use system::interpreter;
