//! The command `jobs`: background jobs on a running server. It speaks the public API with a key, so it shows and touches
//! the jobs of that key's principal and nothing else. Lists are tables for people and one JSON value a line with `--json`;
//! `watch` follows a job to its end.

use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::client::{Client, ServerArgs};
use super::output::{Output, plain};
use crate::code::Code;
use crate::http::plain_id;
use crate::problem::Fault;

/// Arguments of `jobs`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List your jobs, the newest first.
    Ls {
        /// How many, 1 to 100.
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=100))]
        limit: u16,
        /// Where to go on: the `next` of the list before.
        #[arg(long, value_name = "CURSOR")]
        cursor: Option<String>,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Show a job, with its result when it is there.
    Show(One),
    /// Run a tool in the background.
    Submit {
        /// The tool: one declared for the background, or listed under `[jobs] tools`.
        tool: String,
        /// Its arguments, a JSON object.
        #[arg(long, value_name = "JSON", default_value = "{}")]
        arguments: String,
        /// A session of yours to run in; the result comes into it.
        #[arg(long, value_name = "NAME")]
        session: Option<String>,
        /// An idempotency key: while a job is live under it, no second one is started.
        #[arg(long = "job-key", value_name = "TEXT")]
        job_key: Option<String>,
        /// Follow it to its end.
        #[arg(long)]
        watch: bool,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Call a job off.
    Cancel(One),
    /// Queue a job once more that failed, was put into quarantine or is parked.
    Redrive(One),
    /// Follow a job to its end; exit code 1 when it has no result.
    Watch(One),
}

#[derive(Debug, clap::Args)]
struct One {
    /// The job's id: `job_` and 32 hexadecimal digits.
    job: String,
    #[command(flatten)]
    server: ServerArgs,
}

/// Runs `jobs`.
///
/// # Errors
/// [`Code::JobNotFound`] also for somebody else's; [`Code::JobRefused`], [`Code::JobConflict`],
/// [`Code::ServerUnreachable`].
pub fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    Ok(haversack::block_on(&super::runtime()?, act(args.action, out))?)
}

async fn act(action: Action, out: &Output) -> Result<ExitCode, Fault> {
    match action {
        Action::Ls { limit, cursor, server } => {
            let cursor = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
            let page: Value = server.client()?.get(&format!("/v1/jobs?limit={limit}{cursor}")).await?;
            list(&page, out);
        }
        Action::Show(one) => {
            let (client, path) = one.path()?;
            show(&client.get(&path).await?, out);
        }
        Action::Submit { tool, arguments, session, job_key, watch, server } => {
            let client = server.client()?;
            let body = body(tool, &arguments, session, job_key)?;
            let submitted: Value = client.send(Method::POST, "/v1/jobs", Some(&body)).await?;
            let job = text(&submitted, "job");
            out.value(&submitted);
            out.line(&plain(job));
            if watch {
                return follow(&client, job, out).await;
            }
        }
        Action::Cancel(one) => {
            let (client, path) = one.path()?;
            show(&client.send(Method::DELETE, &path, None).await?, out);
        }
        Action::Redrive(one) => {
            let (client, path) = one.path()?;
            show(&client.send(Method::POST, &format!("{path}/redrive"), None).await?, out);
        }
        Action::Watch(one) => {
            let (client, _) = one.path()?;
            return follow(&client, &one.job, out).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl One {
    fn path(&self) -> Result<(Client, String), Fault> {
        if !plain_id(&self.job) {
            let detail = "That is not the id of a job: expected `job_` and 32 hexadecimal digits.";
            return Err(Fault::new(Code::JobNotFound, detail));
        }
        Ok((self.server.client()?, format!("/v1/jobs/{}", self.job)))
    }
}

fn body(tool: String, arguments: &str, session: Option<String>, key: Option<String>) -> Result<Value, Fault> {
    let wrong = |_| Fault::new(Code::JobRefused, "`--arguments` is not a JSON object.");
    let arguments: Map<String, Value> = serde_json::from_str(arguments).map_err(wrong)?;
    let mut body = json!({ "tool": tool, "arguments": arguments });
    for (name, value) in [("session", session), ("key", key)] {
        if let Some(value) = value {
            body[name] = value.into();
        }
    }
    Ok(body)
}

fn list(page: &Value, out: &Output) {
    let jobs = page["jobs"].as_array().map(Vec::as_slice).unwrap_or_default();
    for job in jobs {
        out.value(job);
    }
    if jobs.is_empty() {
        out.line("no jobs");
        return;
    }
    let rows: Vec<Vec<String>> = jobs
        .iter()
        .map(|job| {
            vec![
                text(job, "id").to_owned(),
                text(job, "state").to_owned(),
                time(&job["created_at"]),
                format!("{}/{}", job["attempt"], job["max_attempts"]),
                text(job, "handler").to_owned(),
                progress(job).unwrap_or_default(),
            ]
        })
        .collect();
    out.table(&["JOB", "STATE", "SUBMITTED", "ATTEMPT", "HANDLER", "PROGRESS"], &rows);
    if let Some(next) = page["next"].as_str() {
        out.note(&format!("more: --cursor {next}"));
    }
}

fn show(job: &Value, out: &Output) {
    out.value(job);
    let mut lines = vec![
        ("job", text(job, "id").to_owned()),
        ("handler", text(job, "handler").to_owned()),
        ("state", text(job, "state").to_owned()),
        ("attempt", format!("{} of {}", job["attempt"], job["max_attempts"])),
    ];
    lines.extend(progress(job).map(|progress| ("progress", progress)));
    for (name, at) in [("submitted", "created_at"), ("started", "started_at"), ("ended", "finished_at")] {
        lines.extend(job[at].is_i64().then(|| (name, time(&job[at]))));
    }
    if let Some(problem) = job.get("problem") {
        lines.push(("problem", format!("{}: {}", text(problem, "code"), text(problem, "detail"))));
    }
    lines.extend(job.get("result").map(|result| ("result", words(result))));
    for (name, value) in lines {
        out.line(&format!("{name:<10} {}", plain(&value)));
    }
}

/// Follows a job; a bar where standard error is a terminal.
async fn follow(client: &Client, job: &str, out: &Output) -> Result<ExitCode, Fault> {
    let bar = if out.is_json() { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    let mut last = Value::Null;
    let path = format!("/v1/jobs/{job}/events");
    let following = client.follow(&path, |data| {
        let Ok(picture) = serde_json::from_str::<Value>(data) else { return };
        out.value(&picture);
        draw(&bar, &picture);
        last = picture;
    });
    let followed = following.await;
    bar.finish_and_clear();
    followed?;
    // The pictures were the answer already where a program reads them.
    if !out.is_json() {
        show(&last, out);
    }
    let done = last["state"] == "succeeded";
    Ok(if done { ExitCode::SUCCESS } else { ExitCode::from(super::EXIT_FAILED) })
}

fn draw(bar: &ProgressBar, job: &Value) {
    let step = &job["progress"];
    if let Some(total) = step["total"].as_u64() {
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}") {
            bar.set_style(style);
        }
        bar.set_length(total);
    }
    bar.set_position(step["done"].as_u64().unwrap_or_default());
    let said = format!("{} {}", text(job, "state"), text(step, "note"));
    bar.set_message(plain(said.trim_end()).into_owned());
    bar.tick();
}

fn progress(job: &Value) -> Option<String> {
    let step = &job["progress"];
    let done = step["done"].as_u64()?;
    let total = step["total"].as_u64().map(|total| format!("/{total}")).unwrap_or_default();
    Some(format!("{done}{total} {}", text(step, "note")).trim_end().to_owned())
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn words(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn time(millis: &Value) -> String {
    millis.as_i64().map(super::keys::time).unwrap_or_default()
}
