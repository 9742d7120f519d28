//! What becomes of a session when it is over or has become long: what it learnt is promoted into recall, and a summary
//! takes the place of its old turns. Both are jobs, submitted in the session's own context and done in it.

use haversack::well_known::SESSION_ID;
use haversack_agent::Agents;
use haversack_jobs::{ExpiredToken, Failure, HandlerOptions, Handlers, JobId, NewJob, OnExisting};

use super::Work;
use crate::problem::Fault;

/// The handler that promotes what a session learnt.
pub const PROMOTE: &str = "session.promote";

/// The handler that sums a session up.
pub const SUMMARISE: &str = "session.summarise";

/// Adds both handlers.
pub(super) fn handlers(handlers: Handlers, agents: Agents) -> Handlers {
    let promoting = agents.clone();
    // Neither acts anywhere else, so neither waits for anybody's credential.
    let options = HandlerOptions { expired_token: ExpiredToken::Anonymous };
    handlers
        .on_with(PROMOTE, options.clone(), move || {
            let agents = promoting.clone();
            async move {
                let promoted = agents.promote().await?;
                Ok::<_, Failure>(serde_json::json!({ "kept": promoted.kept, "known": promoted.known }))
            }
        })
        .on_with(SUMMARISE, options, move || {
            let agents = agents.clone();
            async move {
                let session = SESSION_ID.get()?;
                let summary = agents.summarise(&session).await?;
                Ok::<_, Failure>(serde_json::json!({ "summarised": summary.is_some() }))
            }
        })
}

/// Closes the session of the current context and submits what promotes its learnings, both or neither. When it was
/// closed, and the job; `None` when the context's principal has no such session.
///
/// # Errors
/// The store's and the jobs' faults. Nothing was changed then.
pub async fn close(work: &Work, agents: &Agents) -> Result<Option<(i64, JobId)>, Fault> {
    let session = SESSION_ID.get()?;
    let job = work.rules.apply(NewJob::new(PROMOTE, &())?);
    let jobs = work.jobs.clone();
    let closing = agents.history()?.close_and(&session, move |tx| Ok(jobs.enqueue(tx, job)?));
    let closed = closing.await?;
    if closed.is_some() {
        work.jobs.relay().await?;
    }
    Ok(closed)
}

/// Submits a summary of each session that has become long.
#[derive(Debug, Clone)]
pub struct LongSessions {
    agents: Agents,
    work: Work,
    after: u64,
}

impl LongSessions {
    /// Sessions are long when they have `after` turns without a summary; with 0 none ever is.
    pub fn new(agents: Agents, work: Work, after: u64) -> Self {
        Self { agents, work, after }
    }

    /// Looks at the session of the current context. What goes wrong is logged: the next turn looks again.
    pub(crate) async fn look(&self) {
        if self.after == 0 {
            return;
        }
        match self.submit().await {
            // The process stops; the session is as long as before.
            Err(fault) if fault.code() == crate::code::Code::ShuttingDown => {}
            Err(fault) => tracing::warn!(code = %fault.code(), "no summary of a long session was submitted"),
            Ok(()) => {}
        }
    }

    async fn submit(&self) -> Result<(), Fault> {
        let session = SESSION_ID.get()?;
        if self.agents.history()?.unsummarised(&session).await? >= self.after {
            let job = NewJob::new(SUMMARISE, &())?.key(session.as_str()).on_existing(OnExisting::Keep);
            self.work.submit(job).await?;
        }
        Ok(())
    }
}
