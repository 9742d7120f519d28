//! Children that outlived their executor: a process that is killed cannot take its children along.
//!
//! Before a child does anything, its id and the moment of its start are written beside its work folder. The executor that
//! finds the attempt lost ends the group, if it is still the same one, before it tries again: the child lives, or what it
//! started lives on in its group and still has the attempt's environment. Linux tells all that; elsewhere nothing is
//! written and nothing is ended.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process_group};

/// Writes down who the child is.
pub(super) fn note(file: &Path, child: Pid) -> io::Result<()> {
    let child = child.as_raw_nonzero().get();
    match Stat::of(child) {
        Some(Stat { started, .. }) => std::fs::write(file, format!("{child} {started}")),
        // This system does not tell, so a later executor ends nothing.
        None => Ok(()),
    }
}

/// Ends the group of the child that is written down, if anything of it still runs. Blocks.
pub(crate) fn end(attempt: &Path) {
    let Ok(text) = std::fs::read_to_string(attempt.join("process")) else { return };
    let mut words = text.split(' ').filter_map(|word| word.parse::<u64>().ok());
    let (Some(child), Some(started)) = (words.next(), words.next()) else { return };
    let Some((child, group)) = i32::try_from(child).ok().and_then(|id| Some((id, Pid::from_raw(id)?))) else {
        return;
    };
    let is_left = match Stat::of(child) {
        Some(now) => now.started == started,
        // An id is not given to another process while it names a group that has members.
        None => has_members(child, started, attempt),
    };
    if is_left {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Whether something that the attempt started is in the group. After a restart of the machine, or of a container, an id may
/// name a group of somebody else: only what has the attempt's own environment is believed.
fn has_members(group: i32, started: u64, attempt: &Path) -> bool {
    let Ok(attempt) = attempt.canonicalize() else { return false };
    let Ok(processes) = std::fs::read_dir("/proc") else { return false };
    let given = attempt.join("parameters.json");
    let ids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let mut members =
        ids.filter(|id| Stat::of(*id).is_some_and(|stat| stat.group == group && stat.started >= started));
    members.any(|id| {
        let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        let mut variables = environment.split(|byte| *byte == 0);
        variables.any(|variable| variable.ends_with(given.as_os_str().as_bytes()))
    })
}

/// What the system says of a process.
struct Stat {
    group: i32,
    /// In ticks since the start of the system.
    started: u64,
}

impl Stat {
    fn of(process: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // The name in parentheses may hold anything; the fields after it are numbers, but for the first. The group is
        // the 5th of all, the start the 22nd.
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        Some(Self { group: fields.get(2)?.parse().ok()?, started: fields.get(19)?.parse().ok()? })
    }
}
