//! Processes that another gateway left: watched by their number, and reported as lost when they are gone.
//!
//! A row whose process died is none of ours while its gateway lives: that one tells the end, with the exit code. Of a row that
//! does not open nothing can be told; it ends too, and the log says so once. Rows of our own that no process came of go
//! quietly. The desk asks at each tick.

use haversack_store::now_millis;

use super::Processes;
use super::live::{Sealed, State, shown, told};
use super::rows::{self, Left};
use crate::GatewayError;
use crate::deferred;
use crate::ledger::Say;

impl Processes {
    /// Reports processes of gateways that are gone, and takes away what no process came of.
    pub(crate) async fn look_after(&self) -> Result<(), GatewayError> {
        self.forget();
        let (engine, presence, roll) =
            (self.store.control().engine(), self.presence.clone(), self.roll.clone());
        let looked = engine.read("look for processes", move |conn| {
            let mut left = rows::left(conn, presence.name())?;
            left.retain(|left| {
                let gone = left.starting || left.born.is_empty() || rows::born(left.pid) != left.born;
                gone && !presence.is_alive(&left.instance)
            });
            let mut own = rows::own(conn, presence.name())?;
            own.retain(|id| roll.find(id).is_none());
            Ok((left, own))
        });
        let (gone, own) = looked.await?;
        if !own.is_empty() {
            engine.write("forget what never ran", move |tx| rows::forget_these(tx, &own)).await?;
        }
        for left in gone {
            let id = left.id.clone();
            if let Err(error) = self.report_lost(left).await {
                tracing::error!(process = %id, error = %error, "a lost process could not be reported");
            }
        }
        Ok(())
    }

    /// Forgets rows that ended long ago, and of each session all but the last.
    pub(crate) async fn sweep(&self) -> Result<(), GatewayError> {
        let (keep, most) = (self.options.keep, self.options.keep_most);
        let before = now_millis().saturating_sub(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX));
        let engine = self.store.control().engine();
        engine.write("forget old processes", move |tx| rows::forget(tx, before, most)).await?;
        Ok(())
    }

    pub(super) fn forget(&self) {
        self.roll.forget(self.options.keep, self.options.keep_most);
    }

    async fn report_lost(&self, left: Left) -> Result<(), GatewayError> {
        let Left { id, tenant, starting, notify, sealed, .. } = left;
        let opened = self.sealer.open::<Sealed>(&sealed, &tenant, &id);
        let opened = opened.and_then(|(snapshot, sealed)| Ok((deferred::enter(&snapshot)?, sealed)));
        let (visit, Sealed { command }) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                tracing::error!(
                    code = error.code(), process = %id, error = %error,
                    "a process was lost, and of whom it was cannot be opened: nobody is told"
                );
                let engine = self.store.control().engine();
                let ended = engine.write("end a process that does not open", move |tx| {
                    rows::end(tx, &tenant, &id, State::Lost, None)
                });
                ended.await?;
                return Ok(());
            }
        };
        let while_it = if starting { "began, so whether it ran" } else { "ran, so how it ended" };
        let text = format!(
            "Background process {id} was lost: the gateway was restarted while it {while_it} is not known.\n\n{}",
            shown(&command)
        );
        let written = visit.run(|| {
            let notice = self.ledger.prepare(Say { id: Some(told(&id)), text, to: None })?;
            Ok::<_, GatewayError>(self.store.rows()?.write("report a lost process", move |tx, scope| {
                if rows::end(tx, scope.tenant().as_str(), &id, State::Lost, None)? && notify {
                    notice.insert(tx, scope.tenant())?;
                }
                Ok(())
            }))
        })?;
        visit.wrap(written).await?;
        self.ledger.wake();
        Ok(())
    }
}
