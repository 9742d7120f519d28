//! Schedules: messages that the gateway sends itself, at their time.
//!
//! A schedule is a row with a cron expression (five fields, UTC) and a sealed prompt. When it is due it enters the door `cron`
//! as itself: a principal and a session of its own, no sender, and the reply route that was given when it was made. Where it
//! was made is data ([`ORIGIN`]) and not a person to ask. Tools make schedules in the name of their owner; the gateway runs
//! them.

mod rows;
mod tick;

use std::fmt;
use std::future::Future;
use std::str::FromStr;

use croner::Cron;
use haversack::well_known::PRINCIPAL;
use haversack::{AtDoor, ContextVar};
use haversack_store::{KeyFile, Store, now_millis};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

pub use rows::Schedule;

use crate::deferred::{Captured, Sealer};
use crate::hooks::Hooks;
use crate::ledger::random_id;
use crate::session::REPLY_ROUTE;
use crate::{GatewayError, ReplyRoute};

/// What the platform of a schedule is called.
pub const CRON: &str = "cron";

/// The schedule that runs.
pub static SCHEDULE_ID: ContextVar<String, AtDoor> =
    ContextVar::new("gateway.schedule_id").portable(1).shown().at_door();

/// Where the schedule was made: routing data, not a live sender.
pub static ORIGIN: ContextVar<ReplyRoute, AtDoor> = ContextVar::new("gateway.origin").portable(1).at_door();

/// A schedule that is about to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSchedule {
    /// Five fields: minute, hour, day of month, month, day of week. UTC.
    pub expression: String,
    /// What the agent is told at each run.
    pub prompt: String,
    /// Where the answers go; without, where the schedule was made.
    pub to: Option<ReplyRoute>,
}

/// What is sealed in a row.
#[derive(Serialize, Deserialize)]
struct Sealed {
    prompt: String,
    to: ReplyRoute,
    origin: ReplyRoute,
}

/// The schedules of an installation. Cheap to clone.
#[derive(Clone)]
pub struct Schedules {
    store: Store,
    sealer: Sealer,
    most: usize,
    hooks: Hooks,
}

impl Schedules {
    pub(crate) fn new(store: Store, keys: KeyFile, most: usize, hooks: Hooks) -> Self {
        Self { store, sealer: Sealer::new(keys, "gateway.schedules"), most, hooks }
    }

    /// Makes a schedule for the principal of the current context. Whether its answers may go to `to` is its caller's question.
    ///
    /// # Errors
    /// [`GatewayError::BadSchedule`], [`GatewayError::TooMany`]; [`GatewayError::Unbound`] without a reply route.
    #[track_caller]
    pub fn create(
        &self,
        new: NewSchedule,
    ) -> impl Future<Output = Result<Schedule, GatewayError>> + Send + 'static + use<> {
        let prepared = self.prepare(new).and_then(|row| {
            let (rows, most) = (self.store.rows()?, self.most);
            let told = row.schedule.clone();
            let written =
                rows.write("make a schedule", move |tx, scope| rows::insert(tx, scope.tenant(), &row, most));
            Ok((told, written))
        });
        async move {
            let (schedule, written) = prepared?;
            match written.await? {
                true => Ok(schedule),
                false => Err(GatewayError::TooMany { what: "schedules" }),
            }
        }
    }

    /// The schedules of the current principal.
    ///
    /// # Errors
    /// [`GatewayError::Unbound`] outside a door; the store's errors.
    #[track_caller]
    pub fn list(&self) -> impl Future<Output = Result<Vec<Schedule>, GatewayError>> + Send + 'static + use<> {
        let asked = PRINCIPAL.get().map_err(GatewayError::from).and_then(|owner| {
            let rows = self.store.rows()?;
            Ok(rows.read("list schedules", move |conn, scope| rows::list(conn, scope.tenant(), &owner)))
        });
        async move { Ok(asked?.await?) }
    }

    /// Ends a schedule of the current principal.
    ///
    /// # Errors
    /// [`GatewayError::NotFound`] also for somebody else's.
    #[track_caller]
    pub fn cancel(
        &self,
        id: &str,
    ) -> impl Future<Output = Result<(), GatewayError>> + Send + 'static + use<> {
        let id = id.to_owned();
        let asked = PRINCIPAL.get().map_err(GatewayError::from).and_then(|owner| {
            let rows = self.store.rows()?;
            Ok(rows.write("end a schedule", move |tx, scope| rows::delete(tx, scope.tenant(), &owner, &id)))
        });
        async move {
            match asked?.await? {
                true => Ok(()),
                false => Err(GatewayError::NotFound { what: "schedule" }),
            }
        }
    }

    #[track_caller]
    fn prepare(&self, new: NewSchedule) -> Result<rows::NewRow, GatewayError> {
        let NewSchedule { expression, prompt, to } = new;
        let next_at = next(&expression, now_millis())?;
        let origin = REPLY_ROUTE.get()?;
        let Captured { snapshot, tenant, principal } = Captured::here()?;
        let id = random_id()?;
        let sealed = Sealed { prompt, to: to.unwrap_or_else(|| origin.clone()), origin };
        let sealed = self.sealer.seal(&snapshot, tenant.as_str(), &id, &sealed)?;
        let schedule = Schedule { id, expression, next_at, lost: false };
        Ok(rows::NewRow { schedule, owner: principal, sealed })
    }
}

impl fmt::Debug for Schedules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedules").field("most", &self.most).finish_non_exhaustive()
    }
}

/// The first time after `from` at which an expression is due. Both in milliseconds since the Unix epoch.
fn next(expression: &str, from: i64) -> Result<i64, GatewayError> {
    let bad = |_| GatewayError::BadSchedule;
    // Seconds would make a schedule a busy loop.
    if expression.split_whitespace().count() != 5 {
        return Err(GatewayError::BadSchedule);
    }
    let cron = Cron::from_str(expression).map_err(|_| GatewayError::BadSchedule)?;
    let from = Timestamp::from_millisecond(from).map_err(bad)?.to_zoned(TimeZone::UTC);
    let next = cron.find_next_occurrence(&from, false).map_err(|_| GatewayError::BadSchedule)?;
    Ok(next.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn an_expression_is_due_at_its_next_time() {
        // 2026-01-01T00:00:00Z, a Thursday.
        let new_year = 1_767_225_600_000;
        assert_eq!(next("0 9 * * *", new_year).unwrap(), new_year + 9 * 3_600_000);
        assert_eq!(next("0 9 * * 1", new_year).unwrap(), new_year + (4 * 24 + 9) * 3_600_000);
        assert_eq!(
            next("0 0 * * *", new_year).unwrap(),
            new_year + 24 * 3_600_000,
            "never the same moment twice"
        );
    }

    #[test]
    fn what_is_no_expression_or_never_due_is_refused() {
        for bad in ["", "every day", "* * * * * *", "61 * * * *", "0 0 30 2 *"] {
            assert!(next(bad, 0).is_err(), "{bad}");
        }
    }
}
