//! The stage: an installation of its own in a temporary folder, with the product running in it as an operator would
//! run it. It is modelled as a [`Site`], which is what lies on the disk, the processes that work on it, and two people
//! of each tenant with their keys. Hops drive it; when it is struck only the site is left, to be searched.

mod inbox;
mod people;
mod process;
pub(super) mod settings;
mod site;

use std::collections::HashMap;

use anyhow::Context;
use indicatif::ProgressBar;

pub(super) use inbox::{Inbox, Letter};
pub(super) use people::{Answer, Caller, Say};
pub(super) use site::Site;

use super::canary::Cell;
use super::report::Place;
use super::talk::Hop;
use super::world::World;
use super::{Options, Report};
use people::People;
use process::Process;

pub(super) struct Stage {
    site: Site,
    people: Vec<People>,
    server: Process,
    worker: Option<Process>,
    pub(super) bar: ProgressBar,
    /// Whose each turn is, by its id.
    turns: HashMap<String, Cell>,
    inbox: Option<Inbox>,
}

impl Stage {
    /// Makes the installation, issues the keys, and starts the server. No worker works yet.
    ///
    /// # Errors
    /// When a folder or a file cannot be written, or the server does not start.
    pub(super) async fn set(world: &World, options: &Options) -> anyhow::Result<Self> {
        let inbox = match options.hops.contains(&Hop::Gateway) {
            true => Some(Inbox::open().await?),
            false => None,
        };
        let origin = inbox.as_ref().map(Inbox::origin);
        let site = Site::make(world, options, origin.as_deref()).await?;
        let (server, started) = Process::start(&site, "serve", &["serve"]).await?;
        let url = started["url"].as_str().context("the server does not say where it listens")?;
        let people = people::all(&site, url)?;
        let (turns, bar) = (HashMap::new(), options.bar.clone());
        Ok(Self { site, people, server, worker: None, bar, turns, inbox })
    }

    /// Has a worker work from now on, unless one does.
    ///
    /// # Errors
    /// When it does not start.
    pub(super) async fn work(&mut self) -> anyhow::Result<()> {
        if self.worker.is_none() {
            self.worker = Some(Process::start(&self.site, "worker", &["worker"]).await?.0);
        }
        Ok(())
    }

    /// Has no worker work from now on: what is submitted waits.
    ///
    /// # Errors
    /// When the worker cannot be waited for.
    pub(super) async fn rest(&mut self, report: &mut Report) -> anyhow::Result<()> {
        match self.worker.take() {
            Some(worker) => stop(worker, report).await,
            None => Ok(()),
        }
    }

    /// What lies on the disk.
    pub(super) fn site(&self) -> &Site {
        &self.site
    }

    /// The person of a tenant whose conversations are had. Every tenant has one of the same name.
    pub(super) fn kim(&self, tenant: usize) -> &Caller {
        &self.people[tenant].kim
    }

    /// A colleague of the same tenant, also of the same name everywhere.
    pub(super) fn lee(&self, tenant: usize) -> &Caller {
        &self.people[tenant].lee
    }

    /// Where answers of the gateway arrive.
    ///
    /// # Errors
    /// When no hop has one.
    pub(super) fn inbox(&mut self) -> anyhow::Result<&mut Inbox> {
        self.inbox.as_mut().context("no hop of this run has an inbox")
    }

    /// Writes down whose a turn is.
    pub(super) fn turn_is_of(&mut self, turn: String, cell: Cell) {
        self.turns.insert(turn, cell);
    }

    /// Stops every process as an operator would, the last one first. What is left is the site, and whose each turn was.
    ///
    /// # Errors
    /// When a process cannot be waited for.
    pub(super) async fn strike(
        mut self,
        report: &mut Report,
    ) -> anyhow::Result<(Site, HashMap<String, Cell>)> {
        self.rest(report).await?;
        stop(self.server, report).await?;
        Ok((self.site, self.turns))
    }
}

async fn stop(process: Process, report: &mut Report) -> anyhow::Result<()> {
    let name = process.name();
    if !process.stop().await? {
        report.gap(Place::Answers, format!("`{name}` did not stop in good order"));
    }
    Ok(())
}
