//! The task of one turn: wait for the session to be free, run, end. It runs in the turn's own context from
//! its first poll on; the time limit, a cancel and a panic each become an outcome that listeners see.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use haversack::well_known::{DEADLINE, Deadline};
use haversack_agent::clock::{CLOCK, Clock};
use haversack_agent::{EventSink, Late, Reply, Turn, TurnError, TurnEvent};

use super::{LiveTurn, Outcome, Seat};
use crate::code::Code;
use crate::problem::Fault;

/// How much longer than its deadline a turn may take. It ends by itself at the deadline; this is for one that
/// does not.
const LATE: Duration = Duration::from_secs(2);

/// How long a turn that was told to stop may take to do so.
const STOPPING: Duration = Duration::from_secs(5);

pub(super) async fn drive(turn: Turn, live: Arc<LiveTurn>, mut seat: Seat) {
    let outcome = AssertUnwindSafe(wait_and_run(turn, &live, &mut seat)).catch_unwind().await;
    let outcome = outcome.unwrap_or_else(|_panic| Err(Fault::internal("a turn panicked")));
    // One line a turn, written in its context: the log says whose it was, and nothing of what was said.
    match &outcome {
        Ok(reply) => tracing::info!(turn = live.id(), agent = reply.agent, "a turn was answered"),
        Err(fault) if fault.code().status().is_server_error() => {
            tracing::error!(turn = live.id(), code = %fault.code(), cause = fault.causes(), "a turn failed");
        }
        Err(fault) => tracing::info!(turn = live.id(), code = %fault.code(), "a turn has no reply"),
    }
    let answered = outcome.is_ok();
    let long = seat.long_sessions();
    seat.ends(outcome);
    // Whoever waited has the reply by now.
    if answered {
        long.look().await;
    }
}

async fn wait_and_run(turn: Turn, live: &Arc<LiveTurn>, seat: &mut Seat) -> Outcome {
    tokio::select! {
        biased;
        () = live.cancelled() => return Err(cancelled()),
        () = live.may_go() => {}
    }
    seat.starts();
    let (listener, metrics) = (live.clone(), seat.metrics().clone());
    let sink = EventSink::new(move |event| {
        if let TurnEvent::ToolFinished { name, ok, .. } = &event {
            metrics.tool(name, *ok);
        }
        listener.tell(&event);
    })?;
    let limit = seat.time_limit();
    let late = turn.late();
    // A turn takes its context at the call of `run`, so the call is made inside the scope.
    let running = async move { turn.run(sink).await };
    let clock = Clock::new();
    let running = CLOCK.scope(clock.clone(), running);
    let mut running = Box::pin(DEADLINE.scope(Deadline::after(limit), running));
    tokio::select! {
        biased;
        result = &mut running => return reply(result, false),
        () = clock.pass(limit + LATE) => {}
    }
    // Cancelling lets what runs end by itself for a moment; who does not even notice that is dropped.
    live.cancel();
    if let Ok(result) = tokio::time::timeout(STOPPING, &mut running).await {
        return reply(result, true);
    }
    drop(running);
    settled(late).await
}

/// How a turn ended that was dropped: a commit that ran then runs to its end, and what the history has is told.
async fn settled(late: Late) -> Outcome {
    match late.settle().await {
        Ok(Some(reply)) => Ok(Arc::new(reply)),
        Ok(None) => Err(timed_out()),
        Err(error) => {
            tracing::warn!(%error, "the end of a late turn could not be recorded");
            Err(timed_out())
        }
    }
}

fn reply(result: Result<Reply, TurnError>, late: bool) -> Outcome {
    match result {
        Ok(reply) => Ok(Arc::new(reply)),
        Err(TurnError::TimedOut) => Err(timed_out()),
        Err(TurnError::Cancelled) if late => Err(timed_out()),
        Err(TurnError::Cancelled) => Err(cancelled()),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn cancelled() -> Fault {
    Fault::new(Code::TurnCancelled, "The turn was cancelled before it had a reply.")
}

fn timed_out() -> Fault {
    Fault::new(
        Code::TurnTimedOut,
        "The turn took longer than it may. Send the message again with the same Idempotency-Key: what was answered after all is \
         not done twice.",
    )
}
