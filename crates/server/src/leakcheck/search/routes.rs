//! Reply routes: each answer comes to the callback, into the thread, and as an answer to the message that it answers; it is
//! signed with its own tenant's secret, and holds nothing of others.

use haversack_gateway::platform::webhook::{SigningSecret, sign};

use super::place_of;
use crate::leakcheck::canary::{Cell, Kind, Reader};
use crate::leakcheck::report::{Place, Report};
use crate::leakcheck::stage::settings::{account_name, signing};
use crate::leakcheck::stage::{Inbox, Letter};
use crate::leakcheck::world::World;

/// One answer. Gives the conversation that it is for, when it says.
///
/// # Errors
/// When the tenant's secret is none.
pub(in crate::leakcheck) fn look(
    world: &World,
    letter: &Letter,
    report: &mut Report,
) -> anyhow::Result<Option<(Cell, String)>> {
    report.looked(Place::Routes, 1);
    let Some(cell) = world.cells().find(|cell| Inbox::path_of(*cell) == letter.path) else {
        report.crossing(Place::Routes, "an answer came to a callback that nobody named");
        return Ok(None);
    };
    let (body, place) = (letter.json(), place_of(cell));
    if body["account"] != account_name(cell.tenant) || body["thread"] != world.word(cell, Kind::Chat) {
        report.crossing(Place::Routes, format!("an answer came to {place} that is for another thread"));
    }
    let secret = SigningSecret::parse(&signing(world, cell.tenant))?;
    let time: i64 = letter.header(sign::TIME).parse().unwrap_or_default();
    let (id, given) = (letter.header(sign::ID), letter.header(sign::SIGNATURE));
    if sign::verify(&[secret], id, time, &letter.body, given, u32::MAX, time).is_err() {
        report.crossing(Place::Routes, format!("an answer came to {place} that its tenant did not sign"));
    }
    let text = String::from_utf8_lossy(&letter.body);
    let crossed = world.crossed(&text, Reader::Owner(cell));
    report.crossed(Place::Routes, &crossed, &format!("the thread of {place}"));
    Ok(Some((cell, body["in_reply_to"].as_str().unwrap_or_default().to_owned())))
}
