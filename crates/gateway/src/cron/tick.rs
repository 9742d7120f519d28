//! Running what is due.
//!
//! Each tick claims the schedules whose time has come; each claimed one gets a turn through the lanes like any message, and a
//! task that keeps its lease until the turn has ended. Times that were missed are one run, not many.

use std::sync::Arc;
use std::time::Duration;

use haversack::MissingContext;
use haversack::well_known::{PRINCIPAL, Principal, RequestId, SessionId, TENANT_ID, TenantId, TraceContext};
use haversack_store::now_millis;
use tokio::sync::oneshot;

use super::rows::{self, Due};
use super::{CRON, Schedules, Sealed, next};
use crate::account::Busy;
use crate::deferred;
use crate::message::{Chat, ChatKind, Message, Sender};
use crate::session::{Facts, SPEAKER};
use crate::turn::{Identity, Runner, Scheduled, Work};
use crate::{GatewayError, door};

/// How long a claim lasts without being renewed.
const LEASE: Duration = Duration::from_secs(60);

impl Schedules {
    /// Starts what is due.
    pub(crate) async fn tick(&self, runner: &Runner) -> Result<(), GatewayError> {
        let engine = self.store.control().engine();
        if !engine.read("look for schedules", rows::any_due).await? {
            return Ok(());
        }
        for due in engine.write("claim schedules", |tx| rows::claim(tx, lease())).await? {
            let (schedules, runner) = (self.clone(), runner.clone());
            haversack::spawn_detached(async move {
                let id = due.id.clone();
                if let Err(error) = schedules.run(&runner, due).await {
                    tracing::error!(schedule = %id, error = %error, "a schedule did not run");
                }
            });
        }
        Ok(())
    }

    async fn run(&self, runner: &Runner, due: Due) -> Result<(), GatewayError> {
        let Due { id, tenant, expression, next_at, fence, sealed } = due;
        let engine = self.store.control().engine();
        let opened = self.sealer.open::<Sealed>(&sealed, &tenant, &id).and_then(|(snapshot, what)| {
            // A schedule made in a group belongs to the group; who asked for it is a person.
            let asker = || SPEAKER.bound().map_or_else(|| PRINCIPAL.get(), Ok);
            let made =
                deferred::enter(&snapshot)?.run(|| Ok::<_, MissingContext>((TENANT_ID.get()?, asker()?)))?;
            Ok((snapshot, what, made))
        });
        let (snapshot, what, (owner, asker)) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                tracing::error!(
                    code = error.code(), schedule = %id, error = %error,
                    "a schedule cannot be opened and runs no more; its owner may make it anew"
                );
                engine.write("lose a schedule", move |tx| rows::lose(tx, &id, fence)).await?;
                return Ok(());
            }
        };
        let (answered, mut answer) = oneshot::channel();
        let work = Work {
            identity: Arc::new(identity((owner, asker), &id, next_at, &what, self.hooks.begin())?),
            message: message(&id, next_at, what.prompt.clone()),
            busy: Busy::Queue,
            door: &door::CRON,
            answered,
            place: None,
        };
        runner.submit(work)?;
        let outcome = loop {
            tokio::select! {
                outcome = &mut answer => break outcome,
                () = tokio::time::sleep(LEASE / 3) => {
                    let id = id.clone();
                    engine.write("keep a schedule", move |tx| rows::renew(tx, &id, fence, lease())).await?;
                }
            }
        };
        if matches!(outcome, Err(_) | Ok(Err(GatewayError::ShuttingDown))) {
            // Nobody worked on it: the lease lapses and the run is done by whoever comes next.
            return Ok(());
        }
        let next_at = next(&expression, now_millis())?;
        let sealed = self.sealer.seal(&snapshot, &tenant, &id, &what)?;
        engine.write("finish a schedule", move |tx| rows::finish(tx, &id, fence, next_at, &sealed)).await?;
        Ok(())
    }
}

/// A schedule runs as itself: nobody's name, nobody's session, and no sender. Its maker may read
/// its session.
fn identity(
    (tenant, asker): (TenantId, Principal),
    id: &str,
    at: i64,
    what: &Sealed,
    trace: Option<TraceContext>,
) -> Result<Identity, GatewayError> {
    let malformed = |_| GatewayError::Malformed { what: "the name of a schedule" };
    let key = format!("cron/{id}");
    let facts = Facts {
        platform: CRON.to_owned(),
        message: format!("{id}@{at}"),
        key: key.clone(),
        later: true,
        ..Facts::default()
    };
    Ok(Identity {
        tenant,
        speaker: Some(asker),
        principal: Principal::new(format!("cron:{id}")).map_err(malformed)?,
        session: SessionId::new(key).map_err(malformed)?,
        facts,
        route: what.to.clone(),
        trace,
        request: RequestId::new(format!("{id}@{at}")).ok(),
        scheduled: Some(Scheduled { id: id.to_owned(), origin: what.origin.clone() }),
    })
}

fn message(id: &str, at: i64, prompt: String) -> Message {
    Message {
        account: CRON.to_owned(),
        id: format!("{id}@{at}"),
        chat: Chat { id: String::new(), name: String::new(), kind: ChatKind::Direct },
        thread: None,
        scope: String::new(),
        sender: Sender { id: String::new(), name: String::new() },
        text: prompt,
        attachments: Vec::new(),
        callback: None,
    }
}

fn lease() -> i64 {
    i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX)
}
