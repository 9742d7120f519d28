//! Readers and writers: their own context at each call and at the drop, whoever uses them.

use std::io::{IoSlice, Result, SeekFrom};
use std::pin::Pin;
use std::sync::mpsc::Sender;
use std::task::{Context as Waking, Poll};

use haversack::io::ContextIo;
use haversack::{Context, ContextVar, FutureExt, Reason};

use crate::probe::{MARK, Probe, probe};
use crate::runtimes::as_task_on_both;

static OPEN: ContextVar<u32> = ContextVar::new("open beside a connection").confined();

/// The calls, each with the mark that it saw.
type Noted = Vec<(&'static str, Option<u32>)>;

/// Notes the mark at each call, and tells at its drop. What is read from it is one byte: the mark.
#[derive(Default)]
struct Noting {
    noted: Noted,
    told: Option<Sender<Noted>>,
    _held: Option<Probe>,
}

impl Drop for Noting {
    fn drop(&mut self) {
        self.noted.push(("drop", MARK.get().ok()));
        if let Some(told) = &self.told {
            told.send(std::mem::take(&mut self.noted)).unwrap();
        }
    }
}

impl Noting {
    fn note<T>(&mut self, call: &'static str, answer: T) -> Poll<Result<T>> {
        self.noted.push((call, MARK.get().ok()));
        Poll::Ready(Ok(answer))
    }
}

fn marked(mark: u32) -> Context {
    Context::empty().bind(&MARK, mark)
}

#[cfg(feature = "io")]
mod tokios {
    use tokio::io::{
        AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncSeek, AsyncSeekExt as _,
        AsyncWrite, AsyncWriteExt as _, ReadBuf,
    };

    use super::*;

    impl AsyncRead for Noting {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Waking<'_>,
            into: &mut ReadBuf<'_>,
        ) -> Poll<Result<()>> {
            into.put_slice(&[MARK.get().unwrap_or(0) as u8]);
            self.note("read", ())
        }
    }

    impl AsyncBufRead for Noting {
        fn poll_fill_buf(mut self: Pin<&mut Self>, _: &mut Waking<'_>) -> Poll<Result<&[u8]>> {
            self.note("fill", &b"x"[..])
        }

        fn consume(mut self: Pin<&mut Self>, _: usize) {
            let _ready = self.note("consume", ());
        }
    }

    impl AsyncSeek for Noting {
        fn start_seek(mut self: Pin<&mut Self>, _: SeekFrom) -> Result<()> {
            let _ready = self.note("seek", ());
            Ok(())
        }

        fn poll_complete(mut self: Pin<&mut Self>, _: &mut Waking<'_>) -> Poll<Result<u64>> {
            self.note("complete", 5)
        }
    }

    impl AsyncWrite for Noting {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Waking<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
            self.note("write", bytes.len())
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Waking<'_>,
            pieces: &[IoSlice<'_>],
        ) -> Poll<Result<usize>> {
            self.note("write vectored", pieces.iter().map(|piece| piece.len()).sum())
        }

        fn is_write_vectored(&self) -> bool {
            MARK.get().ok() == Some(1)
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Waking<'_>) -> Poll<Result<()>> {
            self.note("flush", ())
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Waking<'_>) -> Poll<Result<()>> {
            self.note("shutdown", ())
        }
    }

    #[test]
    fn every_call_runs_in_its_own_context_whoever_makes_it() {
        as_task_on_both(|| {
            async {
                let (send, receive) = std::sync::mpsc::channel();
                let mut noting = Noting::default();
                noting.told = Some(send);
                let mut io = ContextIo::with_context(noting, marked(1));
                assert_eq!(io.read_u8().await.unwrap(), 1, "and not its user's");
                io.write_all(b"abc").await.unwrap();
                io.flush().await.unwrap();
                io.seek(SeekFrom::Start(5)).await.unwrap();
                io.shutdown().await.unwrap();
                drop(io);
                let noted = receive.recv().unwrap();
                let calls: Vec<_> = noted.iter().map(|(call, _)| *call).collect();
                assert_eq!(
                    calls,
                    ["read", "write", "flush", "complete", "seek", "complete", "shutdown", "drop"]
                );
                assert!(noted.iter().all(|(_, mark)| *mark == Some(1)), "{noted:?}");
                assert_eq!(MARK.get().ok(), Some(9));
            }
            .with_context(marked(9))
        });
    }

    #[test]
    fn a_buffer_is_lent_out_of_the_context_and_pieces_are_written_in_it() {
        as_task_on_both(|| {
            async {
                let mut io = ContextIo::with_context(Noting::default(), marked(1));
                assert_eq!(io.fill_buf().await.unwrap(), b"x");
                io.consume(1);
                assert!(io.is_write_vectored());
                let pieces = [IoSlice::new(b"ab"), IoSlice::new(b"c")];
                assert_eq!(io.write_vectored(&pieces).await.unwrap(), 3);
                assert_eq!(MARK.get().ok(), Some(9));
            }
            .with_context(marked(9))
        });
    }

    #[test]
    fn a_real_connection_served_by_another_tenants_task_reads_and_writes_under_its_own() {
        as_task_on_both(|| async {
            let (ours, mut theirs) = tokio::io::duplex(64);
            let ours = marked(1).run(|| ContextIo::in_current_context(ours));
            let served = tokio::spawn(
                async move {
                    let mut ours = ours;
                    let mut text = String::new();
                    ours.read_to_string(&mut text).await.unwrap();
                    ours.write_all(text.as_bytes()).await.unwrap();
                    ours.shutdown().await.unwrap();
                    MARK.get().ok()
                }
                .with_context(marked(2)),
            );
            theirs.write_all(b"over and back").await.unwrap();
            theirs.shutdown().await.unwrap();
            let mut back = String::new();
            theirs.read_to_string(&mut back).await.unwrap();
            assert_eq!((back.as_str(), served.await.unwrap()), ("over and back", Some(2)));
        });
    }

    #[test]
    fn a_connection_made_in_no_context_stays_in_none_and_what_is_confined_does_not_come_along() {
        struct Reads;
        impl AsyncRead for Reads {
            fn poll_read(self: Pin<&mut Self>, _: &mut Waking<'_>, _: &mut ReadBuf<'_>) -> Poll<Result<()>> {
                let error = OPEN.get().unwrap_err();
                let Reason::Withheld { at, .. } = error.reason() else { panic!("{error}") };
                Poll::Ready(Err(std::io::Error::other(format!("{}", at.line()))))
            }
        }
        as_task_on_both(|| {
            let none = ContextIo::in_current_context(Noting::default());
            async {
                let mut none = none;
                assert_eq!(none.read_u8().await.unwrap(), 0);
                let mut reads = ContextIo::in_current_context(Reads);
                let line = line!() - 1;
                assert_eq!(reads.read_u8().await.unwrap_err().to_string(), line.to_string());
                assert_eq!(OPEN.get().unwrap(), 1);
            }
            .with_context(marked(9).bind(&OPEN, 1))
        });
    }
}

#[cfg(feature = "futures-io")]
mod futures {
    use std::io::IoSliceMut;

    use futures_util::io::{
        AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncSeek, AsyncSeekExt as _,
        AsyncWrite, AsyncWriteExt as _,
    };

    use super::*;

    /// Answers each call with the mark it sees.
    struct Answers;

    fn mark() -> usize {
        MARK.get().unwrap_or(0) as usize
    }

    impl AsyncRead for Answers {
        fn poll_read(self: Pin<&mut Self>, _: &mut Waking<'_>, into: &mut [u8]) -> Poll<Result<usize>> {
            into[0] = mark() as u8;
            Poll::Ready(Ok(1))
        }

        fn poll_read_vectored(
            self: Pin<&mut Self>,
            _: &mut Waking<'_>,
            into: &mut [IoSliceMut<'_>],
        ) -> Poll<Result<usize>> {
            into[1][0] = mark() as u8;
            Poll::Ready(Ok(into.len()))
        }
    }

    impl AsyncBufRead for Answers {
        fn poll_fill_buf(self: Pin<&mut Self>, _: &mut Waking<'_>) -> Poll<Result<&[u8]>> {
            Poll::Ready(Ok(&b"xyz"[..mark()]))
        }

        fn consume(self: Pin<&mut Self>, bytes: usize) {
            assert_eq!(bytes, mark());
        }
    }

    impl AsyncSeek for Answers {
        fn poll_seek(self: Pin<&mut Self>, _: &mut Waking<'_>, _: SeekFrom) -> Poll<Result<u64>> {
            Poll::Ready(Ok(mark() as u64))
        }
    }

    impl AsyncWrite for Answers {
        fn poll_write(self: Pin<&mut Self>, _: &mut Waking<'_>, _: &[u8]) -> Poll<Result<usize>> {
            Poll::Ready(Ok(mark()))
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            _: &mut Waking<'_>,
            pieces: &[IoSlice<'_>],
        ) -> Poll<Result<usize>> {
            Poll::Ready(Ok(mark() + pieces.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Waking<'_>) -> Poll<Result<()>> {
            Poll::Ready(if mark() == 1 { Ok(()) } else { Err(std::io::Error::other("flushed by another")) })
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Waking<'_>) -> Poll<Result<()>> {
            Poll::Ready(if mark() == 1 { Ok(()) } else { Err(std::io::Error::other("closed by another")) })
        }
    }

    #[test]
    fn every_call_runs_in_its_own_context_whoever_makes_it() {
        as_task_on_both(|| {
            async {
                let mut io = ContextIo::with_context(Answers, marked(1));
                let (mut one, mut two) = ([0; 1], [0; 1]);
                assert_eq!((io.read(&mut one).await.unwrap(), one), (1, [1]));
                let mut pieces = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
                assert_eq!(io.read_vectored(&mut pieces).await.unwrap(), 2);
                assert_eq!(two, [1]);
                assert_eq!(io.fill_buf().await.unwrap(), b"x");
                io.consume_unpin(1);
                assert_eq!(io.seek(SeekFrom::Start(5)).await.unwrap(), 1);
                assert_eq!(io.write(b"abc").await.unwrap(), 1);
                assert_eq!(io.write_vectored(&[IoSlice::new(b"a"), IoSlice::new(b"b")]).await.unwrap(), 3);
                io.flush().await.unwrap();
                io.close().await.unwrap();
                assert_eq!(mark(), 9);
            }
            .with_context(marked(9))
        });
    }
}

#[test]
fn a_reader_is_dropped_inside_its_context_also_when_it_was_never_used() {
    let (held, seen) = probe();
    let io = ContextIo::with_context(Noting { noted: Vec::new(), told: None, _held: Some(held) }, marked(1));
    assert!(seen.not_yet());
    marked(9).run(|| drop(io));
    assert_eq!(seen.at_drop(), Some(1));
}
