//! The working context: what the model reads in this call, under a token budget.
//!
//! It is modelled as parts, each of a layer and a priority, out of which the most important that fit are taken; the
//! manifest says for every part whether it entered and why not. It holds text that its caller already had and opens
//! nothing, so anyone may use it; who assembles a prompt checks the entry first.

use serde::{Deserialize, Serialize};

/// Where a part comes from. The order is the order in the prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// What the agent is told to be.
    Instructions,
    /// The session-learning cache.
    Session,
    /// The recall store.
    Recall,
    /// The tenant's documents.
    Knowledge,
    /// Earlier turns.
    History,
    /// What was just said.
    Message,
}

impl Layer {
    /// Who goes first among equal priorities: what the call is about, then what is nearest to it.
    fn precedence(self) -> u8 {
        match self {
            Self::Instructions => 0,
            Self::Message => 1,
            Self::Session => 2,
            Self::Recall => 3,
            Self::Knowledge => 4,
            Self::History => 5,
        }
    }
}

/// A piece of text that may enter the prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it comes from.
    pub layer: Layer,
    /// Its name in the manifest: a memory's id, a file and section, a turn. Not its text.
    pub id: String,
    /// What the model would read.
    pub text: String,
    /// Higher goes first. Among equals the layer decides, then the order of pushing.
    pub priority: i32,
}

/// How much the model may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// In estimated tokens, see [`estimate_tokens`].
    pub tokens: usize,
}

/// Collects parts and assembles what fits.
#[derive(Clone, Debug)]
pub struct WorkingContext {
    budget: Budget,
    units: Vec<Vec<Part>>,
}

/// What was taken, and the account of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assembled {
    /// The parts that fit, in the order of the prompt: by layer, then as pushed.
    pub parts: Vec<Part>,
    /// Every part that was pushed, and what became of it.
    pub manifest: Manifest,
}

/// What entered the prompt of a call, from which layer, at what cost. It holds ids and numbers, never text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The budget, in estimated tokens.
    pub budget: usize,
    /// What was used of it; never more.
    pub used: usize,
    /// One line for each part, in the order of the prompt.
    pub entries: Vec<ManifestEntry>,
}

/// What became of one part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestEntry {
    /// Where it came from.
    pub layer: Layer,
    /// Its name.
    pub id: String,
    /// Its cost, in estimated tokens.
    pub tokens: usize,
    /// Whether the model reads it.
    pub included: bool,
    /// Why it does or does not.
    pub reason: Reason,
}

/// Why a part entered the prompt or did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It fitted.
    Fits,
    /// More important parts had used the budget.
    OverBudget,
    /// A newer part of the history did not fit, and a history with a hole misleads.
    HistoryGap,
}

impl WorkingContext {
    /// An empty working context.
    #[must_use]
    pub fn new(budget: Budget) -> Self {
        Self { budget, units: Vec::new() }
    }

    /// Offers a part.
    pub fn push(&mut self, part: Part) -> &mut Self {
        self.units.push(vec![part]);
        self
    }

    /// Offers parts that make sense only together, such as a tool's result and the call it answers: all of them
    /// enter or none. The highest priority among them counts for all, and the first one's layer.
    pub fn push_together(&mut self, parts: Vec<Part>) -> &mut Self {
        if !parts.is_empty() {
            self.units.push(parts);
        }
        self
    }

    /// Takes the most important parts that fit, and leaves the working context empty. Never more than the budget:
    /// a part that does not fit is left out whole and a smaller one may take its place, except in the history,
    /// which ends where its first part did not fit.
    #[must_use]
    pub fn assemble(&mut self) -> Assembled {
        let units = std::mem::take(&mut self.units);
        let reasons = choose(&units, self.budget.tokens);

        let mut all: Vec<(Part, usize, Reason)> = Vec::new();
        for (unit, reason) in units.into_iter().zip(reasons) {
            all.extend(unit.into_iter().map(|part| {
                let tokens = estimate_tokens(&part.text);
                (part, tokens, reason)
            }));
        }
        // Stable: within a layer the order of pushing stays.
        all.sort_by_key(|(part, ..)| part.layer);

        let mut assembled = Assembled {
            parts: Vec::new(),
            manifest: Manifest {
                budget: self.budget.tokens,
                used: 0,
                entries: Vec::with_capacity(all.len()),
            },
        };
        for (part, tokens, reason) in all {
            let included = reason == Reason::Fits;
            assembled.manifest.entries.push(ManifestEntry {
                layer: part.layer,
                id: part.id.clone(),
                tokens,
                included,
                reason,
            });
            if included {
                assembled.manifest.used += tokens;
                assembled.parts.push(part);
            }
        }
        assembled
    }
}

/// The one estimate of what a text costs: a token for four characters begun. Right within a fifth for English
/// prose; low for scripts that tokenisers split finer, so leave room between the budget and the model's limit.
#[must_use]
pub fn estimate_tokens(text: &str) -> usize {
    text.chars().count().div_ceil(4)
}

/// One verdict for each unit, in the order of `units`.
fn choose(units: &[Vec<Part>], budget: usize) -> Vec<Reason> {
    let first_layer = |unit: &[Part]| unit.first().map_or(Layer::Message, |part| part.layer);
    let mut order: Vec<usize> = (0..units.len()).collect();
    order.sort_by_key(|&at| {
        let unit = units.get(at).map_or(&[][..], Vec::as_slice);
        let priority = unit.iter().map(|part| part.priority).max().unwrap_or(i32::MIN);
        (std::cmp::Reverse(priority), first_layer(unit).precedence(), at)
    });

    let mut reasons = vec![Reason::OverBudget; units.len()];
    let mut left = budget;
    let mut history_ended = false;
    for at in order {
        let (Some(unit), Some(reason)) = (units.get(at), reasons.get_mut(at)) else { continue };
        let is_history = first_layer(unit) == Layer::History;
        let cost = unit.iter().map(|part| estimate_tokens(&part.text)).fold(0, usize::saturating_add);
        *reason = if is_history && history_ended {
            Reason::HistoryGap
        } else if let Some(rest) = left.checked_sub(cost) {
            left = rest;
            Reason::Fits
        } else {
            history_ended |= is_history;
            Reason::OverBudget
        };
    }
    reasons
}
