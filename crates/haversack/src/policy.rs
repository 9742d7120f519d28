//! What a variable allows: which crossings it takes part in, and whether its value may be shown.
//!
//! A policy is written once, where the variable is declared, by the `const` builders of
//! [`ContextVar`](crate::ContextVar). The cell reads one byte of it; contradictions do not compile.

use std::fmt;

/// A kind of hand-over that carries a context further.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Crossing {
    /// To a task, a thread or a pool of this process.
    Local,
    /// Into a job that another process may run.
    Job,
    /// Into the headers of an outgoing request.
    Outbound,
}

impl Crossing {
    #[inline]
    pub(crate) const fn bit(self) -> u8 {
        match self {
            Self::Local => 1,
            Self::Job => 2,
            Self::Outbound => 4,
        }
    }
}

impl fmt::Display for Crossing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "a hand-over to another task or thread",
            Self::Job => "a hand-over to a job",
            Self::Outbound => "an outgoing request",
        })
    }
}

/// What a variable's declaration says, as data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    pub(crate) local: bool,
    pub(crate) portable: Option<u16>,
    pub(crate) outbound: Option<&'static str>,
    pub(crate) secret: bool,
    pub(crate) shown: bool,
    pub(crate) at_door: bool,
    pub(crate) env: Option<&'static str>,
}

impl Policy {
    pub(crate) const LOCAL: Self = Self {
        local: true,
        portable: None,
        outbound: None,
        secret: false,
        shown: false,
        at_door: false,
        env: None,
    };

    /// Whether the variable takes part in `crossing`.
    #[must_use]
    pub const fn allows(&self, crossing: Crossing) -> bool {
        match crossing {
            Crossing::Local => self.local,
            Crossing::Job => self.portable.is_some(),
            Crossing::Outbound => self.outbound.is_some(),
        }
    }

    /// The wire version under which the value travels into jobs, if it does.
    #[must_use]
    pub const fn wire_version(&self) -> Option<u16> {
        self.portable
    }

    /// The header under which the value leaves, if it does.
    #[must_use]
    pub const fn header(&self) -> Option<&'static str> {
        self.outbound
    }

    /// Whether the value is redacted everywhere.
    #[must_use]
    pub const fn is_secret(&self) -> bool {
        self.secret
    }

    /// Whether the value may be printed in trees and span fields.
    #[must_use]
    pub const fn is_shown(&self) -> bool {
        self.shown
    }

    /// Whether only a boundary may bind it.
    #[must_use]
    pub const fn is_at_door(&self) -> bool {
        self.at_door
    }

    /// The environment name that an entry point may fall back to, if any.
    #[must_use]
    pub const fn env(&self) -> Option<&'static str> {
        self.env
    }
}

/// The part of a variable that does not depend on its type.
#[derive(Debug)]
pub(crate) struct Meta {
    pub(crate) name: &'static str,
    pub(crate) policy: Policy,
}

impl Meta {
    /// The crossings that the variable refuses, as bits. Only hand-overs inside the process are refused at a
    /// capture; jobs and headers take what is declared, by manifest.
    #[inline]
    pub(crate) fn withheld(&self) -> u8 {
        if self.policy.local { 0 } else { Crossing::Local.bit() }
    }
}
