//! Errors: what is missing, what is foreign, and what cannot be set or reset.
//!
//! Each one names the variable or handle, the place in the source, and the last boundary or hop that was
//! passed, because the place that notices is rarely the place to mend.

use std::fmt;
use std::panic::Location;

use crate::Entry;
use crate::cell::{self, Frame};
use crate::origin::Origin;
use crate::policy::Crossing;
use crate::strict;

/// A variable was read that is not bound here. One pointer in size.
pub struct MissingContext(Box<Missing>);

const _: () =
    assert!(size_of::<MissingContext>() == size_of::<usize>(), "a read's result stays in registers");

struct Missing {
    variable: &'static str,
    at: &'static Location<'static>,
    reason: Reason,
    entry: Option<Entry>,
    hop: Option<Origin>,
    /// A visit that was made here and in which nothing runs.
    idle: Option<(&'static str, &'static Location<'static>)>,
}

/// Why a variable is not bound here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Reason {
    /// Nobody bound it in this context.
    NeverBound,
    /// It was bound, and its policy kept it back at this crossing.
    Withheld {
        /// The kind of hand-over.
        crossing: Crossing,
        /// The source line of the hand-over.
        at: &'static Location<'static>,
    },
    /// The thread is in no frame at all: the work was handed over without its context.
    NoFrame,
    /// It was bound where the snapshot was captured that this work was restored from, and did not travel: it is
    /// not portable, or the manifest of the capture does not list it.
    LeftBehind,
    /// It travelled here in a snapshot, and the manifest of the restore does not list it.
    NotInManifest,
    /// It travelled here in a snapshot, in an encoding that is newer than this program's.
    NewerVersion {
        /// The version it is written in.
        written: u16,
        /// The newest version that this program declares.
        known: u16,
    },
    /// It travelled here in a snapshot, and its value could not be decoded.
    Undecodable {
        /// The version it is written in.
        written: u16,
    },
}

impl MissingContext {
    #[cold]
    pub(crate) fn find(variable: &'static str, at: &'static Location<'static>) -> Self {
        let (reason, entry, hop) = cell::current(|frame: Option<&Frame>| {
            let Some(frame) = frame else { return (Reason::NoFrame, None, None) };
            let slots = frame.share();
            let lost = slots.lost().iter().rev().find(|lost| lost.variable == variable);
            let reason = match lost {
                Some(lost) => lost.reason,
                None => Reason::NeverBound,
            };
            (reason, slots.entry().map(|state| state.entry()), Some(frame.origin()))
        });
        let idle = if reason == Reason::NoFrame { strict::idle_visit() } else { None };
        Self(Box::new(Missing { variable, at, reason, entry, hop, idle }))
    }

    /// The variable that was read.
    #[must_use]
    pub fn variable(&self) -> &'static str {
        self.0.variable
    }

    /// The source line of the read.
    #[must_use]
    pub fn at(&self) -> &'static Location<'static> {
        self.0.at
    }

    /// Why it is not bound.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// The last boundary that this work passed, if it passed one.
    #[must_use]
    pub fn boundary(&self) -> Option<&'static str> {
        self.0.entry.map(|entry| entry.boundary())
    }
}

impl fmt::Display for MissingContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Missing { variable, at, reason, entry, hop, idle } = &*self.0;
        write!(f, "`{variable}` is not bound, read at {at}: ")?;
        match reason {
            // Which boundary the work passed cannot be known: it came without its context.
            Reason::NoFrame => {
                f.write_str("this thread is in no context; ")?;
                return match idle {
                    Some((boundary, at)) => write!(
                        f,
                        "the visit of `{boundary}` made at {at} is open and nothing runs in it: run the work in it \
                         with `visit.wrap(future)` or `visit.run(..)`"
                    ),
                    None => f.write_str(
                        "where it is bound, hand the work over with `haversack::spawn`, `spawn_blocking` or \
                         `thread::spawn`, a future also with `.in_current_context()`; where nothing is bound yet, run \
                         the work in a boundary's visit, `visit.wrap(future)`, or in a `scope`",
                    ),
                };
            }
            Reason::NeverBound => f.write_str(match entry {
                Some(_) => "nobody bound it in this context; bind it at the boundary, which may require it",
                None => "nobody bound it in this context; bind it before the work is handed over",
            })?,
            Reason::Withheld { crossing, at } => write!(f, "its policy kept it back at {crossing}, at {at}")?,
            Reason::LeftBehind => f.write_str(
                "it was bound where the snapshot was captured and did not travel; declare it \
                 `.portable(version)` and list it in the manifest",
            )?,
            Reason::NotInManifest => {
                f.write_str("it travelled here, and the manifest of the restore does not list it")?;
            }
            Reason::NewerVersion { written, known } => write!(
                f,
                "it travelled here in version {written} of its encoding, and this program knows {known}; \
                 update this program"
            )?,
            Reason::Undecodable { written } => write!(
                f,
                "it travelled here, and its value could not be decoded from version {written}; a type must \
                 read what its older versions wrote"
            )?,
        }
        match entry {
            Some(entry) => write!(f, "; last boundary: {entry}")?,
            None => f.write_str("; no boundary was passed")?,
        }
        match hop {
            Some(hop) => write!(f, "; last hop: {} at {}", hop.hop.name(), hop.at),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for MissingContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MissingContext({self})")
    }
}

impl std::error::Error for MissingContext {}

/// A handle was used under another entry than the one it was made under.
pub struct ForeignContext(Box<Foreign>);

struct Foreign {
    what: &'static str,
    made: Entry,
    current: Option<Entry>,
    at: &'static Location<'static>,
}

impl ForeignContext {
    #[cold]
    pub(crate) fn new(
        what: &'static str,
        made: Entry,
        current: Option<Entry>,
        at: &'static Location<'static>,
    ) -> Self {
        Self(Box::new(Foreign { what, made, current, at }))
    }

    /// The handle that was used.
    #[must_use]
    pub fn what(&self) -> &'static str {
        self.0.what
    }

    /// The entry it was made under.
    #[must_use]
    pub fn made_under(&self) -> Entry {
        self.0.made
    }

    /// The entry it was used under, if any.
    #[must_use]
    pub fn used_under(&self) -> Option<Entry> {
        self.0.current
    }
}

impl fmt::Display for ForeignContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Foreign { what, made, current, at } = &*self.0;
        write!(f, "{what} was made under {made} and used at {at} under ")?;
        match current {
            Some(entry) => write!(f, "{entry}")?,
            None => f.write_str("no entry")?,
        }
        f.write_str("; wrap the work where it is handed over, or make the handle where it is used")
    }
}

impl fmt::Debug for ForeignContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ForeignContext({self})")
    }
}

impl std::error::Error for ForeignContext {}

/// A boundary refused an arrival: something it requires was not bound.
pub struct Refused {
    boundary: &'static str,
    variable: &'static str,
    at: &'static Location<'static>,
}

impl Refused {
    pub(crate) fn new(
        boundary: &'static str,
        variable: &'static str,
        at: &'static Location<'static>,
    ) -> Self {
        Self { boundary, variable, at }
    }

    /// The boundary that refused.
    #[must_use]
    pub fn boundary(&self) -> &'static str {
        self.boundary
    }

    /// The variable that was not bound.
    #[must_use]
    pub fn variable(&self) -> &'static str {
        self.variable
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { boundary, variable, at } = self;
        write!(f, "boundary `{boundary}` requires `{variable}`, which the arrival at {at} did not bind")
    }
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Refused({self})")
    }
}

impl std::error::Error for Refused {}

/// A variable was set where there is no frame that the binding could belong to.
pub struct NoFrame {
    variable: &'static str,
    at: &'static Location<'static>,
}

impl NoFrame {
    #[cold]
    pub(crate) fn new(variable: &'static str, at: &'static Location<'static>) -> Self {
        Self { variable, at }
    }
}

impl fmt::Display for NoFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { variable, at } = self;
        write!(
            f,
            "`{variable}` was set at {at} outside of any frame, where nothing ends the binding; \
             use `scope`, or set inside a context"
        )
    }
}

impl fmt::Debug for NoFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoFrame({self})")
    }
}

impl std::error::Error for NoFrame {}

/// A token was not reset; nothing changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResetError {
    /// The token was made in another frame or task.
    OtherContext,
    /// A newer `set` of the same variable stands; reset that one first.
    OutOfOrder,
}

impl fmt::Display for ResetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OtherContext => "the token was made in another frame: reset it in the work that set it",
            Self::OutOfOrder => "a newer set of the same variable stands: reset the newest token first",
        })
    }
}

impl std::error::Error for ResetError {}
