//! What becomes of a session when it is over or has become long: what it learnt is promoted into recall, and a summary
//! takes the place of its old turns. Both are jobs, submitted in the session's own context and done in it.

use haversack::well_known::SESSION_ID;
use haversack_agent::Agents;
use haversack_jobs::{Failure, Handlers, JobError, NewJob, OnExisting};

use super::Work;

/// The handler that promotes what a session learnt.
pub const PROMOTE: &str = "session.promote";

/// The handler that sums a session up.
pub const SUMMARISE: &str = "session.summarise";

/// Adds both handlers.
pub(super) fn handlers(handlers: Handlers, agents: Agents) -> Handlers {
    let promoting = agents.clone();
    handlers
        .on(PROMOTE, move || {
            let agents = promoting.clone();
            async move {
                let promoted = agents.promote().await?;
                Ok::<_, Failure>(serde_json::json!({ "kept": promoted.kept, "known": promoted.known }))
            }
        })
        .on(SUMMARISE, move || {
            let agents = agents.clone();
            async move {
                let session = SESSION_ID.get()?;
                let summary = agents.summarise(&session).await?;
                Ok::<_, Failure>(serde_json::json!({ "summarised": summary.is_some() }))
            }
        })
}

/// Submits one of both for the session of the current context, unless it waits already.
///
/// # Errors
/// What the jobs say. Nothing was submitted then.
pub async fn submit(work: &Work, handler: &'static str) -> Result<(), JobError> {
    let session = SESSION_ID.get()?;
    let job = NewJob::new(handler, &())?.key(session.as_str()).on_existing(OnExisting::Keep);
    work.submit(job).await.map(drop)
}
