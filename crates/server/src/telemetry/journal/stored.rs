//! A span tree as it lies in the journal: JSON of format 1, in which spans that ran under the same bindings name them
//! once. It is bounded; the spans that do not fit are counted. Only the journal writes and reads it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::telemetry::ring::Recorded;
use crate::telemetry::tree::{Bindings, Unit};

/// The version that is written, and the only one there has been.
const FORMAT: u8 = 1;

/// Most bytes of one tree.
const MOST: usize = 64 * 1024;

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    format: u8,
    dropped: u64,
    contexts: Vec<Bindings>,
    units: Vec<StoredUnit>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredUnit {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<u32>,
    name: String,
    target: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    fields: BTreeMap<String, String>,
    start_us: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    elapsed_us: Option<u64>,
    /// Position among the contexts.
    context: usize,
}

/// The text of a tree. Spans are left out from the end until it fits, so no child is kept without its parent.
pub(super) fn write(recorded: Recorded) -> Option<String> {
    let Recorded { mut dropped, mut units, .. } = recorded;
    loop {
        let text = serde_json::to_string(&pack(dropped, &units)).ok()?;
        if text.len() <= MOST {
            return Some(text);
        }
        let kept = units.len() / 2;
        dropped += (units.len() - kept) as u64;
        units.truncate(kept);
    }
}

/// Spans, and how many were left out. A tree that this release cannot read counts as none.
pub(super) fn read(text: &str) -> Option<(Vec<Unit>, u64)> {
    let stored: Stored = serde_json::from_str(text).ok()?;
    if stored.format != FORMAT {
        return None;
    }
    let contexts = stored.contexts;
    let units = stored.units.into_iter().zip(0..).map(|(unit, id)| Unit {
        id,
        parent: unit.parent,
        name: unit.name,
        target: unit.target,
        at: unit.at,
        fields: unit.fields,
        start_us: unit.start_us,
        elapsed_us: unit.elapsed_us,
        context: contexts.get(unit.context).cloned().unwrap_or_default(),
    });
    Some((units.collect(), stored.dropped))
}

fn pack(dropped: u64, units: &[Unit]) -> Stored {
    let mut contexts: Vec<Bindings> = Vec::new();
    let units = units.iter().map(|unit| {
        let known = contexts.iter().position(|context| *context == unit.context);
        let context = known.unwrap_or_else(|| {
            contexts.push(unit.context.clone());
            contexts.len() - 1
        });
        StoredUnit {
            parent: unit.parent,
            name: unit.name.clone(),
            target: unit.target.clone(),
            at: unit.at.clone(),
            fields: unit.fields.clone(),
            start_us: unit.start_us,
            elapsed_us: unit.elapsed_us,
            context,
        }
    });
    let units = units.collect();
    Stored { format: FORMAT, dropped, contexts, units }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(spans: u32, name: &str) -> Recorded {
        let unit = |id: u32| Unit {
            id,
            parent: id.checked_sub(1),
            name: name.to_owned(),
            target: "t".to_owned(),
            at: None,
            fields: BTreeMap::new(),
            start_us: 0,
            elapsed_us: Some(1),
            context: Bindings { entry: Some(u64::from(id % 2)), ..Bindings::default() },
        };
        Recorded { started_at: 0, complete: true, dropped: 3, units: (0..spans).map(unit).collect() }
    }

    #[test]
    fn what_is_written_is_read() {
        let text = write(recorded(5, "tool")).unwrap();
        assert_eq!(read(&text).unwrap(), (recorded(5, "tool").units, 3));
        assert_eq!(text.matches("\"entry\"").count(), 2, "bindings are named once: {text}");
    }

    #[test]
    fn format_1_stays_readable() {
        let text = r#"{"format":1,"dropped":2,"contexts":[{"entry":9,"boundary":"turn","variables":[]}],"units":[{"name":"turn","target":"t","at":"turn.rs:7","fields":{"turn":"turn_1"},"start_us":0,"elapsed_us":7,"context":0}]}"#;
        let (units, dropped) = read(text).unwrap();
        assert_eq!((units[0].name.as_str(), units[0].context.entry, dropped), ("turn", Some(9), 2));
        assert!(read(&text.replace("\"format\":1", "\"format\":2")).is_none());
    }

    #[test]
    fn a_tree_is_bounded() {
        let text = write(recorded(2_000, &"x".repeat(200))).unwrap();
        assert!(text.len() <= MOST);
        let (units, dropped) = read(&text).unwrap();
        assert_eq!(units.len() as u64 + dropped, 2_003);
        assert!(units.iter().all(|unit| unit.parent.is_none_or(|parent| parent < unit.id)));
    }
}
