//! The command `doctor`: looks for what is wrong with the configuration, the data folder and the machine, and says what
//! to do. It changes nothing and works beside a running server. Each check is one line; a finding makes exit code 1.

mod folder;
mod reach;
mod ring;

use std::process::ExitCode;

use serde::Serialize;

use super::config::Source;
use super::output::Output;
use crate::code::Code;
use crate::config::{Config, SandboxMode};
use crate::confine;
use crate::descriptors::Descriptors;
use crate::problem::Fault;

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
}

/// What a check found.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Check {
    /// What was looked at.
    check: String,
    /// Whether it is as it should be.
    ok: bool,
    /// What was found, and for a finding what to do.
    detail: String,
    /// The code of a finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
}

impl Check {
    fn ok(check: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { check: check.into(), ok: true, detail: detail.into(), code: None }
    }

    fn finding(check: impl Into<String>, code: Code, detail: impl Into<String>) -> Self {
        Self { check: check.into(), ok: false, detail: detail.into(), code: Some(code.id()) }
    }

    fn fault(check: impl Into<String>, fault: &Fault) -> Self {
        let cause = std::error::Error::source(fault).map(|cause| format!(" ({cause})")).unwrap_or_default();
        Self::finding(check, fault.code(), format!("{}{cause}", fault.detail()))
    }
}

/// Runs `doctor`.
///
/// # Errors
/// Only when the machine gives no threads; everything else is a finding.
pub fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    let checks = haversack::block_on(&super::runtime()?, look(&args.source))?;
    for check in &checks {
        out.value(check);
        let mark = if check.ok { out.good("ok     ") } else { out.bad("FINDING") };
        let code = check.code.map(|code| format!(" {code}")).unwrap_or_default();
        out.line(&format!("{mark} {}{code}: {}", check.check, super::output::plain(&check.detail)));
    }
    let findings = checks.iter().filter(|check| !check.ok).count();
    if findings == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    out.note(&format!("{findings} findings; `haversack explain CODE` says more about each"));
    Ok(ExitCode::from(super::EXIT_FAILED))
}

async fn look(source: &Source) -> anyhow::Result<Vec<Check>> {
    let (config, mut checks) = configuration(source);
    // Without a configuration nobody knows where to look for the rest.
    let Some(config) = config else { return Ok(checks) };
    let store = config.store.clone();
    let folder = haversack::spawn_blocking(move || folder::look(&store)).await?;
    let served = folder.in_use;
    checks.extend(folder.checks);
    checks.extend(keys(&config).await);
    checks.push(ring::look(&config).await);
    checks.push(descriptors(&config));
    checks.push(sandbox(&config));
    checks.push(reach::address(&config.server, served).await);
    checks.push(reach::model(&config.agent.model).await);
    checks.extend(reach::knowledge(config.agent.tools.knowledge.as_deref()));
    if let Some(otlp) = &config.telemetry.otlp {
        checks.push(reach::collector(otlp).await);
    }
    Ok(checks)
}

/// How many connections the file descriptors allow, once `serve` has raised their limit.
fn descriptors(config: &Config) -> Check {
    let name = "file descriptors";
    let Descriptors { limit, files, connections } = Descriptors::raised(config);
    if Descriptors::raised(config).suffice(config) {
        return Check::ok(
            name,
            format!("enough for {connections} connections, and {files} are kept for files"),
        );
    }
    let detail = format!(
        "{connections} connections instead of {}: the hard limit is {limit}, and {files} are kept for files; raise it \
         (`ulimit -Hn`, `LimitNOFILE=`) or lower `limits.connections`",
        config.limits.connections
    );
    Check::ok(name, detail)
}

fn configuration(source: &Source) -> (Option<Config>, Vec<Check>) {
    let name = "configuration";
    match source.load() {
        Ok(loaded) => {
            let from = match &loaded.file {
                Some(file) => format!("read from {}", file.display()),
                None => "there is no file; every key has its default".to_owned(),
            };
            let check = match loaded.config.check() {
                Ok(()) => Check::ok(name, from),
                Err(error) => Check::fault(name, &Fault::from(error)),
            };
            (Some(loaded.config), vec![check])
        }
        Err(fault) => (None, vec![Check::fault(name, &fault)]),
    }
}

/// How children are confined.
fn sandbox(config: &Config) -> Check {
    let (name, level) = ("sandbox", haversack_child::level());
    if config.sandbox.mode == SandboxMode::Off {
        return Check::ok(name, format!("off: a child may do what the server may; the kernel has {level}"));
    }
    let path = config.gateway.commands.as_ref().map(|commands| commands.path.as_str());
    let made =
        confine::steps(config).and_then(|_| path.map(|path| confine::commands(config, path)).transpose());
    match made {
        Err(fault) => Check::fault(name, &fault),
        Ok(_) if !level.confines() => Check::finding(
            name,
            Code::SandboxRefused,
            format!("steps of pipelines are not confined: {level}"),
        ),
        Ok(_) => Check::ok(name, level.to_string()),
    }
}

/// Keys that would open the server, without making a control file where there is none.
async fn keys(config: &Config) -> Option<Check> {
    let name = "keys";
    let path = &config.store.path;
    if !path.join("control.sqlite").exists() {
        return Some(Check::ok(name, "none yet; `haversack keys issue` makes one"));
    }
    let listed = async { crate::auth::admin::list(&super::keys::control(path).await?).await }.await;
    // A control file that cannot be read is a finding of its own already.
    let keys = listed.ok()?;
    let now = haversack_store::now_millis();
    let live = keys.iter().filter(|key| key.is_live(now)).count();
    let demo = keys.iter().filter(|key| key.demo && key.is_live(now)).count();
    if demo > 0 && !config.server.bind.ip().is_loopback() {
        let detail =
            format!("{demo} demo keys work on {}; revoke them or bind to 127.0.0.1", config.server.bind);
        return Some(Check::finding(name, Code::DemoKeysExposed, detail));
    }
    Some(Check::ok(name, format!("{live} of {} work, {demo} of them are demo keys", keys.len())))
}
