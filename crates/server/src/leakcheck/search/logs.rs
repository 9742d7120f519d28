//! Logs: the log of each process, whole and at its finest. It names the tenant, session and turn that a line is about,
//! and they belong together; it holds no word of what was said, no token and no key.

use std::collections::HashMap;

use anyhow::Context;
use memchr::memmem;
use serde::Deserialize;

use super::{mcp, place_of};
use crate::leakcheck::canary::{Canary, Cell, Kind, Reader};
use crate::leakcheck::report::{Place, Report};
use crate::leakcheck::stage::Site;
use crate::leakcheck::world::{World, tenant_name};

/// Keys that are looked for in clear. Their secrets are random and have no shape, so each takes a pass of its own; where
/// one is written, all are.
const KEYS: usize = 2;

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

/// Reads the logs of all processes. `turns` says whose each turn is.
///
/// # Errors
/// When a log cannot be read.
pub(in crate::leakcheck) fn look(
    site: &Site,
    world: &World,
    turns: &HashMap<String, Cell>,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut named_any = false;
    for entry in std::fs::read_dir(site.logs()).context("cannot list the logs")? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = std::fs::read(&path).with_context(|| format!("cannot read {name}"))?;
        let log = String::from_utf8_lossy(&log);
        report.looked(Place::Logs, log.lines().count());
        let crossed = world.crossed(&log, Reader::Nobody).into_iter();
        let crossed: Vec<Canary> = crossed.filter(|canary| canary.kind != Kind::Chat).collect();
        report.crossed(Place::Logs, &crossed, &format!("the log {name}"));
        if secrets(site).any(|secret| memmem::find(log.as_bytes(), secret.as_bytes()).is_some()) {
            report.crossing(Place::Logs, format!("the secret of an API key is in the log {name}"));
        }
        named_any |= world.names_other(&log, None);
        for text in log.lines() {
            match serde_json::from_str(text) {
                Ok(line) => {
                    belongs(&line, turns, report);
                    named(world, text, &line, report);
                    called(&line, report);
                }
                Err(_) => report.gap(Place::Logs, format!("a line of the log {name} is not one of ours")),
            }
        }
    }
    if !named_any {
        report.gap(Place::Logs, "no log names a tenant at all: are they whole?");
    }
    Ok(())
}

/// A line about a turn is in the name of the turn's tenant and session.
fn belongs(line: &Line<'_>, turns: &HashMap<String, Cell>, report: &mut Report) {
    let Some(cell) = line.turn.and_then(|turn| turns.get(turn)) else { return };
    let tenant = line.tenant.is_some_and(|tenant| tenant != tenant_name(cell.tenant));
    let session = line.session.is_some_and(|session| session != cell.session_name());
    if tenant || session {
        let detail = format!("a line about a turn in {} is in another's name", place_of(*cell));
        report.crossing(Place::Logs, detail);
    }
}

/// A thread of a platform is a session's name, and stands in lines of its own tenant alone.
fn named(world: &World, text: &str, line: &Line<'_>, report: &mut Report) {
    let of_others =
        |canary: &Canary| line.tenant.is_none_or(|tenant| tenant != tenant_name(canary.cell.tenant));
    let strange: Vec<Canary> = world.find(text.as_bytes()).into_iter().filter(of_others).collect();
    report.crossed(Place::Logs, &strange, "a line of a log in another's name");
}

/// A call over MCP is written down under its own request, and not under the one that began the connection.
fn called(line: &Line<'_>, report: &mut Report) {
    let call = line.target.starts_with("haversack_mcp")
        && line.fields.get("method").is_some_and(|method| *method == "tools/call");
    if call && line.request.is_some_and(|request| request.starts_with(mcp::BEGUN)) {
        report.crossing(Place::Logs, "a call over MCP was made as the request that began its connection");
    }
}

/// The secrets of the keys, as nothing but their owner should have them.
pub(super) fn secrets(site: &Site) -> impl Iterator<Item = &str> {
    let keys = site.keys().iter().flatten().take(KEYS);
    keys.filter_map(|key| key.splitn(3, '_').nth(2))
}
