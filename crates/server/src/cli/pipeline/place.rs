//! Where `pipeline` works: an engine in this process, which executes runs itself, or a server, which submits them to its
//! worker. Both start, follow and retry alike.

use haversack_pipeline::run::{RunId, RunView};
use haversack_pipeline::run_log::Event;
use haversack_pipeline::{OutputPart, Parameters};
use reqwest::Method;
use serde_json::json;

use super::watch::Watch;
use super::{At, find, is_file};
use crate::cli::client::{Client, key};
use crate::cli::in_process::{InProcess, Log};
use crate::cli::signals::Signals;
use crate::code::Code;
use crate::http::{PrintedView, plain_id};
use crate::problem::Fault;
use crate::work::pipelines;

/// Events that are read at once.
const PAGE: usize = 500;

/// Bytes of an output that are read at once.
const PART: u64 = 256 * 1024;

/// Where runs are.
pub(super) enum Place {
    Here(InProcess),
    Server(Client),
}

impl Place {
    /// Opens the data folder, or makes a client.
    ///
    /// # Errors
    /// As [`InProcess::open`]; [`Code::KeyMissing`].
    pub(super) async fn open(at: &At) -> anyhow::Result<Self> {
        Ok(match &at.server {
            Some(url) => Self::Server(Client::new(url, &key(at.api_key.as_deref())?)?),
            None => Self::Here(InProcess::open(&at.source, &at.who, "pipeline", Log::Off).await?),
        })
    }

    /// Gives it back.
    ///
    /// # Errors
    /// The store's faults.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        match self {
            Self::Here(here) => here.close().await,
            Self::Server(_) => Ok(()),
        }
    }

    /// Starts a run and waits for its end. A signal cancels a run of this process in order.
    ///
    /// # Errors
    /// What keeps it from being started.
    pub(super) async fn run(
        &self,
        pipeline: &str,
        parameters: Parameters,
        key: RunId,
        watch: &Watch,
    ) -> Result<RunView, Fault> {
        match self {
            Self::Here(here) => {
                let work = here.engine().work();
                let pipeline = find(pipeline, work.catalogue())?;
                let run = async {
                    let started = pipelines::begin(work, &pipeline, parameters, key).await?;
                    execute(here, &started.run.entry.run, watch).await
                };
                here.enter()?.wrap(run).await
            }
            Self::Server(_) if is_file(pipeline) || !plain_id(pipeline) => Err(Fault::new(
                Code::PipelineNotFound,
                "A server takes the name of a pipeline in its own folder, and no file.",
            )),
            Self::Server(client) => {
                let path = format!("/v1/pipelines/{pipeline}/runs");
                let body = json!({ "parameters": parameters, "key": key });
                follow(client, client.send(Method::POST, &path, Some(&body)).await?, watch).await
            }
        }
    }

    /// Tries a run again and waits for its end.
    ///
    /// # Errors
    /// [`Code::RunNotFound`], [`Code::RunRefused`].
    pub(super) async fn retry(&self, run: &RunId, watch: &Watch) -> Result<RunView, Fault> {
        match self {
            Self::Here(here) => {
                let again = async {
                    here.engine().work().pipelines().retry(run).await?;
                    execute(here, run, watch).await
                };
                here.enter()?.wrap(again).await
            }
            Self::Server(client) => {
                let started = client.send(Method::POST, &format!("/v1/runs/{run}/retry"), None).await?;
                follow(client, started, watch).await
            }
        }
    }

    /// Reads a part of what an attempt printed, from an offset on.
    ///
    /// # Errors
    /// [`Code::RunNotFound`].
    pub(super) async fn printed(
        &self,
        run: &RunId,
        step: &str,
        started: u64,
        offset: u64,
    ) -> Result<PrintedView, Fault> {
        match self {
            Self::Here(here) => {
                let part = OutputPart::From { offset, limit: PART };
                let pipelines = here.engine().work().pipelines();
                let reading = async { pipelines.printed(run, step, None, Some(started), part).await };
                Ok(here.enter()?.wrap(reading).await?.into())
            }
            Self::Server(client) => {
                let step = percent(step);
                let path = format!(
                    "/v1/runs/{run}/steps/{step}/output?started={started}&offset={offset}&limit={PART}"
                );
                Ok(client.get(&path).await?)
            }
        }
    }

    /// Reads the whole log of a run.
    ///
    /// # Errors
    /// [`Code::RunNotFound`].
    pub(super) async fn log(&self, run: &RunId, mut tell: impl FnMut(&Event)) -> Result<(), Fault> {
        match self {
            Self::Here(here) => {
                let reading = async {
                    let mut after = 0;
                    loop {
                        let events = here.engine().work().pipelines().log(run, after, PAGE).await?;
                        let Some(last) = events.last() else { return Ok(()) };
                        after = last.number;
                        events.iter().for_each(&mut tell);
                    }
                };
                here.enter()?.wrap(reading).await
            }
            Self::Server(client) => {
                #[derive(serde::Deserialize)]
                struct Page {
                    events: Vec<Event>,
                }
                let mut after = 0;
                loop {
                    let path = format!("/v1/runs/{run}/log?after={after}&limit={PAGE}");
                    let Page { events } = client.get(&path).await?;
                    let Some(last) = events.last() else { return Ok(()) };
                    after = last.number;
                    events.iter().for_each(&mut tell);
                }
            }
        }
    }
}

/// A text as one segment of a path.
fn percent(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

/// Executes a run in the context of this call.
async fn execute(here: &InProcess, run: &RunId, watch: &Watch) -> Result<RunView, Fault> {
    let work = here.engine().work();
    let mut signals = Signals::install().map_err(Fault::internal)?;
    let mut events = work.pipelines().follow(run, 0)?;
    let following = async {
        while let Ok(Some(event)) = events.next().await {
            watch.event(&event);
        }
        // The end is told by the execution.
        std::future::pending::<std::convert::Infallible>().await
    };
    let executing = pipelines::execute(work, here.engine().journal(), run);
    let working = async {
        let mut executing = std::pin::pin!(executing);
        tokio::select! {
            ended = &mut executing => return ended,
            () = signals.next() => {}
        }
        work.pipelines().cancel(run).await?;
        executing.await
    };
    let both = async {
        tokio::select! {
            ended = working => ended,
            never = following => match never {},
        }
    };
    watch.beside(both).await
}

/// Listens to a run of a server until it ends.
async fn follow(client: &Client, run: RunView, watch: &Watch) -> Result<RunView, Fault> {
    if run.entry.status.is_ended() {
        return Ok(run);
    }
    let path = format!("/v1/runs/{}", run.entry.run);
    let log = format!("{path}/log");
    let hear = |data: &str| {
        // What this version does not know is left out of the bar, and of nothing else.
        if let Ok(event) = serde_json::from_str::<Event>(data) {
            watch.event(&event);
        }
    };
    watch.beside(client.follow(&log, hear)).await?;
    Ok(client.get(&path).await?)
}
