//! What a leak check found: a row for each hop that was driven and for each place that was searched, and the findings.
//! A finding is a crossing, or a gap: something that had to be there and was not, so that its place shows nothing. It
//! is data first; the command prints it, tests read it. Only tenant numbers of the run stand in it, no canary.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::canary::Canary;
use super::talk::Hop;
use super::world::{World, tenant_name};

/// Findings of one place that are told in full; more are only counted.
const TOLD: usize = 20;

/// Where canaries are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Place {
    /// Whether there was an answer at all.
    #[serde(rename = "answers")]
    Answers,
    /// What an answer says, and what of it others can fetch.
    #[serde(rename = "replies")]
    Replies,
    /// What a refusal says.
    #[serde(rename = "error texts")]
    Errors,
    /// What is remembered of a tenant.
    #[serde(rename = "recall")]
    Recall,
    /// What was tried in a session.
    #[serde(rename = "session cache")]
    SessionCache,
    /// Sessions and their turns.
    #[serde(rename = "history")]
    History,
    /// The trees of turns.
    #[serde(rename = "spans")]
    Spans,
    /// The log of each process.
    #[serde(rename = "logs")]
    Logs,
    /// The metrics of each process.
    #[serde(rename = "metrics")]
    Metrics,
    /// The bytes of every file.
    #[serde(rename = "raw files")]
    Files,
    /// Handles of one request, used in another.
    #[serde(rename = "handles")]
    Handles,
    /// What background jobs gave, and what of it others can fetch.
    #[serde(rename = "results")]
    Results,
    /// What is brought into a session after its turns.
    #[serde(rename = "notices")]
    Notices,
    /// The environments of child processes.
    #[serde(rename = "child environments")]
    Children,
    /// The catalogs and work folders of runs.
    #[serde(rename = "catalogs")]
    Catalogs,
    /// Which thread of which platform an answer came to.
    #[serde(rename = "reply routes")]
    Routes,
    /// The bytes of the file that all tenants share, and of the key file.
    #[serde(rename = "control file")]
    Control,
}

impl Place {
    /// Every place.
    pub const ALL: [Self; 17] = [
        Self::Answers,
        Self::Replies,
        Self::Errors,
        Self::Recall,
        Self::SessionCache,
        Self::History,
        Self::Spans,
        Self::Logs,
        Self::Metrics,
        Self::Files,
        Self::Handles,
        Self::Results,
        Self::Notices,
        Self::Children,
        Self::Catalogs,
        Self::Routes,
        Self::Control,
    ];

    /// What it is called in a report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answers => "answers",
            Self::Replies => "replies",
            Self::Errors => "error texts",
            Self::Recall => "recall",
            Self::SessionCache => "session cache",
            Self::History => "history",
            Self::Spans => "spans",
            Self::Logs => "logs",
            Self::Metrics => "metrics",
            Self::Files => "raw files",
            Self::Handles => "handles",
            Self::Results => "results",
            Self::Notices => "notices",
            Self::Children => "child environments",
            Self::Catalogs => "catalogs",
            Self::Routes => "reply routes",
            Self::Control => "control file",
        }
    }
}

/// What kind of finding it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Something came out where it must not.
    Crossing,
    /// Something was not there that had to be, so nothing was shown.
    Gap,
}

/// One finding.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// The hop that was driven; none for what was searched after all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hop: Option<Hop>,
    /// Where it was found.
    pub place: Place,
    /// What it is.
    pub verdict: Verdict,
    /// Who saw what of whom.
    pub detail: String,
}

/// How a hop was driven.
#[derive(Debug, Clone, Serialize)]
pub struct Driven {
    /// The hop.
    pub hop: Hop,
    /// Work that was asked for: turns, jobs, runs.
    pub asked: usize,
    /// Work that was done.
    pub answered: usize,
    /// Crossings found while it was driven.
    pub crossings: usize,
}

/// How a place was searched.
#[derive(Debug, Clone, Serialize)]
pub struct Searched {
    /// The place.
    pub place: Place,
    /// Answers, files, lines or handles that were looked at.
    pub looked_at: usize,
    /// What came out where it must not.
    pub crossings: usize,
    /// What was not there and had to be.
    pub gaps: usize,
}

/// The outcome of one run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Tenants of the run.
    pub tenants: usize,
    /// Sessions of each.
    pub sessions: usize,
    /// One row a hop.
    pub hops: Vec<Driven>,
    /// One row a place.
    pub places: Vec<Searched>,
    /// Crossings over all places.
    pub crossings: usize,
    /// Gaps over all places.
    pub gaps: usize,
    /// The findings, the first of each place.
    pub findings: Vec<Finding>,
    /// Wall time, in seconds.
    pub seconds: f64,
    /// Where the installation was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<PathBuf>,
    #[serde(skip)]
    driving: bool,
}

impl Report {
    pub(super) fn new(world: &World) -> Self {
        let unsearched = |place| Searched { place, looked_at: 0, crossings: 0, gaps: 0 };
        Self {
            tenants: world.tenants(),
            sessions: world.sessions(),
            hops: Vec::new(),
            places: Place::ALL.map(unsearched).into(),
            crossings: 0,
            gaps: 0,
            findings: Vec::new(),
            seconds: 0.0,
            kept: None,
            driving: false,
        }
    }

    /// Whether nothing crossed and every place could show it.
    pub fn is_clean(&self) -> bool {
        self.crossings == 0 && self.gaps == 0
    }

    /// Whether something was found while this hop was driven.
    pub(super) fn found(&self, hop: Hop) -> bool {
        self.findings.iter().any(|finding| finding.hop == Some(hop))
    }

    /// What is found from now on is found while this hop is driven.
    pub(super) fn begin(&mut self, hop: Hop) {
        self.hops.push(Driven { hop, asked: 0, answered: 0, crossings: 0 });
        self.driving = true;
    }

    /// What is found from now on belongs to no hop.
    pub(super) fn end(&mut self) {
        self.driving = false;
    }

    /// Work was asked for, and done or not.
    pub(super) fn asked(&mut self, answered: bool) {
        if let Some(driven) = self.hops.last_mut() {
            driven.asked += 1;
            driven.answered += usize::from(answered);
        }
    }

    /// So many more things were looked at.
    pub(super) fn looked(&mut self, place: Place, count: usize) {
        self.at(place, |searched| searched.looked_at += count);
    }

    /// Canaries came out before `reader`; none is no finding.
    pub(super) fn crossed(&mut self, place: Place, canaries: &[Canary], reader: &str) {
        let Some(Canary { cell, kind }) = canaries.first() else { return };
        let more = match canaries.len() - 1 {
            0 => String::new(),
            more => format!(" and {more} more canaries"),
        };
        let of = format!("the {} of {} in {}", kind.name(), tenant_name(cell.tenant), cell.session_name());
        self.crossing(place, format!("{of}{more} reached {reader}"));
    }

    /// Something came out where it must not.
    pub(super) fn crossing(&mut self, place: Place, detail: impl Into<String>) {
        self.crossings += 1;
        self.at(place, |searched| searched.crossings += 1);
        if let Some(driven) = self.hops.last_mut().filter(|_| self.driving) {
            driven.crossings += 1;
        }
        self.find(place, Verdict::Crossing, detail.into());
    }

    /// Something was not there that had to be.
    pub(super) fn gap(&mut self, place: Place, detail: impl Into<String>) {
        self.gaps += 1;
        self.at(place, |searched| searched.gaps += 1);
        self.find(place, Verdict::Gap, detail.into());
    }

    /// Ends the report. A place of a hop where nothing was looked at shows nothing, and that is a gap.
    pub(super) fn close(&mut self, hops: &[Hop], took: Duration) {
        for place in Place::ALL {
            let wanted = hops.iter().any(|hop| hop.places().contains(&place));
            if wanted && self.places.iter().any(|searched| searched.place == place && searched.looked_at == 0)
            {
                self.gap(place, "nothing was looked at");
            }
        }
        self.seconds = took.as_secs_f64();
    }

    fn at(&mut self, place: Place, change: impl FnOnce(&mut Searched)) {
        if let Some(searched) = self.places.iter_mut().find(|searched| searched.place == place) {
            change(searched);
        }
    }

    fn find(&mut self, place: Place, verdict: Verdict, detail: String) {
        if self.findings.iter().filter(|finding| finding.place == place).count() < TOLD {
            let hop = self.hops.last().filter(|_| self.driving).map(|driven| driven.hop);
            self.findings.push(Finding { hop, place, verdict, detail });
        }
    }
}
