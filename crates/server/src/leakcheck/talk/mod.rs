//! The ways into the product that are driven. Each is a [`Hop`] with a file of its own, which has a function `drive` for
//! the traffic and a function `settle` for what can be searched once the product has stopped; `search` judges what
//! comes back. All tenants do the same at once, under the same names.

mod http;

use std::path::Path;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;

use super::canary::Kind;
use super::report::{Place, Report};
use super::stage::Stage;
use super::world::World;

/// Requests under way at a time.
const AT_ONCE: usize = 256;

/// A way into the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Hop {
    /// Conversations over HTTP, answered by the agents of the server.
    Http,
}

impl Hop {
    /// Every hop.
    pub const ALL: [Self; 1] = [Self::Http];

    /// What it is called on the command line and in a report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
        }
    }

    /// The kinds of canaries that it puts into the product.
    pub(super) const fn plants(self) -> &'static [Kind] {
        match self {
            Self::Http => http::PLANTS,
        }
    }

    /// The places that it must have searched.
    pub(super) const fn places(self) -> &'static [Place] {
        match self {
            Self::Http => http::PLACES,
        }
    }

    /// How many requests it takes, for the progress bar.
    pub(super) fn requests(self, world: &World) -> usize {
        match self {
            Self::Http => http::requests(world),
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
        }
    }

    /// Searches the data folder that the product left, as code inside it could.
    ///
    /// # Errors
    /// When the data folder cannot be opened.
    pub(super) async fn settle(self, world: &World, data: &Path, report: &mut Report) -> anyhow::Result<()> {
        match self {
            Self::Http => http::settle(world, data, report).await,
        }
    }
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
