//! Arguments for a tool that takes one text, or nothing.
//!
//! The offline model and the tasks of crews have a text and no idea of a schema. Every other tool is out of their reach.

use serde_json::{Map, Value};

use super::ToolSpec;

/// The arguments for a tool that needs one text, or nothing; none for every other. A single text that may be left out is
/// given too.
pub(crate) fn arguments_for(spec: &ToolSpec, text: &str) -> Option<Value> {
    let required = spec.parameters.get("required").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let kind = |name: &str| spec.parameters.get("properties")?.get(name)?.get("type");
    match required {
        [] if kind("query").is_some() => {
            Some(Value::Object(Map::from_iter([("query".to_owned(), text.into())])))
        }
        [] => Some(Value::Object(Map::new())),
        [name] => {
            let name = name.as_str()?;
            let text = (kind(name)? == "string").then(|| Value::from(text))?;
            Some(Value::Object(Map::from_iter([(name.to_owned(), text)])))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_one_text_or_nothing_can_be_filled_in() {
        let spec = |parameters| ToolSpec { name: "t".to_owned(), description: String::new(), parameters };
        let text = json!({ "properties": { "q": { "type": "string" } }, "required": ["q"] });
        assert_eq!(arguments_for(&spec(text), "x"), Some(json!({ "q": "x" })));
        assert_eq!(arguments_for(&spec(json!({ "type": "object" })), "x"), Some(json!({})));
        let number = json!({ "properties": { "n": { "type": "integer" } }, "required": ["n"] });
        assert_eq!(arguments_for(&spec(number), "x"), None);
        let two = json!({ "properties": {}, "required": ["a", "b"] });
        assert_eq!(arguments_for(&spec(two), "x"), None);
    }
}
