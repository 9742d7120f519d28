//! The command `backup`: one consistent copy of each file of the data folder, with a manifest of their hashes. It works
//! while a server runs. A backup holds the data of every tenant in clear.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use haversack_store::{
    AuditRow, BackupManifest, ControlDb, Store, StoreError, StoreOptions, backup_beside, now_millis,
};
use serde::Serialize;

use super::config::Source;
use super::output::Output;
use crate::config::process;
use crate::engine::store_options;
use crate::problem::Fault;

/// Arguments of `backup`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder to copy to; new or empty, and outside the data folder.
    folder: PathBuf,
    #[command(flatten)]
    source: Source,
}

#[derive(Serialize)]
pub(super) struct Copied<'a> {
    folder: &'a Path,
    files: usize,
    bytes: u64,
    skipped: Vec<Skipped<'a>>,
}

#[derive(Serialize)]
struct Skipped<'a> {
    path: &'a str,
    why: &'a str,
}

/// Runs `backup`. Exit code 1 when a file could not be copied: the rest is a valid backup without it.
///
/// # Errors
/// [`crate::code::Code::BackupRefused`], and the store's faults.
pub fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    let config = args.source.load()?.config.store;
    let (data, dest, options) = (config.path.clone(), args.folder.clone(), store_options(&config));
    if !data.exists() {
        let detail = format!("There is no data folder at {}.", data.display());
        return Err(Fault::new(crate::code::Code::BackupRefused, detail).into());
    }
    let manifest = haversack::block_on(&super::runtime()?, copy(data, dest, options))?;
    let copied = Copied::of(&args.folder, &manifest);
    out.value(&copied);
    out.line(&format!("{} files, {} bytes in {}", copied.files, copied.bytes, args.folder.display()));
    for skipped in &copied.skipped {
        out.line(&format!("{} {}: {}", out.bad("NOT copied"), skipped.path, skipped.why));
    }
    Ok(if copied.skipped.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(super::EXIT_FAILED) })
}

/// Copies through the store when the folder is free, and beside the server that holds it otherwise.
async fn copy(data: PathBuf, dest: PathBuf, options: StoreOptions) -> Result<BackupManifest, Fault> {
    let (path, opts) = (data.clone(), options.clone());
    let opened =
        haversack::spawn_blocking(move || Store::open(&path, opts)).await.map_err(Fault::internal)?;
    match opened {
        Ok(store) => {
            audit(store.control(), &dest).await?;
            let copied = store.backup(&dest).await;
            store.close().await?;
            Ok(copied?)
        }
        Err(StoreError::InUse { .. }) => {
            let (path, opts) = (data.clone(), options.clone());
            let control = haversack::spawn_blocking(move || ControlDb::open_shared(&path, &opts));
            audit(&control.await.map_err(Fault::internal)??, &dest).await?;
            let copying = haversack::spawn_blocking(move || backup_beside(&data, &dest, &options));
            Ok(copying.await.map_err(Fault::internal)??)
        }
        Err(error) => Err(error.into()),
    }
}

/// A backup takes the data of all tenants out of the house, so it says first who does it.
async fn audit(control: &ControlDb, dest: &Path) -> Result<(), Fault> {
    let row = AuditRow {
        actor: format!("cli:{}", process::user()),
        action: "backup".to_owned(),
        tenant: None,
        subject: Some(dest.display().to_string()),
        note: None,
        at: now_millis(),
    };
    Ok(control.audit().append(row).await?)
}

impl<'a> Copied<'a> {
    pub(super) fn of(folder: &'a Path, manifest: &'a BackupManifest) -> Self {
        Self {
            folder,
            files: manifest.files.len(),
            bytes: manifest.files.iter().map(|file| file.bytes).sum(),
            skipped: manifest
                .skipped
                .iter()
                .map(|file| Skipped { path: &file.path, why: &file.why })
                .collect(),
        }
    }
}
