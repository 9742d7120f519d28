//! Searching: haystacks, who reads them, and whose values were sighted in them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use super::Planted;
use super::forms::{Form, forms};

/// Who reads a haystack, and so whose values may be in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reader<'a> {
    /// This owner, whose own values may be there.
    Owner(&'a str),
    /// Nobody who should see a value: a log, a metric, a stranger, a child that was given nothing.
    Nobody,
}

/// A value that was found.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Sighting {
    owner: String,
    what: String,
    place: String,
    form: Form,
    allowed: bool,
}

impl Sighting {
    /// Whose value it is.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// What the value stands for, as it was planted.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Where it was found, as the haystack was called.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What it was written as.
    #[must_use]
    pub fn form(&self) -> &Form {
        &self.form
    }

    /// Whether it came out before somebody who should not read it.
    #[must_use]
    pub fn is_leak(&self) -> bool {
        !self.allowed
    }
}

impl fmt::Display for Sighting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { owner, what, place, form, .. } = self;
        write!(f, "{what} of {owner} is in {place}, written as {form}")
    }
}

/// What was found so far.
///
/// ```
/// use std::process::Command;
///
/// use haversack::canary::{Canaries, Encoding, Reader};
///
/// let mut canaries = Canaries::new();
/// canaries.watch("acme", "a token", "tok-4711-acme");
/// let mut search = canaries.search();
///
/// search.text("acme's page", Reader::Owner("acme"), "your token is tok-4711-acme");
/// search.bytes("a dump", Reader::Nobody, b"\x00\x01 746f6b2d343731312d61636d65");
/// search.command("a child", Reader::Nobody, Command::new("env").env("TOKEN", "dG9rLTQ3MTEtYWNtZQ=="));
/// search.environment("ours", Reader::Nobody, [("TOKEN", "none")]);
/// search.files("nowhere", Reader::Nobody, "a/folder/that/is/not".as_ref())?;
///
/// let leaks: Vec<_> = search.leaks().map(|leak| (leak.place(), leak.form().encodings())).collect();
/// assert_eq!(
///     leaks,
///     [("a child, variable TOKEN", &[Encoding::Base64][..]), ("a dump", &[Encoding::Hex])]
/// );
/// search.assert_all_seen();
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a search that nobody asks finds nothing: `leaks`, `assert_clean`"]
pub struct Search<'a> {
    planted: &'a [Planted],
    /// The values that begin with each byte, in lower case.
    by_first: Vec<Vec<usize>>,
    sightings: BTreeSet<Sighting>,
    looked_at: usize,
}

impl<'a> Search<'a> {
    pub(super) fn new(planted: &'a [Planted]) -> Self {
        let mut by_first = vec![Vec::new(); 256];
        for (index, planted) in planted.iter().enumerate() {
            if let Some(first) = planted.value.first() {
                by_first[usize::from(first.to_ascii_lowercase())].push(index);
            }
        }
        Self { planted, by_first, sightings: BTreeSet::new(), looked_at: 0 }
    }

    /// Looks at bytes, as they are and as all that they decode to. Case does not matter.
    pub fn bytes(&mut self, place: &str, reader: Reader<'_>, haystack: &[u8]) -> &mut Self {
        let Self { planted, by_first, sightings, looked_at } = self;
        *looked_at += 1;
        let mut known = vec![false; planted.len()];
        forms(haystack, &mut |form, bytes| {
            for (at, byte) in bytes.iter().enumerate() {
                for &index in &by_first[usize::from(byte.to_ascii_lowercase())] {
                    let Planted { owner, what, value } = &planted[index];
                    let here = bytes.get(at..at + value.len());
                    // The form that is found first is the simplest.
                    if known[index] || !here.is_some_and(|here| here.eq_ignore_ascii_case(value)) {
                        continue;
                    }
                    known[index] = true;
                    sightings.insert(Sighting {
                        owner: owner.clone(),
                        what: what.clone(),
                        place: place.to_owned(),
                        form: form.clone(),
                        allowed: reader == Reader::Owner(owner),
                    });
                }
            }
        });
        self
    }

    /// Looks at a text.
    pub fn text(&mut self, place: &str, reader: Reader<'_>, haystack: &str) -> &mut Self {
        self.bytes(place, reader, haystack.as_bytes())
    }

    /// Looks at what was logged.
    pub fn log(&mut self, place: &str, reader: Reader<'_>, log: &Log) -> &mut Self {
        let bytes = log.bytes();
        self.bytes(place, reader, &bytes)
    }

    /// Looks at names and values of an environment, of a child or of this process.
    pub fn environment<K, V>(
        &mut self,
        place: &str,
        reader: Reader<'_>,
        environment: impl IntoIterator<Item = (K, V)>,
    ) -> &mut Self
    where
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        for (name, value) in environment {
            let (name, value) = (name.as_ref(), value.as_ref());
            let place = format!("{place}, variable {}", name.to_string_lossy());
            self.bytes(&place, reader, value.as_encoded_bytes());
            self.bytes(&place, reader, name.as_encoded_bytes());
        }
        self
    }

    /// Looks at what a child is started with: program, arguments, and what its environment adds to ours.
    pub fn command(&mut self, place: &str, reader: Reader<'_>, command: &Command) -> &mut Self {
        for argument in [command.get_program()].into_iter().chain(command.get_args()) {
            self.bytes(&format!("{place}, an argument"), reader, argument.as_encoded_bytes());
        }
        let given = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
        self.environment(place, reader, given)
    }

    /// Looks at a file, or at every file below a folder, and at their names. A link is not followed.
    ///
    /// # Errors
    /// When one cannot be read; one that vanishes meanwhile is passed over.
    pub fn files(&mut self, place: &str, reader: Reader<'_>, path: &Path) -> io::Result<&mut Self> {
        let name = path.to_string_lossy().into_owned();
        let metadata = match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(self),
            metadata => metadata?,
        };
        if let Some(last) = path.file_name() {
            self.bytes(&format!("{place}, the name of a file"), reader, last.as_encoded_bytes());
        }
        if metadata.is_dir() {
            for entry in path.read_dir()? {
                self.files(place, reader, &entry?.path())?;
            }
        } else if metadata.is_file() {
            match std::fs::read(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                bytes => {
                    self.bytes(&format!("{place}, the file {name}"), reader, &bytes?);
                }
            }
        }
        Ok(self)
    }

    /// Every value that was found, once for each place, in the simplest of its forms there.
    pub fn sightings(&self) -> impl Iterator<Item = &Sighting> {
        self.sightings.iter()
    }

    /// What came out before somebody who should not read it.
    pub fn leaks(&self) -> impl Iterator<Item = &Sighting> {
        self.sightings().filter(|sighting| sighting.is_leak())
    }

    /// How many haystacks were looked at.
    #[must_use]
    pub fn looked_at(&self) -> usize {
        self.looked_at
    }

    /// Demands that nothing leaked.
    ///
    /// # Panics
    /// With every leak, when there is one, and when nothing was looked at.
    #[track_caller]
    #[allow(clippy::panic)] // what a test asks for
    pub fn assert_clean(&self) {
        assert!(self.looked_at > 0, "nothing was looked at, so nothing was found");
        let leaks: Vec<String> = self.leaks().map(|leak| format!("\n- {leak}")).collect();
        assert!(leaks.is_empty(), "{} values leaked:{}", leaks.len(), leaks.concat());
    }

    /// Demands that every value was seen somewhere, by its owner or not: one that is nowhere shows that the wrong
    /// places were searched.
    ///
    /// # Panics
    /// With what was never seen.
    #[track_caller]
    #[allow(clippy::panic)] // what a test asks for
    pub fn assert_all_seen(&self) {
        let seen = |planted: &&Planted| {
            self.sightings().any(|one| (&one.owner, &one.what) == (&planted.owner, &planted.what))
        };
        let unseen = self.planted.iter().filter(|planted| !seen(planted));
        let unseen: Vec<String> = unseen.map(|one| format!("\n- {} of {}", one.what, one.owner)).collect();
        assert!(unseen.is_empty(), "{} values were seen nowhere:{}", unseen.len(), unseen.concat());
    }
}

impl fmt::Debug for Search<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Search").field("sightings", &self.sightings).finish_non_exhaustive()
    }
}

/// A place that a log can be written to, and be searched in. Clones write to the same one.
///
/// ```
/// use std::io::Write as _;
///
/// use haversack::canary::Log;
///
/// let log = Log::default();
/// // As the writer of a `tracing_subscriber::fmt` layer: `with_writer(move || log.clone())`.
/// writeln!(log.clone(), "started").unwrap();
/// assert_eq!(log.bytes(), b"started\n");
/// ```
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// What was written so far.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("bytes", &self.bytes().len()).finish()
    }
}
