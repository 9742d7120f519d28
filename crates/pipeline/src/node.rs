//! The graph as it is written: steps by name, each with what it does and where it leads.
//!
//! A [`Dag`] is a start and a list of [`Step`]s in the order of their names; composites hold further graphs. It is
//! plain data without behaviour: YAML and the builder make it, the check reads it, the executor walks it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A graph of steps. Every path through it ends at a success or a fail step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dag {
    /// The name of the first step.
    pub start_at: String,
    /// The steps, sorted by name.
    pub steps: Vec<Step>,
}

impl Dag {
    /// The step of this name.
    #[must_use]
    pub fn step(&self, name: &str) -> Option<&Step> {
        let at = self.steps.binary_search_by(|step| step.name.as_str().cmp(name)).ok()?;
        self.steps.get(at)
    }
}

/// A step of a graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Unique in its graph.
    pub name: String,
    /// What it does.
    pub node: Node,
    /// The step that follows a success. Terminal steps have none, all others have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The step that follows a failure; without one, the graph fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<String>,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Node {
    /// Runs code.
    Task(Box<Task>),
    /// Does nothing, and succeeds: a place for something that is not written yet.
    Stub,
    /// Runs every branch, all at once.
    Parallel {
        /// The branches by name.
        branches: BTreeMap<String, Dag>,
        /// What happens when two branches give the same name a value.
        merge: Merge,
    },
    /// Runs one branch for each element of a list.
    Map {
        /// The parameter that holds the list.
        iterate_on: String,
        /// The name under which a branch sees its element.
        iterate_as: String,
        /// The branch.
        branch: Box<Dag>,
        /// How the values of all branches become one.
        reducer: Reducer,
    },
    /// Runs the branch that a parameter chooses.
    Conditional {
        /// The parameter whose value names the branch.
        parameter: String,
        /// The branches by value.
        branches: BTreeMap<String, Dag>,
        /// The branch for every other value; without it another value is a failure.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        default: Option<Box<Dag>>,
    },
    /// Runs a branch again and again, each time with what the last one left.
    Loop {
        /// The branch.
        branch: Box<Dag>,
        /// After so many iterations the loop ends, and has succeeded. At least 1.
        max_iterations: u32,
        /// The parameter that ends the loop when it is true after an iteration.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        break_on: Option<String>,
        /// The name under which the branch sees the number of its iteration, from 0.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        index_as: Option<String>,
    },
    /// The end of a graph that succeeded.
    Success,
    /// The end of a graph that failed.
    Fail,
}

impl Dag {
    /// Every name that its author gave a parameter: returned, iterated, counted or listed by a step.
    pub(crate) fn names(&self, into: &mut BTreeSet<String>) {
        for step in &self.steps {
            match &step.node {
                Node::Task(task) => {
                    into.extend(task.returns.iter().map(|returned| returned.name.clone()));
                    into.extend(task.parameters.iter().flatten().cloned());
                }
                Node::Parallel { branches, .. } => branches.values().for_each(|dag| dag.names(into)),
                Node::Map { iterate_on, iterate_as, branch, .. } => {
                    into.extend([iterate_on.clone(), iterate_as.clone()]);
                    branch.names(into);
                }
                Node::Conditional { parameter, branches, default } => {
                    into.insert(parameter.clone());
                    branches.values().chain(default.as_deref()).for_each(|dag| dag.names(into));
                }
                Node::Loop { branch, break_on, index_as, .. } => {
                    into.extend(break_on.iter().chain(index_as).cloned());
                    branch.names(into);
                }
                Node::Stub | Node::Success | Node::Fail => {}
            }
        }
    }
}

impl Node {
    /// The name of its kind, as YAML spells it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Task(_) => "task",
            Self::Stub => "stub",
            Self::Parallel { .. } => "parallel",
            Self::Map { .. } => "map",
            Self::Conditional { .. } => "conditional",
            Self::Loop { .. } => "loop",
            Self::Success => "success",
            Self::Fail => "fail",
        }
    }

    /// Whether a graph ends here.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Success | Self::Fail)
    }
}

/// What happens when two branches of a parallel step give the same name a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Merge {
    /// The step fails. The default: nothing is lost in silence.
    #[default]
    Error,
    /// The branch whose name sorts last wins.
    Last,
    /// The values become a list, in the order of the branches' names.
    List,
}

/// How the values that the branches of a map gave one name become one value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reducer {
    /// A list in the order of the elements; an element whose branch gave the name no value has `null` there.
    #[default]
    List,
    /// The last value.
    Last,
    /// The greatest number.
    Max,
    /// The smallest number.
    Min,
    /// The sum of the numbers.
    Sum,
    /// A function that the program registered under this name: it is given the list.
    Function(String),
    /// A Python expression for a function of all values, such as `lambda *x: max(x)`.
    Python(String),
}

/// A step that runs code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Who runs it.
    pub command_type: CommandType,
    /// A command line, a script, or the name of a function, an agent, a tool or a crew.
    pub command: String,
    /// The names that its result gives a value, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub returns: Vec<Return>,
    /// What it takes from the catalog before, and leaves there after.
    #[serde(default, skip_serializing_if = "CatalogRules::is_empty")]
    pub catalog: CatalogRules,
    /// Names of secrets that it is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Which parameters a command finds in its environment; unless said, all that the pipeline itself names. What a caller
    /// adds beside those is in the file of parameters alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Vec<String>>,
    /// How often it is tried, and when again.
    #[serde(default)]
    pub retry: Retry,
    /// Milliseconds that one attempt may take; without it, as long as it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Further settings for the runner of the step, such as the interpreter of a command line.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub overrides: BTreeMap<String, Value>,
}

/// Who runs a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandType {
    /// `/bin/sh -c`, in a process of its own.
    Shell,
    /// `python3`, in a process of its own.
    Python,
    /// A Rust function that the program registered.
    Function,
    /// A [`StepRunner`](crate::StepRunner) that the program registered under this name: `agent`, `tool`, `crew`.
    Runner(String),
}

impl CommandType {
    /// The word for it in YAML and in the run log.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Shell => "shell",
            Self::Python => "python",
            Self::Function => "function",
            Self::Runner(name) => name,
        }
    }
}

/// A name that a result gives a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Return {
    /// The parameter.
    pub name: String,
    /// Whether it is a figure worth showing, and not only a value for later steps.
    #[serde(default)]
    pub metric: bool,
}

/// What a step takes from the run's catalog and leaves there: patterns of relative file names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogRules {
    /// Copied into the work folder before the step.
    #[serde(default)]
    pub get: Vec<String>,
    /// Taken from the work folder after the step, also when it failed.
    #[serde(default)]
    pub put: Vec<String>,
    /// Only the hash of what `put` names is written down, and no copy is made.
    #[serde(default)]
    pub no_copy: bool,
}

impl CatalogRules {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.get.is_empty() && self.put.is_empty()
    }
}

/// How often a step is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Attempts in all, at least 1. Attempts that were lost with their executor do not count.
    pub attempts: u32,
    /// Milliseconds before the second attempt; doubled before each further one, up to five minutes.
    pub backoff_ms: u64,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 1, backoff_ms: 0 }
    }
}

impl Retry {
    /// The pause after that many failed attempts.
    #[must_use]
    pub fn pause(&self, failed: u32) -> Duration {
        const LONGEST: u64 = 5 * 60 * 1000;
        let doubled = self.backoff_ms.saturating_mul(1 << failed.saturating_sub(1).min(20));
        Duration::from_millis(doubled.min(LONGEST))
    }
}
