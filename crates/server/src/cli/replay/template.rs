//! Texts with slots: `The manager is {manager}.` A brace that does not enclose the name of a slot stands for itself, as
//! in Markdown with code; a name that is no slot is a mistake. `file` parses, `plan` fills.

use std::collections::BTreeMap;
use std::fmt;

/// A text with slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Slot(String),
}

/// A name in braces that is no slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownSlot {
    /// Byte offset in the text.
    pub at: usize,
    name: String,
}

impl fmt::Display for UnknownSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{{{}}}` is not in [slots]", self.name)
    }
}

/// Whether a slot may have this name.
pub fn is_slot(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

impl Template {
    /// Splits a text at its slots. `known` says which names are slots.
    ///
    /// # Errors
    /// [`UnknownSlot`] for the first name in braces that is none.
    pub fn parse(text: &str, known: impl Fn(&str) -> bool) -> Result<Self, UnknownSlot> {
        let mut parts = Vec::new();
        let (mut plain, mut from) = (0, 0);
        while let Some(open) = text[from..].find('{').map(|at| at + from) {
            from = open + 1;
            let Some(close) = text[from..].find('}').map(|at| at + from) else { break };
            let name = &text[from..close];
            if !is_slot(name) {
                continue;
            }
            if !known(name) {
                return Err(UnknownSlot { at: open, name: name.to_owned() });
            }
            parts.push(Part::Text(text[plain..open].to_owned()));
            parts.push(Part::Slot(name.to_owned()));
            from = close + 1;
            plain = from;
        }
        parts.push(Part::Text(text[plain..].to_owned()));
        Ok(Self { parts })
    }

    /// The text with the values of its slots.
    pub fn fill(&self, values: &BTreeMap<String, String>) -> String {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.as_str(),
                Part::Slot(name) => values.get(name).map_or("", String::as_str),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_filled_and_other_braces_stay() {
        let known = |name: &str| name == "a" || name == "b_2";
        let template = Template::parse("x {a}{b_2} fn f() { 1 } {A} {", known).unwrap();
        let values = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b_2".to_owned(), "2".to_owned())]);
        assert_eq!(template.fill(&values), "x 12 fn f() { 1 } {A} {");
        assert_eq!(Template::parse("é {zz}", known).unwrap_err(), UnknownSlot { at: 3, name: "zz".into() });
    }
}
