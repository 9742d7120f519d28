//! The kinds of work that are recorded as one unit each: a turn, an attempt of a job, a run, a delivery. Each kind is
//! one word, which is the name of its root span and of the field that holds its id. The ring, the journal and the
//! exporter ask here; a new kind of work is a line here.

/// A kind of work that has an id of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One message and everything until its reply.
    Turn,
    /// One attempt of a job.
    Job,
    /// One run of a pipeline.
    Run,
    /// One message on its way out.
    Delivery,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Turn, Self::Job, Self::Run, Self::Delivery];

    /// Its word: the name of the root span, and of the span's field that holds the id.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Turn => "turn",
            Self::Job => "job",
            Self::Run => "run",
            Self::Delivery => "delivery",
        }
    }

    /// The kind of that word.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}
