//! Sinks: their own context at each call and at the drop, whoever feeds them.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context as Waking, Poll};

use futures_util::{Sink, SinkExt as _, StreamExt as _};
use haversack::{Context, ContextVar, FutureExt, Reason, SinkExt, StreamExt};

use crate::probe::{MARK, Probe, probe};
use crate::runtimes::as_task_on_both;

static OPEN: ContextVar<u32> = ContextVar::new("open beside a sink").confined();

/// Notes the mark at each call; gives back, as a stream, what it was given.
#[derive(Default)]
struct Noting {
    noted: Vec<(&'static str, Option<u32>)>,
    given: VecDeque<u32>,
    _held: Option<Probe>,
}

impl Noting {
    fn note(&mut self, call: &'static str) -> Poll<Result<(), Infallible>> {
        self.noted.push((call, MARK.get().ok()));
        Poll::Ready(Ok(()))
    }
}

impl Sink<u32> for Noting {
    type Error = Infallible;

    fn poll_ready(mut self: Pin<&mut Self>, _: &mut Waking<'_>) -> Poll<Result<(), Infallible>> {
        self.note("ready")
    }

    fn start_send(mut self: Pin<&mut Self>, item: u32) -> Result<(), Infallible> {
        self.given.push_back(item);
        let _ready = self.note("send");
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Waking<'_>) -> Poll<Result<(), Infallible>> {
        self.note("flush")
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Waking<'_>) -> Poll<Result<(), Infallible>> {
        self.note("close")
    }
}

impl futures_util::Stream for Noting {
    type Item = (u32, Vec<(&'static str, Option<u32>)>, Option<u32>);

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Waking<'_>) -> Poll<Option<Self::Item>> {
        let noted = std::mem::take(&mut self.noted);
        Poll::Ready(self.given.pop_front().map(|given| (given, noted, MARK.get().ok())))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // An end is known in its own context alone.
        (self.given.len(), (MARK.get().ok() == Some(1)).then_some(self.given.len()))
    }
}

fn marked(mark: u32) -> Context {
    Context::empty().bind(&MARK, mark)
}

fn in_one() -> Vec<(&'static str, Option<u32>)> {
    ["ready", "send", "flush", "close"].map(|call| (call, Some(1))).to_vec()
}

#[test]
fn a_sink_runs_every_call_in_its_own_context_whoever_feeds_it() {
    as_task_on_both(|| {
        async {
            // One that is a stream too stays both, by whichever trait it was wrapped.
            let mut sink = SinkExt::<u32>::with_context(Noting::default(), marked(1));
            sink.send(7).await.unwrap();
            sink.close().await.unwrap();
            assert_eq!(sink.next().await, Some((7, in_one(), Some(1))));
            let mut stream = StreamExt::with_context(Noting::default(), marked(1));
            stream.send(7).await.unwrap();
            stream.close().await.unwrap();
            assert_eq!(futures_util::Stream::size_hint(&stream), (1, Some(1)));
            assert_eq!(stream.next().await, Some((7, in_one(), Some(1))));
            assert_eq!(futures_util::Stream::size_hint(&sink), (0, Some(0)));
            assert_eq!(MARK.get().ok(), Some(9));
        }
        .with_context(marked(9))
    });
}

#[test]
fn what_a_sink_sets_survives_its_calls_and_does_not_reach_its_feeder() {
    as_task_on_both(|| {
        async {
            let counts = futures_util::sink::unfold((), |(), expected: u32| async move {
                assert_eq!(MARK.get().unwrap(), expected);
                drop(MARK.set(expected + 1).unwrap());
                Ok::<_, Infallible>(())
            });
            let mut counts = Box::pin(marked(0).run(|| SinkExt::in_current_context(counts)));
            for expected in 0..3 {
                counts.send(expected).await.unwrap();
            }
            assert_eq!(MARK.get().ok(), Some(9));
        }
        .with_context(marked(9))
    });
}

#[test]
fn a_sink_is_dropped_inside_its_context_also_when_it_was_never_used() {
    let (held, seen) = probe();
    let sink = SinkExt::<u32>::with_context(Noting { _held: Some(held), ..Noting::default() }, marked(1));
    assert!(seen.not_yet());
    marked(9).run(|| drop(sink));
    assert_eq!(seen.at_drop(), Some(1));
}

#[test]
fn a_sink_made_in_no_context_stays_in_none_and_what_is_confined_does_not_come_along() {
    as_task_on_both(|| {
        let none = SinkExt::<u32>::in_current_context(Noting::default());
        async {
            let mut none = none;
            none.send(7).await.unwrap();
            assert_eq!(none.next().await.unwrap().2, None);
            let reads = futures_util::sink::unfold((), |(), line: u32| async move {
                let error = OPEN.get().unwrap_err();
                let Reason::Withheld { at, .. } = error.reason() else { panic!("{error}") };
                assert!(at.file().ends_with("sinks.rs") && at.line() == line, "{at}");
                Ok::<_, Infallible>(())
            });
            let mut reads = Box::pin(SinkExt::in_current_context(reads));
            reads.send(line!() - 1).await.unwrap();
            assert_eq!(OPEN.get().unwrap(), 1);
        }
        .with_context(marked(9).bind(&OPEN, 1))
    });
}
