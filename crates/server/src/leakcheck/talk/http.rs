//! Conversations over HTTP: every person of every tenant says the same in sessions of the same names under the same
//! idempotency keys, but for the canaries. Then everybody reads what is theirs, and tries to read what is not.
//!
//! The questions have no canary in them, so they are the same for all to the last letter: whoever gets the answer to
//! somebody else's gets a canary with it.

use std::path::Path;

use reqwest::Method;
use serde_json::json;

use super::{at_once, by_others};
use crate::code::Code;
use crate::leakcheck::canary::{Cell, Kind};
use crate::leakcheck::report::{Place, Report};
use crate::leakcheck::search::{errors, handles, history, recall, replies, session_cache, spans};
use crate::leakcheck::stage::{Answer, Say, Stage};
use crate::leakcheck::world::World;

pub(super) const PLANTS: &[Kind] = &[Kind::Fact, Kind::Attempt, Kind::Token, Kind::Secret];

pub(super) const PLACES: &[Place] = &[
    Place::Answers,
    Place::Replies,
    Place::Errors,
    Place::Recall,
    Place::SessionCache,
    Place::History,
    Place::Spans,
    Place::Logs,
    Place::Metrics,
    Place::Files,
    Place::Handles,
    Place::Control,
];

/// Something that everybody says.
struct Step {
    key: &'static str,
    /// Whether all tenants use the same idempotency key.
    shared: bool,
    events: bool,
    words: fn(&World, Cell) -> String,
}

const TELL: Step = Step {
    key: "tell",
    shared: false,
    events: false,
    words: |world, cell| {
        let fact = world.word(cell, Kind::Fact);
        format!("Please remember that the access word of ward {} is {fact}.", cell.session)
    },
};

const TRIED: Step = Step {
    key: "tried",
    shared: true,
    events: false,
    words: |world, cell| {
        let attempt = world.word(cell, Kind::Attempt);
        format!("I tried the {attempt} reset on the pump, it did not help.")
    },
};

const ASK: Step = Step {
    key: "ask",
    shared: true,
    events: false,
    words: |_, cell| format!("What is the access word of ward {}?", cell.session),
};

const LIST: Step =
    Step { key: "list", shared: true, events: true, words: |_, _| "What have I tried so far?".to_owned() };

pub(super) fn requests(world: &World) -> usize {
    // Four turns and a refused one, ten looks at turns, three at sessions; for each tenant its list of sessions.
    world.cells().count() * 18 + world.tenants() + 1
}

pub(super) async fn drive(world: &World, stage: &mut Stage, report: &mut Report) -> anyhow::Result<()> {
    let told = everyone(world, stage, report, &TELL).await?;
    everyone(world, stage, report, &TRIED).await?;
    let asked = everyone(world, stage, report, &ASK).await?;
    for (cell, answer) in &asked {
        recall::answered(world, *cell, answer, report);
    }
    trees(world, stage, report, &asked).await?;
    for (cell, answer) in &everyone(world, stage, report, &LIST).await? {
        session_cache::answered(world, *cell, answer, report);
    }
    refused(world, stage, report).await?;
    turns_of_others(world, stage, report, &told).await?;
    sessions(world, stage, report).await?;
    Ok(())
}

pub(super) async fn settle(world: &World, data: &Path, report: &mut Report) -> anyhow::Result<()> {
    handles::look(world, data, report).await
}

type Answers = Vec<(Cell, Answer)>;

/// All conversations say one thing, at once.
async fn everyone(
    world: &World,
    stage: &mut Stage,
    report: &mut Report,
    step: &Step,
) -> anyhow::Result<Answers> {
    let all = &*stage;
    let answers = at_once(all, world.cells(), async |cell: Cell| {
        let say = Say {
            session: &cell.session_name(),
            message: &(step.words)(world, cell),
            key: &if step.shared { step.key.to_owned() } else { format!("{}-{}", step.key, cell.tenant) },
            token: &world.word(cell, Kind::Token),
            events: step.events,
        };
        Ok((cell, all.kim(cell.tenant).say(say).await?))
    })
    .await?;
    for (cell, answer) in &answers {
        replies::answered(world, *cell, step.key, answer, report);
        if let Some(turn) = turn_of(answer) {
            stage.turn_is_of(turn, *cell);
        }
    }
    Ok(answers)
}

fn turn_of(answer: &Answer) -> Option<String> {
    answer.json()["turn"].as_str().map(str::to_owned)
}

/// A turn that cannot be: what stands in for the one that an answer did not name.
fn turn_or_none(answer: &Answer) -> String {
    turn_of(answer).unwrap_or_else(|| format!("turn_{:032}", 0))
}

/// The owner sees the tree of a turn, the others see that there is none.
async fn trees(world: &World, stage: &Stage, report: &mut Report, answers: &Answers) -> anyhow::Result<()> {
    type Path = fn(&str) -> String;
    let paths: [(Path, Code); 2] = [
        (|turn| format!("/v1/turns/{turn}/context"), Code::TurnNotFound),
        (|turn| format!("/v1/context/{turn}"), Code::TraceNotFound),
    ];
    for (path, code) in paths {
        let looks = answers.iter().map(|(cell, answer)| (*cell, Method::GET, path(&turn_or_none(answer))));
        let seen = at_once(stage, looks.clone(), async |(cell, method, path): (Cell, _, String)| {
            Ok((cell, stage.kim(cell.tenant).call(method, &path).await?))
        });
        for (cell, tree) in seen.await? {
            spans::own(world, cell, &tree, report);
        }
        for (cell, who, answer) in by_others(world, stage, looks).await? {
            spans::foreign(world, cell, who, &answer, code, report);
        }
    }
    Ok(())
}

/// Nobody else gets a turn or its events.
async fn turns_of_others(
    world: &World,
    stage: &Stage,
    report: &mut Report,
    answers: &Answers,
) -> anyhow::Result<()> {
    let looks = answers.iter().flat_map(|(cell, answer)| {
        let turn = turn_or_none(answer);
        let paths = [format!("/v1/turns/{turn}"), format!("/v1/turns/{turn}/events")];
        paths.map(|path| (*cell, Method::GET, path))
    });
    for (cell, who, answer) in by_others(world, stage, looks).await? {
        replies::foreign(world, cell, who, &answer, report);
    }
    Ok(())
}

/// A body that is refused is not repeated.
async fn refused(world: &World, stage: &Stage, report: &mut Report) -> anyhow::Result<()> {
    let answers = at_once(stage, world.cells(), async |cell: Cell| {
        // A field that the API does not have: the parser's own words would repeat its name.
        let body = json!({ "message": "Hello.", world.word(cell, Kind::Secret): true });
        Ok((cell, stage.kim(cell.tenant).say_wrong(&cell.session_name(), &body).await?))
    });
    for (cell, answer) in answers.await? {
        errors::refused(world, cell, &answer, Code::FieldInvalid, report);
    }
    Ok(())
}

/// The owner reads each session; a colleague neither reads nor deletes it; and each list is its reader's own.
async fn sessions(world: &World, stage: &Stage, report: &mut Report) -> anyhow::Result<()> {
    let path = |cell: Cell| format!("/v1/sessions/{}", cell.session_name());
    let own = at_once(stage, world.cells(), async |cell| {
        Ok((cell, stage.kim(cell.tenant).get(&path(cell)).await?))
    });
    for (cell, session) in own.await? {
        history::own(world, cell, &session, report);
    }
    let tries = world.cells().flat_map(|cell| [(cell, Method::GET), (cell, Method::DELETE)]);
    let foreign = at_once(stage, tries, async |(cell, method): (Cell, Method)| {
        Ok((cell, stage.lee(cell.tenant).call(method, &path(cell)).await?))
    });
    for (cell, answer) in foreign.await? {
        history::foreign(world, cell, &answer, report);
    }
    let lists = at_once(stage, 0..world.tenants(), async |tenant: usize| {
        Ok((tenant, stage.kim(tenant).get("/v1/sessions?limit=100").await?))
    });
    for (tenant, list) in lists.await? {
        history::list(world, tenant, &list, report);
    }
    Ok(())
}
