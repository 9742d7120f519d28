//! Following a run: its events as they are written, from any number on.
//!
//! Events that are there come at once; then it waits for the executor of this process to write, and looks at the file
//! now and then for one of another process. The server turns it into server-sent events.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::{Event, OwnRows, opened, page};
use crate::PipelineError;
use crate::pipelines::Shared;
use crate::run::RunId;

/// How many events are read at once.
const MANY: usize = 256;
/// How often the file is looked at when nobody here writes.
const LOOK: Duration = Duration::from_millis(500);

/// The events of one run, in order. Made by [`Pipelines::follow`](crate::Pipelines::follow).
#[derive(Debug)]
#[must_use = "a follower reads nothing until `next`"]
pub struct Follow {
    pub(crate) shared: Arc<Shared>,
    pub(crate) rows: OwnRows,
    pub(crate) run: RunId,
    /// The id of the run that is followed, once it was seen.
    pub(crate) id: Option<String>,
    pub(crate) after: u64,
    pub(crate) ready: VecDeque<Event>,
    pub(crate) is_last: bool,
}

impl Follow {
    /// The next event; `None` after the last one of a run that has ended.
    ///
    /// # Errors
    /// [`PipelineError::UnknownRun`], [`PipelineError::Foreign`] outside the request that made it, and what the store
    /// meets.
    ///
    /// # Cancellation
    /// Loses nothing: an event that was not given out is given out next.
    pub async fn next(&mut self) -> Result<Option<Event>, PipelineError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.after = event.number;
                return Ok(Some(event));
            }
            if self.is_last {
                return Ok(None);
            }
            // Asked before the read, so that what is written in between wakes us.
            let written = self.id.as_ref().and_then(|id| self.shared.live.wrote(id));
            let (run, after) = (self.run.clone(), self.after);
            let read =
                self.rows.read("follow a run", move |conn, owner| page(conn, owner, &run, after, MANY));
            let found = read.await?.ok_or(PipelineError::UnknownRun)?;
            // Another run may be called so by now.
            let is_first = self.id.is_none();
            if self.id.get_or_insert_with(|| found.id.clone()) != &found.id {
                return Err(PipelineError::UnknownRun);
            }
            let (events, id) = (found.events, found.id);
            let events = self.rows.apart(move |owner| opened(events, &id, owner)).await?;
            self.is_last = found.is_last;
            self.ready.extend(events);
            if self.ready.is_empty() && !self.is_last && !is_first {
                let news = async {
                    match written {
                        // An executor that ended drops its end, which is news too.
                        Some(mut written) => drop(written.changed().await),
                        None => std::future::pending().await,
                    }
                };
                drop(tokio::time::timeout(LOOK, news).await);
            }
        }
    }
}
