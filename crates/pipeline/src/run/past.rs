//! What earlier executors of a run did, by step.
//!
//! It is folded from the run log when a run is taken: a step that succeeded on the same inputs is not run again, one that
//! failed keeps its count of attempts until somebody retries the run, and an attempt without an end is lost. The executor
//! asks it before each step.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::run_log::{AttemptStatus, Event, What};

#[derive(Debug, Default)]
pub(crate) struct Past {
    steps: HashMap<String, Seen>,
    code: Option<String>,
}

/// What is known of one step.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Attempts so far, whatever became of them.
    pub(crate) attempts: u32,
    /// Failed ones since the run was last retried.
    pub(crate) failed: u32,
    /// Why the last of them failed.
    pub(crate) reason: Option<String>,
    /// The last lines that it printed.
    pub(crate) last_lines: Option<String>,
    /// The hash of what the last attempt was given.
    hash: String,
    outputs: Option<BTreeMap<String, Value>>,
    running: Option<(u64, i64)>,
}

/// An attempt without an end.
#[derive(Debug)]
pub(crate) struct Lost {
    pub(crate) step: String,
    pub(crate) attempt: u32,
    pub(crate) started: u64,
    pub(crate) at: i64,
}

impl Past {
    pub(crate) fn of(events: Vec<Event>) -> Self {
        let mut past = Self::default();
        for event in events {
            past.take(event);
        }
        past
    }

    fn take(&mut self, event: Event) {
        match event.what {
            What::Began { code: Some(code) } => self.code = Some(code),
            What::AttemptStarted { step, attempt, inputs, .. } => {
                let seen = self.steps.entry(step).or_default();
                seen.attempts = attempt;
                seen.hash = inputs.hash;
                seen.outputs = None;
                seen.running = Some((event.number, event.at));
            }
            What::AttemptEnded { step, status, outputs, reason, last_lines, .. } => {
                let seen = self.steps.entry(step).or_default();
                seen.running = None;
                match status {
                    AttemptStatus::Succeeded => seen.outputs = Some(outputs),
                    AttemptStatus::Failed | AttemptStatus::TimedOut => {
                        seen.failed += 1;
                        seen.reason = reason;
                        seen.last_lines = last_lines;
                    }
                    AttemptStatus::Cancelled | AttemptStatus::Lost => {}
                }
            }
            What::StepStarted { step, hash, .. } => {
                let seen = self.steps.entry(step).or_default();
                seen.hash = hash;
                seen.outputs = None;
            }
            What::StepEnded { step, succeeded: true, outputs, .. } => {
                self.steps.entry(step).or_default().outputs = Some(outputs);
            }
            What::Retried => self.steps.values_mut().for_each(|seen| {
                seen.failed = 0;
                seen.reason = None;
                seen.last_lines = None;
            }),
            _ => {}
        }
    }

    /// What the program said of its code when it was last written down.
    pub(crate) fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    pub(crate) fn seen(&self, step: &str) -> Option<&Seen> {
        self.steps.get(step)
    }

    /// What the step gave, if it succeeded on these inputs.
    pub(crate) fn outputs(&self, step: &str, hash: &str) -> Option<&BTreeMap<String, Value>> {
        let seen = self.steps.get(step)?;
        if seen.hash == hash { seen.outputs.as_ref() } else { None }
    }

    /// The attempts without an end, in the order in which they started.
    pub(crate) fn lost(&self) -> Vec<Lost> {
        let open = |(step, seen): (&String, &Seen)| {
            let (started, at) = seen.running?;
            Some(Lost { step: step.clone(), attempt: seen.attempts, started, at })
        };
        let mut lost: Vec<_> = self.steps.iter().filter_map(open).collect();
        lost.sort_by_key(|one| one.started);
        lost
    }
}
