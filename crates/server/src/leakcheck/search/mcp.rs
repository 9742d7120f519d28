//! MCP: a call answers whoever made it, with what is theirs, and a connection is nobody else's.

use reqwest::StatusCode;

use super::{errors, place_of};
use crate::leakcheck::canary::{Cell, Kind};
use crate::leakcheck::report::{Place, Report};
use crate::leakcheck::stage::Answer;
use crate::leakcheck::world::World;

/// How the request is called that begins a connection. No call is made by it.
pub(in crate::leakcheck) const BEGUN: &str = "mcp-initialize";

/// The answer of a tool that was asked for the fact of a conversation. Others' facts in it are found with the replies.
pub(in crate::leakcheck) fn recalled(world: &World, cell: Cell, answer: &Answer, report: &mut Report) {
    report.looked(Place::Recall, 1);
    if !answer.text.contains(&world.word(cell, Kind::Fact)) {
        report.gap(Place::Recall, format!("a tool in {} does not get its own fact", place_of(cell)));
    }
}

/// What `who` got on a connection of `cell`: the same as on one that never was, which is `unknown`.
pub(in crate::leakcheck) fn foreign(
    world: &World,
    cell: Cell,
    who: &str,
    answer: &Answer,
    unknown: &Answer,
    report: &mut Report,
) {
    report.looked(Place::Replies, 1);
    let place = place_of(cell);
    if answer.status.is_success() {
        report.crossing(Place::Replies, format!("{who} was answered on a connection of {place}"));
    } else if (answer.status, said(answer)) != (StatusCode::NOT_FOUND, said(unknown)) {
        let detail = format!("{who} got {} on a connection of {place}: {}", answer.status, answer.text);
        report.gap(Place::Replies, detail);
    }
    errors::look(world, &format!("{who} of {}", place_of(cell)), answer, report);
}

/// Returns a problem without the request that it names.
fn said(answer: &Answer) -> Option<serde_json::Value> {
    let mut problem: serde_json::Value = serde_json::from_str(&answer.text).ok()?;
    problem.as_object_mut()?.remove("instance");
    Some(problem)
}
