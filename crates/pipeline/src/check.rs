//! The check: everything about a graph that can be known before it runs.
//!
//! It reads the graph as it is written and returns one [`Finding`] for each mistake, with what to do. Paths are looked
//! at as a graph of `next` and `on_failure`; petgraph finds the circles and what nothing leads to. Every pipeline goes
//! through it, from YAML and from the builder alike.

use std::collections::HashMap;
use std::fmt;

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::{Dfs, Reversed};
use serde::{Deserialize, Serialize};

use crate::environment;
use crate::node::{CommandType, Dag, Node, Reducer, Step, Task};
use crate::pipeline::Definition;

/// One mistake in a graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The step, with the branches that lead to it: `spread/left/load`. Empty for the pipeline itself.
    pub step: String,
    /// What kind of mistake.
    pub problem: Problem,
    /// What is wrong, and what to do.
    pub text: String,
    /// The line of the step in the YAML, from 1, where it came from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
}

/// Kinds of mistakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Problem {
    /// A name that no step has.
    UnknownStep,
    /// A step that no path reaches.
    Unreachable,
    /// A path that leads back to itself.
    Cycle,
    /// A path that does not end, or a graph without a success.
    MissingTerminal,
    /// Two steps of one name.
    DuplicateName,
    /// A name that no step, parameter or secret may have.
    BadName,
    /// A file pattern that leaves the work folder or cannot be read.
    BadPattern,
    /// A number, list or text that makes no sense where it stands.
    BadValue,
    /// A function, runner or reducer that the program did not register.
    NotRegistered,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        match self.step.as_str() {
            "" => f.write_str(&self.text),
            step => write!(f, "{step}: {}", self.text),
        }
    }
}

pub(crate) fn counted(findings: &[Finding]) -> String {
    match findings.len() {
        1 => "1 mistake".to_owned(),
        n => format!("{n} mistakes"),
    }
}

pub(crate) fn listed(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("  {finding}")).collect::<Vec<_>>().join("\n")
}

/// Everything that is wrong with a definition.
pub(crate) fn check(definition: &Definition) -> Vec<Finding> {
    let mut found = Found::default();
    if definition.name.is_empty() || definition.name.len() > 128 {
        found.add("", Problem::BadName, "a pipeline's name has 1 to 128 bytes; give it one");
    }
    for (name, _) in definition.parameters.iter() {
        found.name("", "the parameter", name);
    }
    found.dag("", &definition.dag);
    found.findings
}

/// The path of a step as findings, the run log and spans write it.
pub(crate) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
}

#[derive(Default)]
struct Found {
    findings: Vec<Finding>,
}

impl Found {
    fn add(&mut self, step: &str, problem: Problem, text: impl Into<String>) {
        self.findings.push(Finding { step: step.to_owned(), problem, text: text.into(), line: None });
    }

    fn name(&mut self, step: &str, what: &str, name: &str) {
        if let Some(why) = environment::refused(name) {
            self.add(step, Problem::BadName, format!("{what} `{}` is refused: {why}", name.escape_debug()));
        }
    }

    fn dag(&mut self, path: &str, dag: &Dag) {
        for pair in dag.steps.windows(2).filter(|pair| pair[0].name == pair[1].name) {
            let text = "two steps have this name; rename one";
            self.add(&join(path, &pair[0].name), Problem::DuplicateName, text);
        }
        for step in &dag.steps {
            self.step(&join(path, &step.name), step);
        }
        self.paths(path, dag);
    }

    fn paths(&mut self, path: &str, dag: &Dag) {
        let mut graph: DiGraph<&Step, ()> = DiGraph::new();
        let mut index: HashMap<&str, NodeIndex> = HashMap::new();
        for step in &dag.steps {
            index.entry(&step.name).or_insert_with(|| graph.add_node(step));
        }
        for step in &dag.steps {
            let from = index[step.name.as_str()];
            for (word, to) in [("next", &step.next), ("on_failure", &step.on_failure)] {
                let Some(to) = to else { continue };
                match index.get(to.as_str()) {
                    Some(to) => {
                        graph.add_edge(from, *to, ());
                    }
                    None => {
                        let text = format!("`{word}` names `{to}`, which is no step here; {}", known(dag));
                        self.add(&join(path, &step.name), Problem::UnknownStep, text);
                    }
                }
            }
        }
        let Some(start) = index.get(dag.start_at.as_str()) else {
            let text = format!("`start_at` names `{}`, which is no step here; {}", dag.start_at, known(dag));
            self.add(path, Problem::UnknownStep, text);
            return;
        };
        for circle in tarjan_scc(&graph) {
            let turns = circle.len() > 1 || graph.contains_edge(circle[0], circle[0]);
            if turns {
                let mut names: Vec<_> = circle.iter().map(|at| graph[*at].name.as_str()).collect();
                names.sort_unstable();
                let text = format!(
                    "the path leads back to itself through {}; use a loop step to repeat",
                    names.join(", ")
                );
                self.add(&join(path, names[0]), Problem::Cycle, text);
            }
        }
        let mut reached = vec![false; graph.node_count()];
        let mut walk = Dfs::new(&graph, *start);
        while let Some(at) = walk.next(&graph) {
            reached[at.index()] = true;
        }
        // A fail step that nothing names is where a failure without `on_failure` ends, so it is reached.
        let fails = |step: &Step| matches!(step.node, Node::Fail);
        for at in graph.node_indices().filter(|at| !reached[at.index()] && !fails(graph[*at])) {
            let text = "no path leads here; name it in a `next` or `on_failure`, or take it out";
            self.add(&join(path, &graph[at].name), Problem::Unreachable, text);
        }
        let success = graph.node_indices().find(|at| matches!(graph[*at].node, Node::Success));
        let succeeds = success.is_some_and(|_| {
            let ends = graph.node_indices().filter(|at| matches!(graph[*at].node, Node::Success));
            ends.into_iter().any(|end| {
                let mut back = Dfs::new(Reversed(&graph), end);
                std::iter::from_fn(|| back.next(Reversed(&graph))).any(|at| at == *start)
            })
        });
        if success.is_none() {
            let text = "no step of `type: success` ends this graph; add one and lead the last step to it";
            self.add(path, Problem::MissingTerminal, text);
        } else if !succeeds {
            let text = "no path from `start_at` ends at a success; lead the last step to it";
            self.add(path, Problem::MissingTerminal, text);
        }
    }

    fn step(&mut self, path: &str, step: &Step) {
        let plain = !step.name.is_empty() && step.name.len() <= 128;
        if !plain || step.name.contains(['/', '[', ']']) || step.name.chars().any(char::is_control) {
            let text =
                "a step's name has 1 to 128 bytes, without `/`, `[`, `]` and control characters; rename it";
            self.add(path, Problem::BadName, text);
        }
        if step.node.is_terminal() {
            if step.next.is_some() || step.on_failure.is_some() {
                let text = "the graph ends here; take `next` and `on_failure` out";
                self.add(path, Problem::BadValue, text);
            }
        } else if step.next.is_none() {
            let text = "it leads nowhere; give it a `next`, the success step for the last one";
            self.add(path, Problem::MissingTerminal, text);
        }
        self.node(path, &step.node);
    }

    fn node(&mut self, path: &str, node: &Node) {
        match node {
            Node::Task(task) => self.task(path, task),
            Node::Stub | Node::Success | Node::Fail => {}
            Node::Parallel { branches, .. } => self.branches(path, branches.iter()),
            Node::Map { iterate_on, iterate_as, branch, reducer } => {
                self.name(path, "`iterate_on`", iterate_on);
                self.name(path, "`iterate_as`", iterate_as);
                if let Reducer::Function(name) | Reducer::Python(name) = reducer
                    && name.trim().is_empty()
                {
                    self.add(
                        path,
                        Problem::BadValue,
                        "`reducer` is empty; name one, or take it out for a list",
                    );
                }
                self.dag(path, branch);
            }
            Node::Conditional { parameter, branches, default } => {
                self.name(path, "`parameter`", parameter);
                self.branches(path, branches.iter());
                if let Some(default) = default {
                    self.dag(&join(path, "default"), default);
                }
            }
            Node::Loop { branch, max_iterations, break_on, index_as } => {
                if *max_iterations == 0 {
                    self.add(path, Problem::BadValue, "`max_iterations` is 0; a loop runs at least once");
                }
                for (what, name) in [("`break_on`", break_on), ("`index_as`", index_as)] {
                    if let Some(name) = name {
                        self.name(path, what, name);
                    }
                }
                self.dag(path, branch);
            }
        }
    }

    fn branches<'a>(&mut self, path: &str, branches: impl Iterator<Item = (&'a String, &'a Dag)>) {
        let mut none = true;
        for (name, dag) in branches {
            none = false;
            if name.contains(['/', '[', ']']) || name.chars().any(char::is_control) {
                let text = "a branch's name is without `/`, `[`, `]` and control characters; rename it";
                self.add(path, Problem::BadName, text);
            }
            self.dag(&join(path, name), dag);
        }
        if none {
            self.add(path, Problem::BadValue, "it has no branches; give it one, or use a stub");
        }
    }

    fn task(&mut self, path: &str, task: &Task) {
        if task.command.trim().is_empty() {
            self.add(path, Problem::BadValue, "`command` is empty; say what to run, or use a stub");
        }
        if matches!(task.command_type, CommandType::Shell | CommandType::Python)
            && task.command.contains('\0')
        {
            self.add(
                path,
                Problem::BadValue,
                "`command` holds a NUL, which no command line can; take it out",
            );
        }
        for returned in &task.returns {
            self.name(path, "the return", &returned.name);
        }
        for secret in &task.secrets {
            self.name(path, "the secret", secret);
        }
        for name in task.parameters.iter().flatten() {
            self.name(path, "the parameter", name);
            if task.secrets.contains(name) {
                let text = format!("`{name}` is a parameter and a secret; rename one");
                self.add(path, Problem::BadName, text);
            }
        }
        for pattern in task.catalog.get.iter().chain(&task.catalog.put) {
            if let Err(why) = crate::catalog::pattern(pattern) {
                self.add(path, Problem::BadPattern, format!("`{}`: {why}", pattern.escape_debug()));
            }
        }
        if task.retry.attempts == 0 {
            self.add(path, Problem::BadValue, "`attempts` is 0; a step is tried at least once");
        }
        if task.timeout_ms == Some(0) {
            self.add(path, Problem::BadValue, "`timeout` is 0; give it time, or take it out");
        }
    }
}

fn known(dag: &Dag) -> String {
    const MANY: usize = 8;
    let mut names: Vec<&str> = dag.steps.iter().map(|step| step.name.as_str()).take(MANY).collect();
    if dag.steps.len() > MANY {
        names.push("…");
    }
    match names.len() {
        0 => "there are no steps".to_owned(),
        _ => format!("there are {}", names.join(", ")),
    }
}
