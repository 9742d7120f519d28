//! The entry-point fallback: a variable that declares an environment name may be read from there, where the
//! program allows it.
//!
//! The library reads no environment itself. A command line or a test installs a look-up once, at its start;
//! a server never does, so that no request can see a value of the process. What is bound wins, also when it is
//! empty.

use std::sync::OnceLock;

/// Finds a name in the environment.
pub type Lookup = fn(&str) -> Option<String>;

static LOOKUP: OnceLock<Lookup> = OnceLock::new();

/// Allows the fallback for the rest of this process, through `lookup`.
///
/// # Errors
/// Gives `lookup` back when a look-up is installed already.
pub fn allow(lookup: Lookup) -> Result<(), Lookup> {
    LOOKUP.set(lookup)
}

pub(crate) fn lookup(name: &str) -> Option<String> {
    LOOKUP.get().and_then(|lookup| lookup(name))
}
