//! Carriage policy: what is confined stays, what is secret is never seen.

use haversack::{Context, ContextVar, Crossing, FutureExt, MissingContext, Reason};

use crate::door::arrive;
use crate::runtimes::as_task_on_both;

/// An open transaction, as it were.
static OPEN: ContextVar<u32> = ContextVar::new("open").confined();
static LOCALE: ContextVar<u32> = ContextVar::new("locale");
static KEY: ContextVar<String> = ContextVar::new("api key").secret();

const SECRET: &str = "hunter2-hunter2";

fn read() -> (Result<u32, MissingContext>, Option<u32>) {
    (OPEN.get(), LOCALE.get().ok())
}

fn both() -> Context {
    Context::empty().bind(&OPEN, 1).bind(&LOCALE, 2)
}

/// The confined one stayed, at a crossing in this file at `line`; the other one came along.
#[track_caller]
fn stayed((open, locale): (Result<u32, MissingContext>, Option<u32>), line: u32) {
    assert_eq!(locale, Some(2));
    let error = open.unwrap_err();
    let Reason::Withheld { crossing, at } = error.reason() else { panic!("{error}") };
    assert_eq!(crossing, Crossing::Local);
    assert!(at.file().ends_with("policy.rs"), "{at}");
    assert_eq!(at.line(), line);
    let text = error.to_string();
    let place = format!("policy.rs:{line}");
    assert!(text.contains("`open`") && text.contains("policy") && text.contains(&place), "{text}");
}

#[test]
#[cfg(feature = "tokio")]
fn a_confined_variable_does_not_cross_into_a_task_while_others_do() {
    as_task_on_both(|| {
        async {
            let task = haversack::spawn(async { read() });
            stayed(task.await.unwrap(), line!() - 1);
            let job = haversack::spawn_blocking(read);
            stayed(job.await.unwrap(), line!() - 1);
            let mut members = haversack::JoinSet::new();
            members.spawn(async { read() });
            stayed(members.join_next().await.unwrap().unwrap(), line!() - 1);
            members.spawn_blocking(read);
            stayed(members.join_next().await.unwrap().unwrap(), line!() - 1);
            assert_eq!(OPEN.get().unwrap(), 1, "it stays where it was");
        }
        .with_context(both())
    });
}

#[test]
fn a_confined_variable_does_not_cross_into_a_thread_or_a_closure() {
    both().run(|| {
        let thread = haversack::thread::spawn(read);
        stayed(thread.join().unwrap(), line!() - 1);
        let thread = haversack::thread::Builder::new().spawn(read);
        stayed(thread.unwrap().join().unwrap(), line!() - 1);
        let scoped = haversack::thread::scope(|scope| scope.spawn(read).join().unwrap());
        stayed(scoped, line!() - 1);
        let wrapped = haversack::wrap(read);
        stayed(wrapped(), line!() - 1);
        let wrapped = haversack::wrap_fn(|()| read());
        stayed(wrapped(()), line!() - 1);
        let wrapped = haversack::wrap_once(|()| read());
        stayed(wrapped(()), line!() - 1);
        let mut wrapped = haversack::wrap_mut(|()| read());
        stayed(wrapped(()), line!() - 1);
        let scoped = haversack::thread::scope(|scope| {
            let thread = haversack::thread::Builder::new().spawn_scoped(scope, read);
            thread.unwrap().join().unwrap()
        });
        stayed(scoped, line!() - 3);
    });
}

#[test]
fn a_confined_variable_does_not_cross_with_a_future_that_is_handed_over() {
    as_task_on_both(|| {
        async {
            let future = async { read() }.in_current_context();
            stayed(future.await, line!() - 1);
            assert_eq!(OPEN.get().unwrap(), 1);
        }
        .with_context(both())
    });
}

#[test]
fn a_confined_variable_goes_with_the_work_that_bound_it() {
    both().run(|| {
        assert_eq!(LOCALE.sync_scope(3, || OPEN.get().unwrap()), 1);
        assert_eq!(Context::current().run(|| OPEN.get().unwrap()), 1);
    });
}

#[test]
fn the_error_names_the_crossing_where_it_stayed_and_not_a_later_one() {
    both().run(|| {
        let first = line!() + 1;
        let there = haversack::thread::spawn(|| {
            let further = haversack::thread::spawn(read);
            further.join().unwrap()
        });
        stayed(there.join().unwrap(), first);
    });
}

#[test]
fn a_confined_variable_may_be_bound_again_on_the_other_side() {
    both().run(|| {
        let there = haversack::thread::spawn(|| {
            let token = OPEN.set(5).unwrap();
            let own = OPEN.get().unwrap();
            token.reset().unwrap();
            (own, OPEN.get().is_err())
        });
        assert_eq!(there.join().unwrap(), (5, true));
    });
}

#[test]
fn what_is_confined_after_a_set_or_a_growth_is_still_confined() {
    Context::empty().run(|| {
        drop(LOCALE.set(2).unwrap());
        drop(OPEN.set(1).unwrap());
        let shared = Context::current();
        drop(LOCALE.set(2).unwrap());
        let there = haversack::thread::spawn(read);
        stayed(there.join().unwrap(), line!() - 1);
        shared.run(|| {
            let there = haversack::thread::spawn(read);
            stayed(there.join().unwrap(), line!() - 1);
        });
    });
}

#[test]
fn a_crossing_keeps_the_entry() {
    let visit = arrive("acme");
    let entry = visit.entry();
    visit.run(|| {
        drop(OPEN.set(1).unwrap());
        let there = haversack::thread::spawn(move || (OPEN.get().unwrap_err().boundary(), entry.check("it")));
        let (boundary, check) = there.join().unwrap();
        assert_eq!(boundary, Some("door"));
        check.unwrap();
    });
}

#[test]
fn a_secret_is_never_seen() {
    let context = Context::empty().bind(&KEY, SECRET.to_owned());
    let described = context.describe();
    let (inside, failed) = context.clone().run(|| {
        static OTHER: ContextVar<u32> = ContextVar::new("other");
        let token = KEY.set(SECRET.to_owned()).unwrap();
        let texts = [format!("{token:?}"), format!("{:?}", Context::current()), format!("{KEY:?}")];
        (texts, OTHER.get().unwrap_err())
    });
    let scope = KEY.scope(SECRET.to_owned(), async {});
    let withheld = context.clone().run(|| haversack::wrap(|| OPEN.get().unwrap_err()))();
    let texts = [
        context.to_string(),
        format!("{context:?}"),
        format!("{context:#?}"),
        described.to_string(),
        format!("{described:?}"),
        serde_json::to_string(&described).unwrap(),
        format!("{scope:?}"),
        format!("{failed} {failed:?}"),
        format!("{withheld} {withheld:?}"),
    ];
    for text in texts.iter().chain(&inside) {
        assert!(!text.contains("hunter2"), "{text}");
    }
    let bindings = described.bindings;
    assert_eq!(
        (bindings[0].name, bindings[0].value.as_str(), bindings[0].shown),
        ("api key", "[secret]", false)
    );
    // It is all there for the work itself.
    assert_eq!(context.run(|| KEY.get().unwrap()), SECRET);
}

#[test]
fn a_value_that_is_not_declared_as_shown_is_hidden() {
    let described = Context::empty().bind(&LOCALE, 4711).describe();
    assert_eq!(described.bindings[0].value, "[hidden]");
    assert!(!format!("{described} {described:?}").contains("4711"));
}

#[test]
fn a_declaration_can_be_read_back() {
    static PLAIN: ContextVar<u32> = ContextVar::new("plain");
    static SENT: ContextVar<u32> = ContextVar::new("sent").portable(3).outbound("x-sent").shown().env("SENT");
    static DOOR: ContextVar<u32, haversack::AtDoor> = ContextVar::new("door").secret().at_door();
    let crossings = [Crossing::Local, Crossing::Job, Crossing::Outbound];
    let allowed = |policy: &haversack::Policy| crossings.map(|crossing| policy.allows(crossing));
    assert_eq!(allowed(PLAIN.policy()), [true, false, false]);
    assert_eq!(allowed(SENT.policy()), [true, true, true]);
    assert_eq!(allowed(OPEN.policy()), [false, false, false]);
    let sent = SENT.policy();
    assert_eq!((sent.wire_version(), sent.header(), sent.env()), (Some(3), Some("x-sent"), Some("SENT")));
    assert!(sent.is_shown() && !sent.is_secret() && !sent.is_at_door());
    assert!(DOOR.policy().is_at_door() && DOOR.policy().is_secret());
    let names: [&dyn haversack::Variable; 2] = [&PLAIN, &DOOR];
    assert_eq!(names.map(haversack::Variable::name), ["plain", "door"]);
}
