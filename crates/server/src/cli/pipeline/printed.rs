//! `pipeline log --output`: what the steps of a run printed, in the order in which their attempts started.

use haversack_pipeline::run::RunId;
use haversack_pipeline::run_log::What;

use super::place::Place;
use crate::cli::output::{Output, plain};
use crate::code::Code;
use crate::problem::Fault;

/// An attempt: its step, its number, and the number of the event that says that it started.
type Attempt = (String, u32, u64);

/// Shows what every attempt printed, or with `step` what its last one did.
///
/// # Errors
/// [`Code::RunNotFound`], also when the run has no attempt of this step.
pub(super) async fn show(
    place: &Place,
    run: &RunId,
    step: Option<String>,
    out: &Output,
) -> Result<(), Fault> {
    let mut attempts: Vec<Attempt> = Vec::new();
    let note = |event: &haversack_pipeline::run_log::Event| {
        if let What::AttemptStarted { step: name, attempt, .. } = &event.what
            && step.as_ref().is_none_or(|step| step == name)
        {
            attempts.push((name.clone(), *attempt, event.number));
        }
    };
    place.log(run, note).await?;
    if step.is_some() {
        let Some(last) = attempts.pop() else {
            let detail = "The run has no attempt of this step; `haversack pipeline log` shows the steps.";
            return Err(Fault::new(Code::RunNotFound, detail));
        };
        return one(place, run, &last, false, out).await;
    }
    for attempt in &attempts {
        one(place, run, attempt, true, out).await?;
    }
    Ok(())
}

/// Shows what one attempt printed, part by part, below a line that names it where there are several.
async fn one(
    place: &Place,
    run: &RunId,
    attempt: &Attempt,
    is_named: bool,
    out: &Output,
) -> Result<(), Fault> {
    let (step, number, started) = attempt;
    let (mut offset, mut line) = (0, String::new());
    loop {
        let part = place.printed(run, step, *started, offset).await?;
        out.value(&part);
        if offset == 0 && is_named && part.size > 0 {
            out.line(&format!("{}: attempt {number}", plain(step)));
        }
        line.push_str(&part.text().map_err(Fault::internal)?);
        // A line that is cut is shown with its rest.
        while let Some(end) = line.find('\n') {
            out.line(plain(line[..end].trim_end_matches('\r')).as_ref());
            line.drain(..=end);
        }
        match part.next {
            Some(next) => offset = next,
            None => break,
        }
    }
    if !line.is_empty() {
        out.line(plain(&line).as_ref());
    }
    Ok(())
}
