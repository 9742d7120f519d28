//! The order of a turn: record, lead, commit, reply.
//!
//! Each step stands on the one before: nothing is read for a session that is not the caller's, nothing is
//! said that is not committed. Only [`super::Turn::run`] enters here, inside the turn's span and context.

use tracing::Instrument;

use super::{Reply, Turn};
use crate::error::TurnError;
use crate::event::{EventSink, TurnEvent};
use crate::history::{Begun, Ended};
use crate::supervisor;

impl Turn {
    pub(super) async fn live(self, events: &EventSink) -> Result<Reply, TurnError> {
        let history_turns = self.agents.config().limits.history_turns;
        let begin = self.book.begin(self.id, &self.request, history_turns);
        let past = match begin.instrument(tracing::info_span!("begin")).await? {
            Begun::New { past } => past,
            Begun::Replay(reply) => {
                self.entry.check("reply")?;
                events.emit(TurnEvent::Finished { reply: reply.clone() })?;
                return Ok(*reply);
            }
        };
        events.emit(TurnEvent::Started { turn: self.id })?;
        let answer = match supervisor::lead(&self, past, events).await {
            Ok(answer) => answer,
            Err(error) => {
                self.record_failure(&error).await;
                return Err(error);
            }
        };
        tracing::Span::current().record("agent", answer.agent.as_str());
        // A reply belongs to the entry that asked: checked once more where it leaves.
        self.entry.check("reply")?;
        let (reply, steps) = answer.into_reply(self.id, self.book.session());
        let commit = self.book.commit(&reply, &steps);
        commit.instrument(tracing::info_span!("commit")).await?;
        events.emit(TurnEvent::Finished { reply: Box::new(reply.clone()) })?;
        Ok(reply)
    }

    /// Records how the turn ended. When even that fails the turn stays without an end, and the next turn of
    /// the session marks it as interrupted; the caller gets the first error in either case.
    async fn record_failure(&self, error: &TurnError) {
        let ended = match error {
            TurnError::Cancelled => Ended::Cancelled,
            TurnError::TimedOut => Ended::TimedOut,
            _ => Ended::Failed,
        };
        if let Err(second) = self.book.fail(self.id, ended).await {
            tracing::warn!(error = %second, "the end of a turn could not be recorded");
        }
    }
}
