//! Runs of pipelines, whose steps are child processes: all tenants start the same pipeline under the same keys at once, with
//! a secret of the same name and files of the same names. Each child writes down what it sees, and prints it; what lies in
//! the run's folder afterwards is read when the product has stopped.

use std::path::Path;

use serde_json::json;

use super::{at_once, until};
use crate::code::Code;
use crate::leakcheck::canary::{Cell, Kind};
use crate::leakcheck::report::{Place, Report};
use crate::leakcheck::search::{children, files, results};
use crate::leakcheck::stage::settings::{CARRIED, ROUND};
use crate::leakcheck::stage::{Answer, Stage};
use crate::leakcheck::world::World;

pub(super) const PLANTS: &[Kind] = &[];

pub(super) const PLACES: &[Place] = &[
    Place::Results,
    Place::Errors,
    Place::Children,
    Place::Catalogs,
    Place::Logs,
    Place::Metrics,
    Place::Files,
    Place::Control,
];

/// The conversations that have a run: every second one, because children take their time.
fn rounds(world: &World) -> impl Iterator<Item = Cell> + Clone + use<> {
    let half = world.sessions().div_ceil(2);
    world.cells().filter(move |cell| cell.session < half)
}

/// The key of a run, the same in every tenant.
fn key(cell: Cell) -> String {
    format!("round-{}", cell.session)
}

pub(super) fn requests(world: &World) -> usize {
    rounds(world).count() * 2
}

pub(super) async fn drive(world: &World, stage: &mut Stage, report: &mut Report) -> anyhow::Result<()> {
    stage.rest(report).await?;
    let all = &*stage;
    let started = at_once(all, rounds(world), async |cell: Cell| {
        let word = world.word(cell, Kind::Parameter);
        let body = json!({ "key": key(cell), "parameters": { "word": word } });
        let headers = [(CARRIED, world.word(cell, Kind::Token))];
        let headers = headers.each_ref().map(|(name, token)| (*name, token.as_str()));
        let path = format!("/v1/pipelines/{ROUND}/runs");
        Ok((cell, all.kim(cell.tenant).post(&path, &headers, &body).await?))
    });
    let mut runs = Vec::new();
    for (cell, answer) in started.await? {
        match run_of(&answer) {
            Some(run) => runs.push((cell, run)),
            None => {
                report.asked(false);
                results::refused(world, cell, "start", &answer, report);
            }
        }
    }
    files::look(stage.site(), world, &[], report)?;
    files::sealed(stage.site(), runs.len(), report)?;
    stage.work().await?;
    let stage = &*stage;
    let ends = at_once(stage, &runs, async |(cell, run): &(Cell, String)| {
        let kim = stage.kim(cell.tenant);
        let over =
            |answer: &Answer| !answer.text.contains("\"pending\"") && !answer.text.contains("\"running\"");
        let end = until(kim, &format!("/v1/runs/{run}"), over).await?;
        let next = stage.kim((cell.tenant + 1) % world.tenants());
        let paths = ["", "/log", "/steps/write/output"].map(|part| format!("/v1/runs/{run}{part}"));
        let (mut theirs, mut colleagues) = (Vec::new(), Vec::new());
        let lee = stage.lee(cell.tenant);
        for path in &paths {
            theirs.push(next.get(path).await?);
            colleagues.push(lee.get(path).await?);
        }
        let own = [kim.get(&paths[1]).await?, kim.get(&paths[2]).await?];
        Ok((*cell, end, own, theirs, colleagues))
    });
    for (cell, end, [log, printed], theirs, colleagues) in ends.await? {
        children::output(world, cell, &printed, report);
        theirs.iter().for_each(|answer| children::same_name(world, cell, answer, report));
        for answer in &colleagues {
            results::foreign(world, cell, "a colleague", answer, Code::RunNotFound, report);
        }
        report.asked(end.text.contains("\"succeeded\""));
        children::ended(world, cell, &end, &log, report);
    }
    Ok(())
}

fn run_of(answer: &Answer) -> Option<String> {
    let json = answer.json();
    let run = json["run"].as_str().or_else(|| json["run"]["run"].as_str());
    run.filter(|_| answer.status.is_success()).map(str::to_owned)
}

pub(super) fn settle(world: &World, data: &Path, report: &mut Report) -> anyhow::Result<()> {
    for cell in rounds(world) {
        children::look(world, cell, data, report)?;
    }
    Ok(())
}
