//! Recall: whoever asks gets the tenant's own fact. Others' facts in the answer are found with the replies; here is
//! shown that there was something to find.

use super::place_of;
use crate::leakcheck::canary::{Cell, Kind};
use crate::leakcheck::report::{Place, Report};
use crate::leakcheck::stage::Answer;
use crate::leakcheck::world::World;

/// The answer to a question for the fact of `cell`.
pub(in crate::leakcheck) fn answered(world: &World, cell: Cell, answer: &Answer, report: &mut Report) {
    report.looked(Place::Recall, 1);
    if answer.is_reply() && !answer.text.contains(&world.word(cell, Kind::Fact)) {
        report.gap(Place::Recall, format!("{} does not get its own fact", place_of(cell)));
    }
}
