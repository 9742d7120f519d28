//! Infrastructure: pools, timers and connection tasks that happen to be started during somebody's request.

use haversack::{Context, ContextVar, Entry, FutureExt, Reason, detached};
use tokio::sync::{mpsc, oneshot};

use crate::door::{arrive, tenant};
use crate::runtimes::as_task_on_both;

static DEPOT: ContextVar<u32> = ContextVar::new("depot");

#[test]
fn a_detached_task_inherits_nothing() {
    as_task_on_both(|| {
        arrive("acme").wrap(async {
            let task = haversack::spawn_detached(async {
                (tenant(), Entry::current().is_err(), DEPOT.set(1).is_ok())
            });
            assert_eq!(task.await.unwrap(), (None, true, true), "nothing bound, in a frame of its own");
            assert_eq!(tenant().as_deref(), Some("acme"));
            assert!(DEPOT.get().is_err());
        })
    });
}

#[test]
fn a_detached_future_sees_nothing_of_whoever_polls_it() {
    as_task_on_both(|| {
        arrive("acme").wrap(async {
            let read = detached(async { haversack::well_known::TENANT_ID.get() }).await;
            let error = read.unwrap_err();
            assert_eq!((error.reason(), error.boundary()), (Reason::NeverBound, None));
        })
    });
}

#[test]
fn a_pool_started_during_a_request_does_not_work_under_it_for_ever() {
    type Query = oneshot::Sender<Option<String>>;
    as_task_on_both(|| async {
        // The first request starts the connection task, lazily, as pools do.
        let connection = arrive("first").wrap(async {
            let (send, mut receive) = mpsc::channel::<Query>(1);
            haversack::spawn_detached(async move {
                while let Some(query) = receive.recv().await {
                    // Its own work, of every request, is done by a task of its own.
                    let flush = haversack::spawn(async { tenant() });
                    query.send(flush.await.unwrap()).unwrap();
                }
            });
            send
        });
        let connection = tokio::spawn(connection).await.unwrap();
        for name in ["first", "second"] {
            let connection = connection.clone();
            let asked = arrive(name).wrap(async move {
                let (query, answer) = oneshot::channel();
                connection.send(query).await.unwrap();
                (answer.await.unwrap(), tenant())
            });
            assert_eq!(tokio::spawn(asked).await.unwrap(), (None, Some(name.to_owned())));
        }
    });
}

#[test]
fn a_flush_that_a_request_started_works_for_nobody_when_its_time_comes() {
    type Seen = (Option<String>, Result<u64, haversack::MissingContext>);
    // Started in the first request, by the timer's own task; how it is started is the law and its control.
    let flushes = |start: fn(mpsc::UnboundedSender<Seen>)| async move {
        let (tell, mut told) = mpsc::unbounded_channel();
        arrive("first").wrap(async { start(tell) }).await;
        // Another request is under way when the time comes, and waits for it.
        let asked = arrive("second").wrap(async move {
            let mut seen = Vec::new();
            for _ in 0..3 {
                seen.push(told.recv().await.unwrap());
            }
            (seen, tenant())
        });
        let (seen, asker) = tokio::spawn(asked).await.unwrap();
        assert_eq!(asker.as_deref(), Some("second"));
        seen
    };
    async fn flush(tell: mpsc::UnboundedSender<Seen>) {
        // The timer is what is looked at.
        let mut every = tokio::time::interval(std::time::Duration::from_millis(1));
        loop {
            every.tick().await;
            if tell.send((tenant(), Entry::current().map(|entry| entry.number()))).is_err() {
                return;
            }
        }
    }
    as_task_on_both(move || async move {
        let seen = flushes(|tell| drop(haversack::spawn_detached(flush(tell)))).await;
        assert!(seen.iter().all(|(tenant, entry)| tenant.is_none() && entry.is_err()), "{seen:?}");
        let seen = flushes(|tell| drop(haversack::spawn(flush(tell)))).await;
        assert!(seen.iter().all(|(tenant, _)| tenant.as_deref() == Some("first")), "the control: {seen:?}");
    });
}

#[test]
fn what_a_timer_wakes_goes_on_in_its_own_context() {
    as_task_on_both(|| async {
        let waits = |desk: u32| {
            async move {
                // The timer is what is looked at.
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                DEPOT.get().unwrap() == desk
            }
            .with_context(Context::empty().bind(&DEPOT, desk))
        };
        let waiters: Vec<_> = (0..20).map(|desk| tokio::spawn(waits(desk))).collect();
        for waiter in waiters {
            assert!(waiter.await.unwrap());
        }
    });
}
