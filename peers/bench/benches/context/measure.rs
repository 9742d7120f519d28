//! Interleaved medians: every contestant of a row runs in every round, and the median round counts, because the
//! machine's speed drifts.

use std::time::{Duration, Instant};

/// Who is measured. Ours is first; what follows are the table's columns.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Ours,
    /// Nobody: the same work without any context.
    Bare,
    Tokio,
    OpenTelemetry,
    Dcontext,
    Tracing,
    Python,
}

impl Who {
    pub(crate) const ALL: [Self; 7] = [
        Self::Ours,
        Self::Bare,
        Self::Tokio,
        Self::OpenTelemetry,
        Self::Dcontext,
        Self::Tracing,
        Self::Python,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "haversack",
            Self::Bare => "bare",
            Self::Tokio => "tokio",
            Self::OpenTelemetry => "opentelemetry",
            Self::Dcontext => "dcontext",
            Self::Tracing => "tracing",
            Self::Python => "CPython",
        }
    }
}

/// How many rounds; odd, so that the median is a round that took place.
#[derive(Clone, Copy)]
pub(crate) struct Rounds(pub(crate) usize);

/// One thing to measure.
pub(crate) struct Contestant<'a> {
    who: Who,
    /// Does the thing so many times, and says how long that took.
    run: Box<dyn FnMut(u32) -> Duration + 'a>,
    /// Operations in one call.
    batch: u32,
}

impl<'a> Contestant<'a> {
    /// An operation that is measured by itself.
    pub(crate) fn new(who: Who, mut operation: impl FnMut() + 'a) -> Self {
        Self::timed(who, move |times| {
            let start = Instant::now();
            for _ in 0..times {
                operation();
            }
            start.elapsed()
        })
    }

    /// A call that does `batch` operations.
    pub(crate) fn batch(who: Who, batch: u32, operation: impl FnMut() + 'a) -> Self {
        Self { batch, ..Self::new(who, operation) }
    }

    /// Something that takes its own time, in another process.
    pub(crate) fn timed(who: Who, run: impl FnMut(u32) -> Duration + 'a) -> Self {
        Self { who, run: Box::new(run), batch: 1 }
    }
}

/// The median nanoseconds of one operation, for each who took part.
#[derive(Clone, Copy, Default)]
pub(crate) struct Medians([Option<f64>; Who::ALL.len()]);

impl Medians {
    pub(crate) fn of(&self, who: Who) -> Option<f64> {
        self.0[who as usize]
    }

    pub(crate) fn put(&mut self, who: Who, value: Option<f64>) {
        self.0[who as usize] = value;
    }
}

/// Runs the contestants by turns.
pub(crate) fn measure(rounds: Rounds, mut contestants: Vec<Contestant<'_>>) -> Medians {
    // Far less than a time slice, so that on a busy machine most rounds are not interrupted.
    const ROUND: Duration = Duration::from_micros(250);
    let calls: Vec<u32> = contestants.iter_mut().map(|contestant| calibrate(contestant, ROUND)).collect();
    let mut times = vec![Vec::with_capacity(rounds.0); contestants.len()];
    for _ in 0..rounds.0 {
        for ((contestant, &calls), times) in contestants.iter_mut().zip(&calls).zip(&mut times) {
            let operations = f64::from(calls) * f64::from(contestant.batch);
            times.push((contestant.run)(calls).as_secs_f64() * 1e9 / operations);
        }
    }
    let mut medians = Medians::default();
    for (contestant, times) in contestants.iter().zip(times) {
        medians.put(contestant.who, Some(median(times)));
    }
    medians
}

/// How many calls fill a round. Two tries each, because one that was interrupted says too little.
fn calibrate(contestant: &mut Contestant<'_>, round: Duration) -> u32 {
    let mut calls = 1;
    while (contestant.run)(calls) < round || (contestant.run)(calls) < round {
        calls *= 2;
        if calls == 1 << 24 {
            break;
        }
    }
    calls
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
