//! History: a session holds what was said in it and nothing else, and it is there for the one who began it.

use super::{denied, errors, place_of};
use crate::code::Code;
use crate::leakcheck::canary::{Cell, Kind, Reader};
use crate::leakcheck::report::{Place, Report};
use crate::leakcheck::stage::Answer;
use crate::leakcheck::world::{World, tenant_name};

/// A session as its owner sees it.
pub(in crate::leakcheck) fn own(world: &World, cell: Cell, session: &Answer, report: &mut Report) {
    report.looked(Place::History, 1);
    if [Kind::Fact, Kind::Attempt].iter().any(|kind| !session.text.contains(&world.word(cell, *kind))) {
        report.gap(Place::History, format!("{} misses its own words", place_of(cell)));
    }
    let crossed = world.crossed(&session.text, Reader::Owner(cell));
    report.crossed(Place::History, &crossed, &format!("the history of {}", place_of(cell)));
}

/// What a colleague got for a session that is not theirs.
pub(in crate::leakcheck) fn foreign(world: &World, cell: Cell, answer: &Answer, report: &mut Report) {
    report.looked(Place::History, 1);
    let what = format!("a colleague of {} who asked for the session", place_of(cell));
    denied(Place::History, &what, answer, Code::SessionNotFound, report);
    errors::look(world, &what, answer, report);
}

/// The list of a person's sessions.
pub(in crate::leakcheck) fn list(world: &World, tenant: usize, list: &Answer, report: &mut Report) {
    report.looked(Place::History, 1);
    if list.json()["sessions"].as_array().is_none_or(Vec::is_empty) {
        report.gap(Place::History, format!("the list of sessions of {} is empty", tenant_name(tenant)));
    }
    let crossed = world.crossed(&list.text, Reader::Person(tenant));
    report.crossed(Place::History, &crossed, &format!("the list of sessions of {}", tenant_name(tenant)));
}
