//! Child environments and catalogs: what the steps of a run saw and left. A step sees what its run was given and what every
//! child has, and nothing of ours or of another run; it finds its own file under a name that all runs use. Read from the
//! answers while the product runs, and from the run's folder afterwards.

use std::path::{Path, PathBuf};

use anyhow::Context;
use sha2::{Digest, Sha256};

use super::place_of;
use crate::leakcheck::canary::{Cell, Kind, Reader};
use crate::leakcheck::report::{Place, Report};
use crate::leakcheck::search::files::hash;
use crate::leakcheck::stage::Answer;
use crate::leakcheck::stage::settings::token;
use crate::leakcheck::world::{World, tenant_name};

/// What a child may have and nothing else: what every child has, what a shell and an interpreter set themselves, the
/// parameter, and what a step is told by us, each by its name. Settings of ours have such names too.
const KNOWN: [&str; 16] = [
    "PATH",
    "LANG",
    "HOME",
    "TMPDIR",
    "PWD",
    "OLDPWD",
    "SHLVL",
    "_",
    "LC_CTYPE",
    "word",
    "TRACEPARENT",
    "HAVERSACK_RUN_ID",
    "HAVERSACK_STEP",
    "HAVERSACK_ATTEMPT",
    "HAVERSACK_PARAMETERS",
    "HAVERSACK_RETURNS",
];

/// Files in a run's catalog in which a child wrote down its environment.
const SEEN: [&str; 2] = ["write.env", "read.env"];

/// A run at its end, and its log.
pub(in crate::leakcheck) fn ended(
    world: &World,
    cell: Cell,
    end: &Answer,
    log: &Answer,
    report: &mut Report,
) {
    let place = place_of(cell);
    report.looked(Place::Results, 1);
    if !end.text.contains("\"succeeded\"") {
        report.gap(Place::Results, format!("a run in {place} did not succeed: {} {}", end.text, log.text));
    }
    report.looked(Place::Catalogs, 1);
    // Without spaces, so that it is found in either way to write JSON.
    let said = log.text.replace(' ', "");
    if said.contains("\"same\":\"no\"") {
        report.crossing(Place::Catalogs, format!("a run in {place} got a file of another under its name"));
    } else if !said.contains("\"same\":\"yes\"") {
        report.gap(Place::Catalogs, format!("a run in {place} does not say what it found"));
    }
    for answer in [end, log] {
        let crossed = world.crossed(&answer.text, Reader::Owner(cell));
        report.crossed(Place::Results, &crossed, &format!("what is told of a run in {place}"));
    }
}

/// What the next tenant got for the run of `cell`, under whose name it has a run of its own.
pub(in crate::leakcheck) fn same_name(world: &World, cell: Cell, answer: &Answer, report: &mut Report) {
    let next = Cell { tenant: (cell.tenant + 1) % world.tenants(), session: cell.session };
    report.looked(Place::Results, 1);
    let crossed = world.crossed(&answer.text, Reader::Owner(next));
    report.crossed(Place::Results, &crossed, &format!("{}, who has a run of that name", place_of(next)));
}

/// Checks the output of a run's first step, as its owner reads it: its own word, and nothing of others.
pub(in crate::leakcheck) fn output(world: &World, cell: Cell, answer: &Answer, report: &mut Report) {
    report.looked(Place::Results, 1);
    let place = place_of(cell);
    if !answer.text.contains(&world.word(cell, Kind::Parameter)) {
        report.gap(
            Place::Results,
            format!("the output of a step in {place} lacks its own word: {}", answer.text),
        );
    }
    let crossed = world.crossed(&answer.text, Reader::Owner(cell));
    report.crossed(Place::Results, &crossed, &format!("the output of a step in {place}"));
}

/// The folder of the run of a conversation.
///
/// # Errors
/// When it cannot be read.
pub(in crate::leakcheck) fn look(
    world: &World,
    cell: Cell,
    data: &Path,
    report: &mut Report,
) -> anyhow::Result<()> {
    let place = place_of(cell);
    let runs = data.join("runs").join(hash(&tenant_name(cell.tenant)));
    let Some(folder) = folder_of(world, cell, &runs)? else {
        report.gap(Place::Catalogs, format!("there is no folder for the run in {place}"));
        return Ok(());
    };
    for name in SEEN {
        match std::fs::read_to_string(folder.join("catalog").join(name)) {
            Ok(seen) => environment(world, cell, &seen, name == SEEN[0], report),
            Err(_) => report.gap(Place::Children, format!("a child in {place} wrote down no environment")),
        }
    }
    let given = std::fs::read_to_string(folder.join("catalog/token.txt")).unwrap_or_default();
    report.looked(Place::Children, 1);
    let digest = Sha256::digest(token(world, cell.tenant).as_bytes());
    if given.trim() != digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>() {
        report
            .crossing(Place::Children, format!("a child in {place} was given another secret under its name"));
    }
    let note = std::fs::read_to_string(folder.join("catalog/note.txt")).unwrap_or_default();
    report.looked(Place::Catalogs, 1);
    if note != world.word(cell, Kind::FileContent) {
        report.crossing(Place::Catalogs, format!("the file of a run in {place} is not what the run wrote"));
    }
    printed(world, cell, &folder, report)
}

/// The folder of the run that has the parameter of a conversation.
fn folder_of(world: &World, cell: Cell, runs: &Path) -> anyhow::Result<Option<PathBuf>> {
    let listed = match std::fs::read_dir(runs) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        listed => listed.with_context(|| format!("cannot list {}", runs.display()))?,
    };
    let word = world.word(cell, Kind::Parameter);
    for run in listed {
        let path = run?.path();
        let seen = std::fs::read_to_string(path.join("catalog").join(SEEN[0]));
        if seen.is_ok_and(|seen| seen.contains(&word)) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// What the children printed: their environments again, with the secret taken out.
fn printed(world: &World, cell: Cell, folder: &Path, report: &mut Report) -> anyhow::Result<()> {
    let attempts = folder.join("attempts");
    let listed =
        std::fs::read_dir(&attempts).with_context(|| format!("cannot list {}", attempts.display()))?;
    for attempt in listed {
        for file in std::fs::read_dir(attempt?.path())? {
            let path = file?.path();
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            report.looked(Place::Catalogs, 1);
            let crossed = world.crossed(&text, Reader::Owner(cell));
            report.crossed(Place::Children, &crossed, &format!("a child in {}", place_of(cell)));
        }
    }
    Ok(())
}

/// An environment as a child wrote it down.
/// Commands have the parameters in it, scripts have them in a file.
fn environment(world: &World, cell: Cell, seen: &str, parameters: bool, report: &mut Report) {
    report.looked(Place::Children, 1);
    let place = place_of(cell);
    let names = seen.lines().filter_map(|line| line.split_once('=').map(|(name, _)| name));
    let strange = names.filter(|name| !KNOWN.contains(name)).count();
    if strange > 0 {
        report.crossing(Place::Children, format!("a child in {place} has {strange} variables of ours"));
    }
    if parameters && !seen.contains(&world.word(cell, Kind::Parameter)) {
        report.gap(Place::Children, format!("a child in {place} does not see its parameter"));
    }
    let crossed = world.crossed(seen, Reader::Owner(cell));
    report.crossed(Place::Children, &crossed, &format!("a child in {place}"));
    if world.names_other(seen, Some(cell.tenant)) {
        report
            .crossing(Place::Children, format!("the environment of a child in {place} names another tenant"));
    }
}
