//! The span of a job stands for itself, links to the submitter's, and holds no text of the job.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use haversack::well_known::{TRACE_CONTEXT, TraceContext};
use haversack_jobs::{Args, Attempt, Backoff, Failure, Handlers, NewJob};
use haversack_store::now_millis;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::{Place, caller, submit, submit_and_wait};

type Fields = BTreeMap<&'static str, String>;

/// Keeps the fields of every span, and all text of every event.
#[derive(Clone, Default)]
struct Kept {
    spans: Arc<Mutex<Vec<(&'static str, Fields)>>>,
    events: Arc<Mutex<Vec<String>>>,
}

struct Into<'a>(&'a mut Fields);

impl Visit for Into<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

impl Subscriber for Kept {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("haversack")
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut fields = Fields::new();
        attributes.record(&mut Into(&mut fields));
        fields.insert("is_root", attributes.is_root().to_string());
        let mut spans = self.spans.lock().unwrap();
        spans.push((attributes.metadata().name(), fields));
        Id::from_u64(spans.len() as u64)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let at = usize::try_from(span.into_u64()).unwrap() - 1;
        values.record(&mut Into(&mut self.spans.lock().unwrap()[at].1));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::new();
        event.record(&mut Into(&mut fields));
        self.events.lock().unwrap().push(format!("{fields:?}"));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn each_attempt_has_a_span_that_links_to_the_submitter() {
    let kept = Kept::default();
    // While there is only one, tests on other threads, which have none, decide what it hears.
    let _second = tracing::Dispatch::new(Kept::default());
    let _default = tracing::subscriber::set_default(kept.clone());
    let place = Place::fresh();
    let work = |Args(text): Args<String>, attempt: Attempt| async move {
        if attempt.is_last() { Ok(text) } else { Err(Failure::retry(format!("words about {text}"))) }
    };
    let worker = place.work(Handlers::new().on("work", work));
    let jobs = place.jobs.clone();
    let trace = TraceContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
    let run = async {
        let job = NewJob::new("work", &"canary-span").unwrap().max_attempts(2).backoff(Backoff::NONE);
        submit_and_wait(&jobs, job).await
    };
    caller("acme", "ada").wrap(TRACE_CONTEXT.scope(trace, run)).await;
    worker.stop().await;

    let spans = kept.spans.lock().unwrap();
    let of_jobs: Vec<&Fields> =
        spans.iter().filter(|(name, _)| *name == "job").map(|(_, fields)| fields).collect();
    assert_eq!(of_jobs.len(), 2, "one for each attempt");
    for (attempt, (fields, outcome)) in of_jobs.iter().zip(["retrying", "succeeded"]).enumerate() {
        assert_eq!(fields["link.trace_id"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(fields["link.span_id"], "b7ad6b7169203331");
        assert_eq!(fields["is_root"], "true");
        assert_eq!(fields["attempt"], (attempt + 1).to_string());
        assert_eq!((fields["handler"].as_str(), fields["outcome"].as_str()), ("work", outcome));
        assert!(fields["queue_wait_ms"].parse::<i64>().unwrap() >= 0);
    }
    let told = format!("{spans:?} {:?}", kept.events.lock().unwrap());
    assert!(told.contains("an attempt failed"), "the log was heard: {told}");
    assert!(!told.contains("canary-span"), "{told}");
}

#[tokio::test]
async fn the_span_of_an_attempt_says_how_long_its_job_waited() {
    let kept = Kept::default();
    let _second = tracing::Dispatch::new(Kept::default());
    let _default = tracing::subscriber::set_default(kept.clone());
    let place = Place::fresh();
    let jobs = place.jobs.clone();
    let wait = Duration::from_millis(60);
    let (early, delayed) = caller("acme", "ada")
        .wrap(async {
            // Nobody works yet.
            let early = submit(&jobs, NewJob::new("early", &()).unwrap()).await;
            // What it was not due does not count.
            let delayed = submit(&jobs, NewJob::new("delayed", &()).unwrap().delay(wait)).await;
            (early, delayed)
        })
        .await;
    let due = |id: haversack_jobs::JobId| {
        let jobs = place.jobs.clone();
        caller("acme", "ada").wrap(async move { jobs.get(&id).await.unwrap().run_at.unwrap() })
    };
    let (early_at, delayed_at) = (due(early.clone()).await, due(delayed.clone()).await);
    while now_millis() < delayed_at {
        // The law is about the wall clock, which tells nobody.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let begun = now_millis();
    let handlers = Handlers::new().on("early", || async { Ok(()) }).on("delayed", || async { Ok(()) });
    let worker = place.work(handlers);
    caller("acme", "ada")
        .wrap(async {
            jobs.wait(&early).await.unwrap();
            jobs.wait(&delayed).await.unwrap();
        })
        .await;
    worker.stop().await;
    let ended = now_millis();
    let spans = kept.spans.lock().unwrap();
    for (handler, due_at) in [("early", early_at), ("delayed", delayed_at)] {
        let (_, fields) =
            spans.iter().find(|(name, fields)| *name == "job" && fields["handler"] == handler).unwrap();
        let waited: i64 = fields["queue_wait_ms"].parse().unwrap();
        let (least, most) = (begun - due_at, ended - due_at);
        assert!((least..=most).contains(&waited), "{handler}: {least} {waited} {most}");
        assert!(handler == "delayed" || waited >= wait.as_millis() as i64, "{waited}");
    }
}
