//! The command `init`: writes a commented configuration file and the knowledge folder, so that a first deployment is an
//! edit and not a search. It never overwrites.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

use super::output::Output;
use crate::code::Code;
use crate::config::FILE;
use crate::problem::Fault;

/// The sections that the server owns, every key with its default behind a `#`.
const SETTINGS: &str = include_str!("init/haversack.toml");

/// What stands in the knowledge folder.
const KNOWLEDGE: &str = include_str!("init/knowledge.md");

/// Arguments of `init`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder to write into; made when it does not exist.
    #[arg(default_value = ".")]
    folder: PathBuf,
}

#[derive(Serialize)]
struct Written {
    written: Vec<PathBuf>,
}

/// Runs `init`.
///
/// # Errors
/// [`Code::ConfigInvalid`] when there is a configuration file already: nothing is written then. Otherwise those of the
/// file system.
pub fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    let config = args.folder.join(FILE);
    let knowledge = args.folder.join("knowledge");
    make(&args.folder)?;
    // The refusal first: then nothing else is written either.
    write(&config, &file())?;
    make(&knowledge)?;
    let mut written = vec![config];
    let page = knowledge.join("README.md");
    if !page.exists() {
        write(&page, KNOWLEDGE)?;
        written.push(page);
    }
    for path in &written {
        out.line(&format!("wrote {}", path.display()));
    }
    out.value(&Written { written });
    out.note("Next: haversack keys issue --tenant NAME --principal NAME, then haversack serve");
    Ok(ExitCode::SUCCESS)
}

/// The whole configuration file: settings, then the agents as they are compiled in, ready to be changed.
pub fn file() -> String {
    let agents = haversack_agent::agent::DEFAULT_TOML
        .replace("# knowledge = \"./knowledge\"", "knowledge = \"./knowledge\"");
    format!("{SETTINGS}\n{agents}")
}

fn make(folder: &Path) -> Result<(), Fault> {
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, error))
}

fn write(path: &Path, text: &str) -> Result<(), Fault> {
    let mut file = match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let detail =
                format!("{} is there already and was not touched; move it away first.", path.display());
            return Err(Fault::new(Code::ConfigInvalid, detail));
        }
        Err(error) => return Err(failed(path, error)),
    };
    file.write_all(text.as_bytes()).map_err(|error| failed(path, error))
}

fn failed(path: &Path, error: std::io::Error) -> Fault {
    Fault::caused(Code::DataNotWritable, format!("{} cannot be written.", path.display()), error)
}
