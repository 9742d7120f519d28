//! Running turns: the identity is bound again, whole, and the responder is called inside it.
//!
//! Each lane has a driver, and each turn a task with an entry of its own; a panic ends the turn and not the lane. What the
//! responder says goes to the ledger, under the context of the turn, or to the one who waits on the line where the platform
//! cannot be reached later. The gateway submits messages and the schedules submit themselves.

use std::sync::Arc;
use std::time::Duration;

use haversack::well_known::{CANCEL, Cancel};

use super::lane::{Key, Seat, Steering, Submitted};
use super::{Arrival, Lanes, Reply, Responder, Unanswered, Work};
use crate::GatewayError;
use crate::arrivals::Arrivals;
use crate::ledger::{Ledger, Say};
use crate::session::CAN_DELIVER_LATER;

/// Runs the turns of a gateway. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Runner {
    lanes: Lanes,
    ledger: Ledger,
    arrivals: Arrivals,
    responder: Arc<dyn Responder>,
    /// How long a turn that was stopped may take to notice.
    grace: Duration,
}

impl Runner {
    pub(crate) fn new(
        lanes: Lanes,
        ledger: Ledger,
        arrivals: Arrivals,
        responder: Arc<dyn Responder>,
        grace: Duration,
    ) -> Self {
        Self { lanes, ledger, arrivals, responder, grace }
    }

    pub(crate) fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    /// Gives a message its turn, now or when its lane is free.
    pub(crate) fn submit(&self, work: Work) -> Result<(), GatewayError> {
        let key = Key::of(&work.identity);
        if let Submitted::First(seat) = self.lanes.submit(work)? {
            let runner = self.clone();
            // The driver serves whoever writes into the lane, so it inherits nobody's context.
            haversack::spawn_detached(async move {
                let mut next = Some(*seat);
                while let Some(seat) = next {
                    runner.turn(seat).await;
                    next = runner.lanes.next(&key);
                }
            });
        }
        Ok(())
    }

    async fn turn(&self, seat: Seat) {
        let Seat { work, cancel, overtaken, steering } = seat;
        let outcome = self.respond(&work, &cancel, steering.clone()).await;
        if let Err(error) = &outcome {
            tracing::warn!(platform = %work.identity.facts.platform, error = %error, "a message was not answered");
        }
        // What the shutdown stopped was not worked on: it is left to the next start, or its sender sends it again.
        let stopped = matches!(outcome, Err(GatewayError::ShuttingDown))
            || matches!(outcome, Err(GatewayError::Interrupted))
                && self.lanes.is_closing()
                && !overtaken.is_cancelled();
        for taken in steering.close() {
            if !stopped {
                self.arrivals.finish(&taken.identity.tenant, &taken.message).await;
            }
            // It shares the end of the turn: whoever waits for it is not told of an answer that nobody gave.
            taken.answer(match &outcome {
                Ok(_) => Ok(Reply::default()),
                Err(GatewayError::ShuttingDown) => Err(GatewayError::ShuttingDown),
                Err(GatewayError::Interrupted) => Err(GatewayError::Interrupted),
                Err(_) => Err(GatewayError::NotAnswered),
            });
        }
        if !stopped {
            self.arrivals.finish(&work.identity.tenant, &work.message).await;
        }
        work.answer(outcome);
    }

    async fn respond(&self, work: &Work, cancel: &Cancel, steering: Steering) -> Result<Reply, GatewayError> {
        let identity = &work.identity;
        let visit = work.door.enter(|bind| identity.bind(bind).bind(&CANCEL, cancel.clone()))?;
        let arrival =
            visit.run(|| Arrival::new(identity.facts.key.clone(), work.message.clone(), steering))?;
        let (responder, ledger, held) = (self.responder.clone(), self.ledger.clone(), arrival.clone());
        let mut task = haversack::spawn_detached(visit.wrap(async move {
            held.check()?;
            let reply = match responder.respond(held.clone()).await {
                Ok(reply) => reply,
                Err(Unanswered::Stopped) => return Err(GatewayError::Interrupted),
                Err(Unanswered::ShuttingDown) => return Err(GatewayError::ShuttingDown),
                Err(Unanswered::Failed { told }) => Reply::new(told),
            };
            // An answer belongs to the context that asked: compared once more where it leaves.
            held.check()?;
            if CAN_DELIVER_LATER.get()? && !reply.text.is_empty() {
                ledger.submit(Say { id: Some(held.reply_id()), text: reply.text.clone(), to: None }).await?;
            }
            Ok(reply)
        }));
        let overdue = async {
            cancel.cancelled().await;
            tokio::time::sleep(self.grace).await;
        };
        let ended = tokio::select! {
            ended = &mut task => ended,
            () = overdue => {
                task.abort();
                task.await
            }
        };
        arrival.end();
        match ended {
            Ok(outcome) => outcome,
            Err(end) if end.is_panic() => Err(GatewayError::NotAnswered),
            Err(_) => Err(GatewayError::Interrupted),
        }
    }
}
