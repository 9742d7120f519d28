//! The command `config`: checks the configuration as `serve` would, or prints the JSON schema of the file.
//! Also here: the arguments by which every command that needs a configuration finds it.

use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use super::output::Output;
use crate::config::{Config, Loaded};
use crate::gateway::offered::{self, Offered};
use crate::problem::Fault;

/// Where the configuration comes from. For commands to flatten.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Source {
    /// Configuration file; without it ./haversack.toml when it exists, else defaults.
    #[arg(long, value_name = "FILE", env = "HAVERSACK_CONFIG")]
    pub config: Option<PathBuf>,
    /// Data folder; overrides `[store] path`.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

impl Source {
    /// Loads the configuration.
    ///
    /// # Errors
    /// [`crate::code::Code::ConfigInvalid`] with the place of the first mistake.
    pub fn load(&self) -> Result<Loaded, Fault> {
        let mut loaded = Config::load(self.config.as_deref())?;
        // Whatever runs from here on is this binary, which is its own launcher, also when its file has been replaced.
        loaded.config.sandbox.launcher = cfg!(target_os = "linux").then(|| PathBuf::from("/proc/self/exe"));
        if let Some(data) = &self.data {
            loaded.config.store.path.clone_from(data);
        }
        Ok(loaded)
    }
}

/// Arguments of `config`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Check the configuration as `serve` would, secrets included, and start nothing.
    Check(Source),
    /// Print the JSON schema of the configuration file.
    Schema,
}

#[derive(Serialize)]
struct Checked<'a> {
    ok: bool,
    file: Option<&'a std::path::Path>,
    /// The tools of the specialists, and where each is offered.
    tools: &'a [Offered],
}

/// Runs `config`.
///
/// # Errors
/// [`crate::code::Code::ConfigInvalid`] with the place of the first mistake.
pub fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Check(source) => check(&source, out)?,
        Command::Schema => {
            let schema = Config::schema();
            out.value(&schema);
            out.line(&serde_json::to_string_pretty(&schema)?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn check(source: &Source, out: &Output) -> Result<(), Fault> {
    let loaded = source.load()?;
    loaded.config.check()?;
    crate::gateway::accounts(&loaded.config.gateway)?;
    let file = loaded.file.as_deref();
    let tools = offered::offered(&loaded.config);
    out.value(&Checked { ok: true, file, tools: &tools });
    match file {
        Some(file) => out.line(&format!("{} is valid.", file.display())),
        None => out.line("There is no configuration file; every key has its default."),
    }
    out.line("Tools that agents are offered:");
    for line in offered::lines(&tools) {
        out.line(&format!("  {line}"));
    }
    Ok(())
}
