//! Tools that the rules do not know: when one is asked for, and how its output is told.
//!
//! Such a tool says itself by which words it is asked for. A clause asks when it begins with them, or holds them
//! and is no statement: who tells about their research asks for none. The plan reads clauses here, the
//! composing tells outputs.

use serde_json::Value;

use super::intent::{Intent, intent};
use super::lead::strip_lead;
use super::plan::Item;
use super::sentence::{Clause, clauses};
use super::vocabulary::listed;
use crate::model::ChatRequest;
use crate::tool::{arguments_for, phrase_in};
use crate::words::tokens;

/// Words that may stand before an order.
const POLITE: &str = "please can could would will you i we want need like to also just must should us me let's \
    kindly i'd";

/// The call of the first tool that the clause asks for, with what was said as its text.
pub(super) fn asked_for(clause: &Clause, request: &ChatRequest) -> Option<Item> {
    let mut able = request.tools.iter().filter(|tool| !tool.when.is_empty()).peekable();
    able.peek()?;
    let stripped = strip_lead(&clause.text).0;
    let words = tokens(stripped);
    let polite = words.iter().take_while(|word| listed(POLITE, &word.lower)).count();
    // A message that says one thing is given as it stands, one that says several as the part that asks.
    let whole = request.last_user_text();
    let text = if clauses(whole).len() == 1 { whole } else { clause.text.as_str() };
    able.find_map(|tool| {
        let place = phrase_in(&tool.when, &words)?;
        let asks = clause.asked
            || place.start <= polite
            || !matches!(intent(clause), Intent::Tell { .. } | Intent::Problem);
        let arguments = asks.then(|| arguments_for(tool, text)).flatten()?;
        Some(Item::Use { tool: tool.name.clone(), arguments })
    })
}

/// What a tool gave, with its source: its own `text` and `source` where it has them.
pub(super) fn told(tool: &str, result: Option<&(bool, &str)>) -> String {
    let named = tool.replace('_', " ");
    let Some((ok, content)) = result else {
        return format!("I cannot use the tool {named} here.");
    };
    if !ok {
        return format!("I asked the tool {named}, and it failed: {}.", content.trim_end_matches('.'));
    }
    let output = serde_json::from_str::<Value>(content).ok();
    let field = |name: &str| output.as_ref()?.get(name)?.as_str().map(str::to_owned);
    let text = field("text").unwrap_or_else(|| (*content).to_owned());
    let source = field("source").unwrap_or_else(|| format!("the tool {named}"));
    format!("{} (From {source}.)", text.trim())
}
