//! Hardening of the current process: no dumps, no debugger, no inherited descriptors passed on. A server calls it at its start,
//! and the launcher before it becomes a command.

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};

/// Keeps this process's memory out of core files and from other processes of its user.
///
/// # Errors
/// When the system refuses.
pub fn no_dumps() -> io::Result<()> {
    no_core()?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Writes no core file of this process and of what it becomes.
pub(crate) fn no_core() -> io::Result<()> {
    Ok(setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?)
}

/// Lets no descriptor but the standard ones reach a program that this process starts or becomes. Descriptors that the process
/// was given from outside are open in every child otherwise.
pub fn keep_descriptors() {
    #[cfg(target_os = "linux")]
    close_fds::set_fds_cloexec(3, &[]);
}
