//! One line of steps that follow each other, and what it has to tell the log.
//!
//! Events wait here until the next one that has to be on disk before anything else happens: an attempt's start. So the end
//! of a step and the start of the next are one transaction. Each branch has a chain of its own.

use haversack_store::now_millis;

use super::execute::{Executor, Halt};
use crate::PipelineError;
use crate::run_log::{What, append};

#[derive(Debug, Default)]
pub(super) struct Chain {
    waiting: Vec<(i64, What)>,
}

impl Chain {
    pub(super) fn tell(&mut self, what: What) {
        self.waiting.push((now_millis(), what));
    }

    /// Writes what waits, and gives the number of the last event. Nothing is written for an executor that was
    /// overtaken.
    pub(super) async fn flush(&mut self, executor: &Executor) -> Result<u64, Halt> {
        if self.waiting.is_empty() {
            return Ok(0);
        }
        let told = std::mem::take(&mut self.waiting);
        let (run, id, generation) = (executor.run.clone(), executor.id.clone(), executor.generation);
        let write = executor
            .rows
            .write("write the run log", move |tx, owner| append(tx, owner, &run, &id, generation, &told));
        match write.await? {
            Some(written) => {
                if written.cancelled {
                    executor.stop.call_off();
                }
                executor.wrote.send_replace(written.last);
                Ok(written.last)
            }
            None => {
                executor.stop.overtake();
                Err(Halt::Error(PipelineError::TakenOver))
            }
        }
    }
}
