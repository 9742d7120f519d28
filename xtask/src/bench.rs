//! `cargo xtask bench`: the measurements. Each is a bench target with its own `main`, which measures and prints a
//! table; this module only builds it in the release profile with the features it requires, and passes arguments
//! on. What is measured beside other people's libraries is in the workspace `peers`, whose tree is its own.

use std::process::Command;

use anyhow::{Context, Result};
use clap::Subcommand;

use crate::steps::Steps;
use crate::workspace::{Metadata, cargo, root};

#[derive(Subcommand)]
pub enum Bench {
    /// Turns per second and latency of the whole product at 1, 16 and 64 sessions, with the offline model
    Turns {
        /// Passed on to the bench
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Measure a neighbour's turns alone and beside hostile tenants and strangers
    Neighbours {
        /// Passed on to the bench
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Jobs per second and how soon one starts, on SQLite, in one process and two
    Jobs {
        /// Passed on to the bench
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Cost of the library's operations beside tokio's task-local, OpenTelemetry, dcontext, tracing and CPython's
    /// contextvars, against the targets
    Context {
        /// Passed on to the bench
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Milliseconds a durable step of a pipeline, and a thousand runs at once, against the targets
    Pipelines {
        /// Passed on to the bench
        #[arg(last = true)]
        arguments: Vec<String>,
    },
}

/// Builds and runs one bench target.
pub fn run(what: &Bench) -> Result<()> {
    let (name, arguments) = match what {
        Bench::Turns { arguments } => ("turns", arguments),
        Bench::Neighbours { arguments } => ("neighbours", arguments),
        Bench::Jobs { arguments } => ("jobs", arguments),
        Bench::Context { arguments } => return beside_peers("context", arguments),
        Bench::Pipelines { arguments } => ("pipelines", arguments),
    };
    let metadata = Metadata::read(&root())?;
    let (package, target) = metadata
        .targets("bench")
        .find(|(_, target)| target.name == name)
        .with_context(|| format!("no package of the workspace has a bench target called `{name}`"))?;

    let mut command = Command::new(cargo());
    command.current_dir(root()).args(["bench", "--package", &package.name, "--bench", name]);
    if !target.required_features.is_empty() {
        command.args(["--features", &target.required_features.join(",")]);
    }
    command.arg("--").args(arguments);
    let mut steps = Steps::default();
    steps.run(name, &mut command)?;
    Ok(())
}

/// Builds and runs one bench target of the workspace `peers`, as its own lock file says.
fn beside_peers(name: &str, arguments: &[String]) -> Result<()> {
    let mut command = Command::new(cargo());
    command
        .current_dir(root())
        .args(["bench", "--locked", "--manifest-path", "peers/Cargo.toml", "--target-dir", "target/peers"])
        .args(["--bench", name, "--"])
        .args(arguments);
    let mut steps = Steps::default();
    steps.run(name, &mut command)
}
