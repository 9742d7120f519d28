//! Input of a connection is counted before it is kept: its heads where they are read from the socket, its bodies frame by
//! frame. An answer holds its request's bytes until its last byte is written. The listener wraps each connection.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use axum::BoxError;
use axum::body::Body;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::room::{Busy, Bytes};

/// Bytes of a head that do not count: what every connection has for reading anyway.
const FREE: usize = 8 * 1024;

/// A socket whose heads are counted.
pub(super) struct Metered {
    stream: TcpStream,
    head: Head,
}

/// The head that a connection is sending. Cheap to clone.
#[derive(Clone)]
pub(super) struct Head(Arc<Mutex<Reading>>);

struct Reading {
    bytes: Bytes,
    read: usize,
    /// A request is being answered, and what is read is its body.
    in_request: bool,
    /// The connection is no HTTP any more.
    over: bool,
}

impl Head {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self(Arc::new(Mutex::new(Reading { bytes, read: 0, in_request: false, over: false })))
    }

    /// The head is complete. It counts until its request ends.
    pub(super) fn complete(&self) {
        self.reading().in_request = true;
    }

    /// HTTP ends on this connection: nothing that is read from now on is a head.
    pub(super) fn over(&self) {
        let mut reading = self.reading();
        reading.bytes.release();
        reading.over = true;
    }

    /// The request has ended; the next head begins.
    fn next(&self) {
        let mut reading = self.reading();
        reading.bytes.release();
        (reading.read, reading.in_request) = (0, false);
    }

    fn read(&self, more: usize) -> io::Result<()> {
        let mut reading = self.reading();
        if reading.in_request || reading.over {
            return Ok(());
        }
        reading.read += more;
        let due = reading.read.saturating_sub(FREE).saturating_sub(reading.bytes.held());
        if due > 0 && !reading.bytes.take(due) {
            return Err(io::Error::other("there is no room for the head"));
        }
        Ok(())
    }

    fn reading(&self) -> MutexGuard<'_, Reading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Metered {
    pub(super) fn new(stream: TcpStream, head: Head) -> Self {
        Self { stream, head }
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        Poll::Ready(self.head.read(buf.filled().len() - before))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A mark among a request's extensions, set if the request had more bytes than there was room for.
#[derive(Clone)]
pub(super) struct NoRoom(Arc<AtomicBool>);

impl NoRoom {
    pub(super) fn happened(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The bytes of one request's body.
#[derive(Clone)]
pub(super) struct Upload(Arc<Mutex<Bytes>>);

impl Upload {
    pub(super) fn new(bytes: Bytes) -> (Self, NoRoom) {
        let no_room = NoRoom(bytes.refused());
        (Self(Arc::new(Mutex::new(bytes))), no_room)
    }

    /// Counts more bytes, up to `most`: nothing that is read later is kept.
    fn take(&self, more: usize, most: usize) -> bool {
        let mut bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let more = more.min(most.saturating_sub(bytes.held()));
        bytes.take(more)
    }
}

/// A request's body whose bytes are counted as they come.
pub(super) struct Counted {
    body: Incoming,
    upload: Upload,
    most: usize,
}

impl Counted {
    /// A body of which at most `most` bytes are kept.
    pub(super) fn new(body: Incoming, upload: Upload, most: usize) -> Self {
        Self { body, upload, most }
    }
}

impl http_body::Body for Counted {
    type Data = bytes::Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, BoxError>>> {
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            None => return Poll::Ready(None),
        };
        let more = frame.data_ref().map_or(0, bytes::Bytes::len);
        if self.upload.take(more, self.most) {
            Poll::Ready(Some(Ok(frame)))
        } else {
            Poll::Ready(Some(Err("there is no room for the body".into())))
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The resources of a request until the last byte of its answer is written.
pub(super) struct Request {
    head: Head,
    _busy: Busy,
    _upload: Upload,
}

impl Request {
    pub(super) fn new(head: Head, busy: Busy, upload: Upload) -> Self {
        Self { head, _busy: busy, _upload: upload }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.head.next();
    }
}

/// The body of an answer, with what its request holds.
pub(super) struct Answer {
    body: Body,
    _request: Request,
}

impl Answer {
    pub(super) fn new(body: Body, request: Request) -> Self {
        Self { body, _request: request }
    }
}

impl http_body::Body for Answer {
    type Data = bytes::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
