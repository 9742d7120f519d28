//! Error texts: a refusal says what is wrong and what to do, and repeats nothing, not even what the reader said.

use super::{denied, place_of};
use crate::code::Code;
use crate::leakcheck::canary::{Cell, Reader};
use crate::leakcheck::report::{Place, Report};
use crate::leakcheck::stage::Answer;
use crate::leakcheck::world::World;

/// An answer to somebody who should get nothing.
pub(in crate::leakcheck) fn look(world: &World, who: &str, answer: &Answer, report: &mut Report) {
    report.looked(Place::Errors, 1);
    report.crossed(Place::Errors, &world.crossed(&answer.text, Reader::Nobody), who);
}

/// An answer to a body that is none of the API's, or that somebody else signed: it is refused with that code.
pub(in crate::leakcheck) fn refused(
    world: &World,
    cell: Cell,
    answer: &Answer,
    code: Code,
    report: &mut Report,
) {
    let what = format!("a wrong body in {}", place_of(cell));
    denied(Place::Errors, &what, answer, code, report);
    look(world, &what, answer, report);
}
