//! Guardrails: what looks at an output after the task, and sends it back with feedback.
//!
//! A guardrail is a function from text to yes or to words for the next attempt; [`Rules`] are the ones that can
//! be written down as data. The worker asks them after each attempt; the configuration and programs give them.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

type Check = dyn Fn(&str) -> Result<(), String> + Send + Sync;

/// One check of a task's output.
#[derive(Clone)]
pub(super) struct Guardrail(Arc<Check>);

impl Guardrail {
    pub(super) fn new(check: impl Fn(&str) -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(check))
    }

    pub(super) fn check(&self, text: &str) -> Result<(), String> {
        (self.0)(text)
    }
}

impl fmt::Debug for Guardrail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guardrail")
    }
}

/// Guardrails as data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// Characters that an output has at least.
    pub min_chars: Option<usize>,
    /// Characters that an output has at most.
    pub max_chars: Option<usize>,
    /// Phrases that an output holds, in any case of letters.
    pub must_contain: Vec<String>,
    /// Phrases that an output does not hold, in any case of letters.
    pub must_not_contain: Vec<String>,
}

impl Rules {
    /// Checks a text.
    ///
    /// # Errors
    /// What is to be done better, in words for the next attempt.
    pub fn check(&self, text: &str) -> Result<(), String> {
        let length = text.trim().chars().count();
        if let Some(least) = self.min_chars.filter(|least| length < *least) {
            return Err(format!("It has {length} characters and must have at least {least}."));
        }
        if let Some(most) = self.max_chars.filter(|most| length > *most) {
            return Err(format!("It has {length} characters and may have at most {most}."));
        }
        let folded = text.to_lowercase();
        let holds = |phrase: &&String| folded.contains(&phrase.to_lowercase());
        if let Some(missing) = self.must_contain.iter().find(|phrase| !holds(phrase)) {
            return Err(format!("It must contain \"{missing}\"."));
        }
        match self.must_not_contain.iter().find(holds) {
            Some(there) => Err(format!("It must not contain \"{there}\".")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_say_what_is_to_be_done_better() {
        let rules = Rules {
            min_chars: Some(3),
            max_chars: Some(12),
            must_contain: vec!["Price".to_owned()],
            must_not_contain: vec!["maybe".to_owned()],
        };
        assert_eq!(rules.check("the price"), Ok(()));
        let table = [
            ("x ", "at least 3"),
            ("the price is far too long", "at most 12"),
            ("the cost", "must contain \"Price\""),
            ("price Maybe", "must not contain \"maybe\""),
        ];
        for (text, why) in table {
            assert!(rules.check(text).unwrap_err().contains(why), "{text}");
        }
    }
}
