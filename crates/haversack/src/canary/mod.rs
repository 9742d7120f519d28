//! Leak canaries: values that exist once, planted for their owners and searched for wherever one of another's could
//! come out.
//!
//! [`Canaries`] makes and keeps the values. A [`Search`] is handed haystacks (texts, bytes, files, environments, what
//! was logged), reads each as it is and as everything that it decodes to ([`forms`]), and says whose value came out
//! where, written as what. It quotes no value: a report of a leak must not be one.
//!
//! Nothing here opens a door or binds anything, so a program may use it outside of tests, with the feature `canary`.

mod forms;
mod search;

pub use forms::{Encoding, Form, forms};
pub use search::{Log, Reader, Search, Sighting};

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};

/// Values, each with its owner.
///
/// ```
/// use haversack::canary::{Canaries, Reader};
///
/// let mut canaries = Canaries::new();
/// let acme = canaries.plant("acme", "a note");
/// let zeta = canaries.plant("zeta", "a note");
///
/// // Whatever the program does with them ...
/// let reply_to_acme = format!("you wrote: {acme}");
/// let log = format!("took a note \\u{:04x}{}", u32::from(zeta.as_bytes()[0]), &zeta[1..]);
///
/// let mut search = canaries.search();
/// search.text("the reply", Reader::Owner("acme"), &reply_to_acme);
/// assert_eq!(search.leaks().count(), 0);
///
/// search.text("the log", Reader::Nobody, &log);
/// let leak = search.leaks().next().unwrap();
/// assert_eq!(leak.to_string(), "a note of zeta is in the log, written as JSON");
/// ```
#[derive(Clone)]
pub struct Canaries {
    salt: String,
    planted: Vec<Planted>,
}

#[derive(Clone)]
struct Planted {
    owner: String,
    what: String,
    value: Vec<u8>,
}

impl Default for Canaries {
    fn default() -> Self {
        Self::new()
    }
}

impl Canaries {
    /// None yet. Two of these never make the same value.
    #[must_use]
    pub fn new() -> Self {
        let mut random = RandomState::new().build_hasher().finish();
        let mut letter = || {
            let letter = char::from(b'a' + (random % 26) as u8);
            random /= 26;
            letter
        };
        Self { salt: (0..12).map(|_| letter()).collect(), planted: Vec::new() }
    }

    /// A fresh value of this owner: one word of lower-case letters and digits, which no tokenizer cuts and no
    /// encoding leaves out. `what` says in a report what the value stood for.
    #[must_use = "a value that is put nowhere cannot leak"]
    pub fn plant(&mut self, owner: &str, what: &str) -> String {
        let value = format!("cy{}n{}q", self.salt, self.planted.len());
        self.watch(owner, what, &value);
        value
    }

    /// Searches for a value that exists already: a key, a secret, a name.
    ///
    /// A text that is shorter than six bytes turns up by chance. An empty one is not searched for.
    pub fn watch(&mut self, owner: &str, what: &str, value: impl AsRef<[u8]>) {
        let value = value.as_ref().to_vec();
        if !value.is_empty() {
            self.planted.push(Planted { owner: owner.to_owned(), what: what.to_owned(), value });
        }
    }

    /// A search that has found nothing yet.
    pub fn search(&self) -> Search<'_> {
        Search::new(&self.planted)
    }
}

impl fmt::Debug for Canaries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Canaries").field("planted", &self.planted.len()).finish_non_exhaustive()
    }
}
