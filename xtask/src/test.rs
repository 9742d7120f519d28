//! `cargo xtask test`: everything that shows the product is right, in one command. The whole workspace is built
//! with one feature set, so that no dependency is compiled twice; the mutants build changes only our own crates. The MCP
//! clients that some tests drive are installed first, see [`crate::clients`].
//! With `--deep` the steps of [`crate::library`], [`crate::deep`], [`crate::audit`] and [`crate::peers`] follow.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::steps::Steps;
use crate::tidy::docs;
use crate::workspace::{Metadata, cargo, root};
use crate::{audit, clients, deep, library, peers};

/// Runs the tests whose names contain one of the words in `filter`, or all of them. Stops at the first red step.
pub fn run(deep: bool, filter: &[String]) -> Result<()> {
    let metadata = Metadata::read(&root())?;
    let mut steps = Steps::default();
    let features = metadata.features();
    clients::install(&mut steps, &metadata)?;
    if has_nextest() {
        steps.run("tests", tests(&["nextest", "run", "--no-fail-fast"], &features).args(filter))?;
        steps.run("doc tests", &mut with_filter(tests(&["test", "--doc"], &features), filter))?;
    } else {
        steps.run("tests", &mut with_filter(tests(&["test", "--no-fail-fast"], &features), filter))?;
    }
    if filter.is_empty() {
        readme(&mut steps, &metadata)?;
        examples(&mut steps, &metadata)?;
    }
    mutants(&mut steps, &metadata, filter)?;
    if deep {
        library::check(&mut steps, &metadata)?;
        deep::run(&mut steps, &metadata)?;
        audit::run(&mut steps)?;
        peers::run(&mut steps)?;
    }
    steps.finish("test");
    Ok(())
}

/// Runs the program that the README shows, which the tests' build made, and demands the output that it shows.
fn readme(steps: &mut Steps, metadata: &Metadata) -> Result<()> {
    let document = std::fs::read_to_string(root().join(docs::README)).context("cannot read README.md")?;
    let shown = docs::block(&document, "text").context("README.md shows no output in a text block")?;
    let name = Path::new(docs::EXAMPLE).file_stem().context("the example has no name")?;
    let program = metadata.target_directory.join("debug/examples").join(name);
    let (captured, started) = steps.capture("README example", &mut Command::new(program))?;
    let same = captured.success && captured.text.trim_end() == shown.trim_end();
    let verdict =
        if same { Ok(()) } else { Err(format!("README.md shows another output than\n{}", captured.text)) };
    steps.judge("README example", started, verdict)
}

/// Runs every example, which the tests' build made; each says by its asserts whether it still shows what it claims.
fn examples(steps: &mut Steps, metadata: &Metadata) -> Result<()> {
    for (_, target) in metadata.targets("example") {
        let program = metadata.target_directory.join("debug/examples").join(&target.name);
        steps.run(&format!("example {}", target.name), &mut Command::new(program))?;
    }
    Ok(())
}

/// Builds the product with its planted faults and runs the tests that demand that each is seen.
fn mutants(steps: &mut Steps, metadata: &Metadata, filter: &[String]) -> Result<()> {
    let targets: Vec<&str> = metadata
        .targets("test")
        .filter(|(_, target)| target.required_features.iter().any(|feature| feature == "mutants"))
        .map(|(_, target)| target.name.as_str())
        .collect();
    ensure!(
        !targets.is_empty(),
        "no test target requires the feature `mutants`, so nothing shows that the isolation checks can go red"
    );
    let mut command = tests(&["test"], &metadata.features_with_mutants());
    for target in targets {
        command.args(["--test", target]);
    }
    steps.run("mutants", &mut with_filter(command, filter))
}

fn tests(words: &[&str], features: &str) -> Command {
    let mut command = Command::new(cargo());
    command.current_dir(root()).args(words).args(["--workspace", "--features", features]);
    // A snapshot that differs is red and nothing else: no file is written beside the test.
    command.env("INSTA_UPDATE", "no");
    command
}

/// The filter as libtest takes it: after two dashes.
fn with_filter(mut command: Command, filter: &[String]) -> Command {
    if !filter.is_empty() {
        command.arg("--").args(filter);
    }
    command
}

fn has_nextest() -> bool {
    let mut command = Command::new(cargo());
    command.args(["nextest", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
