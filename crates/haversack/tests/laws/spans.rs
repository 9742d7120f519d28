//! The bridge to `tracing`: the span moves in the same swap as the context.

use std::fmt;
use std::sync::{Mutex, Once};

use futures_util::FutureExt as _;
use haversack::{Context, ContextVar, FutureExt};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber, info, info_span};
use tracing_subscriber::layer::{Context as Registered, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use crate::door::arrive;
use crate::runtimes::on_both;

/// The events of this file: their message and the names of the spans around them, outermost first.
static EVENTS: Mutex<Vec<(String, Vec<&'static str>)>> = Mutex::new(Vec::new());

struct Collecting;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Collecting {
    fn on_event(&self, event: &Event<'_>, registered: Registered<'_, S>) {
        struct Message(String);
        impl Visit for Message {
            fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
                if field.name() == "message" {
                    self.0 = format!("{value:?}");
                }
            }
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        let spans = registered.event_scope(event);
        let names = spans.map(|spans| spans.from_root().map(|span| span.name()).collect());
        EVENTS.lock().unwrap().push((message.0, names.unwrap_or_default()));
    }
}

/// The subscriber of this process: tasks run on threads that know no other.
fn collect() {
    static COLLECTS: Once = Once::new();
    COLLECTS.call_once(|| {
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Collecting)).unwrap();
    });
}

/// Takes out the events of this message.
fn take(message: &str) -> Vec<Vec<&'static str>> {
    let mut events = EVENTS.lock().unwrap();
    let (taken, kept) =
        std::mem::take(&mut *events).into_iter().partition::<Vec<_>, _>(|(text, _)| text == message);
    *events = kept;
    taken.into_iter().map(|(_, spans)| spans).collect()
}

#[test]
#[cfg(feature = "tokio")]
fn the_span_goes_with_the_context_into_tasks_threads_and_pools() {
    collect();
    on_both(|| async {
        let log = || info!("carried");
        let turn = info_span!("turn");
        let (task, job, thread, member) = turn.in_scope(|| {
            let mut members = haversack::JoinSet::new();
            members.spawn(async move {
                tokio::task::yield_now().await;
                log();
            });
            members.spawn_blocking(log);
            let task = haversack::spawn(async move {
                log();
                tokio::task::yield_now().await;
                log();
            });
            (task, haversack::spawn_blocking(log), haversack::thread::spawn(log), members)
        });
        task.await.unwrap();
        job.await.unwrap();
        thread.join().unwrap();
        let mut members = member;
        while let Some(member) = members.join_next().await {
            member.unwrap();
        }
        turn.in_scope(|| haversack::wrap(log))();
        assert_eq!(take("carried"), vec![vec!["turn"]; 7]);
        log();
        assert_eq!(take("carried"), [Vec::<&str>::new()], "nothing is left on this thread");
    });
}

#[test]
fn a_future_logs_in_its_own_span_whoever_polls_it() {
    collect();
    on_both(|| async {
        let ours = info_span!("ours").in_scope(|| {
            async {
                info!("polled elsewhere");
                tokio::task::yield_now().await;
                info_span!("inner").in_scope(|| info!("polled elsewhere"));
            }
            .in_current_context()
        });
        let theirs = info_span!("theirs").in_scope(|| {
            async {
                ours.await;
                info!("the driver");
            }
            .in_current_context()
        });
        tokio::spawn(theirs).await.unwrap();
        assert_eq!(take("the driver"), [["theirs"]]);
        assert_eq!(take("polled elsewhere"), [vec!["ours"], vec!["ours", "inner"]]);
    });
}

#[test]
fn a_scope_that_a_foreign_driver_polls_first_logs_in_its_own_span() {
    static USER: ContextVar<&str> = ContextVar::new("user");
    collect();
    let ours = arrive("ours");
    let work = info_span!("ours").in_scope(|| ours.run(|| USER.scope("ada", async { info!("scoped") })));
    let theirs = arrive("theirs");
    info_span!("theirs").in_scope(|| theirs.run(|| work.now_or_never())).unwrap();
    assert_eq!(take("scoped"), [["ours"]]);
}

#[test]
fn a_visit_keeps_the_span_of_its_door() {
    collect();
    on_both(|| async {
        let visit = info_span!("request").in_scope(|| arrive("acme"));
        visit.run(|| info!("at the door"));
        let context = visit.context();
        context.run(|| info!("at the door"));
        tokio::spawn(visit.wrap(async { info!("at the door") })).await.unwrap();
        assert_eq!(take("at the door"), vec![vec!["request"]; 3]);
    });
}

#[test]
fn a_future_is_dropped_inside_its_span() {
    struct Logs;
    impl Drop for Logs {
        fn drop(&mut self) {
            info!("dropped");
        }
    }
    collect();
    let logs = Logs;
    let future = info_span!("ours").in_scope(|| async move { drop(logs) }.in_current_context());
    info_span!("theirs").in_scope(|| drop(future));
    assert_eq!(take("dropped"), [["ours"]]);
}

#[test]
fn a_report_of_strict_mode_goes_to_the_log() {
    collect();
    let at = std::panic::Location::caller();
    let report = haversack::strict::Report::BareTask { variable: "logged", at };
    haversack::strict::log(&report);
    assert_eq!(take(&report.to_string()).len(), 1);
}

#[test]
fn a_panic_leaves_no_span_behind() {
    collect();
    let context = info_span!("turn").in_scope(Context::current);
    let run = std::panic::AssertUnwindSafe(|| context.run(|| std::panic::resume_unwind(Box::new("thrown"))));
    let thrown: Result<(), _> = std::panic::catch_unwind(run);
    assert!(thrown.is_err());
    info!("after the panic");
    assert_eq!(take("after the panic"), [Vec::<&str>::new()]);
}

#[test]
fn a_span_records_the_shown_variables_that_it_has_a_field_for() {
    use tracing::field::Empty;
    static SHELF: ContextVar<u32> = ContextVar::new("shelf").shown();
    static PIN: ContextVar<&str> = ContextVar::new("pin").secret();
    struct Records(std::sync::Arc<Mutex<String>>);
    impl<S: Subscriber> Layer<S> for Records {
        fn on_record(&self, _: &tracing::span::Id, values: &tracing::span::Record<'_>, _: Registered<'_, S>) {
            struct Named<'a>(&'a mut String);
            impl Visit for Named<'_> {
                fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
                    self.0.push_str(&format!("{}={value:?};", field.name()));
                }
            }
            values.record(&mut Named(&mut self.0.lock().unwrap()));
        }
    }
    let records = std::sync::Arc::new(Mutex::new(String::new()));
    let subscriber = tracing_subscriber::registry().with(Records(records.clone()));
    tracing::subscriber::with_default(subscriber, || {
        arrive("acme").context().bind(&SHELF, 7).bind(&PIN, "1234").run(|| {
            let span = info_span!("search", tenant = Empty, pin = Empty, shelf = Empty, other = Empty);
            haversack::tracing::record(&span);
        });
    });
    let mut recorded: Vec<_> = records.lock().unwrap().split_terminator(';').map(str::to_owned).collect();
    recorded.sort();
    assert_eq!(recorded, ["shelf=\"7\"", "tenant=\"acme\""]);
}
