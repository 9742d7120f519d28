//! Which orders are possible, told before anything runs.
//!
//! A task can read what has ended when it begins: everything before it, but for the background tasks that run
//! beside it. The builder of a crew and the check of the configuration ask here.

use std::collections::HashMap;

use super::OrderError;

/// A task, as far as the order goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step<'t> {
    pub(crate) name: &'t str,
    pub(crate) background: bool,
    pub(crate) conditional: bool,
    pub(crate) context: Option<&'t [String]>,
}

impl Step<'_> {
    /// Whether everything that runs in the background is waited for before it begins.
    pub(crate) fn waits(&self) -> bool {
        !self.background || self.conditional
    }
}

/// Checks an order and gives for each task the places that its context list names.
pub(crate) fn check(steps: &[Step<'_>]) -> Result<Vec<Option<Vec<usize>>>, OrderError> {
    if steps.is_empty() {
        return Err(OrderError::Empty);
    }
    let places = places(steps)?;
    let lists = steps.iter().map(|step| named(step, &places, steps)).collect::<Result<Vec<_>, _>>()?;
    cycle(steps, &lists)?;
    for (at, list) in lists.iter().enumerate() {
        for wanted in list.iter().flatten() {
            let (task, wants) = (steps[at].name.to_owned(), steps[*wanted].name.to_owned());
            if *wanted >= at {
                return Err(OrderError::Later { task, wants });
            }
            let waited_for = steps[wanted + 1..=at].iter().any(Step::waits);
            if steps[*wanted].background && !waited_for {
                return Err(OrderError::Running { task, wants });
            }
        }
    }
    Ok(lists)
}

fn places<'t>(steps: &[Step<'t>]) -> Result<HashMap<&'t str, usize>, OrderError> {
    let mut places = HashMap::new();
    for (at, step) in steps.iter().enumerate() {
        if places.insert(step.name, at).is_some() {
            return Err(OrderError::DuplicateName(step.name.to_owned()));
        }
    }
    Ok(places)
}

fn named(
    step: &Step<'_>,
    places: &HashMap<&str, usize>,
    steps: &[Step<'_>],
) -> Result<Option<Vec<usize>>, OrderError> {
    let Some(context) = step.context else { return Ok(None) };
    let found = context.iter().map(|wants| {
        places.get(wants.as_str()).copied().ok_or_else(|| OrderError::Unknown {
            task: step.name.to_owned(),
            wants: wants.clone(),
            known: steps.iter().map(|step| step.name).collect::<Vec<_>>().join(", "),
        })
    });
    found.collect::<Result<_, _>>().map(Some)
}

/// Refuses tasks that wait for each other. A way that is longer than the crew has gone in a circle.
fn cycle(steps: &[Step<'_>], lists: &[Option<Vec<usize>>]) -> Result<(), OrderError> {
    fn back_to(goal: usize, at: usize, lists: &[Option<Vec<usize>>], way: &mut Vec<usize>) -> bool {
        for next in lists[at].iter().flatten() {
            if *next == goal {
                return true;
            }
            if !way.contains(next) {
                way.push(*next);
                if back_to(goal, *next, lists, way) {
                    return true;
                }
                way.pop();
            }
        }
        false
    }
    for at in 0..steps.len() {
        let mut way = vec![at];
        if back_to(at, at, lists, &mut way) {
            return Err(OrderError::Cycle(way.iter().map(|at| steps[*at].name.to_owned()).collect()));
        }
    }
    Ok(())
}
