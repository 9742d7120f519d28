//! The folders of a run: its catalog, and one folder for each attempt.
//!
//! They lie at `<root>/<hash of tenant>/<run>.<its id>/`, readable by our user alone. The folder of a run is made when the
//! run is taken and never again, so that what was removed stays so. Files are reached through a confined
//! handle: links are skipped, and neither a pattern nor a race leads outside. Everything here blocks, and is called on
//! the pool by the runners of steps.

use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use glob::{MatchOptions, Pattern};
use haversack_child::Access;
use haversack_store::Scope;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::parameters::{digest, hex};
use crate::run::RunId;
use crate::run_log::{Leftover, folder_name};
use crate::secrets::{Search, SecretSet};
use crate::step::printed::{self, OutputPart, Part};
use crate::step::{StepFailure, end_orphan};

const MAX_DEPTH: usize = 32;
const MAX_FILES: usize = 10_000;
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// A file that a step took from the catalog or left there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Relative to the work folder.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// SHA-256 in hexadecimal digits.
    pub sha256: String,
    /// Whether the catalog has a copy of it.
    pub copied: bool,
}

/// Reads a pattern of relative file names, or says why it is none.
pub(crate) fn pattern(text: &str) -> Result<Pattern, &'static str> {
    let path = Path::new(text);
    if text.is_empty() || !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(
            "files are named relative to the work folder, without `..`, `.` and `/` in front; mend it",
        );
    }
    Pattern::new(text).map_err(|_| "this is no pattern; `*`, `?`, `[a-z]` and `**` between slashes are")
}

/// The folder of one run.
#[derive(Clone, Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Where the folder of this run lies. Touches no file.
    pub(crate) fn of(root: &Path, owner: &Scope, run: &RunId, id: &str) -> Self {
        Self::at(root, owner.tenant().as_str(), &folder_name(run.as_str(), id))
    }

    /// Where the folder of a run lies whose rows are gone. Touches no file.
    pub(crate) fn left(root: &Path, left: &Leftover) -> Self {
        Self::at(root, &left.tenant, &left.folder)
    }

    fn at(root: &Path, owner: &str, folder: &str) -> Self {
        #[cfg(feature = "mutants")]
        if haversack::mutants::active(haversack::mutants::Mutant::RunFolder) {
            return Self { path: root.join("shared") };
        }
        Self { path: root.join(hex(&digest(owner.as_bytes()))).join(folder) }
    }

    /// Makes the run's folder, where it is not there yet. Only whoever takes the run does, in the transaction that takes
    /// it: a run that is deleted has its folder removed after that, and nobody makes it anew.
    pub(crate) fn make(&self) -> io::Result<()> {
        private(&self.path.join("catalog"), true)?;
        private(&self.path.join(ATTEMPTS), true)
    }

    /// Makes the folder of one attempt, empty.
    pub(crate) fn attempt(&self, number: u64) -> io::Result<AttemptFolder> {
        let path = self.attempt_path(number);
        for folder in [&path, &path.join("work"), &path.join("tmp"), &path.join(RETURNED)] {
            private(folder, false)?;
        }
        let path = path.canonicalize()?;
        let own = Dir::open_ambient_dir(&path, ambient_authority())?;
        let work = Dir::open_ambient_dir(path.join("work"), ambient_authority())?;
        let catalog = Dir::open_ambient_dir(self.path.join("catalog"), ambient_authority())?;
        Ok(AttemptFolder { path, own, work, catalog })
    }

    /// Removes what a lost attempt left, except what it printed.
    pub(crate) fn clear(&self, number: u64) {
        clear(&self.attempt_path(number));
    }

    /// Ends what attempts of the run left running, and removes what they were given. What they printed and the catalog stay.
    pub(crate) fn abandon(&self) {
        let Ok(attempts) = std::fs::read_dir(self.path.join(ATTEMPTS)) else { return };
        for attempt in attempts.flatten() {
            end_orphan(&attempt.path());
            clear(&attempt.path());
        }
    }

    /// Ends what attempts of the run left running, and removes its folder with all that is in it.
    pub(crate) fn remove(&self) -> io::Result<()> {
        if let Ok(attempts) = std::fs::read_dir(self.path.join(ATTEMPTS)) {
            attempts.flatten().for_each(|attempt| end_orphan(&attempt.path()));
        }
        match std::fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    pub(crate) fn attempt_path(&self, number: u64) -> PathBuf {
        self.path.join(ATTEMPTS).join(number.to_string())
    }

    /// A part of what the attempt printed.
    pub(crate) fn output(&self, number: u64, part: OutputPart) -> io::Result<Part> {
        printed::read(&self.attempt_path(number).join(OUTPUT), part)
    }
}

pub(crate) const OUTPUT: &str = "output.log";
const ATTEMPTS: &str = "attempts";
/// Where a child writes its results: a folder of its own, because nothing else beside its work is for it to change.
const RETURNED: &str = "returned";
/// How the names of files begin that are on their way.
const STAGED: &str = "half-";

/// The folder of one attempt: where a child works, and the files that pass between it and us.
#[derive(Debug)]
pub(crate) struct AttemptFolder {
    path: PathBuf,
    own: Dir,
    work: Dir,
    catalog: Dir,
}

impl AttemptFolder {
    /// Where a child starts, and what it has as its home.
    pub(crate) fn work(&self) -> PathBuf {
        self.path.join("work")
    }

    pub(crate) fn temporary(&self) -> PathBuf {
        self.path.join("tmp")
    }

    /// The parameters, for the child to read.
    pub(crate) fn parameters(&self) -> PathBuf {
        self.path.join("parameters.json")
    }

    /// The results, for the child to write.
    pub(crate) fn returns(&self) -> PathBuf {
        self.path.join(RETURNED).join("returns.json")
    }

    /// Returns the access of a child: it writes in its work folder, its temporary folder and its results.
    pub(crate) fn access(&self) -> Access {
        let write = vec![self.work(), self.temporary(), self.path.join(RETURNED)];
        Access { read: vec![self.parameters()], write }
    }

    /// Who the child is, for an executor that comes after ours.
    pub(crate) fn process(&self) -> PathBuf {
        self.path.join("process")
    }

    /// Copies what the patterns name from the catalog into the work folder.
    pub(crate) fn get(&self, patterns: &[String]) -> Result<Vec<FileRecord>, StepFailure> {
        let found = matching(&self.catalog, patterns, "the catalog")?;
        let take = |path: &String| {
            let staged = self.stage(&self.catalog, path, 0, |_| Ok(()))?;
            self.settle(staged, 0, &self.work)
        };
        found.iter().map(|path| take(path).map_err(|e| unusable("get", &e))).collect()
    }

    /// Takes what the patterns name from the work folder into the catalog, or hashes it only. Each file is searched for the
    /// secrets of the step on its way; when one of them has one, in its name or in its bytes, none reaches the catalog.
    pub(crate) fn put(
        &self,
        patterns: &[String],
        no_copy: bool,
        secrets: &SecretSet,
    ) -> Result<Vec<FileRecord>, StepFailure> {
        let found = matching(&self.work, patterns, "the work folder")?;
        let mut staged = Vec::new();
        for (at, path) in found.iter().enumerate() {
            let (mut in_name, mut search) = (Search::new(secrets), Search::new(secrets));
            in_name.feed(path.as_bytes());
            let mut holds = in_name.finish();
            if holds.is_none() {
                // One that is found ends the reading, which is no fault of the file.
                let look = |bytes: &[u8]| match search.feed(bytes) {
                    Some(_) => Err(io::ErrorKind::InvalidData.into()),
                    None => Ok(()),
                };
                let read = if no_copy {
                    hash(&self.work, path, look)
                } else {
                    self.stage(&self.work, path, at, look)
                };
                holds = search.finish();
                match read {
                    Ok(file) => staged.push(file),
                    Err(error) if holds.is_none() => return Err(unusable("put", &error)),
                    Err(_) => {}
                }
            }
            if let Some(name) = holds {
                // The name of the file may be the secret, so it is not repeated.
                return Err(StepFailure::new(format!(
                    "a file under `put` holds the secret `{name}` of the step; secrets are written nowhere, so take it out. \
                     No file of this attempt is in the catalog"
                )));
            }
        }
        if no_copy {
            return Ok(staged);
        }
        let take = |(at, file)| self.settle(file, at, &self.catalog).map_err(|e| unusable("put", &e));
        staged.into_iter().enumerate().map(take).collect()
    }

    /// Takes away what only the running attempt needs. What it printed stays.
    pub(crate) fn clear(&self) {
        clear(&self.path);
    }

    /// Copies a file to where nobody reads it yet, and shows each part to `look`.
    fn stage(
        &self,
        from: &Dir,
        path: &str,
        at: usize,
        look: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<FileRecord> {
        let mut out = self.own.create(staged(at))?;
        let (size, sha256) = drain(&mut from.open(path)?, &mut out, look)?;
        Ok(FileRecord { path: path.to_owned(), size, sha256, copied: true })
    }

    /// Moves a staged file to its place, whole or not at all: readers see the old one or the new one, and no half.
    fn settle(&self, file: FileRecord, at: usize, to: &Dir) -> io::Result<FileRecord> {
        if let Some(folder) = Path::new(&file.path).parent().filter(|folder| !folder.as_os_str().is_empty()) {
            to.create_dir_all(folder)?;
        }
        self.own.rename(staged(at), to, &file.path)?;
        Ok(file)
    }
}

/// What a file is called in the attempt's folder until it is settled.
fn staged(at: usize) -> String {
    format!("{STAGED}{at}")
}

/// Removes the work of an attempt. What cannot be removed now is in nobody's way: no later attempt has this folder.
fn clear(attempt: &Path) {
    for folder in ["work", "tmp", RETURNED] {
        drop(std::fs::remove_dir_all(attempt.join(folder)));
    }
    for file in ["parameters.json", "process"] {
        drop(std::fs::remove_file(attempt.join(file)));
    }
    let Ok(left) = std::fs::read_dir(attempt) else { return };
    for file in left.flatten() {
        if file.file_name().to_str().is_some_and(|name| name.starts_with(STAGED)) {
            drop(std::fs::remove_file(file.path()));
        }
    }
}

/// Makes a folder of our user's, with those above it where `recursive`. One that is there is good.
fn private(folder: &Path, recursive: bool) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    match std::fs::DirBuilder::new().recursive(recursive).mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn unusable(word: &str, error: &io::Error) -> StepFailure {
    StepFailure::new(format!("the catalog could not {word} a file: {}", error.kind()))
}

/// The plain files that one of the patterns names, in order. A name without wildcards has to be there.
fn matching(dir: &Dir, patterns: &[String], place: &str) -> Result<Vec<String>, StepFailure> {
    if patterns.is_empty() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    walk(dir, "", 0, &mut files).map_err(|error| unusable("list", &error))?;
    files.sort();
    let mut wanted = Vec::new();
    for text in patterns {
        let pattern = pattern(text).map_err(|why| StepFailure::new(format!("`{text}`: {why}")))?;
        let literal = !text.contains(['*', '?', '[']);
        if literal && !files.contains(text) {
            return Err(StepFailure::new(format!("{place} has no plain file `{text}`")));
        }
        wanted.push(pattern);
    }
    files.retain(|path| wanted.iter().any(|pattern| pattern.matches_with(path, OPTIONS)));
    Ok(files)
}

fn walk(dir: &Dir, prefix: &str, depth: usize, files: &mut Vec<String>) -> io::Result<()> {
    for entry in dir.entries()? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let kind = entry.file_type()?;
        if kind.is_dir() && depth < MAX_DEPTH {
            walk(&entry.open_dir()?, &format!("{prefix}{name}/"), depth + 1, files)?;
        } else if kind.is_file() {
            if files.len() == MAX_FILES {
                return Err(io::Error::other("too many files"));
            }
            files.push(format!("{prefix}{name}"));
        }
    }
    Ok(())
}

fn hash(dir: &Dir, path: &str, look: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<FileRecord> {
    let (size, sha256) = drain(&mut dir.open(path)?, &mut io::sink(), look)?;
    Ok(FileRecord { path: path.to_owned(), size, sha256, copied: false })
}

fn drain(
    from: &mut impl Read,
    to: &mut impl Write,
    mut look: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<(u64, String)> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut size = 0;
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok((size, hex(&hasher.finalize())));
        }
        look(&buffer[..read])?;
        hasher.update(&buffer[..read]);
        to.write_all(&buffer[..read])?;
        size += read as u64;
    }
}
