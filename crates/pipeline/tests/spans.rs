//! One trace a run: run, step, attempt, each under its own, also when runs take turns. A process of its own, because
//! whether a span is seen is remembered for the whole process.

#![forbid(unsafe_code)]
// `#[tokio::test]` writes a bare `block_on`.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::sync::{Arc, Mutex};

use haversack::testing::tenant;
use haversack_pipeline::builder::{DagBuilder, PipelineBuilder, function, map};
use haversack_pipeline::run::RunId;
use haversack_pipeline::{Functions, Parameters, PipelineOptions, Pipelines, StepCall, StepOutput};
use haversack_store::{KeyFile, Store, StoreOptions};
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// Each span with the names above it, in the order in which they began.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

#[derive(Default)]
struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if matches!(field.name(), "run" | "step" | "where") {
            self.0 = format!("{value:?}").trim_matches('"').to_owned();
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
        self.0.lock().unwrap().push(path.join(" > "));
    }
}

#[tokio::test]
async fn every_span_stands_under_its_own_run() {
    let seen = Seen::default();
    let _subscriber = tracing::subscriber::set_default(tracing_subscriber::registry().with(seen.clone()));
    let functions = Functions::new().on("look", |call: StepCall| async move {
        tokio::task::yield_now().await;
        let place = call.parameter("x").unwrap().as_str().unwrap().to_owned();
        drop(tracing::info_span!("inside", r#where = place));
        Ok(StepOutput::nothing())
    });
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("data"), StoreOptions::default()).unwrap();
    let keys = KeyFile::open(&dir.path().join("keys"), &dir.path().join("data")).unwrap();
    let options = PipelineOptions::new(dir.path().join("pipelines")).functions(functions);
    let pipelines = Pipelines::new(store, keys, options);
    let inside = DagBuilder::new().then("s", function("look"));
    let dag = DagBuilder::new().then("first", function("look")).then("each", map("list", "item", inside));
    let pipeline = PipelineBuilder::new("spans", dag).build().unwrap();
    let one = |key: &'static str| {
        let (pipelines, pipeline) = (&pipelines, &pipeline);
        async move {
            let given = Parameters::new().with("x", key).with("list", json!([0, 1]));
            let run = RunId::new(key).unwrap();
            pipelines.start(pipeline, given, run.clone()).await.unwrap();
            pipelines.execute(&run).await.unwrap();
        }
    };
    tenant("a").wrap(async { tokio::join!(one("r1"), one("r2"), one("r3")) }).await;

    let seen = seen.0.lock().unwrap().clone();
    for key in ["r1", "r2", "r3"] {
        let deep = [
            format!("run({key}) > step(first) > attempt(first) > inside({key})"),
            format!("run({key}) > step(each) > step(each/[0]/s) > attempt(each/[0]/s) > inside({key})"),
            format!("run({key}) > step(each) > step(each/[1]/s) > attempt(each/[1]/s) > inside({key})"),
        ];
        for path in deep {
            assert_eq!(seen.iter().filter(|one| **one == path).count(), 1, "{path}\n{seen:#?}");
        }
    }
    assert_eq!(seen.iter().filter(|one| one.contains("inside")).count(), 9);
}
