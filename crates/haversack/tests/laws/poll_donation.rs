//! Poll donation: one request's future, polled by another request's task.
//!
//! Twenty requests put twenty futures each into one queue, and every request drains whatever the queue holds, so
//! that most polls are made by a task of somebody else. Work that is wrapped where it is handed over reads its own
//! context at every poll. Bare work reads the driver's: the control shows that the queue does donate polls.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Wake, Waker};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use haversack::{Context, ContextVar, Entry, Enveloped, FutureExt};
use tokio::sync::{Barrier, mpsc, oneshot};

use crate::door::{arrive, tenant};
use crate::runtimes::{as_task_on_both, on_both};

static STEP: ContextVar<u32> = ContextVar::new("step");

const REQUESTS: usize = 20;
const FUTURES: usize = 20;

/// What was counted over all futures of one run.
#[derive(Default)]
struct Tally {
    /// Futures that ended.
    ended: AtomicUsize,
    /// Futures that read, at any poll, anything but their own context.
    wrong: AtomicUsize,
    /// Futures that were polled by another task than the one that submitted them.
    donated: AtomicUsize,
}

struct Exchange {
    queue: Mutex<VecDeque<BoxFuture<'static, ()>>>,
    submitted: Barrier,
    tally: Tally,
}

/// How a request hands a future over.
type HandOver = fn(u32, BoxFuture<'static, ()>) -> BoxFuture<'static, ()>;

/// The work of one future: reads everything at four polls.
async fn work(own: (String, Entry, u32), submitter: tokio::task::Id, exchange: Arc<Exchange>) {
    let (mut right, mut donated) = (true, false);
    for _ in 0..4 {
        let read = (tenant(), Entry::current().ok(), STEP.get().ok());
        right &= read == (Some(own.0.clone()), Some(own.1), Some(own.2));
        donated |= tokio::task::id() != submitter;
        futures_util::pending!();
    }
    let tally = &exchange.tally;
    tally.wrong.fetch_add(usize::from(!right), Ordering::Relaxed);
    tally.donated.fetch_add(usize::from(donated), Ordering::Relaxed);
    tally.ended.fetch_add(1, Ordering::Relaxed);
}

async fn request(name: String, exchange: Arc<Exchange>, hand_over: HandOver) {
    let own = (name, Entry::current().unwrap());
    for step in 0..FUTURES as u32 {
        let work = work((own.0.clone(), own.1, step), tokio::task::id(), exchange.clone());
        let work = hand_over(step, work.boxed());
        exchange.queue.lock().unwrap().push_back(work);
    }
    exchange.submitted.wait().await;
    while exchange.tally.ended.load(Ordering::Relaxed) < REQUESTS * FUTURES {
        let next = exchange.queue.lock().unwrap().pop_front();
        if let Some(mut next) = next {
            if futures_util::poll!(&mut next).is_pending() {
                exchange.queue.lock().unwrap().push_back(next);
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Runs the exchange and hands its tally on.
async fn exchange(hand_over: HandOver) -> Arc<Exchange> {
    let exchange = Arc::new(Exchange {
        queue: Mutex::default(),
        submitted: Barrier::new(REQUESTS),
        tally: Tally::default(),
    });
    let requests: Vec<_> = (0..REQUESTS)
        .map(|number| {
            let name = format!("tenant-{number}");
            let visit = arrive(&name);
            tokio::spawn(visit.wrap(request(name, exchange.clone(), hand_over)))
        })
        .collect();
    for request in requests {
        request.await.unwrap();
    }
    exchange
}

fn tally(exchange: &Exchange) -> (usize, usize, usize) {
    let Tally { ended, wrong, donated } = &exchange.tally;
    (ended.load(Ordering::Relaxed), wrong.load(Ordering::Relaxed), donated.load(Ordering::Relaxed))
}

const ALL: usize = REQUESTS * FUTURES;

#[test]
fn a_future_wrapped_at_its_hand_over_reads_its_own_context_whoever_polls() {
    on_both(|| async {
        let exchange =
            exchange(|step, work| STEP.sync_scope(step, || work.in_current_context().boxed())).await;
        let (ended, wrong, donated) = tally(&exchange);
        assert_eq!((ended, wrong), (ALL, 0));
        assert!(donated > ALL / 2, "only {donated} of {ALL} were polled by somebody else");
    });
}

#[test]
fn a_scope_that_is_polled_first_by_somebody_else_reads_its_own_entry() {
    on_both(|| async {
        let exchange = exchange(|step, work| STEP.scope(step, work).boxed()).await;
        let (ended, wrong, donated) = tally(&exchange);
        assert_eq!((ended, wrong), (ALL, 0));
        assert!(donated > ALL / 2, "only {donated} of {ALL} were polled by somebody else");
    });
}

#[test]
fn bare_work_reads_its_drivers_context() {
    // No library can see this hand-over. It is the control of the two laws above.
    on_both(|| async {
        let exchange = exchange(|_, work| work).await;
        let (ended, wrong, donated) = tally(&exchange);
        assert_eq!(ended, ALL);
        assert!(wrong >= donated && donated > ALL / 2, "{wrong} wrong, {donated} donated, of {ALL}");
    });
}

#[test]
fn without_an_entry_a_scope_keeps_its_own_binding_and_takes_the_rest_from_its_driver() {
    static PLACE: ContextVar<&str> = ContextVar::new("place");
    let driver = Context::empty().bind(&PLACE, "the driver's").bind(&STEP, 2);
    let work = Context::empty()
        .bind(&PLACE, "ours")
        .run(|| STEP.scope(1, async { (STEP.get().unwrap(), PLACE.get().unwrap()) }));
    assert_eq!(driver.run(|| work.now_or_never()), Some((1, "the driver's")));
}

#[test]
fn a_single_flight_runs_under_the_caller_that_started_it() {
    as_task_on_both(|| async {
        let flight = arrive("first").run(|| {
            async {
                let before = tenant();
                tokio::task::yield_now().await;
                (before, tenant())
            }
            .in_current_context()
            .boxed()
            .shared()
        });
        let joined = flight.clone();
        // The second caller polls first, and drives it to its end.
        let second = tokio::spawn(arrive("second").wrap(async move { (joined.await, tenant()) }));
        let own = (Some("first".to_owned()), Some("first".to_owned()));
        assert_eq!(second.await.unwrap(), (own.clone(), Some("second".to_owned())));
        assert_eq!(flight.await, own);
    });
}

#[test]
fn an_actor_runs_each_message_under_its_sender() {
    as_task_on_both(|| async {
        let (send, mut receive) = mpsc::channel::<BoxFuture<'static, ()>>(8);
        let actor = tokio::spawn(arrive("the one that started the actor").wrap(async move {
            while let Some(message) = receive.recv().await {
                message.await;
            }
            tenant()
        }));
        for name in ["a", "b", "c"] {
            let (answer, answered) = oneshot::channel();
            let message = arrive(name).run(|| {
                async {
                    tokio::task::yield_now().await;
                    answer.send(tenant()).unwrap();
                }
                .in_current_context()
                .boxed()
            });
            send.send(message).await.unwrap();
            assert_eq!(answered.await.unwrap().as_deref(), Some(name));
        }
        drop(send);
        assert_eq!(actor.await.unwrap().as_deref(), Some("the one that started the actor"));
    });
}

#[test]
fn a_batcher_works_for_each_sender_under_its_own_whoever_asked_for_the_batch() {
    type Wanted = (u32, oneshot::Sender<(u32, Option<String>)>);
    as_task_on_both(|| async {
        let queue: Arc<Mutex<Vec<Enveloped<Wanted>>>> = Arc::default();
        let mut answers = Vec::new();
        for (number, name) in (0..).zip(["a", "b", "c", "d"]) {
            let (answer, answered) = oneshot::channel();
            arrive(name).run(|| queue.lock().unwrap().push(Enveloped::new((number, answer))));
            answers.push((name, answered));
        }
        // The last caller fills the batch, and so it is the one whose task polls the whole of it.
        let last = arrive("the last caller").wrap(async move {
            let batch = std::mem::take(&mut *queue.lock().unwrap());
            let batch = batch.into_iter().map(|wanted| {
                wanted.open_async(|(number, answer)| async move {
                    tokio::task::yield_now().await;
                    answer.send((number, tenant())).unwrap();
                })
            });
            futures_util::future::join_all(batch).await;
            tenant()
        });
        assert_eq!(tokio::spawn(last).await.unwrap().as_deref(), Some("the last caller"));
        for (number, (name, answered)) in (0..).zip(answers) {
            assert_eq!(answered.await.unwrap(), (number, Some(name.to_owned())));
        }
    });
}

#[test]
fn a_wrapped_member_of_a_foreign_set_neither_sees_nor_leaves_anything() {
    use futures_util::stream::{FuturesUnordered, StreamExt as _};
    as_task_on_both(|| async {
        let ours = arrive("ours").run(|| {
            async {
                let _kept = STEP.set(1).unwrap();
                tokio::task::yield_now().await;
                (tenant(), STEP.get().unwrap())
            }
            .in_current_context()
        });
        let driver = arrive("theirs").wrap(async move {
            let mut members: FuturesUnordered<_> = [ours].into_iter().collect();
            let seen = members.next().await.unwrap();
            (seen, tenant(), STEP.get().ok())
        });
        let (seen, theirs, left) = tokio::spawn(driver).await.unwrap();
        assert_eq!(seen, (Some("ours".to_owned()), 1));
        assert_eq!((theirs.as_deref(), left), (Some("theirs"), None));
    });
}

#[test]
fn a_waker_runs_in_the_context_of_whoever_wakes() {
    struct Wakes(Mutex<Option<String>>);
    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            *self.0.lock().unwrap() = tenant();
        }
    }
    let wakes = Arc::new(Wakes(Mutex::default()));
    let waker = Waker::from(wakes.clone());
    let (send, receive) = oneshot::channel::<()>();
    let ours = arrive("ours");
    let mut waiting = std::pin::pin!(ours.run(|| receive.in_current_context()));
    let mut waking = std::task::Context::from_waker(&waker);
    assert!(Pin::new(&mut waiting).poll(&mut waking).is_pending());
    arrive("theirs").run(|| send.send(()).unwrap());
    assert_eq!(wakes.0.lock().unwrap().as_deref(), Some("theirs"));
    assert!(matches!(waiting.poll(&mut waking), Poll::Ready(Ok(()))));
}
