//! Steps that hold graphs: parallel, map, conditional, loop.
//!
//! Each branch works on values of its own, parallel ones in tasks of their own; what the branches changed is merged when
//! all of them succeeded, by the rule that the step declares. A branch that fails does not stop the others; the step
//! fails after all have ended, and nothing of it is merged. Only so many branches run at a time, what they give has a
//! limit together, and a list that is too long is refused before any of it runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use haversack::JoinSet;
use serde_json::Value;

use super::chain::Chain;
use super::execute::{Executor, Halt, Walked, Why};
use super::reduce;
use crate::PipelineError;
use crate::check::join;
use crate::node::{Dag, Merge, Node, Reducer};
use crate::parameters::{Values, hex, size_within};
use crate::run_log::What;

/// How many branches of one step run at a time; the others wait, as no more than their values.
const AT_A_TIME: usize = 64;

/// What the branches of one step may give together, in bytes of JSON: it is one event of the log.
const GATHERED_LIMIT: usize = 4 * 1024 * 1024;

/// What the branches gave, or why the step failed.
type Gathered = Result<BTreeMap<String, Value>, Why>;

/// A branch before it runs.
struct Branch {
    path: String,
    dag: Arc<Dag>,
    values: Values,
}

impl Executor {
    /// Runs a composite step; why it failed, if it did.
    pub(super) async fn composite(
        self: &Arc<Self>,
        node: &Node,
        path: &str,
        values: &mut Values,
        chain: &mut Chain,
    ) -> Result<Option<Why>, Halt> {
        let hash = hex(values.hash());
        let before = self.past.outputs(path, &hash).cloned();
        let gathered = match before {
            Some(outputs) => {
                take(values, &outputs);
                return Ok(None);
            }
            None => {
                let branches = match node {
                    Node::Parallel { branches, .. } => branches.len() as u64,
                    Node::Map { iterate_on, .. } => values
                        .get(iterate_on)
                        .and_then(|list| list.as_array())
                        .map_or(0, |list| list.len() as u64),
                    _ => 0,
                };
                chain.tell(What::StepStarted {
                    step: path.to_owned(),
                    kind: node.kind().to_owned(),
                    branches,
                    hash,
                });
                self.gather(node, path, values, chain).await?
            }
        };
        let (succeeded, outputs, why) = match gathered {
            Ok(outputs) => (true, outputs, None),
            Err(why) => (false, BTreeMap::new(), Some(why)),
        };
        take(values, &outputs);
        let reason = why.as_ref().map(|why| why.reason.clone());
        chain.tell(What::StepEnded { step: path.to_owned(), succeeded, outputs, reason });
        Ok(why)
    }

    async fn gather(
        self: &Arc<Self>,
        node: &Node,
        path: &str,
        values: &Values,
        chain: &mut Chain,
    ) -> Result<Gathered, Halt> {
        match node {
            Node::Parallel { branches, merge } => {
                let branch = |(name, dag): (&String, &Dag)| Branch {
                    path: join(path, name),
                    dag: Arc::new(dag.clone()),
                    values: values.branch(),
                };
                let ended = self.all(branches.iter().map(branch).collect(), chain).await?;
                Ok(ended.and_then(|ended| merged(ended, *merge)))
            }
            Node::Map { iterate_on, iterate_as, branch, reducer } => {
                let Some(list) = values.get(iterate_on).and_then(|list| list.as_array()) else {
                    return Ok(Err(
                        format!("the parameter `{iterate_on}` is no list; give the map a list").into()
                    ));
                };
                let largest = self.shared.settings.largest_list;
                if list.len() > largest {
                    return Ok(Err(format!(
                        "the list `{iterate_on}` has {} elements, and a map takes at most {largest}; give it fewer, \
                         such as lists of several each",
                        list.len()
                    )
                    .into()));
                }
                let dag = Arc::new(Dag::clone(branch));
                let of = |(at, element): (usize, &Value)| {
                    let mut values = values.branch();
                    values.set_own(iterate_as, Arc::new(element.clone()));
                    Branch { path: join(path, &format!("[{at}]")), dag: Arc::clone(&dag), values }
                };
                match self.all(list.iter().enumerate().map(of).collect(), chain).await? {
                    Ok(ended) => self.reduce(reducer, lists(&ended), path, chain).await,
                    Err(why) => Ok(Err(why)),
                }
            }
            Node::Conditional { parameter, branches, default } => {
                let Some(value) = values.get(parameter) else {
                    return Ok(Err(format!(
                        "the parameter `{parameter}` has no value here; give it one before"
                    )
                    .into()));
                };
                let chosen = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let (name, dag) = match (branches.get_key_value(&chosen), default) {
                    (Some((name, dag)), _) => (name.as_str(), dag),
                    (None, Some(dag)) => ("default", &**dag),
                    (None, None) => {
                        let text =
                            format!("no branch is for the value of `{parameter}`; add it, or a `default`");
                        return Ok(Err(text.into()));
                    }
                };
                let mut branch = values.branch();
                match self.walk(dag, &join(path, name), &mut branch, chain).await? {
                    Walked::Succeeded => Ok(Ok(changes(&branch))),
                    Walked::Failed(why) => Ok(Err(why)),
                }
            }
            Node::Loop { branch, max_iterations, break_on, index_as } => {
                let mut inside = values.branch();
                for iteration in 0..*max_iterations {
                    if let Some(name) = index_as {
                        inside.set_own(name, Arc::new(iteration.into()));
                    }
                    let path = join(path, &format!("[{iteration}]"));
                    match self.walk(branch, &path, &mut inside, chain).await? {
                        Walked::Succeeded => {}
                        Walked::Failed(why) => return Ok(Err(why)),
                    }
                    let ends = break_on
                        .as_ref()
                        .and_then(|name| inside.get(name))
                        .is_some_and(|value| is_true(value));
                    if ends {
                        break;
                    }
                }
                Ok(Ok(changes(&inside)))
            }
            _ => Err(PipelineError::Internal("a plain step was taken for a composite").into()),
        }
    }

    /// Runs all branches, so many at a time, each in a task of its own, and waits for all: their values in order, or why
    /// some failed.
    async fn all(
        self: &Arc<Self>,
        branches: Vec<Branch>,
        chain: &mut Chain,
    ) -> Result<Result<Vec<Values>, Why>, Halt> {
        // The log tells of the step before it tells of its branches.
        chain.flush(self).await?;
        let mut running = JoinSet::new();
        let mut ended: Vec<Option<Result<Values, Why>>> = branches.iter().map(|_| None).collect();
        let mut waiting = branches.into_iter().enumerate();
        let mut cancelled = false;
        let mut left = GATHERED_LIMIT;
        // The first branch that failed so far. It alone keeps what it printed last.
        let mut first: Option<usize> = None;
        loop {
            while running.len() < AT_A_TIME
                && let Some((at, branch)) = waiting.next()
            {
                let executor = Arc::clone(self);
                running.spawn(async move { (at, executor.branch(branch).await) });
            }
            let Some(joined) = running.join_next().await else { break };
            let (at, outcome) = joined.map_err(|_| PipelineError::Internal("a branch of a run vanished"))?;
            match outcome {
                Ok(mut outcome) => {
                    if let Err(why) = &mut outcome {
                        match first {
                            Some(earlier) if earlier < at => why.last_lines = None,
                            Some(later) => {
                                if let Some(Err(why)) = &mut ended[later] {
                                    why.last_lines = None;
                                }
                                first = Some(at);
                            }
                            None => first = Some(at),
                        }
                    }
                    ended[at] = Some(outcome.and_then(|values| {
                        left = values.changes().try_fold(left, |left, (_, value)| {
                            Some(left - size_within(&**value, left)?)
                        }).ok_or("its branches give more than 4 MiB together; let each give less, and put what is large \
                                  into files under `put`")?;
                        Ok(values)
                    }));
                }
                Err(Halt::Cancelled) => cancelled = true,
                // Dropping the set ends the others: nothing more can be written.
                Err(error) => return Err(error),
            }
        }
        if cancelled {
            return Err(Halt::Cancelled);
        }
        // The first failure is told; the log has the others.
        Ok(ended.into_iter().flatten().collect())
    }

    async fn branch(self: &Arc<Self>, branch: Branch) -> Result<Result<Values, Why>, Halt> {
        let Branch { path, dag, mut values } = branch;
        let mut chain = Chain::default();
        let walked = self.walk(&dag, &path, &mut values, &mut chain).await;
        if !matches!(walked, Err(Halt::Error(_))) {
            chain.flush(self).await?;
        }
        match walked? {
            Walked::Succeeded => Ok(Ok(values)),
            Walked::Failed(why) => Ok(Err(why)),
        }
    }

    async fn reduce(
        self: &Arc<Self>,
        reducer: &Reducer,
        lists: BTreeMap<String, Vec<Value>>,
        path: &str,
        chain: &mut Chain,
    ) -> Result<Gathered, Halt> {
        if let Some(reduced) = reduce::built_in(reducer, &lists) {
            return Ok(reduced.map_err(Why::from));
        }
        if lists.is_empty() {
            return Ok(Ok(BTreeMap::new()));
        }
        // Somebody's code: an attempt like any other.
        let task = reduce::task(reducer, &lists);
        let mut values = reduce::values(lists);
        match self.task(&join(path, "[reduce]"), Some(&task), &mut values, chain).await? {
            None => Ok(Ok(changes(&values))),
            Some(why) => Ok(Err(Why { reason: format!("the reducer failed: {}", why.reason), ..why })),
        }
    }
}

fn take(values: &mut Values, outputs: &BTreeMap<String, Value>) {
    for (name, value) in outputs {
        values.set(name, Arc::new(value.clone()));
    }
}

fn changes(values: &Values) -> BTreeMap<String, Value> {
    values.changes().map(|(name, value)| (name.to_string(), Value::clone(value))).collect()
}

/// What the branches of a parallel step changed, by the step's rule.
fn merged(branches: Vec<Values>, rule: Merge) -> Gathered {
    let mut given: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for branch in &branches {
        for (name, value) in branch.changes() {
            given.entry(name.to_string()).or_default().push(Value::clone(value));
        }
    }
    let one = |(name, mut values): (String, Vec<Value>)| match rule {
        Merge::List => Ok((name, Value::Array(values))),
        Merge::Error if values.len() > 1 => Err(format!(
            "{} branches give `{name}` a value; say `merge: last` or `merge: list`, or rename one",
            values.len()
        )
        .into()),
        Merge::Error | Merge::Last => Ok((name, values.pop().unwrap_or_default())),
    };
    given.into_iter().map(one).collect()
}

/// What the branches of a map changed: for each name a list in the order of the elements.
fn lists(branches: &[Values]) -> BTreeMap<String, Vec<Value>> {
    let mut lists: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (at, branch) in branches.iter().enumerate() {
        for (name, value) in branch.changes() {
            let list = lists.entry(name.to_string()).or_insert_with(|| vec![Value::Null; branches.len()]);
            list[at] = Value::clone(value);
        }
    }
    lists
}

/// Whether a value ends a loop: `true`, and what other languages take for it.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(truth) => *truth,
        Value::String(text) => text.eq_ignore_ascii_case("true"),
        Value::Number(number) => number.as_f64() == Some(1.0),
        _ => false,
    }
}
