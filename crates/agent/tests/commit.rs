//! A turn that is dropped while its commit waits for the file. A process of its own, because its subscriber has to see
//! every span from the first one on.

#![forbid(unsafe_code)]
// `#[tokio::test]` writes a bare `block_on`.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[allow(dead_code)]
#[path = "laws/house.rs"]
mod house;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use haversack::Visit;
use haversack_agent::history::TurnStatus;
use haversack_agent::model::ScriptedModel;
use haversack_agent::model::scripted::Answer;
use haversack_agent::{EventSink, Late};
use haversack_store::sqlite::Connection;

use house::{House, door, request};

/// Says when a commit has begun.
struct Commits(Arc<AtomicBool>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Commits {
    fn on_new_span(
        &self,
        attributes: &tracing::span::Attributes<'_>,
        _: &tracing::span::Id,
        _: tracing_subscriber::layer::Context<'_, S>,
    ) {
        if attributes.metadata().name() == "commit" {
            self.0.store(true, Ordering::SeqCst);
        }
    }
}

/// Runs a turn until its commit waits for the file, which somebody else has, and drops it there: what ends it, and what
/// has the file.
async fn dropped_in_its_commit(house: &House, held: &Arc<Mutex<Option<Connection>>>, visit: &Visit) -> Late {
    use tracing_subscriber::layer::SubscriberExt;
    let commits = Arc::new(AtomicBool::new(false));
    let subscriber = tracing_subscriber::registry().with(Commits(Arc::clone(&commits)));
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let turn = visit.run(|| house.agents.turn(request("Hello"))).unwrap();
    let late = turn.late();
    let mut running = Box::pin(visit.run(|| turn.run(EventSink::none())));
    std::future::poll_fn(|cx| {
        assert!(running.as_mut().poll(cx).is_pending(), "the file is held");
        if commits.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    assert!(held.lock().unwrap().is_some());
    late
}

#[tokio::test]
async fn what_a_dropped_turn_committed_all_the_same_is_given() {
    let folder = Arc::new(Mutex::new(PathBuf::new()));
    let held: Arc<Mutex<Option<Connection>>> = Arc::default();
    let (data, holder) = (Arc::clone(&folder), Arc::clone(&held));
    // The last thing before the commit is the model: it takes the file.
    let model = ScriptedModel::by(move |_| {
        let mut files = std::fs::read_dir(&*data.lock().unwrap()).unwrap().map(|entry| entry.unwrap().path());
        let file = files.find(|path| path.extension().is_some_and(|e| e == "sqlite")).unwrap();
        let conn = Connection::open(file).unwrap();
        conn.execute_batch("BEGIN IMMEDIATE").unwrap();
        *holder.lock().unwrap() = Some(conn);
        Answer::text("Yes.")
    });
    let house = House::solo(model, &[], Vec::new());
    *folder.lock().unwrap() = house.folder.path().join("data/tenants");
    let visit = door("acme", "kim", "s");
    let late = dropped_in_its_commit(&house, &held, &visit).await;
    let settling = visit.run(|| late.settle());
    drop(held.lock().unwrap().take());
    let reply = settling.await.unwrap().expect("what is committed is told");
    assert_eq!((reply.text.as_str(), reply.replayed), ("Yes.", false));
    let history = visit.run(|| house.agents.history()).unwrap();
    let session = haversack::well_known::SessionId::new("s").unwrap();
    let view = visit.run(|| history.session(&session)).await.unwrap().unwrap();
    assert_eq!(view.history.iter().map(|turn| turn.status).collect::<Vec<_>>(), [TurnStatus::Completed]);
}
