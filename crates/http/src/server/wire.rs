//! A connection's socket, with a deadline on progress and an ear for the hub.
//!
//! hyper asks a response's body for more only while the socket takes bytes. A reader that stops reading
//! therefore silences everything that lives in the body, and keeps its place for ever. What is still
//! polled, because it wants to flush, is the write itself: so the write is where the connection is ended.
//!
//! ```text
//!             socket takes bytes            evicted by the hub: `EVICTION_NOTICE` left
//!   flowing ◀───────────────────▶ blocked ───────────────────────────────────────────▶ reset
//!             socket is full         └── no progress for `stall_timeout` ────────────────▶ reset
//! ```
//!
//! The same silence hides a reader that goes away. hyper listens for its end only while it holds nothing
//! unread; behind a request that was followed by so much as a line end, nobody would listen until a heartbeat
//! cannot be written. So while a stream is open, the flush after each poll listens too.
//!
//! *Reset* means closed with `SO_LINGER` 0: the kernel drops what was not sent and frees it at once,
//! instead of offering it for minutes to somebody who does not read.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use plimsoll_bounds::hub::Meter;
use plimsoll_core::Clock;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long an evicted reader's socket may still take bytes, so that it can be told why. A reader that
/// does not read at all cannot be told, and its socket is reset when this has passed.
pub const EVICTION_NOTICE: Duration = Duration::from_millis(100);

/// What a route knows of the connection that its request came on.
#[derive(Clone)]
pub struct Link(Arc<Mutex<Option<Meter>>>);

impl Link {
    pub(super) fn new() -> Link {
        Link(Arc::default())
    }

    /// Reports the socket's progress to `meter` from now on, and closes the socket when the hub evicts its
    /// subscriber. A connection serves one stream at a time; a later one takes its place.
    pub fn attach(&self, meter: Meter) {
        *self.meter() = Some(meter);
    }

    // Held for a clone or a call of the meter, which only sets numbers.
    fn meter(&self) -> MutexGuard<'_, Option<Meter>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is read at a time of bytes that nobody wants.
const SCRAP_BYTES: usize = 1 << 10;

/// The socket. Reads pass through; writes are watched.
pub(super) struct Wire {
    stream: TcpStream,
    link: Link,
    clock: Arc<dyn Clock>,
    stall_timeout: Duration,
    // Armed while the socket takes no bytes.
    deadline: Option<Pin<Box<Sleep>>>,
    // The deadline was brought forward because the hub evicted the reader.
    evicted: bool,
    // Something that came behind the request of a stream was thrown away: what follows it is no request.
    deaf: bool,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, link: Link, clock: Arc<dyn Clock>, stall_timeout: Duration) -> Wire {
        Wire { stream, link, clock, stall_timeout, deadline: None, evicted: false, deaf: false }
    }

    fn wrote(&mut self, result: io::Result<usize>) -> Poll<io::Result<usize>> {
        if let Ok(written) = result {
            if let Some(meter) = &*self.link.meter() {
                meter.progressed(written as u64);
            }
            // An evicted reader does not earn time by taking a little now and then.
            if !self.evicted {
                self.deadline = None;
            }
        }
        Poll::Ready(result)
    }

    /// The socket is full: says so, and ends the connection when it has been for too long.
    fn poll_blocked(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let meter = self.link.meter().clone();
        if let Some(meter) = meter {
            meter.blocked(self.clock.now());
            if !self.evicted && meter.poll_evicted(cx).is_ready() {
                self.evicted = true;
                self.deadline = Some(Box::pin(sleep_until(Instant::now() + EVICTION_NOTICE)));
            }
        }
        let stall_timeout = self.stall_timeout;
        let deadline =
            self.deadline.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + stall_timeout)));
        ready!(deadline.as_mut().poll(cx));
        // Best effort: without it the kernel frees the buffers a little later.
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        let why = if self.evicted { "evicted" } else { "the peer takes no bytes" };
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)))
    }
}

impl Wire {
    /// Whether a stream is open that was not told to end.
    fn is_streaming(&self) -> bool {
        self.link.meter().as_ref().is_some_and(|meter| !meter.is_evicted())
    }

    /// Ready when the reader of an open stream has gone. What it still sends is thrown away.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if !self.is_streaming() {
            return Poll::Pending;
        }
        let mut scrap = [0; SCRAP_BYTES];
        let mut scrap = ReadBuf::new(&mut scrap);
        match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut scrap)) {
            Ok(()) if scrap.filled().is_empty() => Poll::Ready(io::ErrorKind::ConnectionAborted.into()),
            Ok(()) => {
                self.deaf = true;
                // There may be more; others have their turn first.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Err(error) => Poll::Ready(error),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.deaf {
            // While the stream is open, `poll_gone` listens; then, as at the end of input, the connection closes.
            return if self.is_streaming() { Poll::Pending } else { Poll::Ready(Ok(())) };
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, buf) {
            Poll::Ready(result) => self.wrote(result),
            Poll::Pending => self.poll_blocked(cx),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write_vectored(cx, bufs) {
            Poll::Ready(result) => self.wrote(result),
            Poll::Pending => self.poll_blocked(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(error) = self.poll_gone(cx) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
