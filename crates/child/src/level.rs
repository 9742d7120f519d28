//! How much of Landlock the running kernel has. Asking creates a ruleset that restricts nothing, and drops it.

use std::fmt;

/// The version of the Landlock interface that the kernel enforces and this crate uses; 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(u32);

impl Level {
    /// Nothing is restricted.
    pub const NONE: Self = Self(0);

    /// The least that confines a command at all: files are restricted, with moves between folders and truncation.
    pub const LEAST: Self = Self(3);

    /// Returns true if files are restricted at all.
    #[must_use]
    pub fn confines(self) -> bool {
        self >= Self::LEAST
    }

    /// Describes the restrictions to a person.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self.0 {
            0 => "none: the kernel has no Landlock",
            1 | 2 => "too old: truncation is not restricted",
            3 => "files; neither TCP nor signals",
            4 | 5 => "files and TCP; not signals",
            _ => "files, TCP, signals and abstract sockets",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Landlock {} ({})", self.0, self.describe())
    }
}

/// Returns the level that the running kernel enforces.
#[cfg(target_os = "linux")]
#[must_use]
pub fn level() -> Level {
    use landlock::{ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, Scope};
    let has = |abi: ABI| {
        let rules = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        let mut rules = rules.handle_access(AccessFs::from_all(abi));
        if abi >= ABI::V4 {
            rules = rules.and_then(|rules| rules.handle_access(AccessNet::from_all(abi)));
        }
        if abi >= ABI::V6 {
            rules = rules.and_then(|rules| rules.scope(Scope::from_all(abi)));
        }
        rules.and_then(Ruleset::create).is_ok()
    };
    let known = [(6, ABI::V6), (5, ABI::V5), (4, ABI::V4), (3, ABI::V3), (2, ABI::V2), (1, ABI::V1)];
    Level(known.into_iter().find(|(_, abi)| has(*abi)).map_or(0, |(level, _)| level))
}

/// Returns level 0: only Linux has Landlock.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn level() -> Level {
    Level(0)
}
