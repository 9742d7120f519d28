//! What a snapshot looks like on the inside of its seal: one JSON object, format 1.
//!
//! Each variable carries its data as it was written, byte for byte, so that a process which does not know the
//! variable can pass it on unharmed. Fields that format 1 does not know are ignored; what cannot be ignored gets a
//! higher format number.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::OpenError;

/// The newest format that this version reads, and the one it writes.
pub(super) const FORMAT: u32 = 1;

/// A snapshot, field by field.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Wire {
    pub(super) format: u32,
    pub(super) id: String,
    pub(super) created: i64,
    pub(super) expires: Option<i64>,
    pub(super) origin: String,
    pub(super) entry: u64,
    pub(super) variables: Vec<Carried>,
    pub(super) left_behind: Vec<String>,
}

/// One variable on its way.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Carried {
    pub(super) name: String,
    pub(super) version: u16,
    /// Whether the work must not run without it.
    pub(super) required: bool,
    pub(super) data: Box<RawValue>,
}

impl Wire {
    pub(super) fn to_json(&self) -> Option<Vec<u8>> {
        serde_json::to_vec(self).ok()
    }

    /// Reads what somebody with the key wrote. The parser's own words are dropped: they may quote a value.
    pub(super) fn from_json(json: &[u8]) -> Result<Self, OpenError> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        match serde_json::from_slice::<Self>(json) {
            Ok(wire) if wire.format == FORMAT && wire.has_distinct_names() => Ok(wire),
            _ => match serde_json::from_slice::<Head>(json) {
                Ok(Head { format }) if format > FORMAT => Err(OpenError::NewerFormat { format }),
                _ => Err(OpenError::Damaged),
            },
        }
    }

    fn has_distinct_names(&self) -> bool {
        let mut names: Vec<_> = self.variables.iter().map(|variable| &*variable.name).collect();
        names.sort_unstable();
        names.windows(2).all(|pair| pair[0] != pair[1])
    }

    /// What counts against [`MAX_SNAPSHOT_BYTES`](super::MAX_SNAPSHOT_BYTES).
    pub(super) fn size(&self) -> usize {
        let variables = self.variables.iter().map(Carried::size);
        variables.chain(self.left_behind.iter().map(String::len)).sum()
    }
}

impl Carried {
    pub(super) fn size(&self) -> usize {
        self.name.len() + self.data.get().len()
    }
}

/// Name, version and size; never the value.
impl fmt::Debug for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, version, required, data } = self;
        let need = if *required { "required" } else { "optional" };
        write!(f, "{name} v{version} ({need}, {} bytes)", data.get().len())
    }
}
