//! Results: what a job came to is there for whoever posted it, holds nothing of others, and is for nobody else.

use super::{denied, errors, place_of};
use crate::code::Code;
use crate::leakcheck::canary::{Cell, Kind, Reader};
use crate::leakcheck::report::{Place, Report};
use crate::leakcheck::stage::Answer;
use crate::leakcheck::world::{World, tenant_name};

/// Jobs that have ended, as their owners see them. What was asked for must be there.
pub(in crate::leakcheck) fn ended(
    world: &World,
    ends: &[(Cell, Answer)],
    asked: Option<Kind>,
    report: &mut Report,
) {
    for (cell, end) in ends {
        report.looked(Place::Results, 1);
        let place = place_of(*cell);
        if end.json()["state"] != "succeeded" {
            report.gap(Place::Results, format!("a job in {place} did not succeed: {}", end.text));
        } else if let Some(kind) = asked.filter(|kind| !end.text.contains(&world.word(*cell, *kind))) {
            report.gap(Place::Results, format!("a job in {place} does not get its own {}", kind.name()));
        }
        let crossed = world.crossed(&end.text, Reader::Owner(*cell));
        report.crossed(Place::Results, &crossed, &format!("the result of a job in {place}"));
    }
}

/// A job that was not taken.
pub(in crate::leakcheck) fn refused(
    world: &World,
    cell: Cell,
    what: &str,
    answer: &Answer,
    report: &mut Report,
) {
    let place = place_of(cell);
    report
        .gap(Place::Results, format!("`{what}` in {place} was answered {}: {}", answer.status, answer.text));
    errors::look(world, &format!("`{what}` in {place}"), answer, report);
}

/// What `who` got for a job or a run of `cell`, who must get this.
pub(in crate::leakcheck) fn foreign(
    world: &World,
    cell: Cell,
    who: &str,
    answer: &Answer,
    code: Code,
    report: &mut Report,
) {
    report.looked(Place::Results, 1);
    let what = format!("{who} of {} who asked for the work", place_of(cell));
    denied(Place::Results, &what, answer, code, report);
    errors::look(world, &format!("{who} of {}", place_of(cell)), answer, report);
}

/// The list of a person's jobs, and that of a colleague who has none.
pub(in crate::leakcheck) fn list(
    world: &World,
    tenant: usize,
    own: &Answer,
    colleagues: &Answer,
    report: &mut Report,
) {
    report.looked(Place::Results, 2);
    let name = tenant_name(tenant);
    if own.json()["jobs"].as_array().is_none_or(Vec::is_empty) {
        report.gap(Place::Results, format!("the list of jobs of {name} is empty"));
    }
    if colleagues.json()["jobs"].as_array().is_none() {
        report
            .gap(Place::Results, format!("a colleague in {name} got {} for the own list", colleagues.status));
    }
    if colleagues.json()["jobs"].as_array().is_some_and(|jobs| !jobs.is_empty()) {
        report.crossing(Place::Results, format!("a colleague in {name} sees jobs of others in the list"));
    }
    let crossed = world.crossed(&own.text, Reader::Person(tenant));
    report.crossed(Place::Results, &crossed, &format!("the list of jobs of {name}"));
}
