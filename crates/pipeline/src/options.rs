//! What a program gives its pipelines: a folder, secrets, interpreters, and what runs its steps.
//!
//! Plain values with builder methods; nothing here reads the environment. The program makes one
//! [`PipelineOptions`] at its start, and [`Pipelines::new`](crate::Pipelines::new) keeps it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use haversack_child::Confinement;

use crate::check::{Finding, Problem, join};
use crate::node::{CommandType, Dag, Node, Reducer};
use crate::pipeline::Pipeline;
use crate::secrets::{self, Secrets};
use crate::step::{Functions, StepRunner};

/// Settings of a [`Pipelines`](crate::Pipelines).
#[derive(Clone)]
#[must_use = "options do nothing until `Pipelines::new` has them"]
pub struct PipelineOptions {
    pub(crate) catalog: PathBuf,
    pub(crate) secrets: Arc<dyn Secrets>,
    pub(crate) path: String,
    pub(crate) language: String,
    pub(crate) python: String,
    pub(crate) python_path: Vec<PathBuf>,
    pub(crate) confinement: Confinement,
    pub(crate) code: String,
    pub(crate) children: usize,
    children_per_tenant: Option<usize>,
    pub(crate) largest_list: usize,
    pub(crate) functions: Functions,
    pub(crate) runners: BTreeMap<String, Arc<dyn StepRunner>>,
}

impl PipelineOptions {
    /// With the folder under which each run has its own. It is made where needed, readable by our user alone.
    pub fn new(catalog: impl Into<PathBuf>) -> Self {
        Self {
            catalog: catalog.into(),
            secrets: secrets::none(),
            path: "/usr/local/bin:/usr/bin:/bin".to_owned(),
            language: "C.UTF-8".to_owned(),
            python: "python3".to_owned(),
            python_path: Vec::new(),
            confinement: Confinement::Off,
            code: String::new(),
            children: 32,
            children_per_tenant: None,
            largest_list: 1_000,
            functions: Functions::new(),
            runners: BTreeMap::new(),
        }
    }

    /// Who knows the secrets. Nobody, unless said.
    pub fn secrets(mut self, secrets: Arc<dyn Secrets>) -> Self {
        self.secrets = secrets;
        self
    }

    /// The search path of child processes: `/usr/local/bin:/usr/bin:/bin`, unless said.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// `LANG` of child processes: `C.UTF-8`, unless said.
    pub fn language(mut self, language: impl Into<String>) -> Self {
        self.language = language.into();
        self
    }

    /// The Python interpreter, as a path or as a name on the search path: `python3`, unless said.
    pub fn python(mut self, program: impl Into<String>) -> Self {
        self.python = program.into();
        self
    }

    /// A folder in which Python steps find their modules, beside their work folder.
    pub fn python_path(mut self, folder: impl Into<PathBuf>) -> Self {
        self.python_path.push(folder.into());
        self
    }

    /// How the children of steps are confined: not at all, unless said, because a library has no binary that could be the
    /// launcher. A child may use its own attempt's folders and [`python_path`](Self::python_path) besides.
    pub fn confinement(mut self, confinement: Confinement) -> Self {
        self.confinement = confinement;
        self
    }

    /// What tells one version of the program's code from another, such as a commit. It is written down once a run.
    pub fn code(mut self, identity: impl Into<String>) -> Self {
        self.code = identity.into();
        self
    }

    /// How many child processes run at the same time, over all runs and tenants; further ones wait. 32, unless said.
    pub fn children(mut self, limit: usize) -> Self {
        self.children = limit.max(1);
        self
    }

    /// How many of the child processes may be one tenant's, over all of its runs: three quarters of
    /// [`children`](Self::children), unless said, so that one tenant's long steps leave room for the others.
    pub fn children_per_tenant(mut self, limit: usize) -> Self {
        self.children_per_tenant = Some(limit.max(1));
        self
    }

    pub(crate) fn share(&self) -> usize {
        self.children_per_tenant.unwrap_or(self.children - self.children / 4)
    }

    /// How many elements the list of a map step may have: 1,000, unless said. The step fails over a longer one.
    pub fn largest_list(mut self, limit: usize) -> Self {
        self.largest_list = limit;
        self
    }

    /// The Rust functions that steps may name.
    pub fn functions(mut self, functions: Functions) -> Self {
        self.functions = functions;
        self
    }

    /// What runs steps of `command_type: kind`, such as `agent`.
    pub fn runner(mut self, kind: impl Into<String>, runner: Arc<dyn StepRunner>) -> Self {
        self.runners.insert(kind.into(), runner);
        self
    }

    /// What of the pipeline a program with these settings cannot run: functions, runners and reducers that are not
    /// registered. What is wrong with the graph itself is found when it is read.
    #[must_use]
    pub fn check(&self, pipeline: &Pipeline) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.unregistered("", pipeline.dag(), &mut findings);
        findings
    }

    fn unregistered(&self, path: &str, dag: &Dag, findings: &mut Vec<Finding>) {
        for step in &dag.steps {
            let path = join(path, &step.name);
            let unknown = |text: String| Finding {
                step: path.clone(),
                problem: Problem::NotRegistered,
                text,
                line: None,
            };
            match &step.node {
                Node::Task(task) => {
                    let known = match &task.command_type {
                        CommandType::Shell | CommandType::Python => Ok(()),
                        CommandType::Function => self.functions.check(&task.command),
                        CommandType::Runner(kind) => match self.runners.get(kind) {
                            Some(runner) => runner.check(&task.command),
                            None => Err(format!(
                                "nothing in this program runs steps of the kind `{kind}`; there are {}",
                                self.kinds()
                            )),
                        },
                    };
                    findings.extend(known.err().map(unknown));
                }
                Node::Parallel { branches, .. } => {
                    branches
                        .iter()
                        .for_each(|(name, dag)| self.unregistered(&join(&path, name), dag, findings));
                }
                Node::Map { branch, reducer, .. } => {
                    if let Reducer::Function(name) = reducer {
                        findings.extend(self.functions.check(name).err().map(unknown));
                    }
                    self.unregistered(&path, branch, findings);
                }
                Node::Conditional { branches, default, .. } => {
                    branches
                        .iter()
                        .for_each(|(name, dag)| self.unregistered(&join(&path, name), dag, findings));
                    if let Some(default) = default {
                        self.unregistered(&join(&path, "default"), default, findings);
                    }
                }
                Node::Loop { branch, .. } => self.unregistered(&path, branch, findings),
                Node::Stub | Node::Success | Node::Fail => {}
            }
        }
    }

    fn kinds(&self) -> String {
        let registered = self.runners.keys().map(String::as_str);
        ["shell", "python", "function"].into_iter().chain(registered).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Debug for PipelineOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipelineOptions")
            .field("catalog", &self.catalog)
            .field("path", &self.path)
            .field("python", &self.python)
            .field("functions", &self.functions)
            .field("runners", &self.runners.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
