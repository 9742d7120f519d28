//! Canaries: words that exist once, so that finding one says whose it is. All have one shape (kind, salt of the run,
//! tenant, session), so that every one in a gigabyte of bytes is found in one pass and read like a label. Each kind
//! carries the rule of who may see it and where on the disk it may lie; `world` makes them, `search` judges them.

/// What a canary stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A fact that somebody asks the agent to remember. The tenant's people share it.
    Fact,
    /// An attempt that is noted in the cache of its session.
    Attempt,
    /// An argument of a background job. It is sealed wherever it lies.
    JobArgument,
    /// An access token that came with a request.
    Token,
    /// A secret: of a request that was refused, or of the configuration.
    Secret,
    /// What a step of a pipeline writes into a file.
    FileContent,
    /// A parameter of a pipeline's run.
    Parameter,
    /// The id of a chat or a thread on a message platform.
    Chat,
    /// What the handbook of a tenant says.
    Handbook,
}

/// Who may see a canary in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    /// Whoever speaks for its tenant.
    Tenant,
    /// Its own session alone.
    Session,
    /// Nobody, not even whoever said it.
    Nobody,
}

/// Where on the disk a canary may lie in clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disk {
    /// In what belongs to its tenant by name.
    Own,
    /// There, and in the control file, whose rows name their tenant.
    Control,
    /// Nowhere.
    Nowhere,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Fact,
        Self::Attempt,
        Self::JobArgument,
        Self::Token,
        Self::Secret,
        Self::FileContent,
        Self::Parameter,
        Self::Chat,
        Self::Handbook,
    ];

    /// What it is called in a report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fact => "fact",
            Self::Attempt => "attempt",
            Self::JobArgument => "job argument",
            Self::Token => "token",
            Self::Secret => "secret",
            Self::FileContent => "file content",
            Self::Parameter => "parameter",
            Self::Chat => "chat id",
            Self::Handbook => "handbook",
        }
    }

    /// The letters that its canaries begin with.
    pub(super) const fn prefix(self) -> &'static str {
        match self {
            Self::Fact => "fa",
            Self::Attempt => "ta",
            Self::JobArgument => "ja",
            Self::Token => "ka",
            Self::Secret => "sa",
            Self::FileContent => "ca",
            Self::Parameter => "pa",
            Self::Chat => "ra",
            Self::Handbook => "ha",
        }
    }

    pub(super) const fn audience(self) -> Audience {
        match self {
            Self::Fact | Self::Handbook => Audience::Tenant,
            Self::Attempt | Self::JobArgument | Self::FileContent | Self::Parameter | Self::Chat => {
                Audience::Session
            }
            Self::Token | Self::Secret => Audience::Nobody,
        }
    }

    pub(super) const fn disk(self) -> Disk {
        match self {
            Self::Fact | Self::Attempt | Self::FileContent | Self::Handbook | Self::Parameter => Disk::Own,
            Self::Chat => Disk::Control,
            Self::JobArgument | Self::Token | Self::Secret => Disk::Nowhere,
        }
    }
}

/// One conversation: a tenant, and a session whose name every other tenant uses too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Cell {
    pub(super) tenant: usize,
    pub(super) session: usize,
}

/// One canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Canary {
    pub(super) cell: Cell,
    pub(super) kind: Kind,
}

/// Who reads what is searched.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reader {
    /// The person of a conversation, who reads in it.
    Owner(Cell),
    /// The person of a tenant's conversations, who reads over all of them.
    Person(usize),
    /// Whoever should read nothing: a stranger, a colleague who is refused, the log, a metric, a span.
    Nobody,
}

impl Reader {
    /// Whether `canary` may come out before this reader.
    pub(super) fn may_see(self, canary: Canary) -> bool {
        match (self, canary.kind.audience()) {
            (Self::Nobody, _) | (_, Audience::Nobody) => false,
            (Self::Owner(cell), Audience::Session) => canary.cell == cell,
            (Self::Owner(Cell { tenant, .. }) | Self::Person(tenant), _) => canary.cell.tenant == tenant,
        }
    }
}
