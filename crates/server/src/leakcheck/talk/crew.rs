//! Crews in conversations: a specialist starts one, its researchers work at the same time on threads of their own, and the
//! last task sums up what they found. All tenants ask for the same at once; whoever finds nothing of their own ran under no
//! context or another's.

use super::at_once;
use crate::leakcheck::canary::{Cell, Kind};
use crate::leakcheck::report::{Place, Report};
use crate::leakcheck::search::{recall, replies, spans};
use crate::leakcheck::stage::{Answer, Say, Stage};
use crate::leakcheck::world::World;

pub(super) const PLANTS: &[Kind] = &[Kind::Fact, Kind::Token];

pub(super) const PLACES: &[Place] = &[
    Place::Answers,
    Place::Replies,
    Place::Recall,
    Place::Spans,
    Place::Logs,
    Place::Metrics,
    Place::Files,
    Place::Control,
];

pub(super) fn requests(world: &World) -> usize {
    // Two turns and a look at a tree.
    world.cells().count() * 3
}

pub(super) async fn drive(world: &World, stage: &mut Stage, report: &mut Report) -> anyhow::Result<()> {
    let tell = |cell: Cell| {
        let fact = world.word(cell, Kind::Fact);
        format!("Please remember that the access word of ward {} is {fact}.", cell.session)
    };
    say(world, stage, report, "crew-tell", tell).await?;
    let research = |cell: Cell| format!("Please research: what is the access word of ward {}?", cell.session);
    let found = say(world, stage, report, "crew-research", research).await?;
    for (cell, answer) in &found {
        recall::answered(world, *cell, answer, report);
    }
    let trees = at_once(stage, &found, async |(cell, answer): &(Cell, Answer)| {
        let turn = answer.json()["turn"].as_str().unwrap_or_default().to_owned();
        Ok((*cell, stage.kim(cell.tenant).get(&format!("/v1/turns/{turn}/context")).await?))
    });
    for (cell, tree) in trees.await? {
        spans::own(world, cell, &tree, report);
        if !tree.text.contains("crew") {
            report.gap(Place::Spans, format!("no crew worked in {}", cell.session_name()));
        }
    }
    Ok(())
}

async fn say(
    world: &World,
    stage: &mut Stage,
    report: &mut Report,
    key: &str,
    words: impl Fn(Cell) -> String,
) -> anyhow::Result<Vec<(Cell, Answer)>> {
    let all = &*stage;
    let answers = at_once(all, world.cells(), async |cell: Cell| {
        let say = Say {
            session: &cell.session_name(),
            message: &words(cell),
            key,
            token: &world.word(cell, Kind::Token),
            events: false,
        };
        Ok((cell, all.kim(cell.tenant).say(say).await?))
    })
    .await?;
    for (cell, answer) in &answers {
        replies::answered(world, *cell, key, answer, report);
        if let Some(turn) = answer.json()["turn"].as_str() {
            stage.turn_is_of(turn.to_owned(), *cell);
        }
    }
    Ok(answers)
}
