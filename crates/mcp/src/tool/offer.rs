//! The offer: the tools that clients see, and whether each answers at once or through a task.
//!
//! Nothing is offered that was not named or added, so that a tool for agents alone stays theirs. The program makes the
//! offer at its start, the server and the worker of tasks read it.

use std::collections::BTreeMap;
use std::sync::Arc;

use haversack_agent::tool::{Tool, Toolbox};

/// Whether a tool answers through a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TaskMode {
    /// Always at once.
    #[default]
    Forbidden,
    /// Through a task where the client speaks the tasks extension, at once elsewhere.
    Optional,
    /// Always through a task; a client that does not speak the extension is refused.
    Required,
}

impl TaskMode {
    /// The word for it, as clients are told.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forbidden => "forbidden",
            Self::Optional => "optional",
            Self::Required => "required",
        }
    }
}

/// A tool's title for people, and hints by which a client decides
/// whether to ask them first. A hint that is `None` is not given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hints {
    /// The name of the tool for people.
    pub title: Option<String>,
    /// The tool changes nothing.
    pub read_only: Option<bool>,
    /// The tool may overwrite or remove something.
    pub destructive: Option<bool>,
    /// A second call with the same arguments changes nothing more.
    pub idempotent: Option<bool>,
    /// The tool reaches beyond what the server keeps.
    pub open_world: Option<bool>,
}

/// The tools that clients see. Cheap to clone.
#[derive(Clone, Default)]
pub struct Offer {
    tools: Arc<BTreeMap<String, Offered>>,
}

/// One tool of an offer.
#[derive(Clone)]
pub(crate) struct Offered {
    pub(crate) tool: Arc<dyn Tool>,
    pub(crate) mode: TaskMode,
    pub(crate) hints: Hints,
}

/// The configuration names a tool that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no tool `{name}` to offer; the tools are: {known}")]
pub struct OfferError {
    name: String,
    known: String,
}

impl Offer {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Offers these tools of a box.
    ///
    /// # Errors
    /// [`OfferError`] when the box lacks one.
    pub fn of<'a>(
        mut self,
        toolbox: &Toolbox,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, OfferError> {
        for name in names {
            let Some(tool) = toolbox.get(name) else {
                return Err(unknown(name, toolbox.names()));
            };
            self = self.with(Arc::clone(tool));
        }
        Ok(self)
    }

    /// Offers one more tool; it replaces one of the same name.
    #[must_use]
    pub fn with(mut self, tool: Arc<dyn Tool>) -> Self {
        let offered = Offered { mode: TaskMode::default(), hints: Hints::default(), tool };
        Arc::make_mut(&mut self.tools).insert(offered.tool.spec().name.clone(), offered);
        self
    }

    /// Lets a tool that is offered answer through tasks.
    ///
    /// # Errors
    /// [`OfferError`] when it is not offered.
    pub fn in_background(mut self, name: &str, mode: TaskMode) -> Result<Self, OfferError> {
        self.offered(name)?.mode = mode;
        Ok(self)
    }

    /// Gives hints about a tool that is offered.
    ///
    /// # Errors
    /// [`OfferError`] when it is not offered.
    pub fn with_hints(mut self, name: &str, hints: Hints) -> Result<Self, OfferError> {
        self.offered(name)?.hints = hints;
        Ok(self)
    }

    fn offered(&mut self, name: &str) -> Result<&mut Offered, OfferError> {
        let tools = Arc::make_mut(&mut self.tools);
        if !tools.contains_key(name) {
            return Err(unknown(name, tools.keys().map(String::as_str)));
        }
        tools.get_mut(name).ok_or_else(|| unknown(name, std::iter::empty()))
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tools.keys().map(String::as_str)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Offered> {
        self.tools.get(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Offered> {
        self.tools.values()
    }
}

fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> OfferError {
    OfferError { name: name.to_owned(), known: known.collect::<Vec<_>>().join(", ") }
}

impl std::fmt::Debug for Offer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.tools.iter().map(|(name, offered)| (name, offered.mode))).finish()
    }
}
