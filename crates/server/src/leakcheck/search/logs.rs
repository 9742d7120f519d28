//! Logs: the log of each process, whole and at its finest. It names the tenant, session and turn that a line is about,
//! and they belong together; it holds no word of what was said, no token and no key.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use anyhow::Context;
use serde::Deserialize;

use super::secrets::Secrets;
use super::{mcp, place_of};
use crate::leakcheck::canary::{Canary, Cell, Kind, Reader};
use crate::leakcheck::report::{Place, Report};
use crate::leakcheck::stage::Site;
use crate::leakcheck::talk::Hop;
use crate::leakcheck::world::{World, tenant_name};

/// What a line says about whose it is.
#[derive(Deserialize)]
struct Line<'a> {
    tenant: Option<&'a str>,
    session: Option<&'a str>,
    turn: Option<&'a str>,
    #[serde(default)]
    target: &'a str,
    request: Option<&'a str>,
    #[serde(default)]
    fields: HashMap<&'a str, std::borrow::Cow<'a, str>>,
}

/// How long each log was at a moment.
pub(in crate::leakcheck) struct Mark(HashMap<PathBuf, usize>);

impl Mark {
    /// How long they are now.
    ///
    /// # Errors
    /// When a log cannot be read.
    pub(in crate::leakcheck) fn now(site: &Site) -> anyhow::Result<Self> {
        Ok(Self(logs(site)?.into_iter().map(|(path, log)| (path, log.len())).collect()))
    }

    /// Lines that came since then and name a tenant. Lines of others are no sign that anything of the hop is written down.
    ///
    /// # Errors
    /// When a log cannot be read.
    pub(in crate::leakcheck) fn lines_since(&self, site: &Site) -> anyhow::Result<usize> {
        let mut lines = 0;
        for (path, log) in logs(site)? {
            let new = log.get(self.0.get(&path).copied().unwrap_or_default()..).unwrap_or_default();
            let of_tenant =
                |line: &&str| serde_json::from_str(line).is_ok_and(|line: Line<'_>| line.tenant.is_some());
            lines += String::from_utf8_lossy(new).lines().filter(of_tenant).count();
        }
        Ok(lines)
    }
}

/// What lines there were that have to be there.
#[derive(Default)]
struct Seen<'a> {
    turns: HashSet<&'a str>,
    calls: usize,
    threads: usize,
}

/// Reads the logs of all processes. `turns` says whose each turn is, `hops` which lines there must be.
///
/// # Errors
/// When a log cannot be read.
pub(in crate::leakcheck) fn look(
    site: &Site,
    world: &World,
    turns: &HashMap<String, Cell>,
    hops: &[Hop],
    report: &mut Report,
) -> anyhow::Result<()> {
    let secrets = Secrets::of(site);
    let mut seen = Seen::default();
    for (path, log) in logs(site)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = String::from_utf8_lossy(&log);
        report.looked(Place::Logs, log.lines().count());
        let crossed = world.crossed(&log, Reader::Nobody).into_iter();
        let crossed: Vec<Canary> = crossed.filter(|canary| canary.kind != Kind::Chat).collect();
        report.crossed(Place::Logs, &crossed, &format!("the log {name}"));
        if secrets.are_in(log.as_bytes()) {
            report.crossing(Place::Logs, format!("the secret of an API key is in the log {name}"));
        }
        if !world.names_other(&log, None) {
            report.gap(Place::Logs, format!("the log {name} names no tenant at all: is it whole?"));
        }
        for text in log.lines() {
            match serde_json::from_str(text) {
                Ok(line) => {
                    belongs(&line, turns, &mut seen, report);
                    named(world, text, &line, &mut seen, report);
                    called(&line, &mut seen, report);
                }
                Err(_) => report.gap(Place::Logs, format!("a line of the log {name} is not one of ours")),
            }
        }
    }
    let untold = turns.keys().filter(|turn| !seen.turns.contains(turn.as_str())).count();
    if untold > 0 {
        report.gap(Place::Logs, format!("no line is about {untold} of {} turns", turns.len()));
    }
    if seen.calls == 0 && hops.contains(&Hop::Mcp) {
        report.gap(Place::Logs, "no line is about a call over MCP");
    }
    if seen.threads == 0 && hops.contains(&Hop::Gateway) {
        report.gap(Place::Logs, "no line is about a thread of a platform");
    }
    Ok(())
}

/// The log of each process.
fn logs(site: &Site) -> anyhow::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut logs = Vec::new();
    for entry in std::fs::read_dir(site.logs()).context("cannot list the logs")? {
        let path = entry?.path();
        let log = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        logs.push((path, log));
    }
    Ok(logs)
}

/// A line about a turn is in the name of the turn's tenant and session.
fn belongs<'a>(line: &Line<'_>, turns: &'a HashMap<String, Cell>, seen: &mut Seen<'a>, report: &mut Report) {
    let turn = line.turn.or_else(|| line.fields.get("turn").map(AsRef::as_ref));
    let Some((turn, cell)) = turn.and_then(|turn| turns.get_key_value(turn)) else { return };
    seen.turns.insert(turn);
    let tenant = line.tenant.is_some_and(|tenant| tenant != tenant_name(cell.tenant));
    let session = line.session.is_some_and(|session| session != cell.session_name());
    if tenant || session {
        let detail = format!("a line about a turn in {} is in another's name", place_of(*cell));
        report.crossing(Place::Logs, detail);
    }
}

/// A thread of a platform is a session's name, and stands in lines of its own tenant alone.
fn named(world: &World, text: &str, line: &Line<'_>, seen: &mut Seen<'_>, report: &mut Report) {
    let of_others =
        |canary: &Canary| line.tenant.is_none_or(|tenant| tenant != tenant_name(canary.cell.tenant));
    let found = world.find(text.as_bytes());
    seen.threads += usize::from(found.iter().any(|canary| canary.kind == Kind::Chat));
    let strange: Vec<Canary> = found.into_iter().filter(of_others).collect();
    report.crossed(Place::Logs, &strange, "a line of a log in another's name");
}

/// A call over MCP is written down under its own request, and not under the one that began the connection.
fn called(line: &Line<'_>, seen: &mut Seen<'_>, report: &mut Report) {
    let call = line.target.starts_with("haversack_mcp")
        && line.fields.get("method").is_some_and(|method| *method == "tools/call");
    seen.calls += usize::from(call && line.request.is_some());
    if call && line.request.is_some_and(|request| request.starts_with(mcp::BEGUN)) {
        report.crossing(Place::Logs, "a call over MCP was made as the request that began its connection");
    }
}
