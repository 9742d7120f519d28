//! Replies: what the person of a conversation is told, and what of it somebody else can fetch. There must be an answer,
//! it must hold nothing of others, and others must get nothing.

use super::{denied, errors, place_of};
use crate::code::Code;
use crate::leakcheck::canary::{Cell, Reader};
use crate::leakcheck::report::{Place, Report};
use crate::leakcheck::stage::Answer;
use crate::leakcheck::world::World;

/// An answer to something that was said.
pub(in crate::leakcheck) fn answered(
    world: &World,
    cell: Cell,
    said: &str,
    answer: &Answer,
    report: &mut Report,
) {
    report.asked(answer.is_reply());
    report.looked(Place::Answers, 1);
    if !answer.is_reply() {
        let Answer { status, text, .. } = answer;
        report.gap(Place::Answers, format!("`{said}` in {} was answered {status}: {text}", place_of(cell)));
        return errors::look(world, &format!("`{said}` in {}", place_of(cell)), answer, report);
    }
    report.looked(Place::Replies, 1);
    let crossed = world.crossed(&answer.text, Reader::Owner(cell));
    report.crossed(Place::Replies, &crossed, &format!("the answer to `{said}` in {}", place_of(cell)));
}

/// An answer to a greeting, which nothing depends on but the session.
pub(in crate::leakcheck) fn greeted(world: &World, cell: Cell, answer: &Answer, report: &mut Report) {
    report.looked(Place::Answers, 1);
    if !answer.is_reply() {
        report
            .gap(Place::Answers, format!("a greeting in {} was answered {}", place_of(cell), answer.status));
    }
    let crossed = world.crossed(&answer.text, Reader::Owner(cell));
    report.crossed(Place::Replies, &crossed, &format!("the answer to a greeting in {}", place_of(cell)));
}

/// What `who` got for a turn of `cell`.
pub(in crate::leakcheck) fn foreign(
    world: &World,
    cell: Cell,
    who: &str,
    answer: &Answer,
    report: &mut Report,
) {
    report.looked(Place::Replies, 1);
    let what = format!("{who} of {} who asked for a turn", place_of(cell));
    denied(Place::Replies, &what, answer, Code::TurnNotFound, report);
    errors::look(world, &format!("{who} of {}", place_of(cell)), answer, report);
}
