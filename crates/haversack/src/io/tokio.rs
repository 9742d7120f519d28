//! Tokio's traits for [`ContextIo`].

use std::io::{IoSlice, Result, SeekFrom};
use std::pin::Pin;
use std::task::{Context as Waking, Poll};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncSeek, AsyncWrite, ReadBuf};

use super::ContextIo;

impl<T: AsyncRead> AsyncRead for ContextIo<T> {
    fn poll_read(self: Pin<&mut Self>, waking: &mut Waking<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        self.project().inner.enter(|io| io.poll_read(waking, into))
    }
}

impl<T: AsyncBufRead> AsyncBufRead for ContextIo<T> {
    fn poll_fill_buf(self: Pin<&mut Self>, waking: &mut Waking<'_>) -> Poll<Result<&[u8]>> {
        self.project().inner.enter(|io| io.poll_fill_buf(waking))
    }

    fn consume(self: Pin<&mut Self>, bytes: usize) {
        self.project().inner.enter(|io| io.consume(bytes));
    }
}

impl<T: AsyncSeek> AsyncSeek for ContextIo<T> {
    fn start_seek(self: Pin<&mut Self>, to: SeekFrom) -> Result<()> {
        self.project().inner.enter(|io| io.start_seek(to))
    }

    fn poll_complete(self: Pin<&mut Self>, waking: &mut Waking<'_>) -> Poll<Result<u64>> {
        self.project().inner.enter(|io| io.poll_complete(waking))
    }
}

impl<T: AsyncWrite> AsyncWrite for ContextIo<T> {
    fn poll_write(self: Pin<&mut Self>, waking: &mut Waking<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.project().inner.enter(|io| io.poll_write(waking, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        waking: &mut Waking<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.project().inner.enter(|io| io.poll_write_vectored(waking, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.look(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, waking: &mut Waking<'_>) -> Poll<Result<()>> {
        self.project().inner.enter(|io| io.poll_flush(waking))
    }

    fn poll_shutdown(self: Pin<&mut Self>, waking: &mut Waking<'_>) -> Poll<Result<()>> {
        self.project().inner.enter(|io| io.poll_shutdown(waking))
    }
}
