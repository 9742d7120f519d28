//! A trace as text: one tree, in which a piece of work stands below what caused it, after the units of work of the
//! cause. Most units run under the bindings of the unit above, so what is the same is left out unless [`Detail::All`] is
//! asked for. It is drawn from plain data, so that the same trace gives the same text. Only `context show` prints it.

use std::collections::HashSet;
use std::fmt::Write;

use jiff::Timestamp;

use crate::telemetry::TraceTree;
use crate::telemetry::tree::{Binding, Bindings, State, Unit, Work};

/// How much is said of the bindings that a unit ran under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// What differs from the unit above, or from what caused the work: another value, a new name, a name that is gone.
    Changes,
    /// Every binding of every unit.
    All,
}

/// The tree as text. Lines of a unit's bindings stand between it and what is below it.
pub fn render(tree: &TraceTree, detail: Detail) -> String {
    let mut text = format!("trace {}", tree.trace);
    for (name, value) in [("request", &tree.request), ("linked to", &tree.link)] {
        if let Some(value) = value {
            let _ = write!(text, "  {name} {value}");
        }
    }
    text.push('\n');
    let known: HashSet<&str> = tree.work.iter().map(|work| work.span.as_str()).collect();
    let unknown = |work: &&Work| !work.parent.as_deref().is_some_and(|parent| known.contains(parent));
    let roots: Vec<Below<'_>> = tree.work.iter().filter(unknown).map(Below::Work).collect();
    Drawing { tree, detail, text: &mut text }.all(&roots, "");
    if tree.more {
        text.push_str("more was done in this trace than is shown\n");
    }
    text
}

/// What can stand below something else.
#[derive(Clone, Copy)]
enum Below<'t> {
    Work(&'t Work),
    Unit(&'t Work, &'t Unit),
}

struct Drawing<'t, 'o> {
    tree: &'t TraceTree,
    detail: Detail,
    text: &'o mut String,
}

impl<'t> Drawing<'t, '_> {
    /// Draws what stands below one thing. `rest` is what its lines begin with.
    fn all(&mut self, below: &[Below<'t>], rest: &str) {
        for (position, child) in below.iter().enumerate() {
            let (branch, on) =
                if position + 1 == below.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            let (head, rest) = (format!("{rest}{branch}"), format!("{rest}{on}"));
            match child {
                Below::Work(work) => self.work(work, &head, &rest),
                Below::Unit(work, unit) => self.unit(work, unit, &head, &rest),
            }
        }
    }

    fn work(&mut self, work: &'t Work, head: &str, rest: &str) {
        let _ = writeln!(self.text, "{head}{}", headline(work));
        let roots = work.units.iter().filter(|unit| unit.parent.is_none());
        let mut below: Vec<Below<'t>> = roots.map(|unit| Below::Unit(work, unit)).collect();
        let caused =
            |other: &&Work| other.span != work.span && other.parent.as_deref() == Some(work.span.as_str());
        below.extend(self.tree.work.iter().filter(caused).map(Below::Work));
        let bar = if below.is_empty() { "    " } else { "│   " };
        for (name, value) in
            [("session", &work.session), ("request", &work.request), ("linked to", &work.link)]
        {
            if let Some(value) = value {
                let _ = writeln!(self.text, "{rest}{bar}{name} {value}");
            }
        }
        if work.dropped > 0 {
            let _ = writeln!(self.text, "{rest}{bar}{} more units of work were not recorded", work.dropped);
        }
        self.all(&below, rest);
    }

    fn unit(&mut self, work: &'t Work, unit: &'t Unit, head: &str, rest: &str) {
        let inside = work.units.iter().filter(|other| other.parent == Some(unit.id));
        let below: Vec<Below<'t>> = inside.map(|other| Below::Unit(work, other)).collect();
        let _ = writeln!(self.text, "{head}{}", name_of(unit));
        let bar = if below.is_empty() { "    " } else { "│   " };
        self.bindings(unit, self.above(work, unit), &format!("{rest}{bar}"));
        self.all(&below, rest);
    }

    /// What a unit's bindings are compared with: those of the unit above; for the first unit of a piece of work, those of
    /// the first unit of what caused it.
    fn above(&self, work: &Work, unit: &Unit) -> Option<&'t Bindings> {
        if self.detail == Detail::All {
            return None;
        }
        let cause = || self.tree.work.iter().find(|other| Some(&other.span) == work.parent.as_ref());
        let work = match unit.parent {
            Some(_) => self.tree.work.iter().find(|other| other.span == work.span)?,
            None => cause()?,
        };
        let above = work.units.iter().find(|other| match unit.parent {
            Some(parent) => other.id == parent,
            None => other.parent.is_none(),
        });
        above.map(|above| &above.context).filter(|above| !above.foreign)
    }

    fn bindings(&mut self, unit: &Unit, above: Option<&Bindings>, rest: &str) {
        let context = &unit.context;
        if context.foreign {
            let _ = writeln!(self.text, "{rest}context of somebody else; withheld");
            return;
        }
        if above.is_none_or(|above| (above.entry, &above.boundary) != (context.entry, &context.boundary)) {
            let entry = context.entry.map_or_else(|| "none".to_owned(), |entry| entry.to_string());
            let door = context.boundary.as_deref().unwrap_or("none");
            let _ = writeln!(self.text, "{rest}entry {entry} by door {door}");
        }
        let there = above.map_or(&[][..], |above| &above.variables);
        let same =
            |one: &&Binding| there.iter().any(|other| (&other.name, &other.value) == (&one.name, &one.value));
        let changed: Vec<&Binding> = context.variables.iter().filter(|one| !same(one)).collect();
        let widest = |part: fn(&Binding) -> &str| {
            changed.iter().map(|variable| part(variable).chars().count()).max().unwrap_or(0)
        };
        let (name, value) = (widest(|one| &one.name), widest(|one| &one.value).min(40));
        for variable in &changed {
            let _ = writeln!(self.text, "{rest}{}", binding(variable, name, value));
        }
        let here = |one: &&Binding| context.variables.iter().any(|other| other.name == one.name);
        let gone: Vec<&str> = there.iter().filter(|one| !here(one)).map(|one| one.name.as_str()).collect();
        if !gone.is_empty() {
            let _ = writeln!(self.text, "{rest}without {}", gone.join(", "));
        }
    }
}

fn headline(work: &Work) -> String {
    let mut text = format!("{} {}", work.kind, work.id);
    let _ = match (work.state, work.ended_at) {
        (State::Running, _) => write!(text, "  running"),
        (State::Interrupted, _) => write!(text, "  interrupted"),
        (State::Complete, Some(ended)) => write!(text, "  {} ms", ended.saturating_sub(work.started_at)),
        (State::Complete, None) => write!(text, "  complete"),
    };
    if let Some(process) = &work.process {
        let _ = write!(text, "  {process}");
    }
    if let Ok(at) = Timestamp::from_millisecond(work.started_at) {
        let _ = write!(text, "  {}", at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"));
    }
    text
}

fn name_of(unit: &Unit) -> String {
    let mut text = unit.name.clone();
    for (name, value) in &unit.fields {
        let _ = write!(text, " {name}={value}");
    }
    let _ = match unit.elapsed_us {
        Some(us) => write!(text, "  {}.{:03} ms", us / 1_000, us % 1_000),
        None => write!(text, "  not ended"),
    };
    if let Some(at) = &unit.at {
        let _ = write!(text, "  {at}");
    }
    text
}

fn binding(variable: &Binding, name: usize, value: usize) -> String {
    let whose = if variable.own { "own" } else { "inherited" };
    let door = variable.boundary.as_deref().map(|door| format!(" by door {door}")).unwrap_or_default();
    format!(
        "{:<name$} = {:<value$}  bound at {}{door}, {whose}",
        variable.name, variable.value, variable.bound_at
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::telemetry::tree::Bindings;

    fn one(id: u32, parent: Option<u32>, name: &str, door: &str) -> Unit {
        let variables = [("tenant", "northwind"), ("locale", "en")].map(|(name, value)| Binding {
            name: name.into(),
            value: value.into(),
            shown: true,
            bound_at: "access.rs:44".into(),
            boundary: Some(door.into()),
            own: id == 0,
        });
        Unit {
            id,
            parent,
            name: name.into(),
            target: "t".into(),
            at: Some(format!("{name}.rs:7")),
            fields: BTreeMap::new(),
            start_us: 0,
            elapsed_us: (id != 3).then_some(1_234),
            context: Bindings {
                entry: Some(9),
                boundary: Some(door.into()),
                foreign: false,
                variables: variables.into(),
            },
        }
    }

    fn work(kind: &str, span: &str, parent: &str, state: State, units: Vec<Unit>) -> Work {
        Work {
            kind: kind.into(),
            id: format!("{kind}_1"),
            span: span.into(),
            parent: Some(parent.into()),
            session: (kind == "turn").then(|| "s".into()),
            request: None,
            link: None,
            process: Some(if kind == "job" { "worker 4712".into() } else { "server 4711".into() }),
            started_at: 1_700_000_000_000,
            ended_at: (state == State::Complete).then_some(1_700_000_000_034),
            state,
            dropped: u64::from(kind == "job") * 2,
            units,
        }
    }

    /// A turn with a tool that has another caller and a model that has no locale, a job that it caused, and what the job
    /// caused.
    fn day() -> TraceTree {
        let mut turn = vec![
            one(0, None, "turn", "turn"),
            one(1, Some(0), "supervisor", "turn"),
            one(2, Some(1), "model", "turn"),
            one(3, Some(0), "tool", "turn"),
        ];
        turn[2].context.variables.truncate(1);
        turn[3].context.variables[1].value = "de".into();
        TraceTree {
            trace: "4bf92f3577b34da6a3ce929d0e0e4736".into(),
            request: Some("req_1".into()),
            link: Some("00-11112f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
            more: false,
            work: vec![
                work("turn", "a1", "http", State::Interrupted, turn),
                work("job", "b2", "a1", State::Complete, vec![one(0, None, "job", "worker")]),
                work("run", "c3", "b2", State::Running, Vec::new()),
                work("delivery", "d4", "a1", State::Complete, Vec::new()),
            ],
        }
    }

    #[test]
    fn a_trace_is_one_tree_by_cause() {
        insta::assert_snapshot!(render(&day(), Detail::Changes), @r"
        trace 4bf92f3577b34da6a3ce929d0e0e4736  request req_1  linked to 00-11112f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
        └─ turn turn_1  interrupted  server 4711  2023-11-14T22:13:20.000Z
           │   session s
           ├─ turn  1.234 ms  turn.rs:7
           │  │   entry 9 by door turn
           │  │   tenant = northwind  bound at access.rs:44 by door turn, own
           │  │   locale = en         bound at access.rs:44 by door turn, own
           │  ├─ supervisor  1.234 ms  supervisor.rs:7
           │  │  └─ model  1.234 ms  model.rs:7
           │  │         without locale
           │  └─ tool  not ended  tool.rs:7
           │         locale = de  bound at access.rs:44 by door turn, inherited
           ├─ job job_1  34 ms  worker 4712  2023-11-14T22:13:20.000Z
           │  │   2 more units of work were not recorded
           │  ├─ job  1.234 ms  job.rs:7
           │  │      entry 9 by door worker
           │  └─ run run_1  running  server 4711  2023-11-14T22:13:20.000Z
           └─ delivery delivery_1  34 ms  server 4711  2023-11-14T22:13:20.000Z
        ");
    }

    #[test]
    fn every_binding_is_there_for_whoever_asks() {
        insta::assert_snapshot!(render(&day(), Detail::All), @r"
        trace 4bf92f3577b34da6a3ce929d0e0e4736  request req_1  linked to 00-11112f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
        └─ turn turn_1  interrupted  server 4711  2023-11-14T22:13:20.000Z
           │   session s
           ├─ turn  1.234 ms  turn.rs:7
           │  │   entry 9 by door turn
           │  │   tenant = northwind  bound at access.rs:44 by door turn, own
           │  │   locale = en         bound at access.rs:44 by door turn, own
           │  ├─ supervisor  1.234 ms  supervisor.rs:7
           │  │  │   entry 9 by door turn
           │  │  │   tenant = northwind  bound at access.rs:44 by door turn, inherited
           │  │  │   locale = en         bound at access.rs:44 by door turn, inherited
           │  │  └─ model  1.234 ms  model.rs:7
           │  │         entry 9 by door turn
           │  │         tenant = northwind  bound at access.rs:44 by door turn, inherited
           │  └─ tool  not ended  tool.rs:7
           │         entry 9 by door turn
           │         tenant = northwind  bound at access.rs:44 by door turn, inherited
           │         locale = de         bound at access.rs:44 by door turn, inherited
           ├─ job job_1  34 ms  worker 4712  2023-11-14T22:13:20.000Z
           │  │   2 more units of work were not recorded
           │  ├─ job  1.234 ms  job.rs:7
           │  │      entry 9 by door worker
           │  │      tenant = northwind  bound at access.rs:44 by door worker, own
           │  │      locale = en         bound at access.rs:44 by door worker, own
           │  └─ run run_1  running  server 4711  2023-11-14T22:13:20.000Z
           └─ delivery delivery_1  34 ms  server 4711  2023-11-14T22:13:20.000Z
        ");
    }
}
