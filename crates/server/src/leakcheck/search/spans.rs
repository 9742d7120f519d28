//! Spans: the owner sees the tree of a turn, with the own tenant in it and no other, and without a word of what was
//! said. Nobody else sees that there is one.

use reqwest::StatusCode;

use super::{denied, errors, place_of};
use crate::code::Code;
use crate::leakcheck::canary::{Cell, Reader};
use crate::leakcheck::report::{Place, Report};
use crate::leakcheck::stage::Answer;
use crate::leakcheck::world::{World, tenant_name};

/// How much is told of an answer that was not as it should be, in characters.
const BEGINNING: usize = 300;

/// The tree of a turn as its owner sees it.
pub(in crate::leakcheck) fn own(world: &World, cell: Cell, tree: &Answer, report: &mut Report) {
    report.looked(Place::Spans, 1);
    if tree.status != StatusCode::OK || !tree.text.contains(&tenant_name(cell.tenant)) {
        let begins: String = tree.text.chars().take(BEGINNING).collect();
        let detail =
            format!("{} asked for the tree of its own turn: {} {begins}", place_of(cell), tree.status);
        report.gap(Place::Spans, detail);
    }
    let who = format!("the tree of a turn in {}", place_of(cell));
    report.crossed(Place::Spans, &world.crossed(&tree.text, Reader::Nobody), &who);
    if world.names_other(&tree.text, Some(cell.tenant)) {
        report.crossing(Place::Spans, format!("{who} names another tenant"));
    }
}

/// What `who` got for the tree of a turn of `cell`, who must get this.
pub(in crate::leakcheck) fn foreign(
    world: &World,
    cell: Cell,
    who: &str,
    answer: &Answer,
    code: Code,
    report: &mut Report,
) {
    report.looked(Place::Spans, 1);
    let what = format!("{who} of {} who asked for the tree of a turn", place_of(cell));
    denied(Place::Spans, &what, answer, code, report);
    errors::look(world, &format!("{who} of {}", place_of(cell)), answer, report);
}
