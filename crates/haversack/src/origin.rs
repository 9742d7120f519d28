//! Where things come from: the last hop of a frame, and the place and boundary of a binding.

use std::panic::Location;

use crate::Boundary;

/// How a frame came to be. Seven kinds at most: the cell packs them into three bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Hop {
    Run = 0,
    Scope = 1,
    Wrapped = 2,
    Spawned = 3,
    Thread = 4,
    Boundary = 5,
    Detached = 6,
}

impl Hop {
    /// What an error calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Scope => "scope",
            Self::Wrapped => "wrapped work",
            Self::Spawned => "spawn",
            Self::Thread => "thread",
            Self::Boundary => "boundary",
            Self::Detached => "detached",
        }
    }
}

/// The last hop of a frame and where in the source it was made.
#[derive(Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) hop: Hop,
    pub(crate) at: &'static Location<'static>,
}

impl Origin {
    #[inline]
    pub(crate) fn new(hop: Hop, at: &'static Location<'static>) -> Self {
        Self { hop, at }
    }
}

/// Where and by whom a binding was made.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    pub(crate) bound_at: &'static Location<'static>,
    /// The boundary of the entry under which it was made.
    pub(crate) boundary: Option<&'static Boundary>,
    /// The frame that made it by `set`, 0 for every other way.
    pub(crate) frame: u64,
    /// Unique among the sets of that frame.
    pub(crate) stamp: u64,
}

impl Mark {
    /// A binding made by anything but `set`.
    #[inline]
    pub(crate) fn new(bound_at: &'static Location<'static>, boundary: Option<&'static Boundary>) -> Self {
        Self { bound_at, boundary, frame: 0, stamp: 0 }
    }
}
