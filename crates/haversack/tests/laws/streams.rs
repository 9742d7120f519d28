//! Streams: their own context at each poll and at the drop, whoever consumes them.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context as Waking, Poll};

use futures_util::stream::{self, Stream, StreamExt as _};
use haversack::{Context, ContextVar, FutureExt, Reason, StreamExt, StreamWithContext};

use crate::door::{arrive, tenant};
use crate::probe::{MARK, Probe, probe};
use crate::runtimes::{as_task_on_both, on_both};

fn marked(mark: u32) -> Context {
    Context::empty().bind(&MARK, mark)
}

/// Reads the mark at each poll, three times, then ends; holds a probe.
struct Reading {
    left: u32,
    _probe: Option<Probe>,
}

impl Stream for Reading {
    type Item = Option<u32>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Waking<'_>) -> Poll<Option<Self::Item>> {
        let Some(left) = self.left.checked_sub(1) else { return Poll::Ready(None) };
        self.left = left;
        Poll::Ready(Some(MARK.get().ok()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

#[test]
fn what_is_confined_does_not_come_along_with_a_stream() {
    static OPEN: ContextVar<u32> = ContextVar::new("open beside a stream").confined();
    as_task_on_both(|| {
        async {
            let reads = stream::repeat_with(|| (OPEN.get(), MARK.get().unwrap()));
            let mut reads = Box::pin(reads.in_current_context());
            let line = line!() - 1;
            let (open, mark) = reads.next().await.unwrap();
            let error = open.unwrap_err();
            let Reason::Withheld { at, .. } = error.reason() else { panic!("{error}") };
            assert_eq!((at.file().ends_with("streams.rs"), at.line(), mark), (true, line, 1));
            assert_eq!(OPEN.get().unwrap(), 7, "it stays where it was");
        }
        .with_context(marked(1).bind(&OPEN, 7))
    });
}

#[test]
fn a_stream_reads_its_own_context_whoever_consumes_it() {
    as_task_on_both(|| {
        async {
            let mut stream = Reading { left: 3, _probe: None }.with_context(marked(1));
            assert_eq!(stream.next().await, Some(Some(1)));
            let rest = tokio::spawn(
                async move {
                    let read = stream.next().await;
                    (read, stream, MARK.get().unwrap())
                }
                .with_context(marked(2)),
            );
            let (read, mut stream, consumer) = rest.await.unwrap();
            assert_eq!((read, consumer), (Some(Some(1)), 2));
            assert_eq!((stream.next().await, stream.next().await), (Some(Some(1)), None));
        }
        .with_context(marked(9))
    });
}

#[test]
fn a_stream_takes_the_context_of_the_call() {
    on_both(|| async {
        let stream = marked(1).run(|| Reading { left: 2, _probe: None }.in_current_context());
        let read: Vec<_> = marked(2).run(|| FutureExt::in_current_context(stream.collect())).await;
        assert_eq!(read, [Some(1), Some(1)]);
    });
}

#[test]
fn a_stream_is_dropped_inside_its_context() {
    let (probe, seen) = probe();
    let stream = Reading { left: 3, _probe: Some(probe) }.with_context(marked(1));
    assert!(seen.not_yet());
    marked(9).run(|| drop(stream));
    assert_eq!(seen.at_drop(), Some(1));
}

#[test]
fn a_half_read_generator_cleans_up_inside_its_context() {
    on_both(|| async {
        let (probe, seen) = probe();
        let generator = stream::unfold(Some(probe), |probe| async move {
            tokio::task::yield_now().await;
            probe.map(|probe| (MARK.get().ok(), Some(probe)))
        });
        let mut generator = Box::pin(StreamExt::with_context(generator, marked(1)));
        assert_eq!(generator.next().await, Some(Some(1)));
        async move { drop(generator) }.with_context(marked(2)).await;
        assert_eq!(seen.at_drop(), Some(1));
    });
}

#[test]
fn what_a_stream_sets_survives_its_polls_and_does_not_reach_its_consumer() {
    on_both(|| {
        async {
            let counting = stream::unfold((), |()| async {
                let next = MARK.get().unwrap() + 1;
                drop(MARK.set(next).unwrap());
                (next < 5).then_some((next, ()))
            });
            let counting = StreamExt::with_context(counting, marked(0));
            assert_eq!(counting.collect::<Vec<_>>().await, [1, 2, 3, 4]);
            assert_eq!(MARK.get().unwrap(), 9);
        }
        .with_context(marked(9))
    });
}

#[test]
fn two_streams_merged_by_one_consumer_read_their_own_tenants() {
    as_task_on_both(|| {
        let of = |name| {
            let visit = arrive(name);
            visit.run(|| {
                let reads = stream::repeat_with(tenant).take(50).then(|read| async {
                    tokio::task::yield_now().await;
                    (read, tenant())
                });
                StreamExt::in_current_context(reads)
            })
        };
        let tagged = [of("a").map(|read| ("a", read)).boxed(), of("b").map(|read| ("b", read)).boxed()];
        arrive("consumer").wrap(async move {
            let mut merged = stream::select_all(tagged);
            let mut count = 0;
            while let Some((name, read)) = merged.next().await {
                assert_eq!(read, (Some(name.to_owned()), Some(name.to_owned())));
                count += 1;
            }
            assert_eq!((count, tenant().as_deref()), (100, Some("consumer")));
        })
    });
}

#[test]
fn the_size_hint_of_a_stream_is_kept() {
    let stream = Reading { left: 3, _probe: None }.with_context(marked(1));
    assert_eq!(stream.size_hint(), (3, Some(3)));
}

/// Says what it reads as how much it has.
struct Telling;

impl Stream for Telling {
    type Item = ();

    fn poll_next(self: Pin<&mut Self>, _: &mut Waking<'_>) -> Poll<Option<()>> {
        drop(MARK.set(2).unwrap());
        Poll::Ready(None)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, MARK.get().ok().map(|mark| mark as usize))
    }
}

#[test]
fn the_size_hint_of_a_stream_reads_its_own_context_whoever_asks() {
    on_both(|| async {
        let mut stream = Telling.with_context(marked(1));
        assert_eq!(marked(9).run(|| stream.size_hint()), (0, Some(1)));
        assert_eq!(stream.size_hint(), (0, Some(1)), "also outside of every frame");
        assert_eq!(stream.next().await, None);
        assert_eq!(marked(9).run(|| stream.size_hint()), (0, Some(2)), "and what it set");
        assert_eq!(marked(9).run(|| (stream.size_hint(), MARK.get().unwrap())), ((0, Some(2)), 9));
    });
}

static NAME: ContextVar<String> = ContextVar::new("name");

/// Knows what it is wrapped in, and asks it once more while it is asked itself.
struct Circle {
    wrapped: Weak<StreamWithContext<Circle>>,
    asked: Cell<usize>,
}

impl Stream for Circle {
    type Item = ();

    fn poll_next(self: Pin<&mut Self>, _: &mut Waking<'_>) -> Poll<Option<()>> {
        Poll::Ready(None)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let asked = self.asked.replace(self.asked.get() + 1);
        NAME.with(|name| {
            match asked {
                0 => assert_eq!(self.wrapped.upgrade().unwrap().size_hint(), (8, None)),
                _ => {
                    drop(NAME.set("another".repeat(40)).unwrap());
                    assert_eq!(NAME.get().unwrap().len(), 280);
                }
            }
            assert_eq!(name, "borrowed", "still there, whatever the inner answer set");
            (name.len(), None)
        })
        .unwrap()
    }
}

#[test]
fn a_size_hint_that_is_asked_while_it_is_answered_keeps_what_is_borrowed_and_what_is_bound() {
    let stream = Rc::new_cyclic(|wrapped| {
        let circle = Circle { wrapped: wrapped.clone(), asked: Cell::new(0) };
        circle.with_context(Context::empty().bind(&NAME, "borrowed".to_owned()))
    });
    for _ in 0..2 {
        assert_eq!(stream.size_hint(), (8, None));
    }
}
