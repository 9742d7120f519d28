//! Stacks that are switched inside a frame. Safe code can do that with a crate for coroutines, and leave a frame while
//! somebody else's is current: the process ends then, before anything that is gone is read.

use std::process::{Command, Stdio};

use corosensei::{Coroutine, CoroutineResult};
use haversack::{Context, ContextVar};

static WORD: ContextVar<String> = ContextVar::new("word");

fn of(word: &str) -> Context {
    Context::empty().bind(&WORD, word.to_owned())
}

/// Suspends inside a frame of its own.
fn in_a_frame() -> Coroutine<(), (), String> {
    Coroutine::new(|yielder, ()| {
        of("inner").run(|| {
            yielder.suspend(());
            WORD.get().unwrap()
        })
    })
}

/// Suspends with a borrow of a value of whoever resumes it first.
fn in_a_borrow() -> Coroutine<(), (), usize> {
    Coroutine::new(|yielder, ()| {
        WORD.with(|word| {
            yielder.suspend(());
            word.len()
        })
        .unwrap()
    })
}

#[test]
fn a_coroutine_that_leaves_its_frame_in_order_is_in_its_own_context() {
    let (mut inner, mut reader) = (in_a_frame(), in_a_borrow());
    of("outer").run(|| {
        assert!(matches!(reader.resume(()), CoroutineResult::Yield(())));
        assert!(matches!(inner.resume(()), CoroutineResult::Yield(())));
        assert!(matches!(inner.resume(()), CoroutineResult::Return(word) if word == "inner"));
        assert!(matches!(reader.resume(()), CoroutineResult::Return(5)));
        assert_eq!(WORD.get().unwrap(), "outer");
        // One that is dropped where it is suspended leaves its frame too.
        let mut dropped = in_a_frame();
        dropped.resume(());
        drop(dropped);
        assert_eq!(WORD.get().unwrap(), "outer");
    });
}

#[test]
#[ignore = "it ends its process; the law below runs it"]
fn frame_over_a_suspended_one() {
    let mut inner = in_a_frame();
    of("outer").run(|| {
        inner.resume(());
    });
    inner.resume(());
}

#[test]
#[ignore = "it ends its process; the law below runs it"]
fn frame_over_a_suspended_borrow() {
    let mut reader = in_a_borrow();
    of("outer").run(|| {
        reader.resume(());
    });
    reader.resume(());
}

#[test]
#[ignore = "it ends its process; the law below runs it"]
fn borrow_that_ends_in_another_frame() {
    let mut reader = in_a_borrow();
    of("outer").run(|| {
        reader.resume(());
        of("other").run(|| {
            reader.resume(());
        });
    });
}

#[test]
fn a_stack_that_is_switched_inside_a_frame_ends_the_process_before_a_value_that_is_gone_is_read() {
    for case in
        ["frame_over_a_suspended_one", "frame_over_a_suspended_borrow", "borrow_that_ends_in_another_frame"]
    {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", &format!("switched::{case}"), "--ignored", "--nocapture"]);
        let ended = child.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(said.contains("haversack: a frame was left while"), "{case}: {} {said}", ended.status);
        #[cfg(unix)]
        {
            use std::os::unix::process::ExitStatusExt;
            const SIGABRT: i32 = 6;
            assert_eq!(ended.status.signal(), Some(SIGABRT), "{case}: {}", ended.status);
        }
    }
}
