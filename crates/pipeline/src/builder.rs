//! Pipelines in Rust: the same graphs that YAML describes.
//!
//! [`DagBuilder`] chains steps in the order in which they are given and adds the two terminals, `success` and `fail`,
//! itself; [`PipelineBuilder`] gives a graph its name and has it checked. The step makers of this module are plain
//! functions: [`shell`], [`python`], [`function`], [`runner`], [`stub`], [`parallel`], [`map`], [`conditional`],
//! [`repeat`].

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::error::PipelineError;
use crate::node::{CatalogRules, CommandType, Dag, Merge, Node, Reducer, Retry, Return, Step, Task};
use crate::parameters::Parameters;
use crate::pipeline::{Definition, Pipeline};

const SUCCESS: &str = "success";
const FAIL: &str = "fail";

/// Builds a [`Pipeline`].
///
/// ```
/// use haversack_pipeline::builder::{DagBuilder, PipelineBuilder, shell};
///
/// let dag = DagBuilder::new()
///     .then("extract", shell(r#"printf '{"rows": 3}' > "$HAVERSACK_RETURNS""#).returns(["rows"]))
///     .then("report", shell("echo $rows rows"));
/// let pipeline = PipelineBuilder::new("nightly", dag).build().unwrap();
/// assert_eq!(pipeline.dag().start_at, "extract");
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct PipelineBuilder {
    name: String,
    description: String,
    parameters: Parameters,
    dag: DagBuilder,
}

impl PipelineBuilder {
    /// A pipeline of this name and graph.
    pub fn new(name: impl Into<String>, dag: DagBuilder) -> Self {
        Self { name: name.into(), description: String::new(), parameters: Parameters::new(), dag }
    }

    /// What it is for.
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = text.into();
        self
    }

    /// Parameters that a run has unless its start gives others.
    pub fn parameters(mut self, parameters: Parameters) -> Self {
        self.parameters = parameters;
        self
    }

    /// Checks the graph.
    ///
    /// # Errors
    /// [`PipelineError::Invalid`] with every finding.
    pub fn build(self) -> Result<Pipeline, PipelineError> {
        let Self { name, description, parameters, dag } = self;
        Pipeline::checked(Definition { name, description, parameters, dag: dag.finish() })
    }
}

/// Builds a graph: of a pipeline, or of a branch.
#[derive(Clone, Debug, Default)]
#[must_use = "a graph does nothing until a pipeline or a composite step has it"]
pub struct DagBuilder {
    start_at: Option<String>,
    steps: Vec<Step>,
    last: Option<usize>,
}

impl DagBuilder {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next step of the chain. The one before leads here, unless it names its own `next`.
    pub fn then(mut self, name: impl Into<String>, step: StepBuilder) -> Self {
        let name = name.into();
        if let Some(before) = self.last.and_then(|at| self.steps.get_mut(at)) {
            before.next.get_or_insert_with(|| name.clone());
        }
        self.start_at.get_or_insert_with(|| name.clone());
        self.last = Some(self.steps.len());
        self.steps.push(step.named(name));
        self
    }

    /// A step beside the chain, which only an `on_failure` or `next` reaches. It leads to `success` unless it names its
    /// own `next`.
    pub fn aside(mut self, name: impl Into<String>, step: StepBuilder) -> Self {
        let mut step = step.named(name.into());
        step.next.get_or_insert_with(|| SUCCESS.to_owned());
        self.steps.push(step);
        self
    }

    fn finish(mut self) -> Dag {
        if let Some(last) = self.last.and_then(|at| self.steps.get_mut(at)) {
            last.next.get_or_insert_with(|| SUCCESS.to_owned());
        }
        for (name, node) in [(SUCCESS, Node::Success), (FAIL, Node::Fail)] {
            if !self.steps.iter().any(|step| step.name == name) {
                self.steps.push(Step { name: name.to_owned(), node, next: None, on_failure: None });
            }
        }
        // Two of one name stay side by side, where the check finds them.
        self.steps.sort_by(|one, other| one.name.cmp(&other.name));
        Dag { start_at: self.start_at.unwrap_or_else(|| SUCCESS.to_owned()), steps: self.steps }
    }
}

/// Builds a step. Settings that its kind does not have change nothing.
#[derive(Clone, Debug)]
#[must_use = "a step does nothing until a graph has it"]
pub struct StepBuilder {
    node: Node,
    next: Option<String>,
    on_failure: Option<String>,
}

impl StepBuilder {
    fn new(node: Node) -> Self {
        Self { node, next: None, on_failure: None }
    }

    fn named(self, name: String) -> Step {
        Step { name, node: self.node, next: self.next, on_failure: self.on_failure }
    }

    fn task(mut self, change: impl FnOnce(&mut Task)) -> Self {
        if let Node::Task(task) = &mut self.node {
            change(task);
        }
        self
    }

    /// Where a success leads.
    pub fn next(mut self, step: impl Into<String>) -> Self {
        self.next = Some(step.into());
        self
    }

    /// Where a failure leads.
    pub fn on_failure(mut self, step: impl Into<String>) -> Self {
        self.on_failure = Some(step.into());
        self
    }

    /// Names that the result of a task gives a value.
    pub fn returns<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Self {
        let names = names.into_iter().map(|name| Return { name: name.into(), metric: false });
        self.task(|task| task.returns.extend(names))
    }

    /// A name that the result of a task gives a figure.
    pub fn metric(self, name: impl Into<String>) -> Self {
        self.task(|task| task.returns.push(Return { name: name.into(), metric: true }))
    }

    /// Patterns of files that a task takes from the catalog.
    pub fn get<S: Into<String>>(self, patterns: impl IntoIterator<Item = S>) -> Self {
        self.task(|task| task.catalog.get.extend(patterns.into_iter().map(Into::into)))
    }

    /// Patterns of files that a task leaves in the catalog.
    pub fn put<S: Into<String>>(self, patterns: impl IntoIterator<Item = S>) -> Self {
        self.task(|task| task.catalog.put.extend(patterns.into_iter().map(Into::into)))
    }

    /// Of what `put` names, only the hash is kept.
    pub fn no_copy(self) -> Self {
        self.task(|task| task.catalog.no_copy = true)
    }

    /// Names of secrets that a task is given.
    pub fn secrets<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Self {
        self.task(|task| task.secrets.extend(names.into_iter().map(Into::into)))
    }

    /// Which parameters a command finds in its environment; unless said, all that the pipeline itself names.
    pub fn parameters<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Self {
        self.task(|task| task.parameters = Some(names.into_iter().map(Into::into).collect()))
    }

    /// How often a task is tried, and the pause before the second attempt.
    pub fn retry(self, attempts: u32, backoff: Duration) -> Self {
        self.task(|task| task.retry = Retry { attempts, backoff_ms: in_millis(backoff) })
    }

    /// What one attempt may take.
    pub fn timeout(self, limit: Duration) -> Self {
        self.task(|task| task.timeout_ms = Some(in_millis(limit)))
    }

    /// A setting for the runner of the step.
    pub fn set(self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.task(|task| {
            task.overrides.insert(name.into(), value.into());
        })
    }

    /// What a parallel step does when two branches give the same name a value.
    pub fn merge(mut self, rule: Merge) -> Self {
        if let Node::Parallel { merge, .. } = &mut self.node {
            *merge = rule;
        }
        self
    }

    /// How the values of a map's branches become one.
    pub fn reducer(mut self, rule: Reducer) -> Self {
        if let Node::Map { reducer, .. } = &mut self.node {
            *reducer = rule;
        }
        self
    }

    /// The parameter that ends a loop when it is true.
    pub fn break_on(mut self, parameter: impl Into<String>) -> Self {
        if let Node::Loop { break_on, .. } = &mut self.node {
            *break_on = Some(parameter.into());
        }
        self
    }

    /// The name under which a loop's branch sees the number of its iteration.
    pub fn index_as(mut self, name: impl Into<String>) -> Self {
        if let Node::Loop { index_as, .. } = &mut self.node {
            *index_as = Some(name.into());
        }
        self
    }

    /// The branch of a conditional for every other value.
    pub fn otherwise(mut self, branch: DagBuilder) -> Self {
        if let Node::Conditional { default, .. } = &mut self.node {
            *default = Some(Box::new(branch.finish()));
        }
        self
    }
}

fn in_millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn task(command_type: CommandType, command: impl Into<String>) -> StepBuilder {
    StepBuilder::new(Node::Task(Box::new(Task {
        command_type,
        command: command.into(),
        returns: Vec::new(),
        catalog: CatalogRules::default(),
        secrets: Vec::new(),
        parameters: None,
        retry: Retry::default(),
        timeout_ms: None,
        overrides: BTreeMap::new(),
    })))
}

/// A command line for `/bin/sh -c`.
pub fn shell(command: impl Into<String>) -> StepBuilder {
    task(CommandType::Shell, command)
}

/// A Python function as `module.function`, or a script.
pub fn python(command: impl Into<String>) -> StepBuilder {
    task(CommandType::Python, command)
}

/// A Rust function that the program registered under this name.
pub fn function(name: impl Into<String>) -> StepBuilder {
    task(CommandType::Function, name)
}

/// A step of a registered runner: `runner("agent", "support")`.
pub fn runner(kind: impl Into<String>, command: impl Into<String>) -> StepBuilder {
    task(CommandType::Runner(kind.into()), command)
}

/// A step that does nothing.
pub fn stub() -> StepBuilder {
    StepBuilder::new(Node::Stub)
}

/// Every branch, all at once.
pub fn parallel<S: Into<String>>(branches: impl IntoIterator<Item = (S, DagBuilder)>) -> StepBuilder {
    StepBuilder::new(Node::Parallel { branches: finished(branches), merge: Merge::default() })
}

/// The branch once for each element of the list `iterate_on`, which it sees as `iterate_as`.
pub fn map(iterate_on: impl Into<String>, iterate_as: impl Into<String>, branch: DagBuilder) -> StepBuilder {
    StepBuilder::new(Node::Map {
        iterate_on: iterate_on.into(),
        iterate_as: iterate_as.into(),
        branch: Box::new(branch.finish()),
        reducer: Reducer::default(),
    })
}

/// The branch that the value of `parameter` names.
pub fn conditional<S: Into<String>>(
    parameter: impl Into<String>,
    branches: impl IntoIterator<Item = (S, DagBuilder)>,
) -> StepBuilder {
    StepBuilder::new(Node::Conditional {
        parameter: parameter.into(),
        branches: finished(branches),
        default: None,
    })
}

/// The branch again and again, at most `max_iterations` times.
pub fn repeat(max_iterations: u32, branch: DagBuilder) -> StepBuilder {
    let branch = Box::new(branch.finish());
    StepBuilder::new(Node::Loop { branch, max_iterations, break_on: None, index_as: None })
}

fn finished<S: Into<String>>(branches: impl IntoIterator<Item = (S, DagBuilder)>) -> BTreeMap<String, Dag> {
    branches.into_iter().map(|(name, branch)| (name.into(), branch.finish())).collect()
}
