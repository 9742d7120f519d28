//! Tools in the background: a turn starts one as a job, and its result comes into the session when it is there. The job
//! carries the turn's context, so the tool runs as whoever asked, in whichever process, and its result goes where the
//! question came from.

use haversack::well_known::SESSION_ID;
use haversack_agent::Agents;
use haversack_agent::history::Notice;
use haversack_agent::model::ToolCall;
use haversack_agent::tool::{BackgroundRunner, Started, Starting, ToolError};
use haversack_gateway::ledger::{Ledger, Say};
use haversack_gateway::session::REPLY_ROUTE;
use haversack_jobs::current::{ATTEMPT, JOB_ID};
use haversack_jobs::{Args, Failure, FailureKind, Finished, Handlers, Jobs, NewJob, State};
use haversack_memory::MemoryError;
use haversack_pipeline::Pipelines;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Rules;
use super::pipelines::{RUN, give_up, said_so};
use crate::code::Code;

/// The handler of tools.
pub const TOOL: &str = "tool";

/// What a job of [`TOOL`] is given.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ToolJob {
    /// The tool.
    pub tool: String,
    /// What the model or the caller wrote.
    pub arguments: Value,
}

/// Starts background tools as jobs.
pub(super) struct Runner {
    pub(super) jobs: Jobs,
    pub(super) rules: Rules,
}

impl BackgroundRunner for Runner {
    fn start(&self, tool: &str, call: &ToolCall) -> Starting {
        let job = ToolJob { tool: tool.to_owned(), arguments: call.arguments.clone() };
        // The context is captured here, at the call, and not where somebody polls.
        let submitted =
            NewJob::new(TOOL, &job).map(|job| self.jobs.submit(self.rules.apply_to_tool(tool, job)));
        Box::pin(async move {
            let submitted = match submitted {
                Ok(submitting) => submitting.await,
                Err(error) => Err(error),
            };
            let id = submitted.map_err(|error| ToolError::NotStarted(Some(Box::new(error))))?;
            let id = id.id().ok_or(ToolError::NotStarted(None))?.to_string();
            Ok(Started { id })
        })
    }
}

/// Where results of background work go: into the session that asked, and along the route that its message came by.
#[derive(Clone)]
pub(super) struct Results {
    pub(super) agents: Agents,
    pub(super) ledger: Ledger,
}

impl Results {
    /// Brings the result of the current job home. Told once however often the job is run, and once more for each time that
    /// its owner drove it again; a job outside of any session, or one whose session was deleted meanwhile, keeps its result
    /// to itself.
    pub(super) async fn bring(&self, source: &str, text: &str) -> Result<(), Failure> {
        let end = end(JOB_ID.get()?.as_str(), ATTEMPT.get()?.drive());
        if let Some(session) = SESSION_ID.bound() {
            let notice = Notice::new(source, text).once_for(&end);
            self.agents.history()?.notice(&session, notice).await?;
        }
        if REPLY_ROUTE.is_bound() {
            let say = Say { id: Some(end), text: text.to_owned(), to: None };
            self.ledger.submit(say).await?;
        }
        Ok(())
    }
}

/// The name of one end of a job: what was driven again comes to another one.
fn end(job: &str, drive: u32) -> String {
    if drive == 1 { job.to_owned() } else { format!("{job}-{drive}") }
}

/// Adds the handler of tools, and what is said of one that did not come to a result: whoever was promised one is told.
pub(super) fn handlers(
    handlers: Handlers,
    agents: Agents,
    pipelines: Pipelines,
    results: Results,
) -> Handlers {
    let told = results.clone();
    let handlers = handlers.on_finished(move |finished| {
        let (pipelines, results) = (pipelines.clone(), told.clone());
        async move {
            if finished.handler == RUN || finished.handler == TOOL {
                give_up(&pipelines, &finished).await?;
            }
            match unkept(&finished) {
                Some(text) => results.bring("background", &text).await,
                None => Ok(()),
            }
        }
    });
    handlers.on(TOOL, move |Args(job): Args<ToolJob>| {
        let (agents, results) = (agents.clone(), results.clone());
        async move {
            // The name of a session comes free when it is deleted, and may be a colleague's by now.
            if let Some(session) = SESSION_ID.bound()
                && agents.history()?.is_over(&session).await?
            {
                let refused = Failure::permanent("the session that this was started in was deleted");
                return Err(refused.with_code(Code::JobRefused.id()));
            }
            let output = agents.run_tool(&job.tool, job.arguments).await.map_err(failure)?;
            tracing::debug!("a tool was run in the background");
            let text = output.into_text();
            results.bring(&job.tool, &text).await?;
            Ok(text)
        }
    })
}

/// The most characters of a failure that a notice repeats. The job has all of it.
const REPEATED: usize = 4_000;

/// The notice about a job that ended without the result that was promised.
fn unkept(finished: &Finished) -> Option<String> {
    // A run tells its own failures, even if the job that executes it fails of them.
    let of_a_run = finished.handler == RUN && !said_so(finished);
    let how = match finished.state {
        State::Failed => "failed",
        State::Cancelled if finished.failure == Some(FailureKind::Withdrawn) => {
            "was cancelled, because the key that asked for it was revoked"
        }
        State::Cancelled => "was cancelled",
        State::Quarantined => "was put aside, because its worker died over it again and again",
        _ => return None,
    };
    if finished.handler != TOOL && !of_a_run {
        return None;
    }
    let id = &finished.id;
    let words = finished.said.as_deref().filter(|_| said_so(finished)).map(String::from_utf8_lossy);
    Some(match words {
        Some(words) => {
            let words: String = words.chars().take(REPEATED).collect();
            format!("What was started in the background as {id} {how}: {words}")
        }
        None => format!("What was started in the background as {id} {how}; there is no result."),
    })
}

/// Sorts how a tool failed: for good, not on this worker, or in a way that another attempt may mend.
fn failure(error: ToolError) -> Failure {
    // A crew fails as the tool of its task did.
    let cause = match &error {
        ToolError::Crew(crew) => crew.tool_error().unwrap_or(&error),
        _ => &error,
    };
    match cause {
        ToolError::Unknown | ToolError::NotHere(_) => Failure::not_here(error.for_model()),
        ToolError::Failed(_) => Failure::permanent(error.for_model()).with_code(Code::RunFailed.id()),
        ToolError::Arguments { .. }
        | ToolError::Refused(_)
        | ToolError::Needs { .. }
        | ToolError::Memory(MemoryError::SessionOver) => {
            Failure::permanent(error.for_model()).with_code(Code::JobRefused.id())
        }
        _ => error.into(),
    }
}
