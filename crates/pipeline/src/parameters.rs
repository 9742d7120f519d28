//! Parameters: JSON values by name, and the scope in which a step sees them.
//!
//! [`Parameters`] is what a caller gives a run. Inside a run each graph has [`Values`]: what its surroundings gave it
//! and what it changed itself. A branch works on a copy, and what it changed reaches its surroundings only by an
//! explicit merge. Values carry their hash, so that the run log can name inputs without repeating them.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, IntoIter};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::environment;
use crate::error::PipelineError;

/// JSON values by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Parameters(BTreeMap<String, Value>);

impl Parameters {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more; a later value of the same name replaces an earlier one.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// The value of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Refuses names that no step could be given.
    pub(crate) fn check(&self) -> Result<(), PipelineError> {
        match self.0.keys().find_map(|name| environment::refused(name).map(|why| (name, why))) {
            Some((name, why)) => Err(PipelineError::BadParameter { name: name.clone(), why }),
            None => Ok(()),
        }
    }
}

impl FromIterator<(String, Value)> for Parameters {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl IntoIterator for Parameters {
    type Item = (String, Value);
    type IntoIter = IntoIter<String, Value>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

pub(crate) type Hash = [u8; 32];

pub(crate) fn digest(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [b >> 4, b & 15]).map(|half| char::from(DIGITS[usize::from(half)])).collect()
}

/// How many bytes a value has as JSON; `None` when they are more than `limit`.
pub(crate) fn size_within(value: &impl Serialize, limit: usize) -> Option<usize> {
    struct Left(usize);
    impl std::io::Write for Left {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::FileTooLarge)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut left = Left(limit);
    serde_json::to_writer(&mut left, value).ok()?;
    Some(limit - left.0)
}

/// One value and its hash, which covers its name too.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub(crate) value: Arc<Value>,
    pub(crate) hash: Hash,
}

impl Bound {
    fn new(name: &str, value: Arc<Value>) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(name.as_bytes());
        hasher.update([0]);
        hasher.update(value.to_string().as_bytes());
        Self { value, hash: hasher.finalize().into() }
    }
}

/// What one graph of a run sees. Cheap to clone: values are shared.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values {
    bound: Arc<BTreeMap<Arc<str>, Bound>>,
    changed: BTreeSet<Arc<str>>,
    all: Hash,
}

impl Values {
    pub(crate) fn of(parameters: Parameters) -> Self {
        let mut values = Self::default();
        for (name, value) in parameters {
            values.set(&name, Arc::new(value));
        }
        values.changed.clear();
        values
    }

    /// What a branch starts with: everything seen here, nothing changed yet.
    pub(crate) fn branch(&self) -> Self {
        Self { bound: Arc::clone(&self.bound), changed: BTreeSet::new(), all: self.all }
    }

    pub(crate) fn set(&mut self, name: &str, value: Arc<Value>) {
        let bound = Bound::new(name, value);
        let name: Arc<str> = name.into();
        mix(&mut self.all, &bound.hash);
        if let Some(old) = Arc::make_mut(&mut self.bound).insert(Arc::clone(&name), bound) {
            mix(&mut self.all, &old.hash);
        }
        self.changed.insert(name);
    }

    /// Binds a name that belongs to this branch and is no result of it.
    pub(crate) fn set_own(&mut self, name: &str, value: Arc<Value>) {
        let was_changed = self.changed.contains(name);
        self.set(name, value);
        if !was_changed {
            self.changed.remove(name);
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Value>> {
        self.bound.get(name).map(|bound| &bound.value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Bound)> {
        self.bound.iter().map(|(name, bound)| (&**name, bound))
    }

    pub(crate) fn len(&self) -> usize {
        self.bound.len()
    }

    /// What this graph changed, in the order of the names.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<Value>)> {
        self.changed.iter().filter_map(|name| Some((name, &self.bound.get(name)?.value)))
    }

    /// One hash over everything seen here: equal hashes mean equal inputs. It is kept up to date with each
    /// change, so that asking costs nothing.
    pub(crate) fn hash(&self) -> &Hash {
        &self.all
    }

    /// A copy of everything seen here, for a step.
    pub(crate) fn parameters(&self) -> Parameters {
        self.iter().map(|(name, bound)| (name.to_owned(), Value::clone(&bound.value))).collect()
    }
}

/// Adds or takes out one hash: exclusive or, so that order does not matter.
fn mix(all: &mut Hash, one: &Hash) {
    for (byte, other) in all.iter_mut().zip(one) {
        *byte ^= other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_tells_what_is_seen_and_not_how_it_came_about() {
        let mut one = Values::of(Parameters::new().with("a", 1).with("b", "x"));
        let mut two = Values::of(Parameters::new().with("b", "y"));
        assert_ne!(one.hash(), two.hash());
        two.set("b", Arc::new("x".into()));
        two.set("a", Arc::new(1.into()));
        assert_eq!(one.hash(), two.hash());
        one.set("a", Arc::new(2.into()));
        assert_ne!(one.hash(), two.hash());
    }

    #[test]
    fn a_branch_leaves_its_surroundings_as_they_were() {
        let root = Values::of(Parameters::new().with("a", 1));
        let mut branch = root.branch();
        branch.set_own("i", Arc::new(0.into()));
        branch.set("a", Arc::new(2.into()));
        assert_eq!(**root.get("a").unwrap(), Value::from(1));
        let changed: Vec<_> = branch.changes().map(|(name, _)| name.to_string()).collect();
        assert_eq!(changed, ["a"]);
    }
}
