//! Children that outlived their executor: a process that is killed cannot take its children along.
//!
//! When a child starts, its id and the moment of its start are written beside its work folder. The executor that
//! finds the attempt lost ends the group, if it is still the same one, before it tries again. Linux tells the moment of
//! a start; elsewhere nothing is written and nothing is ended.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process_group};

/// Writes down who the child is.
pub(super) fn note(file: &Path, child: Pid) {
    let child = child.as_raw_nonzero().get();
    if let Some(started) = started(child) {
        // Without the note a later executor ends nothing, which is what it would do elsewhere.
        drop(std::fs::write(file, format!("{child} {started}")));
    }
}

/// Ends the group of the child that is written down, if it still runs. Blocks.
pub(crate) fn end(attempt: &Path) {
    let Ok(text) = std::fs::read_to_string(attempt.join("process")) else { return };
    let mut words = text.split(' ').filter_map(|word| word.parse::<u64>().ok());
    let (Some(child), Some(start)) = (words.next(), words.next()) else { return };
    let Ok(child) = i32::try_from(child) else { return };
    if started(child) == Some(start)
        && let Some(group) = Pid::from_raw(child)
    {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// When the process started, in ticks since the start of the system.
fn started(process: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may hold anything; the fields after it are numbers. The start is the 22nd of all.
    stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}
