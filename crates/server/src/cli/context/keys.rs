//! The commands `context keys ls`, `context keys rotate` and `context keys make`: the ring that seals contexts on their way into jobs. They work
//! on the key file of the configuration, beside a running server or without one; every process sees a change at its next
//! use. No key is ever shown.

use std::time::Duration;

use haversack::{KeyInfo, Keyring};
use haversack_store::{KeyFile, now_millis};
use serde::Serialize;

use super::super::config::Source;
use super::super::keys::{period, time};
use super::super::output::Output;
use crate::code::Code;
use crate::problem::Fault;

/// How long the keys before a rotation go on opening when nothing is said: longer than jobs are kept.
const OVERLAP: &str = "30d";

/// Arguments of `context keys`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    source: Source,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the keys of the ring; never the keys themselves.
    Ls,
    /// Make a key file in the place of one that is lost for good. What was sealed with the lost one stays closed.
    Make,
    /// Add a key, which seals from now on. The ones before it still open what they sealed, for a while.
    Rotate {
        /// How long the keys before it still open: `12h`, `30d`. What they sealed and is not done by then is lost.
        #[arg(long, value_name = "PERIOD", default_value = OVERLAP, value_parser = period)]
        overlap: Duration,
    },
}

/// A key as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    id: String,
    state: &'static str,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    retires_at: Option<String>,
}

/// Runs `context keys`.
///
/// # Errors
/// [`Code::KeyFileUnusable`].
pub(super) fn run(args: &Args, out: &Output) -> Result<(), Fault> {
    let config = args.source.load()?.config;
    let path = config.keys.path(&config.store.path);
    // Opening makes a file where there is none, and a ring that nothing was sealed with is an answer to nothing else.
    if !path.exists() && !matches!(args.action, Action::Make) {
        let detail =
            format!("There is no key file at {}; the first start of a server makes it.", path.display());
        return Err(Fault::new(Code::KeyFileUnusable, detail));
    }
    let file = KeyFile::open(&path, &config.store.path)?;
    match args.action {
        // One that is there already is as good: it is not touched.
        Action::Ls | Action::Make => list(&file.keyring()?, out),
        Action::Rotate { overlap } => {
            list(&file.rotate(overlap)?, out);
            out.note("Copy the key file to where its copies are; a backup of the data does not hold it.");
        }
    }
    Ok(())
}

impl Shown {
    fn of(key: KeyInfo) -> Self {
        let retired = key.retires_at.is_some_and(|at| at <= now_millis());
        let state = match (key.seals, retired) {
            (true, _) => "seals",
            (false, false) => "opens",
            (false, true) => "retired",
        };
        Self { id: key.id, state, created_at: time(key.created_at), retires_at: key.retires_at.map(time) }
    }
}

fn list(ring: &Keyring, out: &Output) {
    let shown: Vec<Shown> = ring.keys().map(Shown::of).collect();
    shown.iter().for_each(|key| out.value(key));
    let rows: Vec<Vec<String>> = shown
        .into_iter()
        .map(|key| {
            let ends = key.retires_at.unwrap_or_else(|| "-".to_owned());
            vec![key.id, key.state.to_owned(), key.created_at, ends]
        })
        .collect();
    out.table(&["KEY", "STATE", "CREATED", "RETIRES"], &rows);
}
