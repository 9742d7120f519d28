//! Threads of the standard library: each starts with the context of the moment of its spawn.

use haversack::{ContextVar, Reason, thread};

static LANE: ContextVar<u32> = ContextVar::new("lane");

#[test]
fn a_thread_sees_the_moment_of_its_spawn_and_gives_nothing_back() {
    LANE.sync_scope(1, || {
        let (go, gone) = std::sync::mpsc::channel();
        let child = thread::spawn(move || {
            gone.recv().unwrap();
            let seen = LANE.get().unwrap();
            let _kept = LANE.set(3).unwrap();
            seen
        });
        let _kept = LANE.set(2).unwrap();
        go.send(()).unwrap();
        assert_eq!(child.join().unwrap(), 1);
        assert_eq!(LANE.get().unwrap(), 2);
    });
}

#[test]
fn a_bare_thread_is_in_no_context() {
    LANE.sync_scope(1, || {
        let error = std::thread::spawn(|| LANE.get()).join().unwrap().unwrap_err();
        assert_eq!(error.reason(), Reason::NoFrame);
    });
}

#[test]
fn a_builder_keeps_what_it_was_told_and_carries_the_context() {
    LANE.sync_scope(1, || {
        let builder = thread::Builder::new().name("lane-one".to_owned()).stack_size(256 * 1024);
        let child = builder.spawn(|| (std::thread::current().name().map(str::to_owned), LANE.get().ok()));
        assert_eq!(child.unwrap().join().unwrap(), (Some("lane-one".to_owned()), Some(1)));
    });
}

#[test]
fn a_detached_thread_inherits_nothing() {
    LANE.sync_scope(1, || {
        let child = thread::Builder::new().spawn_detached(|| LANE.get().ok());
        assert_eq!(child.unwrap().join().unwrap(), None);
    });
}

#[test]
fn scoped_threads_borrow_and_carry_the_context() {
    let borrowed = [10, 20];
    LANE.sync_scope(1, || {
        let sums: Vec<u32> = thread::scope(|scope| {
            let threads: Vec<_> = borrowed
                .iter()
                .map(|add| {
                    let token = LANE.set(*add).unwrap();
                    let thread = scope.spawn(|| LANE.get().unwrap() + *add);
                    token.reset().unwrap();
                    thread
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(sums, [20, 40]);
        assert_eq!(LANE.get().unwrap(), 1);
    });
}

#[test]
fn a_builder_starts_scoped_threads_that_borrow_and_carry_the_context() {
    let borrowed = [10];
    LANE.sync_scope(1, || {
        thread::scope(|scope| {
            let builder = thread::Builder::new().name("lane-two".to_owned());
            let child = builder.spawn_scoped(scope, || {
                (std::thread::current().name().map(str::to_owned), LANE.get().unwrap() + borrowed[0])
            });
            drop(LANE.set(2).unwrap());
            assert_eq!(child.unwrap().join().unwrap(), (Some("lane-two".to_owned()), 11));
        });
    });
}

#[test]
fn the_panic_of_a_thread_comes_back_through_its_handle() {
    let child = LANE.sync_scope(1, || thread::spawn(|| std::panic::resume_unwind(Box::new("thrown"))));
    let thrown: Box<dyn std::any::Any + Send> = {
        let joined: Result<(), _> = child.join();
        joined.unwrap_err()
    };
    assert_eq!(thrown.downcast_ref::<&str>(), Some(&"thrown"));
}

#[test]
fn a_context_works_while_a_thread_tears_down_its_locals() {
    struct AtExit(std::sync::mpsc::Sender<(Option<u32>, u32)>);
    impl Drop for AtExit {
        fn drop(&mut self) {
            let bare = LANE.get().ok();
            let own = LANE.sync_scope(7, || {
                let _kept = LANE.set(LANE.get().unwrap() + 1).unwrap();
                LANE.get().unwrap()
            });
            self.0.send((bare, own)).unwrap();
        }
    }
    thread_local! { static EXIT: std::cell::RefCell<Option<AtExit>> = const { std::cell::RefCell::new(None) } }
    let (send, receive) = std::sync::mpsc::channel();
    LANE.sync_scope(1, || {
        thread::spawn(move || EXIT.with(|exit| *exit.borrow_mut() = Some(AtExit(send)))).join().unwrap();
    });
    assert_eq!(receive.recv().unwrap(), (None, 8));
}
