//! The searches, a file for each place. Each says what has to be there, so that an empty place is not taken for a safe
//! one, and what must not be, and writes both into the report. Hops call those for what comes back to them, the check
//! itself those for what is left on the disk.

pub(super) mod children;
pub(super) mod errors;
pub(super) mod files;
pub(super) mod handles;
pub(super) mod history;
pub(super) mod index;
pub(super) mod logs;
pub(super) mod mcp;
pub(super) mod metrics;
pub(super) mod notices;
pub(super) mod recall;
pub(super) mod replies;
pub(super) mod results;
pub(super) mod routes;
mod secrets;
pub(super) mod session_cache;
pub(super) mod spans;

use super::canary::Cell;
use super::report::{Place, Report};
use super::stage::Answer;
use super::world::tenant_name;
use crate::code::Code;

/// A conversation as a report names it.
fn place_of(cell: Cell) -> String {
    format!("{} of {}", cell.session_name(), tenant_name(cell.tenant))
}

/// What somebody got who must be refused, and with this code: an answer is a crossing, and a failure of any other kind shows
/// nothing.
fn denied(place: Place, what: &str, answer: &Answer, code: Code, report: &mut Report) {
    if answer.status.is_success() {
        report.crossing(place, format!("{what} was answered {}", answer.status));
    } else if answer.status != code.status() || answer.json()["code"] != code.id() {
        report.gap(place, format!("{what} was answered {}, and not {code}: {}", answer.status, answer.text));
    }
}
