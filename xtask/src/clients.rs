//! `cargo xtask clients`: the official MCP clients that the acceptance tests of the endpoint drive. Each list of Python
//! packages becomes a virtual environment, and one of them holds Node, so that everybody has the same one; the Node clients
//! are one folder. All are below `clients` in the target folder, from lists with exact versions and hashes beside the tests.
//! A stamp with the contents of its list says that a folder is complete.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::steps::Steps;
use crate::workspace::{Metadata, root};

/// Where the lists are, below the root.
const LISTS: &str = "crates/server/tests/clients";
/// The virtual environments: `fastmcp` and `tasks` need different versions of the same package, and `nodejs` is Node.
const PYTHON: [&str; 3] = ["fastmcp", "tasks", "nodejs"];
/// The name of the stamp in an installed folder.
const STAMP: &str = "installed-from";

/// Installs what is missing or outdated.
pub fn run() -> Result<()> {
    let mut steps = Steps::default();
    install(&mut steps, &Metadata::read(&root())?)?;
    steps.finish("clients");
    Ok(())
}

/// The same as part of another command. It takes no time when everything is there.
pub fn install(steps: &mut Steps, metadata: &Metadata) -> Result<()> {
    let folder = metadata.target_directory.join("clients");
    let lists = root().join(LISTS);
    for name in PYTHON {
        python(steps, name, &lists.join("python").join(format!("{name}.txt")), &folder.join(name))?;
    }
    node(steps, &lists.join("node"), &folder.join("nodejs/bin"), &folder.join("node"))
}

fn python(steps: &mut Steps, name: &str, list: &Path, folder: &Path) -> Result<()> {
    let wanted = read(list)?;
    if stamped(folder, &wanted) {
        return Ok(());
    }
    fresh(folder)?;
    let venv = Command::new("python3").args(["-m", "venv"]).arg(folder).status();
    let made = venv.is_ok_and(|status| status.success());
    ensure!(
        made,
        "the MCP clients need python3 (3.11 or newer) with its module venv; install both, then run it again"
    );
    let mut pip = Command::new(folder.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]);
    pip.arg("--requirement").arg(list);
    steps.run(&format!("client {name}"), &mut pip)?;
    stamp(folder, &wanted)
}

fn node(steps: &mut Steps, lists: &Path, programs: &Path, folder: &Path) -> Result<()> {
    let files = ["package.json", "package-lock.json"];
    let wanted = files.iter().map(|file| read(&lists.join(file))).collect::<Result<String>>()?;
    if stamped(folder, &wanted) {
        return Ok(());
    }
    fresh(folder)?;
    for file in files {
        std::fs::copy(lists.join(file), folder.join(file)).with_context(|| format!("cannot copy {file}"))?;
    }
    let mut npm = Command::new(programs.join("npm"));
    // No script of a package runs. The lock names no registry, so that of the machine is used.
    npm.current_dir(folder).args([
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--loglevel",
        "error",
    ]);
    steps.run("client node", &mut npm)?;
    stamp(folder, &wanted)
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn fresh(folder: &Path) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

fn stamp_of(folder: &Path) -> PathBuf {
    folder.join(STAMP)
}

fn stamped(folder: &Path, wanted: &str) -> bool {
    std::fs::read_to_string(stamp_of(folder)).is_ok_and(|found| found == wanted)
}

fn stamp(folder: &Path, wanted: &str) -> Result<()> {
    std::fs::write(stamp_of(folder), wanted).context("cannot write the stamp of an installed client")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_counts_as_installed_only_for_the_list_it_was_made_from() {
        let folder = std::env::temp_dir().join(format!("xtask-clients-{}", std::process::id()));
        fresh(&folder).unwrap();
        assert!(!stamped(&folder, "a==1"));
        stamp(&folder, "a==1").unwrap();
        assert!(stamped(&folder, "a==1") && !stamped(&folder, "a==2"));
        fresh(&folder).unwrap();
        assert!(!stamped(&folder, "a==1"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
