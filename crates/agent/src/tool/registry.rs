//! The toolbox: every tool that specialists may be given, by name.
//!
//! It is made once, with the agents, and never changes. The configuration names the tools of each specialist;
//! a name that is not in the box is a configuration error, not a surprise in a turn.

use std::collections::BTreeMap;
use std::sync::Arc;

use haversack::Context;

use super::{Tool, ToolSpec};

/// Tools by name. Cheap to clone.
#[derive(Clone, Default)]
pub struct Toolbox {
    tools: Arc<BTreeMap<String, Arc<dyn Tool>>>,
}

impl Toolbox {
    /// A box of these tools; a later tool replaces an earlier one of the same name.
    #[must_use]
    pub fn new(tools: impl IntoIterator<Item = Arc<dyn Tool>>) -> Self {
        let by_name = tools.into_iter().map(|tool| (tool.spec().name.clone(), tool));
        Self { tools: Arc::new(by_name.collect()) }
    }

    /// The tool of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Tool>> {
        self.tools.get(name)
    }

    /// Every name, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tools.keys().map(String::as_str)
    }

    /// The tools of these names, in that order; unknown names are left out.
    #[must_use]
    pub(crate) fn pick(&self, names: &[String]) -> Self {
        let found = names.iter().filter_map(|name| Some((name.clone(), self.tools.get(name)?.clone())));
        Self { tools: Arc::new(found.collect()) }
    }

    /// With these tools as well; a later tool replaces an earlier one of the same name.
    #[must_use]
    pub(crate) fn with(&self, more: impl IntoIterator<Item = Arc<dyn Tool>>) -> Self {
        Self::new(self.tools.values().cloned().chain(more))
    }

    /// Those of its tools that are offered in the current context.
    pub(crate) fn here(&self) -> Self {
        let here = self.tools.iter().filter(|(_, tool)| is_here(&***tool));
        Self { tools: Arc::new(here.map(|(name, tool)| (name.clone(), tool.clone())).collect()) }
    }

    pub(crate) fn specs(&self) -> Vec<ToolSpec> {
        self.tools.values().map(|tool| tool.spec().clone()).collect()
    }
}

/// Returns true if the tool can be used in the current context: its variables are bound and it is offered here.
#[must_use]
pub fn is_here(tool: &dyn Tool) -> bool {
    missing_for(tool).is_none() && tool.is_offered()
}

/// The first variable that the tool needs and the current context does not bind.
pub(crate) fn missing_for(tool: &dyn Tool) -> Option<&'static str> {
    let here = Context::current();
    let missing = tool.needs().iter().find(|variable| !variable.is_bound_in(&here));
    missing.map(|variable| variable.name())
}

impl std::fmt::Debug for Toolbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
