//! The command `pipeline check`: reads files as a start would, and shows every mistake of all of them at once. It opens no
//! data folder and runs nothing.

use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use crate::cli::EXIT_USAGE;
use crate::cli::config::Source;
use crate::cli::output::{Output, plain};
use crate::code::Code;
use crate::problem::Fault;
use crate::work::pipelines::{self, Catalogue};

/// Arguments of `pipeline check`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The files; without any, those in `[pipelines] folder`.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    source: Source,
}

#[derive(Serialize)]
struct Checked {
    file: PathBuf,
    mistakes: Vec<String>,
}

/// Runs `pipeline check`.
///
/// # Errors
/// [`Code::PipelineNotFound`] when there is nothing to check.
pub(super) fn run(args: &Args, out: &Output) -> anyhow::Result<ExitCode> {
    let files = if args.files.is_empty() { configured(&args.source)? } else { args.files.clone() };
    let mut mistakes = 0;
    for file in files {
        // A file that cannot be read is a mistake as well, and no reason to leave the others unread.
        let found = pipelines::check(&file).unwrap_or_else(|fault| vec![fault.to_string()]);
        mistakes += found.len();
        let mark = if found.is_empty() { out.good("ok") } else { out.bad("mistakes") };
        out.line(&format!("{}: {mark}", file.display()));
        for mistake in &found {
            out.line(plain(&format!("  {mistake}")).as_ref());
        }
        out.value(&Checked { file, mistakes: found });
    }
    Ok(if mistakes == 0 { ExitCode::SUCCESS } else { ExitCode::from(EXIT_USAGE) })
}

fn configured(source: &Source) -> Result<Vec<PathBuf>, Fault> {
    let folder = source.load()?.config.pipelines.folder;
    let files = Catalogue::new(folder).files()?;
    match files.is_empty() {
        false => Ok(files),
        true => Err(Fault::new(
            Code::PipelineNotFound,
            "There is nothing to check: name a file, or put one into `[pipelines] folder`.",
        )),
    }
}
