//! Where the configured tools are offered: everywhere, or only where the gateway's variables are bound. `config check` prints it,
//! and a start logs it, so that nobody looks for a tool where it cannot be.

use std::collections::BTreeSet;

use haversack_gateway::tool::{PROCESS, TERMINAL_TOOL};
use serde::Serialize;

use crate::config::Config;

/// One tool of some specialist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Offered {
    /// Its name.
    pub(crate) tool: String,
    /// Where.
    #[serde(rename = "where")]
    pub(crate) place: Place,
}

/// Where a tool is offered to the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Place {
    /// In every turn.
    Everywhere,
    /// In turns of messages that came through the gateway: it works for a conversation, and answers along its route.
    Gateway,
    /// Nowhere: it runs commands, which need an approval, and nobody is named who may give it.
    Nowhere,
}

impl Place {
    /// In words, behind the names of tools.
    pub(crate) const fn told(self) -> &'static str {
        match self {
            Self::Everywhere => "in every turn",
            Self::Gateway => "only in messages that come through the gateway",
            Self::Nowhere => {
                "nowhere, because commands need an approval and `[gateway.commands] approvers` names nobody"
            }
        }
    }
}

/// The tools that specialists are given, each once, with where they are offered.
pub(crate) fn offered(config: &Config) -> Vec<Offered> {
    let gateway: BTreeSet<&str> = haversack_gateway::tool::names(true).into_iter().collect();
    let off =
        config.gateway.commands.as_ref().is_some_and(|section| section.ask && section.approvers.is_empty());
    let needs_gateway = |name: &str| {
        let tasks = config.agent.crews.iter().filter(|crew| crew.name == name).flat_map(|crew| &crew.tasks);
        gateway.contains(name)
            || tasks.filter_map(|task| task.tool.as_deref()).any(|tool| gateway.contains(tool))
    };
    let tools: BTreeSet<&String> =
        config.agent.specialists.iter().flat_map(|specialist| &specialist.tools).collect();
    let place = |name: &str| match name {
        TERMINAL_TOOL | PROCESS if off => Place::Nowhere,
        name if needs_gateway(name) => Place::Gateway,
        _ => Place::Everywhere,
    };
    tools.into_iter().map(|tool| Offered { tool: tool.clone(), place: place(tool) }).collect()
}

/// The same, as lines: the tools of each place.
pub(crate) fn lines(offered: &[Offered]) -> Vec<String> {
    let places: BTreeSet<Place> = offered.iter().map(|one| one.place).collect();
    let line = |place: Place| {
        let here = offered.iter().filter(|one| one.place == place);
        let names: Vec<&str> = here.map(|one| one.tool.as_str()).collect();
        format!("{}: {}", names.join(", "), place.told())
    };
    places.into_iter().map(line).collect()
}
