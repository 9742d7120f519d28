//! Polls, tasks and crowds.

use std::future::Future;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::task::{Context as Waking, Poll, Waker};

use haversack::{Context, FutureExt};
use opentelemetry::Context as OtelContext;
use tokio::runtime::{Builder, Runtime};
use tracing::Span;

use crate::measure::{Contestant, Who};
use crate::peers::{self, DCONTEXT, Key, TOKIO};
use crate::{Bench, VARS};

const CROWD: u32 = 10_000;

pub(crate) fn rows(bench: &mut Bench) {
    polls(bench);
    let one = Builder::new_current_thread().build();
    let two = Builder::new_multi_thread().worker_threads(2).build();
    for (runtime, threads) in [(one, "one thread"), (two, "two threads")] {
        let Ok(runtime) = runtime else {
            bench.table.note(format!("tasks on {threads}: no runtime could be built here"));
            continue;
        };
        for n in [0, 1, 16, 64] {
            spawns(bench, &runtime, threads, n);
        }
        if threads == "one thread" {
            two_words(bench, &runtime);
        }
        crowd(bench, &runtime, threads);
    }
}

/// Never ready: what remains is the cost of the poll.
struct Forever;

impl Future for Forever {
    type Output = ();

    fn poll(self: Pin<&mut Self>, waking: &mut Waking<'_>) -> Poll<()> {
        black_box(waking);
        Poll::Pending
    }
}

fn poll(future: Pin<&mut dyn Future<Output = ()>>) {
    let _ = black_box(future.poll(&mut Waking::from_waker(Waker::noop())));
}

fn polls(bench: &mut Bench) {
    let target = |medians: &crate::Medians| Some(medians.of(Who::Bare)? + 1.0);
    bench.row("poll of a wrapped future", 16, None, target, || {
        let polled = |who, future: Pin<Box<dyn Future<Output = ()>>>| {
            let mut future = future;
            Contestant::new(who, move || poll(future.as_mut()))
        };
        vec![
            polled(Who::Bare, Box::pin(Forever)),
            polled(Who::Ours, Box::pin(Forever.with_context(Context::current()))),
            polled(Who::Tokio, Box::pin(peers::in_tokio(7, Forever))),
            polled(Who::OpenTelemetry, Box::pin(peers::in_otel(Forever, OtelContext::current()))),
            polled(Who::Dcontext, Box::pin(peers::in_dcontext(Forever))),
            polled(Who::Tracing, Box::pin(peers::in_span(Forever, Span::current()))),
        ]
    });
    // The same where the future does something, as most do.
    bench.row(
        "poll of a wrapped future that yields, to its end",
        16,
        None,
        |_| None,
        || {
            let work = || async {
                for _ in 0..4 {
                    tokio::task::yield_now().await;
                }
            };
            let driven = |who, make: Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()>>>>| {
                Contestant::new(who, move || {
                    let mut future = pin!(make());
                    while future.as_mut().poll(&mut Waking::from_waker(Waker::noop())).is_pending() {}
                })
            };
            vec![
                driven(Who::Bare, Box::new(move || Box::pin(work()))),
                driven(Who::Ours, Box::new(move || Box::pin(work().in_current_context()))),
                driven(Who::Tokio, Box::new(move || Box::pin(peers::in_tokio(7, work())))),
                driven(
                    Who::OpenTelemetry,
                    Box::new(move || Box::pin(peers::in_otel(work(), OtelContext::current()))),
                ),
                driven(Who::Dcontext, Box::new(move || Box::pin(peers::in_dcontext(work())))),
                driven(Who::Tracing, Box::new(move || Box::pin(peers::in_span(work(), Span::current())))),
            ]
        },
    );
}

/// A batch each, so that entering the runtime is not what is measured. The driver of a batch is a task of its own,
/// so that on two threads it is on a worker.
fn spawns(bench: &mut Bench, runtime: &Runtime, threads: &str, n: usize) {
    const BATCH: u32 = 64;
    macro_rules! joins {
        ($who:expr, $driver:expr, $spawn:expr) => {
            Contestant::batch($who, BATCH, || {
                let driver = $driver(async {
                    for _ in 0..BATCH {
                        let _ = $spawn.await;
                    }
                });
                let _ = runtime.block_on(async { tokio::spawn(driver).await });
            })
        };
    }
    let target = |medians: &crate::Medians| {
        (threads == "one thread").then(|| medians.of(Who::Bare).map(|bare| bare + 10.0))?
    };
    let python = (threads == "one thread").then_some("spawn");
    bench.row(&format!("spawn + join, {threads}, {n} bound"), n, python, target, || {
        vec![
            joins!(Who::Bare, |driver| driver, tokio::spawn(async {})),
            joins!(Who::Ours, driver_of_ours, haversack::spawn(async {})),
            joins!(Who::Tokio, |driver| peers::in_tokio(7, driver), {
                let value = TOKIO.with(|value| *value);
                tokio::spawn(peers::in_tokio(value, async {}))
            }),
            joins!(Who::OpenTelemetry, |driver| peers::in_otel(driver, OtelContext::current()), {
                tokio::spawn(peers::in_otel(async {}, OtelContext::current()))
            }),
            joins!(Who::Dcontext, peers::in_dcontext, { tokio::spawn(peers::in_dcontext(async {})) }),
            joins!(Who::Tracing, |driver| peers::in_span(driver, Span::current()), {
                tokio::spawn(peers::in_span(async {}, Span::current()))
            }),
        ]
    });
}

/// What spawning and joining costs for a future that holds two words, as a frame does.
fn two_words(bench: &mut Bench, runtime: &Runtime) {
    const BATCH: u32 = 64;
    bench.row(
        "spawn + join of two words, one thread, for comparison",
        0,
        None,
        |_| None,
        || {
            vec![Contestant::batch(Who::Bare, BATCH, || {
                let driver = async {
                    for _ in 0..BATCH {
                        let words = black_box([7_usize; 2]);
                        let _ = tokio::spawn(async move { black_box(words) }).await;
                    }
                };
                let _ = runtime.block_on(async { tokio::spawn(driver).await });
            })]
        },
    );
}

fn driver_of_ours<F: Future>(driver: F) -> haversack::WithContext<F> {
    driver.in_current_context()
}

async fn yields() {
    for _ in 0..2 {
        tokio::task::yield_now().await;
    }
}

/// Ten thousand tasks at once, each with a value of its own that it reads after it yielded.
fn crowd(bench: &mut Bench, runtime: &Runtime, threads: &str) {
    macro_rules! tasks {
        ($who:expr, $spawn:expr) => {
            Contestant::batch($who, CROWD, || {
                runtime.block_on(async {
                    let tasks: Vec<_> = (0..CROWD).map(|own| $spawn(u64::from(own))).collect();
                    for task in tasks {
                        let _ = task.await;
                    }
                });
            })
        };
    }
    let python = (threads == "one thread").then_some("crowd");
    let name = format!("10 000 tasks with own values, each, {threads}");
    let at_once = crate::measure::Rounds(bench.rounds.0.min(11));
    let rounds = std::mem::replace(&mut bench.rounds, at_once);
    bench.row(
        &name,
        4,
        None,
        |_| None,
        || {
            vec![
                tasks!(Who::Bare, |own| tokio::spawn(async move {
                    yields().await;
                    black_box(own);
                })),
                tasks!(Who::Ours, |own| {
                    let work = async {
                        yields().await;
                        black_box(VARS[0].get().ok());
                    };
                    tokio::spawn(work.with_context(Context::current().bind(&VARS[0], own)))
                }),
                tasks!(Who::Tokio, |own| tokio::spawn(peers::in_tokio(own, async {
                    yields().await;
                    black_box(TOKIO.with(|value| *value));
                }))),
                tasks!(Who::OpenTelemetry, |own| {
                    let work = async {
                        yields().await;
                        black_box(peers::otel_get());
                    };
                    tokio::spawn(peers::in_otel(work, OtelContext::current_with_value(Key::<0>(own))))
                }),
                tasks!(Who::Dcontext, |own| {
                    let work = async move {
                        dcontext::set_context_variable(DCONTEXT[0], own);
                        yields().await;
                        black_box(dcontext::get_context_variable::<u64>(DCONTEXT[0]));
                    };
                    tokio::spawn(peers::in_dcontext(work))
                }),
                tasks!(Who::Tracing, |own: u64| {
                    let work = async {
                        yields().await;
                        black_box(peers::tracing_get());
                    };
                    tokio::spawn(peers::in_span(work, peers::span(own as usize)))
                }),
            ]
        },
    );
    if let Some(python) = python.filter(|_| bench.only.is_none()) {
        // One call is a whole crowd there, so the child divides nothing.
        if let Some(contestant) = bench.python.contestant(python, 4) {
            let medians = crate::measure::measure(bench.rounds, vec![contestant]);
            bench.table.crowd(&name, medians.of(Who::Python).map(|crowd| crowd / f64::from(CROWD)));
        }
    }
    bench.rounds = rounds;
}
