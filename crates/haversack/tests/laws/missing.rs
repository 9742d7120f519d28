//! Missing is loud: the error names the variable, the place of the read, the reason and the way it came.

use haversack::{Context, ContextVar, FutureExt, MissingContext, Reason};

use crate::door::arrive;
use crate::runtimes::on_both;

static WANTED: ContextVar<u32> = ContextVar::new("wanted");

#[test]
fn the_error_is_located_at_the_read() {
    let error = WANTED.get().unwrap_err();
    assert_eq!((error.at().line(), error.at().file()), (line!() - 1, file!()));
    let error = WANTED.with(|_| ()).unwrap_err();
    assert_eq!((error.at().line(), error.at().file()), (line!() - 1, file!()));
    let error = haversack::Entry::current().unwrap_err();
    assert_eq!((error.at().line(), error.at().file()), (line!() - 1, file!()));
}

#[test]
fn a_read_in_no_frame_says_that_the_work_lost_its_context() {
    let error = arrive("acme").run(|| std::thread::spawn(|| WANTED.get()).join().unwrap()).unwrap_err();
    assert_eq!((error.reason(), error.boundary()), (Reason::NoFrame, None));
    let text = error.to_string();
    for part in
        ["`wanted`", file!(), "in no context", "haversack::spawn", "thread::spawn", "in_current_context"]
    {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_read_in_a_frame_says_which_boundary_and_which_hop_came_last() {
    let error = arrive("acme").run(|| WANTED.get()).unwrap_err();
    assert_eq!((error.reason(), error.boundary()), (Reason::NeverBound, Some("door")));
    let text = error.to_string();
    for part in ["`wanted`", "nobody bound it", "last boundary: entry", "(door)", "last hop: boundary"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
#[cfg(debug_assertions)]
fn a_visit_in_which_nothing_runs_is_named_by_the_read_beside_it() {
    let visit = arrive("acme");
    let text = WANTED.get().unwrap_err().to_string();
    assert!(text.contains("visit of `door`") && text.contains("`visit.wrap(future)`"), "{text}");
    // It is in use, and then it has ended: what is read outside of it was lost in another way.
    visit.run(|| ());
    let handed_over = |text: String| assert!(text.contains("hand the work over"), "{text}");
    handed_over(WANTED.get().unwrap_err().to_string());
    drop((visit, arrive("acme")));
    handed_over(WANTED.get().unwrap_err().to_string());
}

/// The error text names this hop and its line in this file.
#[track_caller]
fn came_by(error: &MissingContext, hop: &str, line: u32) {
    let text = error.to_string();
    assert!(text.contains(&format!("last hop: {hop} at {}:{line}:", file!())), "{text}");
}

#[test]
fn each_hop_names_itself_and_its_place() {
    static OTHER: ContextVar<u32> = ContextVar::new("other");
    let error = Context::empty().run(|| WANTED.get()).unwrap_err();
    came_by(&error, "run", line!() - 1);
    let error = OTHER.sync_scope(1, || WANTED.get()).unwrap_err();
    came_by(&error, "scope", line!() - 1);
    let error = haversack::thread::spawn(|| WANTED.get()).join().unwrap().unwrap_err();
    came_by(&error, "thread", line!() - 1);
    let error = haversack::wrap(|| WANTED.get())().unwrap_err();
    came_by(&error, "wrapped work", line!() - 1);
    // A set keeps the way the frame came.
    let set_and_read = || {
        drop(OTHER.set(1).unwrap());
        WANTED.get()
    };
    let error = Context::empty().run(set_and_read).unwrap_err();
    came_by(&error, "run", line!() - 1);
    on_both(|| async {
        let error = OTHER.scope(1, async { WANTED.get() }).await.unwrap_err();
        came_by(&error, "scope", line!() - 1);
        let error = async { WANTED.get() }.with_context(Context::empty()).await.unwrap_err();
        came_by(&error, "wrapped work", line!() - 1);
        let error = async { WANTED.get() }.in_current_context().await.unwrap_err();
        came_by(&error, "wrapped work", line!() - 1);
        let error = async { WANTED.get() }.isolated().await.unwrap_err();
        came_by(&error, "wrapped work", line!() - 1);
        let error = haversack::detached(async { WANTED.get() }).await.unwrap_err();
        came_by(&error, "detached", line!() - 1);
    });
}

#[test]
#[cfg(feature = "tokio")]
fn a_task_names_the_place_of_its_spawn() {
    on_both(|| async {
        let error = haversack::spawn(async { WANTED.get() }).await.unwrap().unwrap_err();
        came_by(&error, "spawn", line!() - 1);
        let error = haversack::spawn_blocking(|| WANTED.get()).await.unwrap().unwrap_err();
        came_by(&error, "spawn", line!() - 1);
        let error = haversack::spawn_detached(async { WANTED.get() }).await.unwrap().unwrap_err();
        came_by(&error, "detached", line!() - 1);
        let mut members = haversack::JoinSet::new();
        members.spawn(async { WANTED.get() });
        came_by(&members.join_next().await.unwrap().unwrap().unwrap_err(), "spawn", line!() - 1);
    });
}

#[test]
fn the_errors_are_errors_and_small() {
    fn is_error<E: std::error::Error + Send + Sync + 'static>() {}
    is_error::<MissingContext>();
    is_error::<haversack::ForeignContext>();
    is_error::<haversack::NoFrame>();
    is_error::<haversack::ResetError>();
    is_error::<haversack::Refused>();
    let pointer = size_of::<usize>();
    assert_eq!(size_of::<MissingContext>(), pointer);
    assert_eq!(size_of::<Result<u64, MissingContext>>(), 2 * pointer);
    assert_eq!(size_of::<haversack::ForeignContext>(), pointer);
}
