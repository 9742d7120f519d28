//! When a text asks for a tool, and what to call it with.
//!
//! Phrases are compared word by word, by stems; arguments can be made for a tool that wants one text or
//! nothing. The offline model and the crews' tools use it: both have words where a language model would have
//! an idea.

use serde_json::{Map, Value};

use super::ToolSpec;
use crate::words::{Token, stem, tokens};

/// The words of `text` at which one of the phrases stands: the first place, as a range of tokens.
pub(crate) fn phrase_in(phrases: &[String], words: &[Token<'_>]) -> Option<std::ops::Range<usize>> {
    let stems: Vec<String> = words.iter().map(|word| stem(&word.lower)).collect();
    let found = phrases.iter().filter_map(|phrase| {
        let wanted: Vec<String> = tokens(phrase).iter().map(|word| stem(&word.lower)).collect();
        let length = wanted.len();
        let at = (length > 0).then(|| stems.windows(length).position(|window| window == wanted)).flatten()?;
        Some(at..at + length)
    });
    found.min_by_key(|range| (range.start, std::cmp::Reverse(range.end)))
}

/// What is asked behind the words that ask for a tool; the whole text when nothing stands there.
pub(crate) fn behind_the_asking<'t>(phrases: &[String], text: &'t str) -> &'t str {
    let words = tokens(text);
    let behind = phrase_in(phrases, &words).and_then(|range| words.get(range.end));
    behind.map_or(text, |word| &text[word.start..])
}

/// The arguments for a tool that needs one text, or nothing; `None` for every other.
pub(crate) fn arguments_for(spec: &ToolSpec, text: &str) -> Option<Value> {
    let required = spec.parameters.get("required").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    match required {
        [] => Some(Value::Object(Map::new())),
        [name] => {
            let name = name.as_str()?;
            let kind = spec.parameters.get("properties")?.get(name)?.get("type")?;
            let text = (kind == "string").then(|| Value::from(text))?;
            Some(Value::Object(Map::from_iter([(name.to_owned(), text)])))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn phrases(list: &[&str]) -> Vec<String> {
        list.iter().map(|phrase| (*phrase).to_owned()).collect()
    }

    #[test]
    fn a_phrase_is_found_word_by_word_in_any_form() {
        let when = phrases(&["look into", "research"]);
        let at = |text: &str| phrase_in(&when, &tokens(text));
        assert_eq!(at("Please look into our returns"), Some(1..3));
        assert_eq!(at("Looking into it, researching"), Some(0..2));
        assert_eq!(at("We looked at the intothing"), None);
        assert_eq!(behind_the_asking(&when, "Please research our returns."), "our returns.");
        assert_eq!(behind_the_asking(&when, "Some research!"), "Some research!");
    }

    #[test]
    fn only_one_text_or_nothing_can_be_filled_in() {
        let spec = |parameters| ToolSpec {
            name: "t".to_owned(),
            description: String::new(),
            parameters,
            when: Vec::new(),
        };
        let text = json!({ "properties": { "q": { "type": "string" } }, "required": ["q"] });
        assert_eq!(arguments_for(&spec(text), "x"), Some(json!({ "q": "x" })));
        assert_eq!(arguments_for(&spec(json!({ "type": "object" })), "x"), Some(json!({})));
        let number = json!({ "properties": { "n": { "type": "integer" } }, "required": ["n"] });
        assert_eq!(arguments_for(&spec(number), "x"), None);
        let two = json!({ "properties": {}, "required": ["a", "b"] });
        assert_eq!(arguments_for(&spec(two), "x"), None);
    }
}
