//! One trace a run: run, step, attempt, each under its own, also when runs take turns, run on threads and inside each other;
//! and each child is told the trace of its run. A process of its own, because whether a span is seen is remembered for the
//! whole process.

#![forbid(unsafe_code)]
// `#[tokio::test]` writes a bare `block_on`.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock};

use haversack::testing::tenant;
use haversack::well_known::TraceContext;
use haversack_pipeline::builder::{DagBuilder, PipelineBuilder, function, map, shell};
use haversack_pipeline::run::{RunId, RunView};
use haversack_pipeline::{
    Functions, Parameters, Pipeline, PipelineOptions, Pipelines, StepCall, StepFailure, StepOutput,
};
use haversack_store::{KeyFile, Store, StoreOptions};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::Barrier;
use tracing::Dispatch;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// A span with the names above it, and the trace that it names.
type Began = (String, Option<String>);

/// Each span, in the order in which they began.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Began>>>);

#[derive(Default)]
struct Words(String, Option<String>);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let text = format!("{value:?}").trim_matches('"').to_owned();
        match field.name() {
            "run" | "step" | "where" => self.0 = text,
            "trace_id" => self.1 = Some(text),
            _ => {}
        }
    }
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Seen {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut words = Words::default();
        attributes.record(&mut words);
        let span = context.span(id).unwrap();
        span.extensions_mut().insert(format!("{}({})", span.name(), words.0));
        let path: Vec<String> = span
            .scope()
            .from_root()
            .filter_map(|above| above.extensions().get::<String>().cloned())
            .filter(|name| ["run(", "step(", "attempt(", "inside("].iter().any(|ours| name.starts_with(ours)))
            .collect();
        self.0.lock().unwrap().push((path.join(" > "), words.1));
    }
}

impl Seen {
    fn paths(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|(path, _)| path.clone()).collect()
    }

    /// The traces that the spans of this end name.
    fn traces(&self, end: &str) -> BTreeSet<String> {
        let seen = self.0.lock().unwrap();
        seen.iter().filter(|(path, _)| path.ends_with(end)).filter_map(|(_, trace)| trace.clone()).collect()
    }

    fn once(&self, path: &str) {
        let paths = self.paths();
        assert_eq!(paths.iter().filter(|one| *one == path).count(), 1, "{path}\n{paths:#?}");
    }
}

/// Pipelines whose spans are seen.
struct Stage {
    seen: Seen,
    dispatch: Dispatch,
    pipelines: Pipelines,
    _dir: TempDir,
}

impl Stage {
    fn new(functions: impl FnOnce(Dispatch) -> Functions) -> Self {
        let seen = Seen::default();
        let dispatch = Dispatch::new(tracing_subscriber::registry().with(seen.clone()));
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("data"), StoreOptions::default()).unwrap();
        let keys = KeyFile::open(&dir.path().join("keys"), &dir.path().join("data")).unwrap();
        let options =
            PipelineOptions::new(dir.path().join("pipelines")).functions(functions(dispatch.clone()));
        Self { seen, dispatch, pipelines: Pipelines::new(store, keys, options), _dir: dir }
    }
}

async fn run(pipelines: &Pipelines, pipeline: &Pipeline, key: &str, list: serde_json::Value) -> RunView {
    let given = Parameters::new().with("x", key).with("list", list);
    let run = RunId::new(key).unwrap();
    pipelines.start(pipeline, given, run.clone()).await.unwrap();
    pipelines.execute(&run).await.unwrap()
}

fn place(call: &StepCall) -> String {
    call.parameter("x").unwrap().as_str().unwrap().to_owned()
}

/// A function that makes a span when so many runs have come to it.
fn look(meeting: usize) -> Functions {
    let meeting = Arc::new(Barrier::new(meeting));
    Functions::new().on("look", move |call: StepCall| {
        let meeting = Arc::clone(&meeting);
        async move {
            meeting.wait().await;
            drop(tracing::info_span!("inside", r#where = place(&call)));
            Ok(StepOutput::nothing())
        }
    })
}

#[tokio::test]
async fn every_span_stands_under_its_own_run() {
    let stage = Stage::new(|_| look(3));
    let _default = tracing::dispatcher::set_default(&stage.dispatch);
    let inside = DagBuilder::new().then("s", function("look"));
    let dag = DagBuilder::new().then("first", function("look")).then("each", map("list", "item", inside));
    let pipeline = PipelineBuilder::new("spans", dag).build().unwrap();
    let one = |key| run(&stage.pipelines, &pipeline, key, json!([0, 1]));
    tenant("a").wrap(async { tokio::join!(one("r1"), one("r2"), one("r3")) }).await;

    for key in ["r1", "r2", "r3"] {
        stage.seen.once(&format!("run({key}) > step(first) > attempt(first) > inside({key})"));
        for at in [0, 1] {
            let below = format!("step(each/[{at}]/s) > attempt(each/[{at}]/s)");
            stage.seen.once(&format!("run({key}) > step(each) > {below} > inside({key})"));
        }
    }
    assert_eq!(stage.seen.paths().iter().filter(|one| one.contains("inside")).count(), 9);
}

#[test]
fn every_span_stands_under_its_own_run_also_on_threads() {
    const THREADS: usize = 20;
    let stage = Stage::new(|dispatch| {
        // On the pool and on a thread of its own, and each under the same attempt.
        look(THREADS).on_blocking("aside", move |call| {
            let see = |place: String| drop(tracing::info_span!("inside", r#where = place));
            // What a thread has current is known to its own subscriber alone, so each has it.
            let _default = tracing::dispatcher::set_default(&dispatch);
            see(place(&call));
            let (dispatch, place) = (dispatch.clone(), format!("{} thread", place(&call)));
            let thread =
                haversack::thread::spawn(move || tracing::dispatcher::with_default(&dispatch, || see(place)));
            thread.join().map_err(|_| StepFailure::new("the thread panicked"))?;
            Ok(StepOutput::nothing())
        })
    });
    let dag = DagBuilder::new().then("first", function("look")).then("second", function("aside"));
    let pipeline = PipelineBuilder::new("threads", dag).build().unwrap();
    let threads: Vec<_> = (0..THREADS)
        .map(|at| {
            let (pipelines, pipeline, dispatch) =
                (stage.pipelines.clone(), pipeline.clone(), stage.dispatch.clone());
            haversack::thread::spawn(move || {
                let _default = tracing::dispatcher::set_default(&dispatch);
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                let work = async move { run(&pipelines, &pipeline, &format!("r{at}"), json!([])).await };
                haversack::block_on(&runtime, tenant("a").wrap(work));
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());

    for at in 0..THREADS {
        stage.seen.once(&format!("run(r{at}) > step(first) > attempt(first) > inside(r{at})"));
        for place in [format!("r{at}"), format!("r{at} thread")] {
            stage.seen.once(&format!("run(r{at}) > step(second) > attempt(second) > inside({place})"));
        }
    }
    assert_eq!(stage.seen.paths().iter().filter(|one| one.contains("inside")).count(), 3 * THREADS);
}

fn tell() -> haversack_pipeline::builder::StepBuilder {
    shell("printf '{\"told\": \"%s\"}' \"$TRACEPARENT\" > \"$HAVERSACK_RETURNS\"").returns(["told"])
}

#[tokio::test]
async fn a_run_inside_a_run_hangs_under_the_attempt_and_children_are_told_the_trace() {
    const RUNS: usize = 10;
    let known = Arc::new(OnceLock::<Pipelines>::new());
    let pipelines = Arc::clone(&known);
    let stage = Stage::new(|_| {
        look(RUNS).on("nest", move |call: StepCall| {
            let pipelines = pipelines.get().unwrap().clone();
            async move {
                let dag = DagBuilder::new().then("s", function("look")).then("child", tell());
                let inner = PipelineBuilder::new("inner", dag).build().unwrap();
                let ran = run(&pipelines, &inner, &format!("{}-inner", place(&call)), json!([])).await;
                // What the outer step makes after it stands under the outer step.
                drop(tracing::info_span!("inside", r#where = format!("after {}", place(&call))));
                Ok(StepOutput::named([
                    ("trace".to_owned(), ran.entry.trace.into()),
                    ("inner_told".to_owned(), ran.outputs["told"].clone()),
                ]))
            }
        })
    });
    let _default = tracing::dispatcher::set_default(&stage.dispatch);
    known.set(stage.pipelines.clone()).unwrap();
    let again =
        shell("printf '{\"again\": \"%s\"}' \"$TRACEPARENT\" > \"$HAVERSACK_RETURNS\"").returns(["again"]);
    let dag = DagBuilder::new()
        .then("nest", function("nest").returns(["trace", "inner_told"]))
        .then("child", tell())
        .then("again", again);
    let outer = PipelineBuilder::new("outer", dag).build().unwrap();
    let keys: Vec<String> = (0..RUNS).map(|at| format!("r{at}")).collect();
    let all = keys.iter().map(|key| run(&stage.pipelines, &outer, key, json!([])));
    let views = tenant("a").wrap(futures_util::future::join_all(all)).await;

    let (mut spans, mut traces) = (BTreeMap::new(), BTreeSet::new());
    for (key, view) in keys.iter().zip(views) {
        let nest = format!("run({key}) > step(nest) > attempt(nest)");
        let inner = format!("{nest} > run({key}-inner)");
        stage.seen.once(&inner);
        stage.seen.once(&format!("{inner} > step(s) > attempt(s) > inside({key}-inner)"));
        stage.seen.once(&format!("{inner} > step(child) > attempt(child)"));
        stage.seen.once(&format!("{nest} > inside(after {key})"));
        stage.seen.once(&format!("run({key}) > step(child) > attempt(child)"));

        let trace = view.entry.trace;
        assert!(traces.insert(trace.clone()), "a trace of its own");
        assert_eq!(view.outputs["trace"], trace.as_str(), "the run inside is in the trace of the outer one");
        for end in [format!("run({key})"), inner, nest] {
            assert_eq!(stage.seen.traces(&end), BTreeSet::from([trace.clone()]), "{end}");
        }
        for name in ["told", "again", "inner_told"] {
            let told = TraceContext::parse(view.outputs[name].as_str().unwrap()).unwrap();
            assert_eq!(told.trace_id(), trace, "{key} {name}");
            let other = spans.insert(told.parent_id().to_owned(), (key, name));
            assert_eq!(other, None, "{key} {name}: each attempt is told a span of its own");
        }
    }
}
