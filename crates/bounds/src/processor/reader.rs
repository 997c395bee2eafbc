//! The window over a source: pulls pieces, keeps what is not cut yet in one pool buffer, copies chunks out.
//!
//! ```text
//!   the window's buffer, twice what the decider may see
//!   ├── cut already ──┤── not cut yet ──┤── room ──┤      held: the rest of one piece
//!   0               start              end      capacity
//!                     └─ shown: at most `window_bytes` of it
//! ```
//!
//! Bytes are moved to the front only when there is no room behind and less than `window_bytes` are left to
//! show. As the buffer is twice that, more than `window_bytes` were cut since the last time, and so each byte
//! of the input is moved at most once.
//!
//! After a source error the decider is asked on until it wants more bytes, and only then the error is given
//! out: what is cut before an error does not depend on how the bytes before it arrived.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes as Piece};
use futures_util::Stream;
use plimsoll_core::Bytes;
use tokio::time::Instant;

use super::alarm::Alarm;
use super::chunk::Chunk;
use super::error::{BufferUse, ChunkError, CutterFault};
use super::{ACQUIRE_TIMEOUT, OWNER_LABEL};
use crate::pool::{AcquireError, Lease, LeaseRequest, Owner, Pool, RevocableLease, Revoked};

/// How many pieces are taken in one poll before others get their turn: a source that is always ready and
/// gives little must not keep the thread.
const PIECES_PER_POLL: usize = 128;

/// A window that waits is touched this many times within the pool's leak timeout.
const TOUCHES_PER_LEAK_TIMEOUT: u32 = 4;

/// But never more often than this, whatever the leak timeout is.
const TOUCH_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// What to do with the bytes that are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// More bytes are needed.
    More,
    /// A chunk of the first `length` bytes; the next begins `step` bytes on. Both are at least 1.
    Cut { length: usize, step: usize },
    /// What is left at the end of the input makes no chunk.
    Leave,
}

/// Says what to cut: a cutter, or the rule for windows that overlap.
pub(super) trait Decide {
    /// `at_end` is only said of bytes that are fewer than the window.
    fn decide(&mut self, shown: &[u8], at_end: bool) -> Decision;

    /// The bytes have waited for long.
    fn flush(&mut self, shown: &[u8]) -> Decision;
}

/// A buffer that was asked for and has not come yet.
struct Awaited {
    what: Wanted,
    lease: Pin<Box<dyn Future<Output = Result<RevocableLease, AcquireError>> + Send>>,
}

#[derive(Clone, Copy)]
enum Wanted {
    Window,
    Chunk { length: usize, step: usize },
}

/// What went wrong inside, before it is known where.
enum Fault {
    Revoked(Revoked),
    Cutter(CutterFault),
}

impl From<Revoked> for Fault {
    fn from(revoked: Revoked) -> Fault {
        Fault::Revoked(revoked)
    }
}

/// The window, and all that a stream of chunks has besides its rule for cutting.
pub(super) struct Reader<S, E> {
    // Nothing once it ended or failed.
    source: Option<Pin<Box<S>>>,
    // The source's, given out when all before it is cut.
    source_error: Option<E>,
    // The rest of the last piece; empty unless the window is full or not there yet.
    held: Piece,
    window_bytes: usize,
    // Only there while it holds bytes, or a piece waits for it.
    window: Option<RevocableLease>,
    start: usize,
    end: usize,
    // How many bytes the decider saw when it wanted more; it is not asked again before there are.
    refused_len: usize,
    awaited: Option<Awaited>,
    ended: bool,
    next_seq: u64,
    // Of the byte at `start`.
    offset_bytes: u64,
    pool: Pool,
    pub(super) owner: Owner,
    pub(super) acquire_timeout: Duration,
    pub(super) flush_after: Option<Duration>,
    // Counted from the last cut, the last flush, or the first byte that came into an empty window.
    flush_at: Option<Instant>,
    // How many bytes there were when a flush cut nothing.
    unflushed_len: usize,
    flush_alarm: Alarm,
    touch_at: Instant,
    touch_alarm: Alarm,
}

impl<S, E> Reader<S, E>
where
    S: Stream<Item = Result<Piece, E>>,
{
    pub(super) fn new(source: S, window_bytes: usize, pool: Pool) -> Reader<S, E> {
        let now = Instant::now();
        Reader {
            source: Some(Box::pin(source)),
            source_error: None,
            held: Piece::new(),
            window_bytes,
            window: None,
            start: 0,
            end: 0,
            refused_len: 0,
            awaited: None,
            ended: false,
            next_seq: 0,
            offset_bytes: 0,
            pool,
            owner: Owner::new(OWNER_LABEL),
            acquire_timeout: ACQUIRE_TIMEOUT,
            flush_after: None,
            flush_at: None,
            unflushed_len: 0,
            flush_alarm: Alarm::default(),
            touch_at: now,
            touch_alarm: Alarm::default(),
        }
    }

    /// The next chunk, as `decider` wants it.
    pub(super) fn poll_chunk(
        &mut self,
        decider: &mut impl Decide,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Chunk, ChunkError<E>>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let polled = self.poll_unless_ended(decider, cx);
        match &polled {
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(_) => self.end(),
            Poll::Pending => self.poll_keep_alive(cx),
        }
        polled
    }

    /// Touches the window when it is time to; wakes the task for the next time.
    pub(super) fn poll_keep_alive(&mut self, cx: &mut Context<'_>) {
        let Some(window) = &self.window else { return };
        while self.touch_alarm.poll_at(self.touch_at, cx).is_ready() {
            window.touch();
            let interval = self.pool.limits().leak_timeout / TOUCHES_PER_LEAK_TIMEOUT;
            match deadline(Some(interval.max(TOUCH_INTERVAL_MIN))) {
                Some(next) => self.touch_at = next,
                None => return, // a leak timeout without end needs no touch
            }
        }
    }

    fn poll_unless_ended(
        &mut self,
        decider: &mut impl Decide,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Chunk, ChunkError<E>>>> {
        if self.window_bytes == 0 {
            return Poll::Ready(Some(Err(self.error(Fault::Cutter(CutterFault::NoWindow)))));
        }
        for _ in 0..PIECES_PER_POLL {
            match self.poll_awaited(cx) {
                Poll::Ready(Ok(None)) => {}
                Poll::Ready(Ok(Some(chunk))) => return Poll::Ready(Some(Ok(chunk))),
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                Poll::Pending => return Poll::Pending,
            }
            if !self.held.is_empty() {
                if self.window.is_none() || self.lost_nothing() {
                    let bytes = Bytes::of_len(self.window_bytes) * 2;
                    self.ask_for(Wanted::Window, bytes);
                    continue;
                }
                if let Err(revoked) = self.fill() {
                    return Poll::Ready(Some(Err(self.error(revoked.into()))));
                }
            }
            let mut is_waiting = false;
            if self.len() < self.window_bytes
                && let Some(source) = &mut self.source
            {
                match source.as_mut().poll_next(cx) {
                    Poll::Ready(Some(Ok(piece))) => {
                        self.held = piece;
                        continue;
                    }
                    Poll::Ready(Some(Err(error))) => {
                        self.source = None;
                        self.source_error = Some(error);
                    }
                    Poll::Ready(None) => self.source = None,
                    Poll::Pending => is_waiting = true,
                }
            }
            match self.decide(decider, is_waiting, cx) {
                Ok(Decision::Cut { length, step }) => {
                    self.ask_for(Wanted::Chunk { length, step }, Bytes::of_len(length));
                }
                Ok(Decision::More) if is_waiting => return Poll::Pending,
                Ok(_) => return Poll::Ready(self.source_error.take().map(ChunkError::Source).map(Err)),
                Err(fault) => return Poll::Ready(Some(Err(self.error(fault)))),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether the window was taken back while it was empty: a slow reader of chunks, and no harm done.
    fn lost_nothing(&self) -> bool {
        self.start == self.end && self.window.as_ref().is_some_and(RevocableLease::is_revoked)
    }

    fn ask_for(&mut self, what: Wanted, bytes: Bytes) {
        let request = LeaseRequest::new(bytes).owner(self.owner.clone());
        let lease = self.pool.acquire_within::<RevocableLease>(request, self.acquire_timeout);
        self.awaited = Some(Awaited { what, lease: Box::pin(lease) });
    }

    /// The buffer that was asked for, if one was: the window takes its place, a chunk is filled.
    fn poll_awaited(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Chunk>, ChunkError<E>>> {
        let Some(awaited) = &mut self.awaited else { return Poll::Ready(Ok(None)) };
        let Poll::Ready(result) = awaited.lease.as_mut().poll(cx) else { return Poll::Pending };
        let what = awaited.what;
        self.awaited = None;
        Poll::Ready(match (result, what) {
            (Ok(lease), Wanted::Window) => {
                self.window = Some(lease);
                Ok(None)
            }
            (Ok(lease), Wanted::Chunk { length, step }) => match self.copy_out(lease, length, step) {
                Ok(chunk) => Ok(Some(chunk)),
                Err(revoked) => Err(self.error(revoked.into())),
            },
            (Err(error), what) => Err(ChunkError::NoBuffer {
                wanted_for: match what {
                    Wanted::Window => BufferUse::Window,
                    Wanted::Chunk { .. } => BufferUse::Chunk,
                },
                offset_bytes: self.offset_bytes,
                error: Box::new(error),
            }),
        })
    }

    /// Moves as much as there is room for from the held piece into the window.
    fn fill(&mut self) -> Result<(), Revoked> {
        let Some(window) = &mut self.window else { return Ok(()) };
        let mut buffer = window.write()?;
        if self.start == self.end {
            buffer.clear();
            (self.start, self.end) = (0, 0);
            self.flush_at = deadline(self.flush_after);
        }
        let taken = buffer.append(&self.held);
        self.held.advance(taken);
        self.end += taken;
        if !self.held.is_empty() && self.end - self.start < self.window_bytes {
            buffer.consume(self.start);
            (self.start, self.end) = (0, self.end - self.start);
            let taken = buffer.append(&self.held);
            self.held.advance(taken);
            self.end += taken;
        }
        if self.held.is_empty() {
            // An empty rest would keep the whole piece in memory.
            self.held = Piece::new();
        }
        Ok(())
    }

    /// What to do with what is there. `Cut` is in bounds; `More` is only said when more may come or the
    /// source has failed.
    fn decide(
        &mut self,
        decider: &mut impl Decide,
        is_waiting: bool,
        cx: &mut Context<'_>,
    ) -> Result<Decision, Fault> {
        if self.start == self.end {
            // An idle input holds no buffer.
            self.window = None;
            return Ok(if is_waiting { Decision::More } else { Decision::Leave });
        }
        let shown_len = self.len().min(self.window_bytes);
        let is_full = shown_len == self.window_bytes;
        let at_end = !is_full && self.source.is_none() && self.source_error.is_none();
        if is_full || at_end || shown_len > self.refused_len {
            let decision = self.show(|shown| decider.decide(shown, at_end))?;
            if decision != Decision::More {
                return Ok(decision);
            }
            if is_full || at_end {
                let window_bytes = self.window_bytes;
                return Err(Fault::Cutter(CutterFault::NoAnswer { shown: shown_len, window_bytes }));
            }
            self.refused_len = shown_len;
        }
        if is_waiting { self.flush(decider, cx) } else { Ok(Decision::More) }
    }

    /// Asks for a flush when the bytes have waited for long. One that had nothing to flush is not asked
    /// again about the same bytes, so that half a line may wait for ever and cost no timer.
    fn flush(&mut self, decider: &mut impl Decide, cx: &mut Context<'_>) -> Result<Decision, Fault> {
        let Some(flush_at) = self.flush_at else { return Ok(Decision::More) };
        if self.len() <= self.unflushed_len || self.flush_alarm.poll_at(flush_at, cx).is_pending() {
            return Ok(Decision::More);
        }
        let decision = self.show(|shown| decider.flush(shown))?;
        if decision == Decision::More {
            self.unflushed_len = self.len();
            self.flush_at = deadline(self.flush_after);
        }
        Ok(decision)
    }

    /// Shows the decider what it may see, and checks what it says.
    fn show(&mut self, decide: impl FnOnce(&[u8]) -> Decision) -> Result<Decision, Fault> {
        let shown_len = self.len().min(self.window_bytes);
        let Some(window) = &self.window else { return Ok(Decision::More) };
        let decision = {
            let buffer = window.read()?;
            decide(&buffer[self.start..self.start + shown_len])
        };
        match decision {
            Decision::Cut { length, step }
                if !in_bounds(length, shown_len) || !in_bounds(step, shown_len) =>
            {
                Err(Fault::Cutter(CutterFault::BadLength { answered: length, shown: shown_len }))
            }
            decision => Ok(decision),
        }
    }

    /// A chunk of the next `length` bytes; the window moves on by `step`.
    fn copy_out(&mut self, mut lease: RevocableLease, length: usize, step: usize) -> Result<Chunk, Revoked> {
        if let Some(window) = &self.window {
            let from = window.read()?;
            lease.write()?.append(&from[self.start..self.start + length]);
        }
        let chunk = Chunk { seq: self.next_seq, offset_bytes: self.offset_bytes, lease };
        self.next_seq += 1;
        self.offset_bytes += step as u64;
        self.start += step;
        (self.refused_len, self.unflushed_len) = (0, 0);
        self.flush_at = deadline(self.flush_after);
        Ok(chunk)
    }

    fn len(&self) -> usize {
        self.end - self.start
    }

    fn error(&self, fault: Fault) -> ChunkError<E> {
        let offset_bytes = self.offset_bytes;
        match fault {
            Fault::Revoked(revoked) => ChunkError::Revoked { offset_bytes, revoked },
            Fault::Cutter(fault) => ChunkError::Cutter { offset_bytes, fault },
        }
    }

    /// Gives everything back; nothing more will come.
    fn end(&mut self) {
        self.ended = true;
        self.source = None;
        self.source_error = None;
        self.held = Piece::new();
        self.awaited = None;
        self.window = None;
        (self.start, self.end) = (0, 0);
    }
}

/// `after` from now; nothing when that is never.
fn deadline(after: Option<Duration>) -> Option<Instant> {
    after.and_then(|after| Instant::now().checked_add(after))
}

fn in_bounds(length: usize, shown: usize) -> bool {
    (1..=shown).contains(&length)
}
