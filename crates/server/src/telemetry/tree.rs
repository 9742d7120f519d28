//! The trees as a reader gets them: of one turn, and of everything that one arrival caused, in whatever process. They
//! hold units of work, the context each ran under, and where each binding was made. They are plain data, the same on
//! the wire and in `context show`. Ring and journal build them; anybody may read them.

use std::collections::{BTreeMap, HashMap};

use haversack::Context;
use serde::{Deserialize, Serialize};

use super::fields::clip;

/// Every recorded unit of work of one turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TurnTree {
    /// The turn's id.
    pub turn: String,
    /// Start of the turn, milliseconds since the Unix epoch, UTC.
    pub started_at: i64,
    /// Whether every recorded unit has ended.
    pub complete: bool,
    /// Units that were not recorded because the turn had too many.
    pub dropped: u64,
    /// The units in the order they began. A parent stands before its children.
    pub units: Vec<Unit>,
}

/// Everything of one trace that belongs to the reader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TraceTree {
    /// The trace's id: 32 hexadecimal digits.
    pub trace: String,
    /// The request that began it.
    pub request: Option<String>,
    /// The `traceparent` that an outside caller sent with that request.
    pub link: Option<String>,
    /// More was done in this trace than is shown.
    pub more: bool,
    /// What was done, in the order it began. Each names what caused it by [`Work::parent`].
    pub work: Vec<Work>,
}

/// A turn, an attempt of a job, a run of a pipeline or a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Work {
    /// `turn`, `job`, `run` or `delivery`.
    pub kind: String,
    /// Its id. Attempts of one job share it.
    pub id: String,
    /// Its span in the trace: 16 hexadecimal digits.
    pub span: String,
    /// The span of what caused it. A span that is none of this trace's work is that of a request.
    pub parent: Option<String>,
    /// The session that it belongs to.
    pub session: Option<String>,
    /// The request that it goes back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The outside caller's `traceparent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// The role and process id, as in `server 4711`; over HTTP the processes of an answer are numbered. Absent when only the ring knows of it.
    pub process: Option<String>,
    /// When it began, milliseconds since the Unix epoch, UTC.
    pub started_at: i64,
    /// When it ended; absent while it runs, and when its process died.
    pub ended_at: Option<i64>,
    /// Where it stands.
    pub state: State,
    /// Units that were not recorded because there were too many.
    pub dropped: u64,
    /// Its units in the order they began. A parent stands before its children.
    pub units: Vec<Unit>,
}

/// Where a piece of work stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It runs.
    Running,
    /// It ended, well or not; the field `outcome` of its first unit says how.
    Complete,
    /// It was dropped, or its process died.
    Interrupted,
}

/// One unit of work: a span and the context it was opened under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Unit {
    /// Position among the units.
    pub id: u32,
    /// Position of the unit this one ran inside of; absent for the turn itself.
    pub parent: Option<u32>,
    /// Name of the work: `turn`, `supervisor`, `specialist`, `tool`, `model`, ..
    pub name: String,
    /// Module that opened it.
    pub target: String,
    /// Source place that opened it, `file:line`.
    pub at: Option<String>,
    /// Ids, names, numbers and outcomes; never what was said.
    pub fields: BTreeMap<String, String>,
    /// Microseconds after the start of the first unit.
    pub start_us: u64,
    /// Length in microseconds; absent while it runs.
    pub elapsed_us: Option<u64>,
    /// The context it ran under.
    pub context: Bindings,
}

/// What was bound, redacted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Bindings {
    /// The entry, that is: one passage through one door. Over HTTP it is numbered within the answer.
    pub entry: Option<u64>,
    /// The door that was passed last.
    pub boundary: Option<String>,
    /// The unit ran under another tenant or principal than the turn. Its bindings are withheld here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub foreign: bool,
    /// The bound variables.
    pub variables: Vec<Binding>,
}

/// One bound variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Binding {
    /// Name of the variable.
    pub name: String,
    /// Its value when the variable is declared as shown, otherwise a placeholder.
    pub value: String,
    /// Whether `value` is the value itself and not a placeholder.
    pub shown: bool,
    /// Where it was bound, `file:line`.
    pub bound_at: String,
    /// The door that was passed last when it was bound.
    pub boundary: Option<String>,
    /// Bound by this unit's own frame, not inherited.
    pub own: bool,
}

impl TurnTree {
    /// The tree without numbers that count what others do: entries are numbered within it.
    #[must_use]
    pub(crate) fn for_its_reader(mut self) -> Self {
        renumber(self.units.iter_mut());
        self
    }
}

impl TraceTree {
    /// The trace without numbers that count what others do: entries and processes are numbered within it.
    #[must_use]
    pub(crate) fn for_its_reader(mut self) -> Self {
        let mut processes: HashMap<String, usize> = HashMap::new();
        for process in self.work.iter_mut().filter_map(|work| work.process.as_mut()) {
            let next = processes.len() + 1;
            let number = *processes.entry(process.clone()).or_insert(next);
            let role = process.split(' ').next().unwrap_or_default();
            *process = format!("{role} {number}");
        }
        renumber(self.work.iter_mut().flat_map(|work| work.units.iter_mut()));
        self
    }
}

fn renumber<'u>(units: impl Iterator<Item = &'u mut Unit>) {
    let mut numbers: HashMap<u64, u64> = HashMap::new();
    for entry in units.filter_map(|unit| unit.context.entry.as_mut()) {
        let next = numbers.len() as u64 + 1;
        *entry = *numbers.entry(*entry).or_insert(next);
    }
}

impl Bindings {
    /// What is bound now, redacted as each variable declares.
    pub(super) fn current() -> Self {
        let described = Context::current().describe();
        let variables = described
            .bindings
            .into_iter()
            .map(|binding| Binding {
                name: binding.name.to_string(),
                value: clip(&binding.value),
                shown: binding.shown,
                bound_at: binding.bound_at,
                boundary: binding.boundary.map(str::to_owned),
                own: binding.own,
            })
            .collect();
        Self {
            entry: described.entry,
            boundary: described.boundary.map(str::to_owned),
            foreign: false,
            variables,
        }
    }

    /// Stands for bindings of somebody else: says only that they were foreign.
    pub(super) fn withheld() -> Self {
        Self { foreign: true, ..Self::default() }
    }
}
