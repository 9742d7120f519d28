//! What a context keeps aside: what was left behind on its way, and what it carries on for others.
//!
//! It hangs in the head of the slots, behind one pointer. Only the error path and the capture of a snapshot look
//! at it; a read never does.

use std::borrow::Cow;

use crate::error::Reason;

/// Beside the bindings. Shared by every context that has the same past.
#[derive(Clone, Debug, Default)]
pub(crate) struct Aside {
    /// In the order of the crossings; the newest one counts.
    pub(crate) lost: Vec<Lost>,
    /// Variables of a snapshot that nobody here reads. The next snapshot takes them along.
    #[cfg(feature = "snapshot")]
    pub(crate) passing: Vec<crate::snapshot::Carried>,
}

/// A binding that was left behind: which variable, and why.
#[derive(Clone, Debug)]
pub(crate) struct Lost {
    pub(crate) variable: Cow<'static, str>,
    pub(crate) reason: Reason,
}

impl Lost {
    pub(crate) fn new(variable: impl Into<Cow<'static, str>>, reason: Reason) -> Self {
        Self { variable: variable.into(), reason }
    }
}

impl Aside {
    /// This, with more losses.
    pub(crate) fn and_lost(&self, lost: impl Iterator<Item = Lost>) -> Self {
        let mut more = self.clone();
        more.lost.extend(lost);
        more
    }
}
