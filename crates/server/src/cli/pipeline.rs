//! The command `pipeline`: check files, run a pipeline, read the log of a run, try one again. Without `--server` it works
//! in process on the data folder; with it, a server's worker does. Exit code 0 says that the run succeeded, 1 that it did
//! not, 2 that a pipeline has mistakes.

mod check;
mod place;
mod printed;
mod watch;

use std::path::Path;
use std::process::ExitCode;

use haversack_pipeline::run::{RunId, RunStatus, RunView};
use haversack_pipeline::run_log::{AttemptStatus, Event, What};
use haversack_pipeline::{Parameters, Pipeline};
use serde_json::Value;

use super::config::Source;
use super::in_process::Who;
use super::output::{Output, plain};
use crate::code::Code;
use crate::problem::Fault;
use crate::work::pipelines;
use place::Place;
use watch::Watch;

/// Arguments of `pipeline`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

impl Args {
    /// Returns true if steps run in this process.
    pub(super) fn runs_here(&self) -> bool {
        match &self.action {
            Action::Run(args) => args.at.server.is_none(),
            Action::Retry(args) => args.at.server.is_none(),
            _ => false,
        }
    }
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show everything that is wrong with pipelines, and run nothing.
    Check(check::Args),
    /// Run a pipeline to its end.
    Run(Run),
    /// Show what happened in a run, or what its steps printed.
    Log(Log),
    /// Run again what failed in a run; what succeeded is kept.
    Retry(OfRun),
}

#[derive(Debug, clap::Args)]
struct Run {
    /// A file, or the name of one in `[pipelines] folder`; a server takes names only.
    #[arg(value_name = "FILE|NAME")]
    pipeline: String,
    /// A parameter; the value is JSON, or else a text. May be given several times.
    #[arg(short = 'p', long = "parameter", value_name = "NAME=VALUE", value_parser = parameter)]
    parameters: Vec<(String, Value)>,
    /// The name of the run: the same key never starts a second run, but goes on with the first one.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, clap::Args)]
struct OfRun {
    /// The run, as the command that started it says.
    run: String,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, clap::Args)]
struct Log {
    #[command(flatten)]
    of: OfRun,
    /// Show what the steps printed: all of them, or the last attempt of one.
    #[arg(long, value_name = "STEP", num_args = 0..=1, default_missing_value = "")]
    output: Option<String>,
}

/// Where runs are.
#[derive(Debug, clap::Args)]
struct At {
    /// Ask this server; without it an engine runs in this process.
    #[arg(long, value_name = "URL", conflicts_with_all = ["tenant", "principal"])]
    server: Option<String>,
    /// The API key for the server; better in the variable than here, where other users of the machine see it.
    #[arg(long, value_name = "KEY", env = "HAVERSACK_KEY", hide_env_values = true)]
    api_key: Option<String>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    source: Source,
}

/// Runs `pipeline`.
///
/// # Errors
/// What keeps a run from being started or read; how one ends is the exit code.
pub fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    let doing = async {
        match args.action {
            Action::Check(args) => check::run(&args, out),
            Action::Run(args) => start(args, out).await,
            Action::Log(args) => log(args, out).await,
            Action::Retry(args) => retry(args, out).await,
        }
    };
    haversack::block_on(&super::runtime()?, doing)
}

async fn start(args: Run, out: &Output) -> anyhow::Result<ExitCode> {
    let key = match args.key {
        Some(key) => key,
        None => pipelines::fresh()?,
    };
    let (key, parameters) = (run_id(key)?, args.parameters.into_iter().collect::<Parameters>());
    let place = Place::open(&args.at).await?;
    let watch = Watch::new(out);
    let ran = place.run(&args.pipeline, parameters, key, &watch).await;
    ended(place, ran, &watch, out).await
}

async fn retry(args: OfRun, out: &Output) -> anyhow::Result<ExitCode> {
    let run = run_id(args.run)?;
    let place = Place::open(&args.at).await?;
    let watch = Watch::new(out);
    let ran = place.retry(&run, &watch).await;
    ended(place, ran, &watch, out).await
}

async fn log(args: Log, out: &Output) -> anyhow::Result<ExitCode> {
    let run = run_id(args.of.run)?;
    let place = Place::open(&args.of.at).await?;
    let read = match args.output {
        None => place.log(&run, |event| tell(event, out)).await,
        Some(step) => printed::show(&place, &run, Some(step).filter(|step| !step.is_empty()), out).await,
    };
    place.close().await?;
    read?;
    Ok(ExitCode::SUCCESS)
}

/// Gives the place back, and says how the run ended.
async fn ended(
    place: Place,
    ran: Result<RunView, Fault>,
    watch: &Watch,
    out: &Output,
) -> anyhow::Result<ExitCode> {
    watch.clear();
    place.close().await?;
    let run = ran?;
    out.value(&run);
    let mark = match run.entry.status {
        RunStatus::Succeeded => out.good(run.entry.status.name()),
        status => out.bad(status.name()),
    };
    out.line(&format!("{} {mark}{}", run.entry.run, took(&run)));
    if let Some(reason) = &run.reason {
        out.line(plain(reason).as_ref());
    }
    last_lines(run.last_lines.as_deref(), out);
    let rows: Vec<_> = run.outputs.iter().map(|(name, value)| vec![name.clone(), shown(value)]).collect();
    if !rows.is_empty() {
        out.table(&["output", "value"], &rows);
    }
    if run.entry.status != RunStatus::Succeeded {
        out.note(&format!(
            "{}: {}; `haversack pipeline log {} --output` shows what its steps printed",
            Code::RunFailed,
            Code::RunFailed.title(),
            run.entry.run
        ));
    }
    Ok(ExitCode::from(run.entry.status.exit_code()))
}

/// The last lines that a failed step printed, below why it failed.
fn last_lines(lines: Option<&str>, out: &Output) {
    for line in lines.unwrap_or_default().lines() {
        out.line(&format!("  | {}", plain(line)));
    }
}

fn took(run: &RunView) -> String {
    match (run.entry.began_at, run.entry.ended_at) {
        (Some(began), Some(ended)) => {
            format!(" in {}.{:03} s", (ended - began) / 1000, (ended - began) % 1000)
        }
        _ => String::new(),
    }
}

/// One event of a log, as a line.
fn tell(event: &Event, out: &Output) {
    out.value(event);
    let text = match &event.what {
        What::Created { pipeline, .. } => format!("created from {pipeline}"),
        What::Began { .. } => "began".to_owned(),
        What::AttemptStarted { step, attempt, kind, .. } => format!("{step}: attempt {attempt} ({kind})"),
        What::AttemptEnded { step, attempt, status, ms, outputs, reason, .. } => {
            let word = match status {
                AttemptStatus::Succeeded => out.good("succeeded"),
                AttemptStatus::Failed => out.bad("failed"),
                AttemptStatus::TimedOut => out.bad("timed out"),
                AttemptStatus::Cancelled => out.bad("cancelled"),
                AttemptStatus::Lost => out.bad("lost"),
            };
            let given: String =
                outputs.iter().map(|(name, value)| format!(" {name}={}", shown(value))).collect();
            let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            format!("{step}: attempt {attempt} {word} after {ms} ms{}{}", plain(&given), plain(&reason))
        }
        What::StepStarted { step, kind, .. } => format!("{step}: {kind}"),
        What::StepEnded { step, succeeded: true, .. } => format!("{step}: {}", out.good("succeeded")),
        What::StepEnded { step, reason, .. } => {
            let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            format!("{step}: {}{}", out.bad("failed"), plain(&reason))
        }
        What::CancelRequested => "somebody asked for its end".to_owned(),
        What::Retried => "to be tried again".to_owned(),
        What::Ended { status, reason, .. } => {
            let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            format!("ended as {}{}", status.name(), plain(&reason))
        }
        _ => "something that this version does not know".to_owned(),
    };
    let at = jiff::Timestamp::from_millisecond(event.at).map(|at| at.to_string()).unwrap_or_default();
    out.line(&format!("{:>4} {at} {text}", event.number));
    if let What::AttemptEnded { last_lines: lines, .. } = &event.what {
        last_lines(lines.as_deref(), out);
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn run_id(key: String) -> Result<RunId, Fault> {
    Ok(RunId::new(key)?)
}

/// The pipeline that an argument means: a path, or a name of the configured folder.
fn find(argument: &str, catalogue: &pipelines::Catalogue) -> Result<Pipeline, Fault> {
    if is_file(argument) { pipelines::read(Path::new(argument)) } else { catalogue.get(argument) }
}

fn is_file(argument: &str) -> bool {
    let path = Path::new(argument);
    path.components().count() > 1 || path.extension().is_some()
}

fn parameter(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("write a parameter as name=value")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::{is_file, parameter};

    #[test]
    fn a_value_is_json_or_else_a_text() {
        assert_eq!(parameter("chunks=[1,2]").unwrap().1, serde_json::json!([1, 2]));
        assert_eq!(parameter("day=2026-11-25").unwrap().1, "2026-11-25");
        assert_eq!(parameter("sum=a=b").unwrap(), ("sum".to_owned(), "a=b".into()));
        assert!(parameter("nothing").is_err());
    }

    #[test]
    fn what_looks_like_a_path_is_one() {
        assert!(["a.yaml", "./a", "x/a"].into_iter().all(is_file));
        assert!(!is_file("export"));
    }
}
