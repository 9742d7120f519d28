//! Pipelines in YAML, in the dialect of `runnable`.
//!
//! A text has a `dag` with `start_at` and `steps` by name; each step has a `type` and the fields of that type. Only this
//! file knows YAML: it turns a text into a definition and remembers the line of each step, for the check. Unknown
//! fields, and fields that do not belong to the type of their step, are refused with line and column.
//!
//! | `type` | Fields |
//! |---|---|
//! | `task` | `command_type` (`shell`, `python`, `function`, or a registered runner), `command`, `returns`, `catalog`, `secrets`, `parameters`, `retry`, `timeout`, `overrides` |
//! | `stub` | any |
//! | `parallel` | `branches`, `merge` (`error`, `last`, `list`) |
//! | `map` | `iterate_on`, `iterate_as`, `branch`, `reducer` |
//! | `conditional` | `parameter`, `branches`, `default` |
//! | `loop` | `branch`, `max_iterations`, `break_on`, `index_as` |
//! | `success`, `fail` | none |
//!
//! Every step but the last two has `next`, and may have `on_failure`.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::{Location, Spanned};

use crate::check::join;
use crate::error::PipelineError;
use crate::node::{CatalogRules, CommandType, Dag, Merge, Node, Reducer, Retry, Return, Step, Task};
use crate::parameters::Parameters;
use crate::pipeline::Definition;

/// The line of each step, by its path.
#[derive(Default)]
pub(crate) struct Lines(HashMap<String, u64>);

impl Lines {
    pub(crate) fn of(&self, step: &str) -> Option<u64> {
        self.0.get(step).copied()
    }
}

pub(crate) fn read(name: &str, text: &str) -> Result<(Definition, Lines), PipelineError> {
    let written: Written = serde_saphyr::from_str(text).map_err(|error| {
        let at = error.location();
        // Only the first line: the others show the text around, which may be long.
        let what = error.without_snippet().to_string();
        let what = what.lines().next().unwrap_or("this is no YAML").to_owned();
        PipelineError::Yaml {
            line: at.map_or(0, |at| at.line()),
            column: at.map_or(0, |at| at.column()),
            what,
        }
    })?;
    let mut lines = Lines::default();
    let name = written.name.unwrap_or_else(|| name.to_owned());
    let description = written.description.or(written.dag.description.clone()).unwrap_or_default();
    let dag = dag(written.dag, "", &mut lines)?;
    Ok((Definition { name, description, parameters: written.parameters, dag }, lines))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Option<String>,
    description: Option<String>,
    #[serde(default)]
    parameters: Parameters,
    dag: WrittenDag,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenDag {
    start_at: String,
    // Where `runnable` has the description; that of a branch is read and not kept.
    description: Option<String>,
    steps: BTreeMap<String, Spanned<WrittenStep>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenStep {
    #[serde(rename = "type")]
    kind: String,
    next: Option<String>,
    on_failure: Option<String>,
    command_type: Option<String>,
    command: Option<String>,
    #[serde(default)]
    returns: Vec<WrittenReturn>,
    catalog: Option<WrittenCatalog>,
    #[serde(default)]
    secrets: Vec<String>,
    parameters: Option<Vec<String>>,
    retry: Option<WrittenRetry>,
    timeout: Option<WrittenSpan>,
    #[serde(default)]
    overrides: BTreeMap<String, Value>,
    branches: Option<BTreeMap<String, WrittenDag>>,
    merge: Option<Merge>,
    iterate_on: Option<String>,
    iterate_as: Option<String>,
    branch: Option<Box<WrittenDag>>,
    reducer: Option<String>,
    parameter: Option<String>,
    default: Option<Box<WrittenDag>>,
    max_iterations: Option<u32>,
    break_on: Option<String>,
    index_as: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenReturn {
    Name(String),
    Full { name: String, kind: Option<String> },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCatalog {
    #[serde(default)]
    get: Vec<String>,
    #[serde(default)]
    put: Vec<String>,
    store_copy: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRetry {
    attempts: u32,
    backoff: Option<WrittenSpan>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenSpan {
    Seconds(f64),
    Text(String),
}

fn dag(written: WrittenDag, path: &str, lines: &mut Lines) -> Result<Dag, PipelineError> {
    let mut steps = Vec::with_capacity(written.steps.len());
    for (name, step) in written.steps {
        let path = join(path, &name);
        lines.0.insert(path.clone(), step.referenced.line());
        let at = step.referenced;
        let mut step = step.value;
        let (next, on_failure) = (step.next.take(), step.on_failure.take());
        let node = node(step, at, &path, lines)?;
        steps.push(Step { name, node, next, on_failure });
    }
    Ok(Dag { start_at: written.start_at, steps })
}

fn node(mut step: WrittenStep, at: Location, path: &str, lines: &mut Lines) -> Result<Node, PipelineError> {
    let kind = std::mem::take(&mut step.kind);
    let node = match kind.as_str() {
        "task" => Node::Task(Box::new(task(&mut step, at)?)),
        // A stub stands for a step that is written later, and may hold its fields already.
        "stub" => return Ok(Node::Stub),
        "success" => Node::Success,
        "fail" => Node::Fail,
        "parallel" => Node::Parallel {
            branches: branches(needed(step.branches.take(), "branches", &kind, at)?, path, lines)?,
            merge: step.merge.take().unwrap_or_default(),
        },
        "map" => Node::Map {
            iterate_on: needed(step.iterate_on.take(), "iterate_on", &kind, at)?,
            iterate_as: needed(step.iterate_as.take(), "iterate_as", &kind, at)?,
            branch: Box::new(dag(*needed(step.branch.take(), "branch", &kind, at)?, path, lines)?),
            reducer: reducer(step.reducer.take()),
        },
        "conditional" => Node::Conditional {
            parameter: needed(step.parameter.take(), "parameter", &kind, at)?,
            branches: branches(needed(step.branches.take(), "branches", &kind, at)?, path, lines)?,
            default: match step.default.take() {
                Some(default) => Some(Box::new(dag(*default, &join(path, "default"), lines)?)),
                None => None,
            },
        },
        "loop" => Node::Loop {
            branch: Box::new(dag(*needed(step.branch.take(), "branch", &kind, at)?, path, lines)?),
            max_iterations: needed(step.max_iterations.take(), "max_iterations", &kind, at)?,
            break_on: step.break_on.take(),
            index_as: step.index_as.take(),
        },
        _ => {
            let known = "task, stub, parallel, map, conditional, loop, success, fail";
            return Err(wrong(
                at,
                format!("`{}` is no type of step; there are {known}", kind.escape_debug()),
            ));
        }
    };
    match left_over(&step) {
        Some(field) => Err(wrong(at, format!("a `{kind}` has no `{field}`; take it out"))),
        None => Ok(node),
    }
}

fn task(step: &mut WrittenStep, at: Location) -> Result<Task, PipelineError> {
    let command = needed(step.command.take(), "command", "task", at)?;
    let command_type = match step.command_type.take().as_deref() {
        // The default of the dialect.
        None | Some("python") => CommandType::Python,
        Some("shell") => CommandType::Shell,
        Some("function") => CommandType::Function,
        Some("notebook") => {
            return Err(wrong(
                at,
                "notebooks are not run; export the notebook as a Python script".to_owned(),
            ));
        }
        Some(other) => CommandType::Runner(other.to_owned()),
    };
    let returns = std::mem::take(&mut step.returns).into_iter().map(|written| returned(written, at));
    let catalog = step.catalog.take().map_or_else(CatalogRules::default, |written| CatalogRules {
        get: written.get,
        put: written.put,
        no_copy: written.store_copy == Some(false),
    });
    let retry = match step.retry.take() {
        Some(written) => {
            Retry { attempts: written.attempts, backoff_ms: millis(written.backoff, at)?.unwrap_or(0) }
        }
        None => Retry::default(),
    };
    Ok(Task {
        command_type,
        command,
        returns: returns.collect::<Result<_, _>>()?,
        catalog,
        secrets: std::mem::take(&mut step.secrets),
        parameters: step.parameters.take(),
        retry,
        timeout_ms: millis(step.timeout.take(), at)?,
        overrides: std::mem::take(&mut step.overrides),
    })
}

fn branches(
    written: BTreeMap<String, WrittenDag>,
    path: &str,
    lines: &mut Lines,
) -> Result<BTreeMap<String, Dag>, PipelineError> {
    let read = |(name, branch): (String, WrittenDag)| {
        let branch = dag(branch, &join(path, &name), lines)?;
        Ok((name, branch))
    };
    written.into_iter().map(read).collect()
}

fn returned(written: WrittenReturn, at: Location) -> Result<Return, PipelineError> {
    match written {
        WrittenReturn::Name(name) => Ok(Return { name, metric: false }),
        WrittenReturn::Full { name, kind } => match kind.as_deref() {
            None | Some("json") => Ok(Return { name, metric: false }),
            Some("metric") => Ok(Return { name, metric: true }),
            Some(_) => {
                let text = "a return is `json` or `metric`; put anything else into the catalog as a file";
                Err(wrong(at, text.to_owned()))
            }
        },
    }
}

pub(crate) fn reducer(written: Option<String>) -> Reducer {
    match written.as_deref() {
        None | Some("list") => Reducer::List,
        Some("last") => Reducer::Last,
        Some("max") => Reducer::Max,
        Some("min") => Reducer::Min,
        Some("sum") => Reducer::Sum,
        Some(text) if text.trim_start().starts_with("lambda") => Reducer::Python(text.trim().to_owned()),
        Some(name) => Reducer::Function(name.to_owned()),
    }
}

/// A span as a number of seconds or a number with `ms`, `s`, `m` or `h`, in milliseconds.
fn millis(written: Option<WrittenSpan>, at: Location) -> Result<Option<u64>, PipelineError> {
    let Some(written) = written else { return Ok(None) };
    let seconds = match &written {
        WrittenSpan::Seconds(seconds) => Some(*seconds),
        WrittenSpan::Text(text) => {
            let text = text.trim();
            let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
            let factor = match unit.trim() {
                "ms" => Some(0.001),
                "s" => Some(1.0),
                "m" => Some(60.0),
                "h" => Some(3600.0),
                _ => None,
            };
            let number = text[..text.len() - unit.len()].parse::<f64>().ok();
            number.zip(factor).map(|(number, factor)| number * factor)
        }
    };
    let span = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let millis = span.and_then(|span| u64::try_from(span.as_millis()).ok());
    let text = "a span of time is a number of seconds, or a number with `ms`, `s`, `m` or `h`";
    millis.map(Some).ok_or_else(|| wrong(at, text.to_owned()))
}

fn needed<T>(value: Option<T>, field: &str, kind: &str, at: Location) -> Result<T, PipelineError> {
    value.ok_or_else(|| wrong(at, format!("a `{kind}` needs `{field}`; add it")))
}

fn wrong(at: Location, what: String) -> PipelineError {
    PipelineError::Yaml { line: at.line(), column: at.column(), what }
}

/// A field that the type of the step did not take.
fn left_over(step: &WrittenStep) -> Option<&'static str> {
    let fields = [
        ("command_type", step.command_type.is_some()),
        ("command", step.command.is_some()),
        ("returns", !step.returns.is_empty()),
        ("catalog", step.catalog.is_some()),
        ("secrets", !step.secrets.is_empty()),
        ("parameters", step.parameters.is_some()),
        ("retry", step.retry.is_some()),
        ("timeout", step.timeout.is_some()),
        ("overrides", !step.overrides.is_empty()),
        ("branches", step.branches.is_some()),
        ("merge", step.merge.is_some()),
        ("iterate_on", step.iterate_on.is_some()),
        ("iterate_as", step.iterate_as.is_some()),
        ("branch", step.branch.is_some()),
        ("reducer", step.reducer.is_some()),
        ("parameter", step.parameter.is_some()),
        ("default", step.default.is_some()),
        ("max_iterations", step.max_iterations.is_some()),
        ("break_on", step.break_on.is_some()),
        ("index_as", step.index_as.is_some()),
    ];
    fields.into_iter().find(|(_, left)| *left).map(|(field, _)| field)
}
