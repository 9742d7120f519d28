//! Tools as background jobs, done by a worker process: in a session, where the result is brought, and outside of any. All
//! tenants post the same under the same idempotency keys at once, so that a worker has jobs of all of them in its hands, one
//! after the other and at the same time. The first of them wait for the worker while the files are searched. The jobs outside of any session would be brought into the session of whoever was
//! served before, if the worker kept what it had bound.

use reqwest::Method;
use serde_json::{Value, json};

use super::{at_once, by_others, until};
use crate::code::Code;
use crate::leakcheck::canary::{Cell, Kind};
use crate::leakcheck::report::{Place, Report};
use crate::leakcheck::search::{files, notices, replies, results, spans};
use crate::leakcheck::stage::settings::CARRIED;
use crate::leakcheck::stage::{Answer, Say, Stage};
use crate::leakcheck::world::World;

pub(super) const PLANTS: &[Kind] = &[Kind::Fact, Kind::JobArgument, Kind::Token];

pub(super) const PLACES: &[Place] = &[
    Place::Answers,
    Place::Results,
    Place::Notices,
    Place::Errors,
    Place::Spans,
    Place::Logs,
    Place::Metrics,
    Place::Files,
    Place::Control,
];

/// A job, and whose it is.
struct Posted {
    cell: Cell,
    what: &'static str,
    id: String,
}

/// Jobs outside of any session, for each tenant.
fn outside(world: &World) -> impl Iterator<Item = Cell> + Clone + use<> {
    let half = world.sessions().div_ceil(2);
    world.cells().filter(move |cell| cell.session < half)
}

pub(super) fn requests(world: &World) -> usize {
    // A greeting, two jobs, how they wait, their ends, and a session; for each job four tries of others and a look at its tree.
    let (cells, outside) = (world.cells().count(), outside(world).count());
    cells * 5 + 2 * outside + (2 * cells + outside) * 6 + 2 * world.tenants()
}

pub(super) async fn drive(world: &World, stage: &mut Stage, report: &mut Report) -> anyhow::Result<()> {
    stage.rest(report).await?;
    greet(world, stage, report).await?;
    let remember = |cell: Cell| {
        let fact = world.word(cell, Kind::Fact);
        json!({ "text": format!("The access word of ward {} is {fact}.", cell.session) })
    };
    let recall = |cell: Cell| {
        let argument = world.word(cell, Kind::JobArgument);
        json!({ "query": format!("access word of ward {} {argument}", cell.session) })
    };
    let search = |cell: Cell| {
        let argument = world.word(cell, Kind::JobArgument);
        json!({ "query": format!("door code of ward {} {argument}", cell.session) })
    };
    let mut posted = post(world, stage, report, "remember", true, remember).await?;
    let without = post(world, stage, report, "search_knowledge", false, search).await?;
    waiting(stage, report, posted.iter().chain(&without)).await?;
    // A job that is over has left its row, so what it was given is searched for while it waits.
    files::look(stage.site(), world, &[], report)?;
    files::sealed(stage.site(), posted.len() + without.len(), report)?;
    stage.work().await?;
    let told = ended(world, stage, report, &posted).await?;
    results::ended(world, &told, None, report);
    let within = post(world, stage, report, "recall", true, recall).await?;
    let (found, again) =
        (ended(world, stage, report, &within).await?, ended(world, stage, report, &without).await?);
    results::ended(world, &found, Some(Kind::Fact), report);
    results::ended(world, &again, Some(Kind::Handbook), report);
    posted.extend(within.into_iter().chain(without));
    foreign(world, stage, report, &posted).await?;
    lists(world, stage, report).await?;
    for cell in world.cells() {
        let session = stage.kim(cell.tenant).get(&format!("/v1/sessions/{}", cell.session_name())).await?;
        let expected = posted.iter().filter(|job| job.cell == cell && job.what != OUTSIDE).count();
        notices::look(world, cell, &session, expected, report);
        stage.bar.inc(1);
    }
    Ok(())
}

const OUTSIDE: &str = "outside of any session";

/// Begins every session: results are brought only into one that is there.
async fn greet(world: &World, stage: &mut Stage, report: &mut Report) -> anyhow::Result<()> {
    let all = &*stage;
    let answers = at_once(all, world.cells(), async |cell: Cell| {
        let say = Say {
            session: &cell.session_name(),
            message: "Good morning.",
            key: "jobs-greeting",
            token: &world.word(cell, Kind::Token),
            events: false,
        };
        Ok((cell, all.kim(cell.tenant).say(say).await?))
    })
    .await?;
    for (cell, answer) in &answers {
        replies::greeted(world, *cell, answer, report);
        if let Some(turn) = answer.json()["turn"].as_str() {
            stage.turn_is_of(turn.to_owned(), *cell);
        }
    }
    Ok(())
}

/// Every conversation, or every tenant outside of its sessions, posts one job at once.
async fn post(
    world: &World,
    stage: &Stage,
    report: &mut Report,
    tool: &'static str,
    inside: bool,
    arguments: impl Fn(Cell) -> Value,
) -> anyhow::Result<Vec<Posted>> {
    let cells: Vec<Cell> = if inside { world.cells().collect() } else { outside(world).collect() };
    let answers = at_once(stage, cells, async |cell: Cell| {
        let session = inside.then(|| cell.session_name());
        let mut body = json!({ "tool": tool, "arguments": arguments(cell) });
        session.iter().for_each(|session| body["session"] = session.as_str().into());
        let key = format!("{tool}-{inside}-{}", cell.session);
        let token = world.word(cell, Kind::Token);
        let headers = [("Idempotency-Key", key.as_str()), (CARRIED, token.as_str())];
        Ok((cell, stage.kim(cell.tenant).post("/v1/jobs", &headers, &body).await?))
    });
    let what = if inside { tool } else { OUTSIDE };
    let mut posted = Vec::new();
    for (cell, answer) in answers.await? {
        match answer.json()["job"].as_str() {
            Some(id) => posted.push(Posted { cell, what, id: id.to_owned() }),
            None => {
                report.asked(false);
                results::refused(world, cell, tool, &answer, report);
            }
        }
    }
    Ok(posted)
}

/// Jobs that no worker has begun.
async fn waiting(
    stage: &Stage,
    report: &mut Report,
    posted: impl Iterator<Item = &Posted>,
) -> anyhow::Result<()> {
    let states = at_once(stage, posted, async |job: &Posted| {
        stage.kim(job.cell.tenant).get(&format!("/v1/jobs/{}", job.id)).await
    });
    let begun = states.await?.iter().filter(|answer| answer.json()["state"] != "queued").count();
    if begun > 0 {
        report.gap(Place::Control, format!("{begun} jobs did not wait while the files were searched"));
    }
    Ok(())
}

/// Waits for the end of each job. What its owner sees then.
async fn ended(
    world: &World,
    stage: &Stage,
    report: &mut Report,
    posted: &[Posted],
) -> anyhow::Result<Vec<(Cell, Answer)>> {
    let ends = at_once(stage, posted, async |job: &Posted| {
        let kim = stage.kim(job.cell.tenant);
        let over = |answer: &Answer| {
            !matches!(answer.json()["state"].as_str(), Some("queued" | "running" | "retrying"))
        };
        let end = until(kim, &format!("/v1/jobs/{}", job.id), over).await?;
        Ok((job.cell, end, until(kim, &format!("/v1/context/{}", job.id), written).await?))
    });
    let mut seen = Vec::new();
    for (cell, end, tree) in ends.await? {
        report.asked(end.json()["state"] == "succeeded");
        spans::own(world, cell, &tree, report);
        seen.push((cell, end));
    }
    Ok(seen)
}

/// Whether every unit of a trace has ended. A worker writes the end of its unit down after that of the job, so whoever
/// has just read that the job is done may still find it running in the journal.
fn written(tree: &Answer) -> bool {
    let tree = tree.json();
    tree["work"].as_array().is_none_or(|work| work.iter().all(|work| work["state"] != "running"))
}

/// Nobody else sees a job, listens to it, calls it off, or sees what it caused.
async fn foreign(world: &World, stage: &Stage, report: &mut Report, posted: &[Posted]) -> anyhow::Result<()> {
    let tries = posted.iter().flat_map(|Posted { cell, id, .. }| {
        [(*cell, Method::GET, format!("/v1/jobs/{id}")), (*cell, Method::DELETE, format!("/v1/jobs/{id}"))]
    });
    for (cell, who, answer) in by_others(world, stage, tries).await? {
        results::foreign(world, cell, who, &answer, Code::JobNotFound, report);
    }
    let trees = posted.iter().map(|job| (job.cell, Method::GET, format!("/v1/context/{}", job.id)));
    for (cell, who, answer) in by_others(world, stage, trees).await? {
        spans::foreign(world, cell, who, &answer, Code::TraceNotFound, report);
    }
    Ok(())
}

/// Each list of jobs is its reader's own: full for the one, empty for the colleague.
async fn lists(world: &World, stage: &Stage, report: &mut Report) -> anyhow::Result<()> {
    for tenant in 0..world.tenants() {
        let path = "/v1/jobs?limit=100";
        let (own, colleagues) = (stage.kim(tenant).get(path).await?, stage.lee(tenant).get(path).await?);
        results::list(world, tenant, &own, &colleagues, report);
        stage.bar.inc(2);
    }
    Ok(())
}
