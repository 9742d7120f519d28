//! Manifests: which variables may leave the process, in one static that a person can review.
//!
//! A manifest is made by [`manifest!`](crate::manifest) alone, and checked when it is compiled: every variable is
//! portable, and no two have one name on the wire. Capturing takes what is bound and notes what stays.

use std::fmt;
use std::panic::Location;

use super::codec::Portable;
use super::wire::{Carried, FORMAT, Wire};
use super::{CaptureError, MAX_SNAPSHOT_BYTES, Snapshot, now, random_hex};
use crate::error::MissingContext;
use crate::listing::distinct;
use crate::{Context, ContextVar, Entry};

/// Lists the variables that may leave the process, for a `static`.
///
/// Before the `;` stand those without which neither a capture nor a restore succeeds, after it those that are taken
/// along where they are bound. A variable that is not [`portable`](crate::ContextVar::portable) and two variables
/// of one name do not compile. Values of [`secret`](crate::ContextVar::secret) variables travel too: a snapshot
/// leaves the process sealed only.
///
/// ```
/// use haversack::well_known::{PRINCIPAL, REQUEST_ID, SESSION_ID, TENANT_ID};
/// use haversack::{Manifest, manifest};
///
/// static OUT: Manifest = manifest![TENANT_ID, PRINCIPAL; SESSION_ID, REQUEST_ID];
/// ```
#[cfg_attr(docsrs, doc(cfg(feature = "snapshot")))]
#[macro_export]
macro_rules! manifest {
    ($($required:path),* $(,)? $(; $($optional:path),* $(,)?)?) => {{
        static LISTED: &[$crate::snapshot::Listed] = &[
            $($crate::snapshot::Listed::new(&$required, true),)*
            $($($crate::snapshot::Listed::new(&$optional, false),)*)?
        ];
        $crate::Manifest::new(LISTED)
    }};
}

/// What may leave the process. Made by [`manifest!`](crate::manifest).
pub struct Manifest {
    listed: &'static [Listed],
}

/// One variable of a manifest.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct Listed {
    pub(super) variable: &'static dyn Portable,
    pub(super) name: &'static str,
    pub(super) version: u16,
    pub(super) required: bool,
}

impl Listed {
    #[doc(hidden)]
    #[must_use]
    #[allow(clippy::panic)] // when the manifest is compiled
    pub const fn new<T: Send + Sync + 'static, B>(
        variable: &'static ContextVar<T, B>,
        required: bool,
    ) -> Self {
        match variable.policy().wire_version() {
            Some(version) => Self { variable, name: variable.name(), version, required },
            None => panic!(
                "a variable in a manifest leaves the process: declare it `.portable(version)`, or take it out"
            ),
        }
    }
}

impl Manifest {
    #[doc(hidden)]
    #[must_use]
    pub const fn new(listed: &'static [Listed]) -> Self {
        distinct!(
            listed,
            name,
            "two variables in a manifest have the same name: one would be read as the other"
        );
        Self { listed }
    }

    /// A snapshot of the current context: every listed variable that is bound. Defaults do not travel: the reader
    /// has its own.
    ///
    /// # Errors
    /// [`CaptureError`] when the current context came through no boundary, when a required variable is unbound, when
    /// a value cannot be encoded, and when all together are larger than
    /// [`MAX_SNAPSHOT_BYTES`](super::MAX_SNAPSHOT_BYTES).
    #[track_caller]
    pub fn capture(&'static self) -> Result<Snapshot, CaptureError> {
        self.capture_at(Location::caller())
    }

    fn capture_at(&'static self, at: &'static Location<'static>) -> Result<Snapshot, CaptureError> {
        let Some(entry) = Entry::try_current() else {
            return Err(CaptureError::Missing(MissingContext::find("entry", at)));
        };
        let mut variables = self.bound(at)?;
        let context = Context::current();
        if let Some(aside) = context.aside() {
            let fresh = |passing: &&Carried| variables.iter().all(|known| known.name != passing.name);
            let passing: Vec<Carried> = aside.passing.iter().filter(fresh).cloned().collect();
            variables.extend(passing);
        }
        let left_behind = left_behind(&context, &variables);
        let wire = Wire {
            format: FORMAT,
            id: random_hex::<16>().ok_or(CaptureError::NoRandom)?,
            created: now(),
            expires: None,
            origin: entry.boundary().to_owned(),
            entry: entry.number(),
            variables,
            left_behind,
        };
        match wire.size() {
            0..=MAX_SNAPSHOT_BYTES => Ok(Snapshot { wire }),
            bytes => {
                let largest = wire.variables.into_iter().max_by_key(Carried::size);
                Err(CaptureError::TooLarge { bytes, largest: largest.map(|variable| variable.name) })
            }
        }
    }

    /// The listed variables that are bound in the current frame, encoded.
    fn bound(&'static self, at: &'static Location<'static>) -> Result<Vec<Carried>, CaptureError> {
        let mut variables = Vec::with_capacity(self.listed.len());
        for Listed { variable, name, version, required } in self.listed {
            let data = match variable.encode() {
                Some(data) => data.map_err(|_| CaptureError::Unencodable { variable: name })?,
                None if *required => return Err(CaptureError::Missing(MissingContext::find(name, at))),
                None => continue,
            };
            let (name, version, required) = ((*name).to_owned(), *version, *required);
            variables.push(Carried { name, version, required, data });
        }
        Ok(variables)
    }

    pub(super) fn listed(&'static self) -> impl Iterator<Item = &'static Listed> {
        self.listed.iter()
    }
}

/// What is bound here, or was lost on the way here, and does not travel on.
fn left_behind(context: &Context, variables: &[Carried]) -> Vec<String> {
    let travels = |name: &str| variables.iter().any(|variable| variable.name == name);
    let mut names: Vec<String> = Vec::new();
    let lost = context.aside().into_iter().flat_map(|aside| &aside.lost).map(|lost| &*lost.variable);
    for name in context.names().chain(lost) {
        if !travels(name) && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |required: bool| -> Vec<&str> {
            self.listed
                .iter()
                .filter(|listed| listed.required == required)
                .map(|listed| listed.name)
                .collect()
        };
        f.debug_struct("Manifest").field("required", &names(true)).field("optional", &names(false)).finish()
    }
}
