//! Taking up messages that were accepted and not answered: their process was killed, or had to stop before their turn came.
//!
//! Each row opens into the context that its message arrived in and the message itself, and becomes work like any other: the
//! identity, the route and the trace are those of the arrival. The idempotency key of the turn and the id of the answer are
//! the message's too, so what was answered in the last moment is not answered twice. The desk calls it at each tick.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::GatewayError;
use crate::account::Busy;
use crate::arrivals::Left;
use crate::deferred;
use crate::desk::Desk;
use crate::door::GATEWAY;
use crate::ledger::Say;
use crate::platform::websocket::WEBSOCKET;
use crate::turn::{Identity, Runner, Work, reply_id};

/// How often the work on one message may begin: one that kills whoever works on it would be begun at each start for ever.
const MOST_STARTS: u32 = 3;

/// What is told then.
const GIVEN_UP: &str = "The work on your message was interrupted again and again, and it was given up.";

/// Takes up what was left; how many messages have their turn again.
pub(crate) async fn resume(desk: &Desk, runner: &Runner) -> Result<usize, GatewayError> {
    let mut taken_up = 0;
    for left in desk.arrivals().left().await? {
        match take_up(desk, runner, &left).await {
            Ok(()) => taken_up += 1,
            // There is no room for it now.
            Err(GatewayError::QueueFull | GatewayError::ShuttingDown) => desk.arrivals().leave(&left).await,
            Err(GatewayError::Store(error)) => {
                desk.arrivals().leave(&left).await;
                return Err(error.into());
            }
            Err(error) => {
                tracing::error!(
                    code = error.code(), error = %error,
                    "a message that was accepted cannot be taken up again and is lost"
                );
                desk.arrivals().end(&left.tenant, &left.account, left.hash).await;
            }
        }
    }
    if taken_up > 0 {
        tracing::info!(
            messages = taken_up,
            "messages that were accepted before the last stop have their turn now"
        );
    }
    Ok(taken_up)
}

async fn take_up(desk: &Desk, runner: &Runner, left: &Left) -> Result<(), GatewayError> {
    let (snapshot, message) = desk.arrivals().open(left)?;
    let visit = deferred::enter(&snapshot)?;
    let identity = visit.run(Identity::here)?;
    still_configured(desk, &identity)?;
    if left.starts > MOST_STARTS {
        let id = Some(reply_id(&message.account, &message.id));
        let told = visit.run(|| desk.ledger().submit(Say { id, text: GIVEN_UP.to_owned(), to: None }));
        visit.wrap(told).await?;
        desk.arrivals().end(&left.tenant, &left.account, left.hash).await;
        return Ok(());
    }
    let work = Work {
        identity: Arc::new(identity),
        message,
        // What it would have stopped or steered is over.
        busy: Busy::Queue,
        door: &GATEWAY,
        // Nobody waits on the line any more.
        answered: oneshot::channel().0,
    };
    runner.submit(work)
}

/// An account that was taken away, or given to somebody else, answers nobody.
fn still_configured(desk: &Desk, identity: &Identity) -> Result<(), GatewayError> {
    let (platform, name) = (identity.facts.platform.as_str(), identity.facts.source.as_str());
    match desk.accounts().get(platform, name) {
        Ok(account) if account.tenant == identity.tenant => Ok(()),
        // A tenant that configured none has this one.
        Err(_) if platform == WEBSOCKET && name == WEBSOCKET => Ok(()),
        _ => Err(GatewayError::UnknownAccount),
    }
}
