//! The searches, a file for each place. Each says what has to be there, so that an empty place is not taken for a safe
//! one, and what must not be, and writes both into the report. Hops call those for what comes back to them, the check
//! itself those for what is left on the disk.

pub(super) mod children;
pub(super) mod errors;
pub(super) mod files;
pub(super) mod handles;
pub(super) mod history;
pub(super) mod logs;
pub(super) mod mcp;
pub(super) mod metrics;
pub(super) mod notices;
pub(super) mod recall;
pub(super) mod replies;
pub(super) mod results;
pub(super) mod routes;
pub(super) mod session_cache;
pub(super) mod spans;

use super::canary::Cell;
use super::world::tenant_name;

/// A conversation as a report names it.
fn place_of(cell: Cell) -> String {
    format!("{} of {}", cell.session_name(), tenant_name(cell.tenant))
}
