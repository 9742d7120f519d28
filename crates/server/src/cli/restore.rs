//! The command `restore`: puts a backup into an empty data folder. Everything is verified against the manifest before
//! anything is written, so a refused restore changes nothing.

use std::path::PathBuf;
use std::process::ExitCode;

use haversack_store::restore;

use super::backup::Copied;
use super::config::Source;
use super::output::Output;

/// Arguments of `restore`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of the backup.
    folder: PathBuf,
    #[command(flatten)]
    source: Source,
}

/// Runs `restore`.
///
/// # Errors
/// [`crate::code::Code::BackupRefused`] for an altered or incomplete backup and for a data folder that is not empty,
/// [`crate::code::Code::DataInUse`], and the store's other faults.
pub fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    let data = args.source.load()?.config.store.path;
    let manifest = restore(&args.folder, &data).map_err(crate::problem::Fault::from)?;
    out.value(&Copied::of(&data, &manifest));
    out.line(&format!("{} files restored to {}", manifest.files.len(), data.display()));
    if !manifest.skipped.is_empty() {
        out.note(&format!("{} files were missing from the backup when it was taken", manifest.skipped.len()));
    }
    out.note("Keys that were revoked after the backup work again: look at `haversack keys ls`.");
    Ok(ExitCode::SUCCESS)
}
