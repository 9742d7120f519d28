//! Interleaved medians: every contestant of a row runs in every round, and the median round counts.

use std::time::{Duration, Instant};

/// How many rounds; odd, so that the median is a round that took place.
#[derive(Clone, Copy)]
pub(crate) struct Rounds(pub(crate) usize);

/// One thing to measure.
pub(crate) struct Contestant<'a> {
    run: Box<dyn FnMut(u32) + 'a>,
    /// Operations in one call.
    batch: u32,
}

impl<'a> Contestant<'a> {
    /// An operation that is measured by itself.
    pub(crate) fn new(mut operation: impl FnMut() + 'a) -> Self {
        let run = move |times| {
            for _ in 0..times {
                operation();
            }
        };
        Self { run: Box::new(run), batch: 1 }
    }

    /// A call that does `batch` operations.
    pub(crate) fn batch(batch: u32, operation: impl FnMut() + 'a) -> Self {
        Self { batch, ..Self::new(operation) }
    }

    fn time(&mut self, calls: u32) -> Duration {
        let start = Instant::now();
        (self.run)(calls);
        start.elapsed()
    }
}

/// The median nanoseconds of one operation, per contestant.
pub(crate) fn measure(rounds: Rounds, contestants: &mut [Contestant<'_>]) -> Vec<f64> {
    const ROUND: Duration = Duration::from_millis(1);
    let calls: Vec<u32> = contestants.iter_mut().map(|contestant| calibrate(contestant, ROUND)).collect();
    let mut times = vec![Vec::with_capacity(rounds.0); contestants.len()];
    for _ in 0..rounds.0 {
        for ((contestant, &calls), times) in contestants.iter_mut().zip(&calls).zip(&mut times) {
            let operations = f64::from(calls) * f64::from(contestant.batch);
            times.push(contestant.time(calls).as_secs_f64() * 1e9 / operations);
        }
    }
    times.into_iter().map(median).collect()
}

/// How many calls fill a round.
fn calibrate(contestant: &mut Contestant<'_>, round: Duration) -> u32 {
    let mut calls = 1;
    while contestant.time(calls) < round && calls < 1 << 24 {
        calls *= 2;
    }
    calls
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
