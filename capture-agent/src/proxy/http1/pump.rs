//! One direction of a relayed connection: bytes that were read and not yet written.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::AsyncWrite as _;
use tokio_util::io::poll_read_buf;

use super::head::MAX_HEAD;
use crate::edge::stream::Stream;

/// Bytes read at once at first, and once the sender fills that.
const READ: (usize, usize) = (16 << 10, 64 << 10);
/// No more is read while so much waits to be understood or written. Room for the largest head.
const FULL: usize = MAX_HEAD + READ.0;

/// Bytes on their way. Those in front have been understood and may be written.
#[derive(Debug, Default)]
pub(super) struct Pump {
    bytes: BytesMut,
    cleared: usize,
    fast: bool,
    unflushed: bool,
}

impl Pump {
    /// Bytes that have been read before.
    pub(super) fn holding(bytes: BytesMut) -> Self {
        Self { bytes, ..Self::default() }
    }

    /// What has been read and not been understood.
    pub(super) fn ahead(&self) -> &[u8] {
        &self.bytes[self.cleared..]
    }

    /// So many more bytes have been understood.
    pub(super) fn clear(&mut self, count: usize) {
        self.cleared += count;
    }

    /// Whether something may be written.
    pub(super) fn has_cleared(&self) -> bool {
        self.cleared > 0
    }

    /// Drops what has not been understood.
    pub(super) fn forget_ahead(&mut self) {
        self.bytes.truncate(self.cleared);
    }

    /// Drops everything.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Drops `count` bytes in front, of which none may have been cleared.
    pub(super) fn skip(&mut self, count: usize) {
        self.bytes.advance(count);
    }

    /// Replaces the first `count` bytes of what lies ahead.
    pub(super) fn replace_ahead(&mut self, count: usize, with: &[u8]) {
        let mut bytes = BytesMut::with_capacity(self.bytes.len() + with.len());
        bytes.extend_from_slice(&self.bytes[..self.cleared]);
        bytes.extend_from_slice(with);
        bytes.extend_from_slice(&self.bytes[self.cleared + count..]);
        self.bytes = bytes;
    }

    /// Puts cleared bytes in front of everything.
    pub(super) fn put_first(&mut self, first: &[u8]) {
        let mut bytes = BytesMut::with_capacity(first.len() + self.bytes.len());
        bytes.extend_from_slice(first);
        bytes.extend_from_slice(&self.bytes);
        self.bytes = bytes;
        self.cleared += first.len();
    }

    /// Whether more may be read.
    pub(super) fn has_room(&self) -> bool {
        self.bytes.len() < FULL
    }

    /// Reads more; `0` at the end. A direction that waits for bytes holds no room for them.
    pub(super) fn poll_fill(&mut self, from: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.bytes.is_empty()
            && let Stream::Tcp(socket) = &*from
            && socket.poll_read_ready(cx)?.is_pending()
        {
            self.bytes = BytesMut::new();
            return Poll::Pending;
        }
        let room = if self.fast { READ.1 } else { READ.0 };
        self.bytes.reserve(room);
        let space = self.bytes.capacity() - self.bytes.len();
        match poll_read_buf(Pin::new(from), cx, &mut self.bytes) {
            Poll::Pending => {
                self.bytes = fitting(std::mem::take(&mut self.bytes));
                Poll::Pending
            }
            Poll::Ready(read) => {
                self.fast = read.as_ref().is_ok_and(|&count| count == space);
                Poll::Ready(read)
            }
        }
    }

    /// Writes some of what has been cleared.
    pub(super) fn poll_drain(&mut self, to: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let count = ready!(Pin::new(to).poll_write(cx, &self.bytes[..self.cleared]))?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.bytes.advance(count);
        self.cleared -= count;
        self.unflushed = true;
        Poll::Ready(Ok(()))
    }

    /// Passes on what a layer below (TLS) may still hold.
    pub(super) fn poll_flush(&mut self, to: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unflushed {
            ready!(Pin::new(to).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

/// The same bytes without much room behind them: connections that wait are many.
pub(crate) fn fitting(bytes: BytesMut) -> BytesMut {
    if bytes.len() < bytes.capacity() / 8 { BytesMut::from(&bytes[..]) } else { bytes }
}
