//! Notices: each result of background work comes into the session that asked for it, once, and into no other.

use serde_json::Value;

use super::place_of;
use crate::leakcheck::canary::{Cell, Reader};
use crate::leakcheck::report::{Place, Report};
use crate::leakcheck::stage::Answer;
use crate::leakcheck::world::World;

/// The session of a conversation, into which so many results have to have come.
pub(in crate::leakcheck) fn look(
    world: &World,
    cell: Cell,
    session: &Answer,
    expected: usize,
    report: &mut Report,
) {
    let session = session.json();
    let history = session["history"].as_array().map(Vec::as_slice).unwrap_or_default();
    let notices: Vec<&Value> = history.iter().filter(|row| row["status"] == "notice").collect();
    report.looked(Place::Notices, notices.len());
    if notices.len() < expected {
        let came = notices.len();
        let detail = format!("{came} of {expected} results came into {}", place_of(cell));
        report.gap(Place::Notices, detail);
    }
    if notices.len() > expected {
        let more = notices.len() - expected;
        report.crossing(Place::Notices, format!("{more} results of others came into {}", place_of(cell)));
    }
    for notice in notices {
        let crossed = world.crossed(&notice.to_string(), Reader::Owner(cell));
        report.crossed(Place::Notices, &crossed, &format!("a notice in {}", place_of(cell)));
    }
}
