//! The command `leakcheck`: builds a temporary installation, lets many tenants use it at once, and searches everywhere
//! for what came out on the wrong side. It touches no data but its own. Exit code 1 says that something crossed, or
//! that a place could not be searched.

use std::convert::Infallible;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::{Output, plain};
use crate::code::Code;
use crate::config::process;
use crate::leakcheck::report::{Driven, Finding, Searched, Verdict};
use crate::leakcheck::{self, Hop, MOST_SESSIONS, MOST_TENANTS, Options, Report};

/// Tenants when nothing is asked for.
const TENANTS: usize = 20;

/// Sessions of each tenant when nothing is asked for, and of a quick check.
const SESSIONS: usize = 10;
const QUICK_SESSIONS: usize = 2;

/// After this a quick check is given up, and any other.
const QUICK_LIMIT: Duration = Duration::from_secs(180);
const LIMIT: Duration = Duration::from_secs(1_800);

/// A check that is done before needs no bar.
const BAR_AFTER: Duration = Duration::from_secs(1);

/// Arguments of `leakcheck`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Two sessions a tenant instead of ten: a first answer within seconds.
    #[arg(long, conflicts_with = "sessions")]
    quick: bool,
    /// How many tenants talk at once.
    #[arg(long, value_name = "N", default_value_t = TENANTS, value_parser = between::<2, MOST_TENANTS>)]
    tenants: usize,
    /// How many sessions each of them has.
    #[arg(long, value_name = "N", default_value_t = SESSIONS, value_parser = between::<1, MOST_SESSIONS>)]
    sessions: usize,
    /// Check this way into the product alone; may be given several times. Without it, all of them.
    #[arg(long = "hop", value_name = "HOP", value_enum)]
    hops: Vec<Hop>,
    /// Keep the installation, with its data and logs, and say where it is.
    #[arg(long)]
    keep: bool,
}

/// Runs `leakcheck`.
///
/// # Errors
/// When the installation cannot be made or does not answer. What crosses ends with exit code 1 and no error.
pub fn run(args: Args, out: &Output) -> anyhow::Result<ExitCode> {
    let bar = bar();
    let options = Options {
        program: process::program()?,
        tenants: args.tenants,
        sessions: if args.quick { QUICK_SESSIONS } else { args.sessions },
        hops: if args.hops.is_empty() { Hop::ALL.to_vec() } else { args.hops },
        keep: args.keep,
        limit: if args.quick { QUICK_LIMIT } else { LIMIT },
        bar: bar.clone(),
    };
    let checked = haversack::block_on(&super::runtime()?, async {
        tokio::select! {
            checked = leakcheck::run(options) => checked,
            never = show(&bar, out) => match never {},
        }
    });
    bar.finish_and_clear();
    let report = checked?;
    print(&report, out);
    if report.is_clean() {
        return Ok(ExitCode::SUCCESS);
    }
    out.note(&format!("{}: {}", Code::LeakFound, Code::LeakFound.title()));
    Ok(ExitCode::from(super::EXIT_FAILED))
}

fn between<const MIN: usize, const MAX: usize>(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (MIN..=MAX).contains(number));
    number.ok_or_else(|| format!("write a number from {MIN} to {MAX}"))
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
    let style =
        ProgressStyle::with_template("{elapsed_precise} {bar:40} {pos}/{len} requests {per_sec} eta {eta}");
    // The template is a constant; were it wrong, the bar would only look plainer.
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

/// Shows the bar to whoever has waited long enough, and goes on for ever.
async fn show(bar: &ProgressBar, out: &Output) -> Infallible {
    tokio::time::sleep(BAR_AFTER).await;
    if !out.is_json() {
        bar.set_draw_target(ProgressDrawTarget::stderr());
    }
    std::future::pending().await
}

fn print(report: &Report, out: &Output) {
    out.value(report);
    for Finding { hop, place, verdict, detail } in &report.findings {
        let verdict = match verdict {
            Verdict::Crossing => out.bad("CROSSING"),
            Verdict::Gap => out.bad("gap"),
        };
        let by = hop.map(|hop| format!(" by {}", hop.name())).unwrap_or_default();
        out.line(&format!("{verdict} {}{by}: {}", place.name(), plain(detail)));
    }
    let told = report.findings.len();
    if report.crossings + report.gaps > told {
        out.line(&format!("... and {} more", report.crossings + report.gaps - told));
    }
    let hops = report.hops.iter().map(|Driven { hop, asked, answered, crossings }| {
        vec![hop.name().to_owned(), asked.to_string(), answered.to_string(), crossings.to_string()]
    });
    out.table(&["hop", "asked", "answered", "crossings"], &hops.collect::<Vec<_>>());
    out.line("");
    let places = report.places.iter().filter(|searched| searched.looked_at + searched.gaps > 0);
    let places = places.map(|Searched { place, looked_at, crossings, gaps }| {
        vec![place.name().to_owned(), looked_at.to_string(), crossings.to_string(), gaps.to_string()]
    });
    out.table(&["place", "looked at", "crossings", "gaps"], &places.collect::<Vec<_>>());
    out.line("");
    let mark = match (report.crossings, report.gaps) {
        (0, 0) => out.good("nothing crossed"),
        (0, _) => out.bad("nothing crossed, but not every place could show it"),
        _ => out.bad("something CROSSED"),
    };
    let Report { tenants, sessions, seconds, .. } = report;
    out.line(&format!("{mark} between {tenants} tenants with {sessions} sessions each, in {seconds:.1} s"));
    if let Some(kept) = &report.kept {
        out.line(&format!("the installation is in {}", kept.display()));
    }
}
