//! Session caches: each holds what was tried in its own session, and nothing of any other. They are asked through the
//! agent, and read in process once the product has stopped.

use haversack_memory::Memory;

use super::{handles, place_of};
use crate::leakcheck::canary::{Cell, Kind, Reader};
use crate::leakcheck::report::{Place, Report};
use crate::leakcheck::stage::Answer;
use crate::leakcheck::world::World;

/// The answer to a question for what was tried in `cell`. Others' attempts in it are found with the replies.
pub(in crate::leakcheck) fn answered(world: &World, cell: Cell, answer: &Answer, report: &mut Report) {
    report.looked(Place::SessionCache, 1);
    if answer.is_reply() && !answer.text.contains(&world.word(cell, Kind::Attempt)) {
        report.gap(Place::SessionCache, format!("{} does not get its own attempt", place_of(cell)));
    }
}

/// Reads the cache of every session.
///
/// # Errors
/// When a conversation cannot be entered.
pub(in crate::leakcheck) async fn look(
    world: &World,
    memory: &Memory,
    report: &mut Report,
) -> anyhow::Result<()> {
    for cell in world.cells() {
        let visit = handles::enter(cell)?;
        let cache = visit.run(|| memory.session())?;
        report.looked(Place::SessionCache, 1);
        let attempts = match visit.run(|| cache.attempts()).await {
            Ok(attempts) => format!("{attempts:?}"),
            Err(error) => {
                report
                    .gap(Place::SessionCache, format!("that of {} cannot be read: {error}", place_of(cell)));
                continue;
            }
        };
        if !attempts.contains(&world.word(cell, Kind::Attempt)) {
            report.gap(Place::SessionCache, format!("{} lost its attempt", place_of(cell)));
        }
        let crossed = world.crossed(&attempts, Reader::Owner(cell));
        report.crossed(Place::SessionCache, &crossed, &format!("the session cache of {}", place_of(cell)));
    }
    Ok(())
}
