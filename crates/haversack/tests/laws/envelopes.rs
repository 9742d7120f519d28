//! Envelopes: a message is handled under its sender, whoever receives it.

use haversack::{Context, ContextVar, Entry, Enveloped, FutureExt, Reason};
use tokio::sync::{mpsc, oneshot};

use crate::door::{arrive, tenant};
use crate::probe::{MARK, Probe, probe};
use crate::runtimes::{as_task_on_both, on_both};

static OPEN: ContextVar<u32> = ContextVar::new("open at a sender").confined();

fn mark() -> Option<u32> {
    MARK.get().ok()
}

fn marked(mark: u32) -> Context {
    Context::empty().bind(&MARK, mark)
}

#[test]
fn an_actor_handles_each_message_under_its_sender() {
    type Message = (u32, oneshot::Sender<Option<String>>);
    as_task_on_both(|| async {
        let (send, mut receive) = mpsc::unbounded_channel::<Enveloped<Message>>();
        // The actor belongs to somebody itself; that is not whom it works for.
        let actor = arrive("whoever started it").wrap(async move {
            let mut count = 0;
            while let Some(message) = receive.recv().await {
                let handled = message.open_async(|(number, reply)| async move {
                    tokio::task::yield_now().await;
                    drop(MARK.set(number).unwrap());
                    reply.send(tenant()).unwrap();
                });
                handled.await;
                assert_eq!((tenant().as_deref(), mark()), (Some("whoever started it"), None));
                count += 1;
            }
            count
        });
        let actor = tokio::spawn(actor);
        let senders: Vec<_> = (0..20)
            .map(|number| {
                let send = send.clone();
                let name = format!("tenant-{number}");
                let ask = arrive(&name).wrap(async move {
                    let (reply, replied) = oneshot::channel();
                    send.send(Enveloped::new((number, reply))).unwrap();
                    assert_eq!(replied.await.unwrap(), Some(name));
                    assert_eq!(mark(), None, "what a handler sets does not come back");
                });
                tokio::spawn(ask)
            })
            .collect();
        for sender in senders {
            sender.await.unwrap();
        }
        drop(send);
        assert_eq!(actor.await.unwrap(), 20);
    });
}

#[test]
fn a_message_carries_the_moment_of_the_sending() {
    let message = MARK.sync_scope(1, || {
        let message = Enveloped::new("hello");
        drop(MARK.set(2).unwrap());
        message
    });
    MARK.sync_scope(9, || {
        assert_eq!(*message.value(), "hello");
        let opened = message.open(|text| {
            let seen = mark();
            drop(MARK.set(3).unwrap());
            (text, seen, mark())
        });
        assert_eq!((opened, mark()), (("hello", Some(1), Some(3)), Some(9)));
    });
}

#[test]
fn the_call_and_the_future_of_an_opening_share_one_frame() {
    on_both(|| async {
        let message = Enveloped::with_context(5, marked(1));
        let opened = message.open_async(|number| {
            drop(MARK.set(number).unwrap());
            async { mark() }
        });
        assert_eq!(opened.with_context(marked(9)).await, Some(5));
    });
}

#[test]
fn a_message_from_no_context_is_handled_in_none() {
    on_both(|| async {
        let (first, second) = (Enveloped::new(()), Enveloped::new(()));
        MARK.sync_scope(9, || assert_eq!(first.open(|()| mark()), None));
        assert_eq!(second.open_async(|()| async { mark() }).with_context(marked(9)).await, None);
    });
}

#[test]
fn a_message_that_nobody_opens_is_dropped_under_its_sender() {
    let envelope = |held: Probe| Enveloped::with_context(held, marked(1));
    let (held, seen) = probe();
    let (send, receive) = std::sync::mpsc::channel();
    send.send(envelope(held)).unwrap();
    MARK.sync_scope(9, || drop(receive));
    assert_eq!(seen.at_drop(), Some(1));

    let (held, seen) = probe();
    let never_polled = envelope(held).open_async(|held| async move { drop(held) });
    MARK.sync_scope(9, || drop(never_polled));
    assert_eq!(seen.at_drop(), Some(1));

    let (held, seen) = probe();
    let thrown = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        envelope(held).open(|_held| std::panic::resume_unwind(Box::new("thrown")));
    }));
    let _: Box<dyn std::any::Any + Send> = thrown.map(|(): ()| ()).unwrap_err();
    assert_eq!((seen.at_drop(), mark()), (Some(1), None));
}

#[test]
fn a_message_keeps_its_entry_and_its_sender_through_a_map() {
    let visit = arrive("acme");
    let message = visit.run(|| Enveloped::new(20));
    assert_eq!(message.entry(), Some(visit.entry()));
    let message = message.map(|number| (number + 1, tenant()));
    assert_eq!(message.entry(), Some(visit.entry()));
    let opened = message.open(|(number, at_map)| (number, at_map, tenant(), Entry::current().unwrap()));
    let acme = Some("acme".to_owned());
    assert_eq!(opened, (21, acme.clone(), acme.clone(), visit.entry()));
    let (value, context) = visit.run(|| Enveloped::new(1)).into_parts();
    assert_eq!((value, context.run(tenant)), (1, acme));
}

#[test]
fn what_is_confined_stays_with_the_sender() {
    let message = Context::empty().bind(&OPEN, 1).bind(&MARK, 2).run(|| Enveloped::new(()));
    let line = line!() - 1;
    let (open, mark) = message.open(|()| (OPEN.get(), mark()));
    let error = open.unwrap_err();
    let Reason::Withheld { at, .. } = error.reason() else { panic!("{error}") };
    assert!(at.file().ends_with("envelopes.rs") && at.line() == line, "{at}");
    assert_eq!(mark, Some(2));
    assert!(error.to_string().contains("`open at a sender`"), "{error}");
}

#[test]
fn the_debug_form_of_a_message_shows_where_it_was_sent_and_nothing_of_it() {
    let message = Enveloped::new("hunter2");
    let text = format!("{message:?}");
    assert!(text.contains("envelopes.rs") && !text.contains("hunter2"), "{text}");
}
