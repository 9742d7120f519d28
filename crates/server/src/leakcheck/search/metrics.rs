//! Metrics: they count, and name nobody.

use crate::leakcheck::canary::Reader;
use crate::leakcheck::report::{Place, Report};
use crate::leakcheck::stage::Answer;
use crate::leakcheck::world::World;

/// The metrics of a process.
pub(in crate::leakcheck) fn look(metrics: &Answer, world: &World, report: &mut Report) {
    let lines = metrics.text.lines().filter(|line| line.starts_with("haversack")).count();
    report.looked(Place::Metrics, lines);
    report.crossed(Place::Metrics, &world.crossed(&metrics.text, Reader::Nobody), "the metrics");
    if world.names_other(&metrics.text, None) {
        report.crossing(Place::Metrics, "the metrics name a tenant");
    }
}
