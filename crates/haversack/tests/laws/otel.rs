//! The bridge to OpenTelemetry: its current context moves in the same swap as ours.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use futures_util::FutureExt as _;
use haversack::{Context, ContextVar, FutureExt, detached, outgoing};
use opentelemetry::Context as Otel;
use opentelemetry::baggage::BaggageExt;
use opentelemetry::trace::{Span as _, TraceContextExt, Tracer, TracerProvider};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanProcessor};

use crate::door::arrive;
use crate::runtimes::{as_task_on_both, on_both};

#[derive(Debug, Clone, PartialEq)]
struct Desk(u32);

/// The desk of OpenTelemetry's current context.
fn desk() -> Option<u32> {
    Otel::map_current(|current| current.get::<Desk>().map(|desk| desk.0))
}

/// Calls `f` with a desk current.
fn at_desk<R>(number: u32, f: impl FnOnce() -> R) -> R {
    let _attached = Otel::new().with_value(Desk(number)).attach();
    f()
}

#[test]
fn a_thousand_tasks_see_their_own_at_every_poll_and_leave_nothing_on_a_worker() {
    const TASKS: u32 = 1_000;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    haversack::block_on(&runtime, async {
        let right = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..TASKS)
            .map(|number| {
                let right = right.clone();
                at_desk(number, || {
                    haversack::spawn(async move {
                        for _ in 0..5 {
                            // What the work attaches itself and takes off again is its own affair.
                            let inner = at_desk(number + TASKS, desk);
                            let both = (desk(), inner) == (Some(number), Some(number + TASKS));
                            right.fetch_add(usize::from(both), Ordering::Relaxed);
                            tokio::task::yield_now().await;
                        }
                        if number % 10 == 0 {
                            std::panic::resume_unwind(Box::new("thrown"));
                        }
                        if number % 10 == 1 {
                            std::future::pending::<()>().await;
                        }
                    })
                })
            })
            .collect();
        for (number, task) in tasks.into_iter().enumerate() {
            if number % 10 == 1 {
                task.abort();
            }
            let ended = task.await;
            assert_eq!(ended.is_err(), matches!(number % 10, 0 | 1));
            // A bare task, on whichever worker is free.
            assert_eq!(tokio::spawn(async { desk() }).await.unwrap(), None);
        }
        let seen = right.load(Ordering::Relaxed);
        assert!(seen >= 4_500, "an aborted task may have been too early for some of its five polls: {seen}");
    });
    // Both workers at once, so that neither is left out.
    let barrier = Arc::new(std::sync::Barrier::new(2));
    let looks: Vec<_> = (0..2)
        .map(|_| {
            let barrier = barrier.clone();
            runtime.spawn(async move {
                barrier.wait();
                desk()
            })
        })
        .collect();
    for look in looks {
        assert_eq!(runtime.block_on(look).unwrap(), None);
    }
}

#[test]
fn it_goes_with_the_context_into_tasks_threads_pools_and_closures() {
    on_both(|| async {
        let (task, job, thread, wrapped) = at_desk(1, || {
            let task = haversack::spawn(async {
                let first = desk();
                tokio::task::yield_now().await;
                (first, desk())
            });
            (task, haversack::spawn_blocking(desk), haversack::thread::spawn(desk), haversack::wrap(desk))
        });
        assert_eq!(task.await.unwrap(), (Some(1), Some(1)));
        assert_eq!(job.await.unwrap(), Some(1));
        assert_eq!(thread.join().unwrap(), Some(1));
        assert_eq!(at_desk(2, wrapped), Some(1));
        assert_eq!(desk(), None);
    });
}

#[test]
fn a_future_sees_its_own_whoever_polls_it_and_its_driver_sees_the_drivers() {
    as_task_on_both(|| async {
        let ours = at_desk(1, || {
            async {
                tokio::task::yield_now().await;
                desk()
            }
            .in_current_context()
        });
        let theirs = at_desk(2, || async { (desk(), ours.await, desk()) }.in_current_context());
        assert_eq!(theirs.await, (Some(2), Some(1), Some(2)));
    });
}

#[test]
fn what_was_captured_where_nothing_was_current_shows_nothing_of_whoever_polls() {
    let ours = async { desk() }.in_current_context();
    assert_eq!(at_desk(2, || ours.now_or_never()), Some(None));
    let detached = at_desk(1, || detached(async { desk() }));
    assert_eq!(at_desk(2, || detached.now_or_never()), Some(None));
    assert_eq!(at_desk(3, || Context::empty().run(desk)), None);
}

#[test]
fn a_panic_and_a_drop_leave_what_was_before() {
    struct Looks(mpsc::Sender<Option<u32>>);
    impl Drop for Looks {
        fn drop(&mut self) {
            let _ = self.0.send(desk());
        }
    }
    at_desk(1, || {
        let context = at_desk(2, Context::current);
        let thrown = std::panic::AssertUnwindSafe(|| {
            context.run(|| std::panic::resume_unwind(Box::new("thrown")));
        });
        assert!(std::panic::catch_unwind(thrown).is_err());
        assert_eq!(desk(), Some(1));

        let (send, seen) = mpsc::channel();
        let looks = Looks(send);
        let never_polled = at_desk(3, || async move { drop(looks) }.in_current_context());
        drop(never_polled);
        assert_eq!((seen.recv().unwrap(), desk()), (Some(3), Some(1)));
    });
}

#[test]
fn a_door_and_a_scope_keep_the_one_they_were_made_in() {
    static SHELF: ContextVar<u32> = ContextVar::new("shelf of otel");
    let visit = at_desk(1, || arrive("acme"));
    assert_eq!(at_desk(2, || visit.run(desk)), Some(1));
    let scoped = at_desk(3, || visit.run(|| at_desk(4, || SHELF.scope(7, async { desk() }))));
    let foreign = arrive("theirs");
    assert_eq!(at_desk(2, || foreign.run(|| scoped.now_or_never())), Some(Some(4)));
}

#[test]
fn a_guard_that_a_local_task_holds_over_an_await_is_not_seen_by_wrapped_work() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let wrapped = async {
            tokio::task::yield_now().await;
            desk()
        }
        .in_current_context();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let holds = haversack::spawn_local(async move {
            let _stale = Otel::new().with_value(Desk(1)).attach();
            stopped.await.unwrap();
        });
        tokio::task::yield_now().await;
        assert_eq!(desk(), Some(1), "the control: bare work sees what OpenTelemetry left");
        assert_eq!(wrapped.await, None);
        stop.send(()).unwrap();
        holds.await.unwrap();
        assert_eq!(desk(), None);
    });
}

#[test]
fn work_may_end_in_the_destructors_of_its_thread() {
    struct AtExit(Mutex<Option<Context>>);
    impl Drop for AtExit {
        fn drop(&mut self) {
            let context = self.0.lock().unwrap().take().unwrap();
            let bound = context.run(|| MARK_AT_EXIT.get().ok());
            assert_eq!(bound, Some(1));
        }
    }
    static MARK_AT_EXIT: ContextVar<u32> = ContextVar::new("mark at exit");
    thread_local! {
        static AT_EXIT: AtExit = const { AtExit(Mutex::new(None)) };
    }
    let ended = std::thread::spawn(|| {
        // Ours is registered first, so it is destroyed after OpenTelemetry's.
        AT_EXIT.with(|at_exit| {
            *at_exit.0.lock().unwrap() = Some(Context::empty().bind(&MARK_AT_EXIT, 1));
        });
        Context::current().run(|| assert_eq!(desk(), None));
    });
    ended.join().unwrap();
}

/// A subscriber that makes a desk current while a span is entered, as the layer of `tracing-opentelemetry` does.
#[cfg(feature = "tracing")]
struct Brings;

#[cfg(feature = "tracing")]
thread_local! {
    static BROUGHT: std::cell::RefCell<Vec<opentelemetry::ContextGuard>> = const { std::cell::RefCell::new(Vec::new()) };
}

#[cfg(feature = "tracing")]
impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Brings {
    fn on_enter(&self, _: &tracing::span::Id, _: tracing_subscriber::layer::Context<'_, S>) {
        BROUGHT.with_borrow_mut(|brought| brought.push(Otel::new().with_value(Desk(9)).attach()));
    }

    fn on_exit(&self, _: &tracing::span::Id, _: tracing_subscriber::layer::Context<'_, S>) {
        drop(BROUGHT.with_borrow_mut(Vec::pop));
    }
}

#[test]
#[cfg(feature = "tracing")]
fn what_was_captured_lies_over_what_a_subscriber_brings_with_the_span() {
    use tracing_subscriber::layer::SubscriberExt;
    tracing::subscriber::with_default(tracing_subscriber::registry().with(Brings), || {
        let span = tracing::info_span!("work");
        let (plain, own) = span.in_scope(|| (Context::current(), at_desk(1, Context::current)));
        assert_eq!(plain.run(desk), Some(9));
        assert_eq!(own.clone().run(desk), Some(1));
        assert_eq!(own.run(|| tracing::info_span!("inner").in_scope(desk)), Some(9));
        assert_eq!(desk(), None);
    });
}

/// Keeps the spans that ended.
#[derive(Clone, Debug, Default)]
struct Ended(Arc<Mutex<Vec<SpanData>>>);

impl SpanProcessor for Ended {
    fn on_start(&self, _: &mut opentelemetry_sdk::trace::Span, _: &Otel) {}

    fn on_end(&self, span: SpanData) {
        self.0.lock().unwrap().push(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: std::time::Duration) -> OTelSdkResult {
        Ok(())
    }
}

#[test]
fn shown_variables_become_attributes_and_nothing_else_does() {
    static SHELF: ContextVar<u32> = ContextVar::new("shelf shown").shown();
    static QUIET: ContextVar<&str> = ContextVar::new("quiet");
    static PIN: ContextVar<&str> = ContextVar::new("pin").secret();
    let ended = Ended::default();
    let provider = SdkTracerProvider::builder().with_span_processor(ended.clone()).build();
    let tracer = provider.tracer("laws");
    let visit = arrive("acme");
    visit.context().bind(&SHELF, 7).bind(&QUIET, "unsaid").bind(&PIN, "1234").run(|| {
        let span = Otel::current_with_span(tracer.start("work"));
        haversack::opentelemetry::record(&span.span());
        span.span().end();
    });
    let mut attributes: Vec<_> = ended.0.lock().unwrap()[0]
        .attributes
        .iter()
        .map(|attribute| (attribute.key.to_string(), attribute.value.to_string()))
        .collect();
    attributes.sort();
    let entry = visit.entry().number().to_string();
    let expected = [
        ("haversack.context.boundary", "door"),
        ("haversack.context.entry", entry.as_str()),
        ("haversack.context.principal", "kim"),
        ("haversack.context.shelf shown", "7"),
        ("haversack.context.tenant", "acme"),
    ];
    let expected: Vec<_> = expected.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    assert_eq!(attributes, expected);
}

#[test]
fn a_span_that_is_started_inside_wrapped_work_is_a_child_of_the_captured_one() {
    let provider = SdkTracerProvider::builder().build();
    let tracer = provider.tracer("laws");
    let outer = Otel::current_with_span(tracer.start("request"));
    let expected = outer.span().span_context().trace_id();
    let wrapped = {
        let _attached = outer.attach();
        async {
            let span = tracer.start("query");
            span.span_context().trace_id()
        }
        .in_current_context()
    };
    assert_eq!(wrapped.now_or_never(), Some(expected));
}

#[test]
fn baggage_holds_what_is_listed_and_replaces_what_was_there() {
    static TIER: ContextVar<String> = ContextVar::new("tier").outbound("x-tier");
    static REGION: ContextVar<String> = ContextVar::new("region").outbound("x-region");
    let _theirs =
        Otel::new().with_baggage([opentelemetry::KeyValue::new("secret-project", "theirs")]).attach();
    let here = Context::empty().bind(&TIER, "gold".to_owned()).bind(&REGION, "a\nb".to_owned());
    let otel = here.run(|| haversack::opentelemetry::with_baggage(outgoing![TIER, REGION]));
    let baggage: Vec<_> = otel.baggage().iter().map(|(key, (value, _))| format!("{key}={value}")).collect();
    assert_eq!(baggage, ["tier=gold"]);
}
