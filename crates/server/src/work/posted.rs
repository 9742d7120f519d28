//! Jobs that a client posts: one run of one tool, in the background, by name. Which tools may be posted is the
//! configuration's choice; what they need and whether the arguments can fit is checked before anything is queued. The
//! HTTP boundary calls it inside its door, or inside a session's.

use haversack::Context;
use haversack::well_known::PRINCIPAL;
use haversack_agent::Agents;
use haversack_agent::tool::Tool;
use haversack_jobs::{NewJob, Submitted};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::Work;
use super::background::{TOOL, ToolJob};
use crate::auth::key::hex;
use crate::code::Code;
use crate::problem::Fault;

/// Submits one run of a tool in the context of this call. `allowed` names the tools that may be posted besides those that
/// are declared for the background; `key` is the caller's own idempotency key.
///
/// # Errors
/// [`Code::JobRefused`] when there is no such tool here, it needs what is not bound, or the arguments cannot fit;
/// the faults of the jobs. Nothing was submitted then.
pub async fn post(
    work: &Work,
    agents: &Agents,
    allowed: &[String],
    job: ToolJob,
    key: Option<&str>,
) -> Result<Submitted, Fault> {
    let tool = agents.tool(&job.tool);
    let tool =
        tool.filter(|tool| tool.background().is_some() || allowed.contains(&job.tool)).ok_or_else(|| {
            Fault::new(Code::JobRefused, "There is no tool of this name that can be run in the background.")
        })?;
    fits(tool, &job.arguments)?;
    let mut new = NewJob::new(TOOL, &job)?;
    if let Some(key) = key {
        new = new.key(PRINCIPAL.with(|principal| own(principal.as_str(), key))?);
    }
    Ok(work.submit_tool(&job.tool, new).await?)
}

/// Keys of jobs are the tenant's; two of its principals who choose the same words mean two jobs.
pub(super) fn own(principal: &str, key: &str) -> String {
    let mut hash = Sha256::new();
    for part in [principal, key] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}

fn fits(tool: &dyn Tool, arguments: &Value) -> Result<(), Fault> {
    let refused = |detail: String| Err(Fault::new(Code::JobRefused, detail));
    let here = Context::current();
    if let Some(missing) = tool.needs().iter().find(|variable| !variable.is_bound_in(&here)) {
        let variable = missing.name();
        return refused(format!("The tool needs the variable `{variable}`; a `session` may bind it."));
    }
    let Some(arguments) = arguments.as_object() else {
        return refused("`arguments` must be a JSON object.".to_owned());
    };
    unfit(&tool.spec().parameters, arguments).map_or(Ok(()), refused)
}

/// What the outer shape of a tool's schema says about arguments; the tool itself reads the rest when it runs. Names in
/// the answer are the schema's.
fn unfit(schema: &Value, arguments: &Map<String, Value>) -> Option<String> {
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    if let Some(missing) = required.into_iter().find(|name| !arguments.contains_key(*name)) {
        return Some(format!("The argument `{missing}` is missing."));
    }
    for (name, value) in arguments {
        let Some((name, property)) = schema["properties"].as_object().and_then(|all| all.get_key_value(name))
        else {
            if schema["additionalProperties"] == false {
                return Some("The tool has no argument of one of these names.".to_owned());
            }
            continue;
        };
        let types: Vec<&str> = match &property["type"] {
            Value::String(one) => vec![one],
            several => several.as_array().into_iter().flatten().filter_map(Value::as_str).collect(),
        };
        if !types.is_empty() && !types.iter().any(|kind| is(kind, value)) {
            return Some(format!("The argument `{name}` is to be of the type {}.", types.join(" or ")));
        }
    }
    None
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{own, unfit};

    #[test]
    fn arguments_are_held_to_the_outer_shape() {
        let schema = json!({
            "type": "object", "required": ["text"], "additionalProperties": false,
            "properties": { "text": { "type": "string" }, "subject": { "type": ["string", "null"] } }
        });
        let fits = |arguments: Value| unfit(&schema, arguments.as_object().unwrap()).is_none();
        assert!(fits(json!({ "text": "a" })) && fits(json!({ "text": "a", "subject": null })));
        for bad in [json!({}), json!({ "text": 1 }), json!({ "text": "a", "subject": [] })] {
            assert!(!fits(bad));
        }
        let unknown = json!({ "text": "a", "canary": 1 });
        let said = unfit(&schema, unknown.as_object().unwrap()).unwrap();
        assert!(!said.contains("canary"), "{said}");
    }

    #[test]
    fn the_same_words_of_two_people_are_two_keys() {
        assert_ne!(own("kim", "k"), own("sam", "k"));
        assert_ne!(own("a", "bc"), own("ab", "c"));
    }
}
