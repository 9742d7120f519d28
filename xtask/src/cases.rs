//! `cargo xtask cases --at <commit>`: shows that the cases of the server can go red. They drive the program from outside,
//! so they run against an older one as well: its commit is checked out and built below the target folder, and each case
//! runs against that binary in a process of its own. A case that passes there shows nothing, unless it stands in the list
//! of those that guard what held already.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::{Metadata, cargo, root};

/// Cases that passed before the faults were mended, each with what it guards.
const HELD: &str = "xtask/cases_that_held.txt";
const PACKAGE: &str = "haversack-server";
const TARGET: &str = "cases";
/// The variable that names the program to the cases.
const PROGRAM: &str = "HAVERSACK_BIN";
/// How long a case may take. A case waits for events, and an older program may never bring one.
const PATIENCE: Duration = Duration::from_secs(90);

/// How a case ended against the older program.
enum End {
    Passed,
    /// With the first thing that was not so.
    Failed(String),
}

/// Builds the program of `commit` and runs every case against it.
pub fn run(commit: &str) -> Result<()> {
    let held = held(&std::fs::read_to_string(root().join(HELD)).with_context(|| HELD.to_owned())?);
    let metadata = Metadata::read(&root())?;
    let program = build(&checked_out(commit, &metadata)?)?;
    let cases = executable(&metadata.features())?;
    let names = list(&cases)?;
    let unknown: Vec<_> = held.keys().filter(|name| !names.contains(name)).collect();
    ensure!(unknown.is_empty(), "{HELD} names cases that are not there: {unknown:?}");

    let ends = run_all(&cases, &program, names)?;
    let width = ends.keys().map(String::len).max().unwrap_or(0);
    let mut shown_nothing = 0;
    for (name, end) in &ends {
        let (word, why) = match (end, held.get(name)) {
            (End::Failed(why), _) => ("fails", why.as_str()),
            (End::Passed, Some(guards)) => ("held", guards.as_str()),
            (End::Passed, None) => {
                shown_nothing += 1;
                ("PASSES", "it shows nothing that was mended")
            }
        };
        println!("{name:width$}  {word:6}  {why}");
    }
    if shown_nothing > 0 {
        bail!("{shown_nothing} cases pass at {commit} and do not stand in {HELD}");
    }
    println!("cases: {} run against {commit}, each fails there or is listed", ends.len());
    Ok(())
}

/// The tree of the commit, in a work tree of its own that is kept for the next time.
fn checked_out(commit: &str, metadata: &Metadata) -> Result<PathBuf> {
    let name = format!("{commit}^{{commit}}");
    let output = Command::new("git").current_dir(root()).args(["rev-parse", "--verify", &name]).output()?;
    ensure!(output.status.success(), "git knows no commit {commit}");
    let hash = String::from_utf8(output.stdout)?.trim().to_owned();
    let tree = metadata.target_directory.join("cases").join(&hash).join("tree");
    if !tree.exists() {
        let mut command = Command::new("git");
        command.current_dir(root()).args(["worktree", "add", "--force", "--detach"]).arg(&tree).arg(&hash);
        ensure!(
            command.status()?.success(),
            "the commit {commit} cannot be checked out at {}",
            tree.display()
        );
    }
    Ok(tree)
}

/// The program of the tree, in a target folder beside it.
fn build(tree: &Path) -> Result<PathBuf> {
    let target = tree.with_file_name("target");
    let mut command = Command::new(cargo());
    command.current_dir(tree).args(["build", "--locked", "--package", PACKAGE, "--bin", "haversack"]);
    command.arg("--target-dir").arg(&target).env("CARGO_INCREMENTAL", "0");
    ensure!(command.status()?.success(), "the program in {} does not build", tree.display());
    Ok(target.join("debug/haversack"))
}

/// The cases of this tree.
fn executable(features: &str) -> Result<PathBuf> {
    let mut command = Command::new(cargo());
    command.current_dir(root()).args(["test", "--workspace", "--features", features, "--no-run"]);
    command.args(["--test", TARGET, "--message-format", "json-render-diagnostics"]).stderr(Stdio::inherit());
    let output = command.output()?;
    ensure!(output.status.success(), "the cases do not build");
    let messages = output.stdout.split(|byte| *byte == b'\n');
    let found = messages.filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok()).find_map(
        |message| {
            let ours = message["target"]["name"] == TARGET && message["target"]["kind"][0] == "test";
            ours.then(|| message["executable"].as_str().map(PathBuf::from)).flatten()
        },
    );
    found.with_context(|| format!("cargo names no executable of the test target `{TARGET}`"))
}

fn list(cases: &Path) -> Result<Vec<String>> {
    let output = Command::new(cases).arg("--list").output()?;
    let text = String::from_utf8(output.stdout)?;
    let names: Vec<_> =
        text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect();
    ensure!(!names.is_empty(), "there are no cases");
    Ok(names)
}

/// Runs the cases, as many at a time as there are cores, and gives their ends by name.
fn run_all(cases: &Path, program: &Path, names: Vec<String>) -> Result<BTreeMap<String, End>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (mut left, mut running, mut ends) = (VecDeque::from(names), Vec::<Running>::new(), BTreeMap::new());
    while !left.is_empty() || !running.is_empty() {
        while running.len() < cores
            && let Some(name) = left.pop_front()
        {
            running.push(Running::start(cases, program, name)?);
        }
        std::thread::sleep(Duration::from_millis(50));
        for mut one in std::mem::take(&mut running) {
            match one.end()? {
                Some(end) => drop(ends.insert(one.name, end)),
                None => running.push(one),
            }
        }
    }
    Ok(ends)
}

/// A case in a process group of its own, so that one that hangs is ended with all that it started.
struct Running {
    name: String,
    child: Child,
    output: PathBuf,
    begun: Instant,
}

impl Running {
    fn start(cases: &Path, program: &Path, name: String) -> Result<Self> {
        let output = program.with_file_name(format!("{}.txt", name.replace(':', "-")));
        let mut command = Command::new(cases);
        command.args(["--exact", &name]).env(PROGRAM, program).process_group(0);
        command.stdin(Stdio::null()).stdout(File::create(&output)?).stderr(Stdio::null());
        let child = command.spawn().with_context(|| format!("{} does not start", cases.display()))?;
        Ok(Self { name, child, output, begun: Instant::now() })
    }

    /// How it ended; nothing while it runs.
    fn end(&mut self) -> Result<Option<End>> {
        let status = self.child.try_wait()?;
        if status.is_none() && self.begun.elapsed() < PATIENCE {
            return Ok(None);
        }
        // Also after its end: a case that failed may have left a program behind.
        let group = format!("-{}", self.child.id());
        let mut kill = Command::new("kill");
        kill.args(["-KILL", "--", &group]).stderr(Stdio::null()).status()?;
        self.child.wait()?;
        let said = std::fs::read(&self.output)?;
        Ok(Some(match status {
            Some(status) if status.success() => End::Passed,
            Some(_) => End::Failed(reason(&String::from_utf8_lossy(&said))),
            None => End::Failed(format!("it was not over after {} s", PATIENCE.as_secs())),
        }))
    }
}

/// The first line of what the case said when it failed.
fn reason(text: &str) -> String {
    let mut lines = text.lines().skip_while(|line| !line.contains(" panicked at "));
    let said = lines.nth(1).unwrap_or("it failed and did not say why").trim();
    said.chars().take(120).collect()
}

/// The names in the list, each with the reason behind it.
fn held(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| line.split_once(' ').unwrap_or((line, "")))
        .map(|(name, guards)| (name.to_owned(), guards.trim().to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_a_name_and_a_reason_in_each_line() {
        let list = held("# why\n\njobs::one   what it guards\n");
        assert_eq!(
            list.into_iter().collect::<Vec<_>>(),
            [("jobs::one".to_owned(), "what it guards".to_owned())]
        );
    }

    #[test]
    fn a_reason_is_the_first_line_of_the_panic() {
        let text =
            "running 1 test\nthread 'one' (7) panicked at tests/cases/jobs.rs:1:2:\nassertion failed\nmore\n";
        assert_eq!(reason(text), "assertion failed");
    }
}
