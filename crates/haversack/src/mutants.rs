//! Planted faults, for the test that shows that the leak checks would see a real one.
//!
//! One can be switched on per process. The feature is never a default and no crate of the product enables it;
//! `cargo xtask tidy` checks both.

use std::sync::OnceLock;

/// One fence that is broken on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutant {
    /// Every tenant's data goes to one file.
    TenantFile,
    /// Live turns are found by session name alone.
    SessionKey,
    /// A spawned task does not get its context.
    SpawnWrapper,
    /// A handle is accepted under any entry.
    EntryCheck,
    /// The trace ring answers whoever asks.
    RingFilter,
    /// A thread does not get its context.
    ThreadCarriage,
    /// A restored context keeps what the restoring thread had bound.
    SnapshotRestore,
    /// A job is found by its id, whoever asks.
    JobOwner,
    /// A child process inherits the environment of ours.
    ChildEnvironment,
    /// A reply goes where the last message came from.
    ReplyRoute,
    /// All runs of a pipeline work in one folder.
    RunFolder,
    /// An MCP handler runs in the context of whoever began the connection.
    McpRebind,
    /// What is sealed stands in its envelope as it is.
    Seal,
}

impl Mutant {
    /// Every mutant.
    pub const ALL: [Self; 13] = [
        Self::TenantFile,
        Self::SessionKey,
        Self::SpawnWrapper,
        Self::EntryCheck,
        Self::RingFilter,
        Self::ThreadCarriage,
        Self::SnapshotRestore,
        Self::JobOwner,
        Self::ChildEnvironment,
        Self::ReplyRoute,
        Self::RunFolder,
        Self::McpRebind,
        Self::Seal,
    ];

    /// The name under which it is asked for.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TenantFile => "tenant-file",
            Self::SessionKey => "session-key",
            Self::SpawnWrapper => "spawn-wrapper",
            Self::EntryCheck => "entry-check",
            Self::RingFilter => "ring-filter",
            Self::ThreadCarriage => "thread-carriage",
            Self::SnapshotRestore => "snapshot-restore",
            Self::JobOwner => "job-owner",
            Self::ChildEnvironment => "child-environment",
            Self::ReplyRoute => "reply-route",
            Self::RunFolder => "run-folder",
            Self::McpRebind => "mcp-rebind",
            Self::Seal => "seal",
        }
    }

    /// The mutant of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mutant| mutant.name() == name)
    }
}

static ACTIVE: OnceLock<Mutant> = OnceLock::new();

/// Breaks one fence for the rest of this process. A second call changes nothing.
pub fn enable(mutant: Mutant) {
    ACTIVE.get_or_init(|| mutant);
}

/// Whether that fence is broken.
#[must_use]
pub fn active(mutant: Mutant) -> bool {
    ACTIVE.get() == Some(&mutant)
}
