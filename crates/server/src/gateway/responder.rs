//! Messages become turns: what the gateway takes in is answered by the same turns as a request, and what a sender adds meanwhile,
//! where the account steers, is given to the turn that runs. Tenant, principal, session
//! and reply route were bound at the gateway's door, and go through the turn's own; nothing of them is chosen here. The gateway calls
//! it, once a message.

use haversack::well_known::{CANCEL, SESSION_ID};
use haversack_agent::{FurtherWords, TurnRequest};
use haversack_gateway::message::Message;
use haversack_gateway::{Arrival, Reply, Responder, Responding, Unanswered};

use crate::code::Code;
use crate::problem::Fault;
use crate::turns::{NewTurn, Turns};

/// Answers with the turns of an engine.
pub(super) struct Answers {
    pub(super) turns: Turns,
}

impl Responder for Answers {
    fn respond(&self, arrival: Arrival) -> Responding {
        let turns = self.turns.clone();
        Box::pin(async move { answer(&turns, &arrival).await.map_err(|fault| unanswered(&fault)) })
    }
}

async fn answer(turns: &Turns, arrival: &Arrival) -> Result<Reply, Fault> {
    let message = arrival.message().map(said);
    let new = NewTurn {
        session: SESSION_ID.get()?,
        message: message.map_err(Fault::from)?,
        // The same message again, after a crash, is the same turn.
        idempotency_key: Some(arrival.idempotency_key()),
        further: further(arrival),
    };
    let (turn, cancel) = (turns.submit_accepted(new)?, CANCEL.get()?);
    // Its sender waits elsewhere: whoever looks at it here and leaves does not stop it.
    turn.outlive_clients();
    let outcome = tokio::select! {
        outcome = turn.outcome() => outcome,
        () = cancel.cancelled() => {
            turn.cancel();
            turn.outcome().await
        }
    };
    let reply = outcome?;
    // What was added to a turn before a crash was answered there, and is not said again.
    Ok(if reply.added { Reply::default() } else { Reply::new(reply.text.clone()) })
}

/// What the sender adds while the turn runs. It is taken in the context of the message, which the turn's own is not; when its
/// handler has ended there is nothing more to take.
fn further(arrival: &Arrival) -> FurtherWords {
    let arrival = arrival.clone();
    let take = haversack::wrap_fn(move |()| {
        let added = arrival.take_steering().unwrap_or_else(|error| {
            tracing::debug!(%error, "nothing more is added to a turn");
            None
        })?;
        Some(TurnRequest { message: said(&added), idempotency_key: Some(arrival.idempotency_key_of(&added)) })
    });
    FurtherWords::new(move || take(()))
}

/// What the turn is told. Attachments are named: the models here read text, and whoever sent one is not left to wonder.
fn said(message: &Message) -> String {
    message.attachments.iter().fold(message.text.clone(), |text, attachment| {
        format!("{text}\n[attachment `{}`, {} bytes, was not read]", attachment.name, attachment.bytes.len())
    })
}

/// What the sender hears of a turn without a reply: fixed words and the code, and nothing of why.
fn unanswered(fault: &Fault) -> Unanswered {
    let told = match fault.code() {
        Code::TurnCancelled => return Unanswered::Stopped,
        // It is answered after the next start, or its sender is told on the line that it was not taken.
        Code::ShuttingDown => return Unanswered::ShuttingDown,
        Code::QueueFull | Code::TenantLimit => {
            "Too much is going on here. Send your message again in a moment."
        }
        Code::TurnTimedOut | Code::ModelTimedOut => {
            "This took too long and was stopped. Send your message again."
        }
        Code::TurnInterrupted => "The work on your message was interrupted. Send it again.",
        Code::SessionTaken => "This conversation belongs to somebody else.",
        code => {
            if code.status().is_server_error() {
                tracing::error!(%code, cause = fault.causes(), "a message has no reply");
            }
            return Unanswered::Failed { told: format!("Your message could not be answered ({code}).") };
        }
    };
    Unanswered::Failed { told: format!("{told} ({})", fault.code()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_hears_fixed_words_and_never_a_cause() {
        for code in Code::ALL {
            let fault = Fault::caused(*code, "detail-canary", std::io::Error::other("cause-canary"));
            match unanswered(&fault) {
                Unanswered::Stopped => assert_eq!(*code, Code::TurnCancelled),
                Unanswered::ShuttingDown => assert_eq!(*code, Code::ShuttingDown),
                Unanswered::Failed { told } => {
                    assert!(told.contains(code.id()) && !told.contains("canary"), "{told}");
                }
            }
        }
    }
}
