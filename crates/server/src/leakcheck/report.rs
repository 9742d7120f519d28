//! What a leak check found: a row for each hop that was driven and for each place that was searched, and the findings.
//! A finding is a crossing, or a gap: something that had to be there and was not, so that its place shows nothing. It
//! is data first; the command prints it, tests read it. Only tenant numbers of the run stand in it, no canary.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::canary::{Canary, Kind};
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
    /// The metrics of the server.
    #[serde(rename = "metrics")]
    Metrics,
    /// The bytes of every file, and the words of every index.
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
    /// The hop that is driven or settled.
    #[serde(skip)]
    by: Option<Hop>,
    /// What each hop had looked at, by place.
    #[serde(skip)]
    seen: Vec<(Hop, Place, usize)>,
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
            by: None,
            seen: Vec::new(),
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
        self.by = Some(hop);
    }

    /// What is found from now on is found in what this hop left.
    pub(super) fn settle(&mut self, hop: Hop) {
        self.by = Some(hop);
    }

    /// What is found from now on belongs to no hop.
    pub(super) fn end(&mut self) {
        self.by = None;
    }

    /// Work was asked for, and done or not.
    pub(super) fn asked(&mut self, answered: bool) {
        if let Some(driven) = self.driven() {
            driven.asked += 1;
            driven.answered += usize::from(answered);
        }
    }

    /// So many more things were looked at.
    pub(super) fn looked(&mut self, place: Place, count: usize) {
        self.at(place, |searched| searched.looked_at += count);
        self.left(place, count);
    }

    /// The hop left so many things in a place that is searched after all hops.
    pub(super) fn left(&mut self, place: Place, count: usize) {
        self.seen.extend(self.by.map(|hop| (hop, place, count)));
    }

    /// Canaries came out before `reader`; none is no finding.
    pub(super) fn crossed(&mut self, place: Place, canaries: &[Canary], reader: &str) {
        let Some(Canary { cell, .. }) = canaries.first() else { return };
        let more = match canaries.len() - 1 {
            0 => String::new(),
            more => format!(" and {more} more canaries"),
        };
        let kinds: BTreeSet<Kind> = canaries.iter().map(|canary| canary.kind).collect();
        let kinds: Vec<&str> = kinds.into_iter().map(Kind::name).collect();
        let (tenant, session) = (tenant_name(cell.tenant), cell.session_name());
        let of = format!("the {} of {tenant} in {session}", kinds.join(" or "));
        self.crossing(place, format!("{of}{more} reached {reader}"));
    }

    /// Something came out where it must not.
    pub(super) fn crossing(&mut self, place: Place, detail: impl Into<String>) {
        self.crossings += 1;
        self.at(place, |searched| searched.crossings += 1);
        if let Some(driven) = self.driven() {
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

    /// Ends the report. A hop that has nothing looked at in a place of its own shows nothing there, whatever others had
    /// looked at, and that is a gap.
    pub(super) fn close(&mut self, hops: &[Hop], took: Duration) {
        for hop in hops {
            self.settle(*hop);
            for place in hop.places() {
                let of_hop = self.seen.iter().filter(|(by, at, _)| (by, at) == (hop, place));
                if of_hop.map(|(.., count)| count).sum::<usize>() == 0 {
                    self.gap(*place, format!("nothing of {} was looked at", hop.name()));
                }
            }
        }
        self.end();
        self.seconds = took.as_secs_f64();
    }

    /// The row of the hop that is driven or settled.
    fn driven(&mut self) -> Option<&mut Driven> {
        let by = self.by?;
        self.hops.iter_mut().rev().find(|driven| driven.hop == by)
    }

    fn at(&mut self, place: Place, change: impl FnOnce(&mut Searched)) {
        if let Some(searched) = self.places.iter_mut().find(|searched| searched.place == place) {
            change(searched);
        }
    }

    fn find(&mut self, place: Place, verdict: Verdict, detail: String) {
        if self.findings.iter().filter(|finding| finding.place == place).count() < TOLD {
            self.findings.push(Finding { hop: self.by, place, verdict, detail });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(looked: impl Fn(&mut Report)) -> Vec<(Option<Hop>, Place)> {
        let mut report = Report::new(&World::fresh(2, 1).unwrap());
        let hops = [Hop::Crew, Hop::Mcp];
        for hop in hops {
            report.begin(hop);
            looked(&mut report);
        }
        report.end();
        report.close(&hops, Duration::ZERO);
        report.findings.iter().map(|finding| (finding.hop, finding.place)).collect()
    }

    #[test]
    fn what_one_hop_had_looked_at_fills_no_gap_of_another() {
        let all = |report: &mut Report| Place::ALL.into_iter().for_each(|place| report.looked(place, 1));
        assert_eq!(closed(all), []);
        let but_recall = |report: &mut Report| {
            let wanted = |place: &Place| report.by == Some(Hop::Crew) || *place != Place::Recall;
            let places: Vec<Place> = Place::ALL.into_iter().filter(wanted).collect();
            places.into_iter().for_each(|place| report.looked(place, 1));
        };
        assert_eq!(closed(but_recall), [(Some(Hop::Mcp), Place::Recall)]);
    }

    #[test]
    fn looking_at_nothing_is_no_look() {
        let none = |report: &mut Report| Place::ALL.into_iter().for_each(|place| report.looked(place, 0));
        assert_eq!(closed(none).len(), Hop::Crew.places().len() + Hop::Mcp.places().len());
    }
}
