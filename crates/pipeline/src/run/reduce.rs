//! How the lists of a map become values.
//!
//! The built-in rules are computed here; a registered function and a Python expression become a task that is run as an
//! attempt of its own. Only the map calls this.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::node::{CatalogRules, CommandType, Reducer, Retry, Return, Task};
use crate::parameters::{Parameters, Values};
use crate::step::REDUCE;

/// The parameter under which a reducer finds the lists.
const VALUES: &str = "values";

/// What a built-in rule makes of the lists; `None` for code of somebody else.
pub(super) fn built_in(
    reducer: &Reducer,
    lists: &BTreeMap<String, Vec<Value>>,
) -> Option<Result<BTreeMap<String, Value>, String>> {
    let rule: fn(&[Value]) -> Option<Value> = match reducer {
        Reducer::List => |values| Some(Value::Array(values.to_vec())),
        Reducer::Last => |values| values.iter().rfind(|value| !value.is_null()).cloned(),
        Reducer::Max => |values| extreme(values, |one, other| one > other),
        Reducer::Min => |values| extreme(values, |one, other| one < other),
        Reducer::Sum => sum,
        Reducer::Function(_) | Reducer::Python(_) => return None,
    };
    let one = |(name, values): (&String, &Vec<Value>)| match rule(values) {
        Some(value) => Ok((name.clone(), value)),
        None => Err(format!("`{name}` holds something that is no number; use another reducer")),
    };
    Some(lists.iter().map(one).collect())
}

fn extreme(values: &[Value], wins: fn(f64, f64) -> bool) -> Option<Value> {
    let mut best: Option<(f64, &Value)> = None;
    for value in values.iter().filter(|value| !value.is_null()) {
        let number = value.as_f64()?;
        if best.is_none_or(|(so_far, _)| wins(number, so_far)) {
            best = Some((number, value));
        }
    }
    best.map(|(_, value)| value.clone())
}

fn sum(values: &[Value]) -> Option<Value> {
    let given = || values.iter().filter(|value| !value.is_null());
    let whole = given().map(Value::as_i64).try_fold(0_i64, |sum, value| sum.checked_add(value?));
    match whole {
        Some(sum) => Some(sum.into()),
        None => given().map(Value::as_f64).sum::<Option<f64>>().map(Into::into),
    }
}

/// The task that reduces: it finds `values`, an object of lists, and gives one value for each name.
pub(super) fn task(reducer: &Reducer, lists: &BTreeMap<String, Vec<Value>>) -> Task {
    let (command_type, command, overrides) = match reducer {
        Reducer::Python(expression) => (
            CommandType::Python,
            expression.clone(),
            BTreeMap::from([(REDUCE.to_owned(), Value::Bool(true))]),
        ),
        Reducer::Function(name) => (CommandType::Function, name.clone(), BTreeMap::new()),
        // The built-in ones were computed before.
        _ => (CommandType::Function, String::new(), BTreeMap::new()),
    };
    Task {
        command_type,
        command,
        returns: lists.keys().map(|name| Return { name: name.clone(), metric: false }).collect(),
        catalog: CatalogRules::default(),
        secrets: Vec::new(),
        parameters: Some(Vec::new()),
        retry: Retry::default(),
        timeout_ms: None,
        overrides,
    }
}

/// What the task sees.
pub(super) fn values(lists: BTreeMap<String, Vec<Value>>) -> Values {
    let lists = lists.into_iter().map(|(name, values)| (name, Value::Array(values))).collect();
    let mut values = Values::of(Parameters::new());
    values.set_own(VALUES, Arc::new(Value::Object(lists)));
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reduced(reducer: Reducer, values: Value) -> Option<Value> {
        let lists = BTreeMap::from([("x".to_owned(), values.as_array().unwrap().clone())]);
        Some(built_in(&reducer, &lists).unwrap().ok()?["x"].clone())
    }

    #[test]
    fn built_in_rules() {
        let list = || serde_json::json!([1, null, 3, 2]);
        assert_eq!(reduced(Reducer::List, list()), Some(list()));
        assert_eq!(reduced(Reducer::Last, list()), Some(2.into()));
        assert_eq!(reduced(Reducer::Max, list()), Some(3.into()));
        assert_eq!(reduced(Reducer::Min, list()), Some(1.into()));
        assert_eq!(reduced(Reducer::Sum, list()), Some(6.into()));
        assert_eq!(reduced(Reducer::Sum, serde_json::json!([0.5, 1])), Some(1.5.into()));
        assert_eq!(reduced(Reducer::Max, serde_json::json!([1, "x"])), None);
    }
}
