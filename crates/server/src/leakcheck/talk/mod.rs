//! The ways into the product that are driven. Each is a [`Hop`] with a file of its own, which has a function `drive` for
//! the traffic and a function `settle` for what can be searched once the product has stopped; `search` judges what
//! comes back. All tenants do the same at once, under the same names.

mod crew;
mod gateway;
mod http;
mod jobs;
mod mcp;
mod pipelines;

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use reqwest::Method;
use serde::Serialize;

use super::canary::{Cell, Kind};
use super::report::{Place, Report};
use super::stage::{Answer, Caller, Stage};
use super::world::World;

/// Requests under way at a time.
const AT_ONCE: usize = 256;

/// A way into the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Hop {
    /// Conversations over HTTP, answered by the agents of the server.
    Http,
    /// Crews in conversations, whose tasks work on threads.
    Crew,
    /// Tools as background jobs, done by a worker process.
    Jobs,
    /// Runs of pipelines, whose steps are child processes.
    Pipelines,
    /// Tools over MCP.
    Mcp,
    /// Signed messages of a platform, answered to a callback.
    Gateway,
}

impl Hop {
    /// Every hop.
    pub const ALL: [Self; 6] =
        [Self::Http, Self::Crew, Self::Jobs, Self::Pipelines, Self::Mcp, Self::Gateway];

    /// What it is called on the command line and in a report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Crew => "crew",
            Self::Jobs => "jobs",
            Self::Pipelines => "pipelines",
            Self::Mcp => "mcp",
            Self::Gateway => "gateway",
        }
    }

    /// The kinds of canaries that it puts into the product.
    pub(super) const fn plants(self) -> &'static [Kind] {
        match self {
            Self::Http => http::PLANTS,
            Self::Crew => crew::PLANTS,
            Self::Jobs => jobs::PLANTS,
            Self::Pipelines => pipelines::PLANTS,
            Self::Mcp => mcp::PLANTS,
            Self::Gateway => gateway::PLANTS,
        }
    }

    /// The places that it must have searched.
    pub(super) const fn places(self) -> &'static [Place] {
        match self {
            Self::Http => http::PLACES,
            Self::Crew => crew::PLACES,
            Self::Jobs => jobs::PLACES,
            Self::Pipelines => pipelines::PLACES,
            Self::Mcp => mcp::PLACES,
            Self::Gateway => gateway::PLACES,
        }
    }

    /// How many requests it takes, for the progress bar.
    pub(super) fn requests(self, world: &World) -> usize {
        match self {
            Self::Http => http::requests(world),
            Self::Crew => crew::requests(world),
            Self::Jobs => jobs::requests(world),
            Self::Pipelines => pipelines::requests(world),
            Self::Mcp => mcp::requests(world),
            Self::Gateway => gateway::requests(world),
        }
    }

    /// Drives the traffic and searches what comes back.
    ///
    /// # Errors
    /// When the product does not answer at all. What crosses is in the report.
    pub(super) async fn drive(
        self,
        world: &World,
        stage: &mut Stage,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        match self {
            Self::Http => http::drive(world, stage, report).await,
            Self::Crew => crew::drive(world, stage, report).await,
            Self::Jobs => jobs::drive(world, stage, report).await,
            Self::Pipelines => pipelines::drive(world, stage, report).await,
            Self::Mcp => mcp::drive(world, stage, report).await,
            Self::Gateway => gateway::drive(world, stage, report).await,
        }
    }

    /// Searches the data folder that the product left, as code inside it could.
    ///
    /// # Errors
    /// When the data folder cannot be opened.
    pub(super) async fn settle(self, world: &World, data: &Path, report: &mut Report) -> anyhow::Result<()> {
        match self {
            Self::Http => http::settle(world, data, report).await,
            Self::Pipelines => pipelines::settle(world, data, report),
            Self::Crew | Self::Jobs | Self::Mcp | Self::Gateway => Ok(()),
        }
    }
}

/// How long the end of background work is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often it is asked for.
const PAUSE: Duration = Duration::from_millis(100);

/// Asks for `path` until `over` says that this is the end, or for as long as anybody would.
async fn until(caller: &Caller, path: &str, over: impl Fn(&Answer) -> bool) -> anyhow::Result<Answer> {
    let began = Instant::now();
    loop {
        let answer = caller.get(path).await?;
        if over(&answer) || began.elapsed() > PATIENCE {
            return Ok(answer);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Somebody who must not get what belongs to a conversation: the same name in the next tenant, and a colleague.
fn others(world: &World, cell: Cell) -> [(&'static str, usize, bool); 2] {
    [("the next tenant", (cell.tenant + 1) % world.tenants(), true), ("a colleague", cell.tenant, false)]
}

/// What others get who ask for what belongs to a conversation.
async fn by_others(
    world: &World,
    stage: &Stage,
    looks: impl Iterator<Item = (Cell, Method, String)>,
) -> anyhow::Result<Vec<(Cell, &'static str, Answer)>> {
    let tries = looks.flat_map(|(cell, method, path)| {
        others(world, cell).map(|other| (cell, method.clone(), path.clone(), other))
    });
    at_once(stage, tries, async |(cell, method, path, (who, tenant, same_name)): (Cell, _, String, _)| {
        let caller = if same_name { stage.kim(tenant) } else { stage.lee(tenant) };
        Ok((cell, who, caller.call(method, &path).await?))
    })
    .await
}

/// Does one thing for each, many at a time, and gives the outcomes as they come.
async fn at_once<I, T>(
    stage: &Stage,
    each: impl IntoIterator<Item = I>,
    act: impl AsyncFn(I) -> anyhow::Result<T>,
) -> anyhow::Result<Vec<T>> {
    let act = &act;
    let acts = stream::iter(each).map(async |one| {
        let outcome = act(one).await;
        stage.bar.inc(1);
        outcome
    });
    acts.buffer_unordered(AT_ONCE).try_collect().await
}
