//! Error texts: a refusal says what is wrong and what to do, and repeats nothing, not even what the reader said.

use super::place_of;
use crate::leakcheck::canary::{Cell, Reader};
use crate::leakcheck::report::{Place, Report};
use crate::leakcheck::stage::Answer;
use crate::leakcheck::world::World;

/// An answer to somebody who should get nothing.
pub(in crate::leakcheck) fn look(world: &World, who: &str, answer: &Answer, report: &mut Report) {
    report.looked(Place::Errors, 1);
    report.crossed(Place::Errors, &world.crossed(&answer.text, Reader::Nobody), who);
}

/// An answer to a body that is none of the API's.
pub(in crate::leakcheck) fn refused(world: &World, cell: Cell, answer: &Answer, report: &mut Report) {
    if !answer.status.is_client_error() {
        report
            .gap(Place::Errors, format!("a wrong body in {} was answered {}", place_of(cell), answer.status));
    }
    look(world, &format!("the refusal of a wrong body in {}", place_of(cell)), answer, report);
}
