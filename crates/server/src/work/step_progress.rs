//! Progress of a pipeline that runs as a tool: each step that starts is one report to whoever called the tool over MCP, or to
//! the job of a task. Where nobody listens nothing is followed.

use haversack_mcp::{PROGRESS, Progress};
use haversack_pipeline::run::RunId;
use haversack_pipeline::run_log::What;
use haversack_pipeline::{PipelineError, Pipelines};

/// Executes `work`, which runs this run, and reports its steps meanwhile.
///
/// # Cancellation
/// Dropping the future drops `work`.
pub(super) async fn reported<R>(pipelines: &Pipelines, run: &RunId, work: impl Future<Output = R>) -> R {
    let Some(progress) = PROGRESS.bound().filter(Progress::is_heard) else { return work.await };
    let mut work = std::pin::pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return done,
        reported = report(pipelines, run, &progress) => if let Err(error) = reported {
            tracing::debug!(%error, "the steps of a run are not reported any more");
        },
    }
    work.await
}

async fn report(pipelines: &Pipelines, run: &RunId, progress: &Progress) -> Result<(), PipelineError> {
    let mut events = pipelines.follow(run, 0)?;
    let mut started = 0;
    while let Some(event) = events.next().await? {
        if let What::AttemptStarted { step, attempt, .. } = &event.what {
            started += 1;
            let told = match attempt {
                1 => format!("step {step} is running"),
                _ => format!("step {step} is running, attempt {attempt}"),
            };
            progress.report(started, None, Some(&told)).await;
        }
    }
    Ok(())
}
