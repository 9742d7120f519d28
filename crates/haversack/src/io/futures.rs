//! The traits of the crate `futures-io` for [`ContextIo`].

use std::io::{IoSlice, IoSliceMut, Result, SeekFrom};
use std::pin::Pin;
use std::task::{Context as Waking, Poll};

use futures_io::{AsyncBufRead, AsyncRead, AsyncSeek, AsyncWrite};

use super::ContextIo;

impl<T: AsyncRead> AsyncRead for ContextIo<T> {
    fn poll_read(self: Pin<&mut Self>, waking: &mut Waking<'_>, into: &mut [u8]) -> Poll<Result<usize>> {
        self.project().inner.enter(|io| io.poll_read(waking, into))
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        waking: &mut Waking<'_>,
        into: &mut [IoSliceMut<'_>],
    ) -> Poll<Result<usize>> {
        self.project().inner.enter(|io| io.poll_read_vectored(waking, into))
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
    fn poll_seek(self: Pin<&mut Self>, waking: &mut Waking<'_>, to: SeekFrom) -> Poll<Result<u64>> {
        self.project().inner.enter(|io| io.poll_seek(waking, to))
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

    fn poll_flush(self: Pin<&mut Self>, waking: &mut Waking<'_>) -> Poll<Result<()>> {
        self.project().inner.enter(|io| io.poll_flush(waking))
    }

    fn poll_close(self: Pin<&mut Self>, waking: &mut Waking<'_>) -> Poll<Result<()>> {
        self.project().inner.enter(|io| io.poll_close(waking))
    }
}
