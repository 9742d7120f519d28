//! The writing half of the history: a turn begins, and is committed or fails.
//!
//! A book is a handle to one session of one principal, made with the turn from the context; each of its five
//! writes is one transaction. Only turns hold books.

use haversack::well_known::{PRINCIPAL, Principal, SESSION_ID, SessionId};
use haversack_store::sqlite::OptionalExtension;
use haversack_store::{Store, TenantDb, now_millis};

use super::added::{self, Added, Addition};
use super::begin::{self, Begun, Opening};
use super::{SPEAKER, TurnStatus, commit};
use crate::error::TurnError;
use crate::model::Message;
use crate::turn::{Reply, TurnId, TurnRequest};

/// The session of a turn, as something to write in.
#[derive(Clone, Debug)]
pub(crate) struct Book {
    db: TenantDb,
    session: SessionId,
    principal: Principal,
    speaker: Option<Principal>,
}

/// How a turn ended that has no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Failed,
    Cancelled,
    TimedOut,
}

impl Book {
    /// Opens the book of the context's session. Reads nothing yet.
    #[track_caller]
    pub(crate) fn open(store: &Store) -> Result<Self, TurnError> {
        let (session, principal) = (SESSION_ID.get()?, PRINCIPAL.get()?);
        Ok(Self { db: store.tenant()?, session, principal, speaker: SPEAKER.bound() })
    }

    pub(crate) fn session(&self) -> &SessionId {
        &self.session
    }

    /// Records the message and reads the turns before it; or finds the reply of an equal earlier request.
    pub(crate) async fn begin(
        &self,
        turn: TurnId,
        request: &TurnRequest,
        history_turns: usize,
    ) -> Result<Begun, TurnError> {
        let opening = Opening::new(turn, &self.session, &self.principal, request, history_turns)?;
        let opening = opening.spoken_by(self.speaker.clone());
        let begun = self.db.write("begin a turn", move |tx| begin::begin(tx, &opening)).await?;
        begun.settle()
    }

    /// Records words that were added to the turn, as the message of this number; false when they were answered before.
    pub(crate) async fn add(
        &self,
        turn: TurnId,
        place: usize,
        words: &TurnRequest,
    ) -> Result<bool, TurnError> {
        let addition = Addition::new(turn, &self.session, place, words)?;
        match self.db.write("add to a turn", move |tx| added::add(tx, &addition)).await? {
            Added::Recorded => Ok(true),
            Added::Known => Ok(false),
            Added::Over => Err(TurnError::Interrupted(turn)),
        }
    }

    /// Appends what was said since the message, and the reply.
    pub(crate) async fn commit(&self, reply: &Reply, steps: &[Vec<Message>]) -> Result<(), TurnError> {
        let rows = commit::Rows::new(&self.session, reply, steps)?;
        let turn = reply.turn;
        let committed = self.db.write("commit a turn", move |tx| commit::commit(tx, &rows)).await?;
        if committed { Ok(()) } else { Err(TurnError::Interrupted(turn)) }
    }

    /// Records that the turn ended without a reply.
    pub(crate) async fn fail(&self, turn: TurnId, ended: Ended) -> Result<(), TurnError> {
        let status = match ended {
            Ended::Failed => TurnStatus::Failed,
            Ended::Cancelled => TurnStatus::Cancelled,
            Ended::TimedOut => TurnStatus::TimedOut,
        };
        let end = self.db.write("end a turn", move |tx| {
            let sql = "UPDATE turns SET status = ?2, ended_at = ?3 WHERE turn_id = ?1 AND status = 'running'";
            let mut update = tx.prepare_cached(sql)?;
            update.execute((turn.to_string(), status.as_str(), now_millis()))?;
            Ok(())
        });
        Ok(end.await?)
    }

    /// Ends a turn whose future was dropped, unless its reply is committed, which is given then. A write, so that it comes
    /// after a commit that runs.
    pub(crate) async fn settle(&self, turn: TurnId) -> Result<Option<Reply>, TurnError> {
        let (session, id) = (self.session.clone(), turn.to_string());
        let end = self.db.write("end a turn that is late", move |tx| {
            let sql = "UPDATE turns SET status = ?2, ended_at = ?3 WHERE turn_id = ?1 AND status = 'running'";
            let late = TurnStatus::TimedOut.as_str();
            if tx.prepare_cached(sql)?.execute((&id, late, now_millis()))? > 0 {
                return Ok(None);
            }
            let sql = "SELECT status FROM turns WHERE turn_id = ?1";
            let status =
                tx.prepare_cached(sql)?.query_row([&id], |row| row.get::<_, String>(0)).optional()?;
            let is_committed = status.as_deref() == Some(TurnStatus::Completed.as_str());
            is_committed.then(|| begin::committed(tx, &session, id)).transpose()
        });
        let reply = end.await?.map(begin::StoredRow::reply).transpose()?;
        // It was said once, and is given out for the first time.
        Ok(reply.map(|reply| Reply { replayed: false, ..reply }))
    }
}
