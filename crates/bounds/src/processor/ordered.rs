//! Work on chunks, a bounded number at a time, with the results in the order of the chunks.
//!
//! Results that are done but wait for an earlier one still count as in flight. If they did not, one slow
//! chunk would let any number of finished ones pile up behind it, which is the queue without a limit that
//! this crate is against.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;
use futures_util::stream::FuturesOrdered;

use super::IN_FLIGHT_MAX;
use super::chunk::{Chunk, Chunks};
use super::counts::{ProcessorCounts, ProcessorStats, Tally};
use super::error::{ProcessCause, ProcessError, WorkError};

/// Runs a work function over the chunks of one input; the stream of its results, in order.
///
/// ```text
///             room in flight?                       in turn?
///   chunks ──────────────────▶ work(chunk) ──▶ done ─────────▶ result
///                              └─────── in flight ───────┘
/// ```
///
/// The work is a function of a [`Chunk`] that returns a future, which is polled inside this stream's own
/// poll: nothing is spawned, and work that computes for long holds up the task. Simple work returns
/// `std::future::ready(...)`. A chunk that work keeps across an await for longer than the pool's leak
/// timeout must be touched, or its buffer is taken back.
///
/// *Errors:* results of the chunks before it come first, then the error, then the end. A failed chunk ends
/// the stream; what was in flight behind it is dropped. If the work panics, the panic goes to whoever polls,
/// and all in flight is dropped and given back before it gets there.
///
/// *When full:* chunks are pulled only while fewer than `in_flight_max` are in flight.
///
/// *Memory:* at most `in_flight_max` chunks, or what the work made of them, and their futures, about 200
/// bytes each besides their own state. Results that were given out are their receiver's.
///
/// *Cancel safety:* `next()` may be dropped at any time and called again. Dropping the processor drops all
/// in flight, and their buffers are back when the drop returns.
pub struct Processor<I, W, F>
where
    I: Chunks,
    F: Future,
{
    // Nothing once it ended or failed.
    chunks: Option<I>,
    work: W,
    in_flight: FuturesOrdered<F>,
    // Which chunks are in flight, in order; as long as `in_flight`.
    places: VecDeque<Place>,
    in_flight_max: usize,
    correlation: Arc<str>,
    // What ended the input; given out when nothing is in flight any more.
    ended_by: Option<ProcessCause<I::SourceError>>,
    tally: Tally,
}

#[derive(Clone, Copy)]
struct Place {
    seq: u64,
    offset_bytes: u64,
}

// The futures in flight have boxes of their own, and the chunks are `Unpin` where they are polled.
impl<I: Chunks, W, F: Future> Unpin for Processor<I, W, F> {}

impl<I, W, F, R> Processor<I, W, F>
where
    I: Chunks + Unpin,
    W: FnMut(Chunk) -> F,
    F: Future<Output = Result<R, WorkError>>,
{
    /// A processor of `chunks`, whose errors carry `correlation`.
    pub fn new(chunks: I, correlation: impl Into<Arc<str>>, work: W) -> Processor<I, W, F> {
        Processor {
            chunks: Some(chunks),
            work,
            in_flight: FuturesOrdered::new(),
            places: VecDeque::new(),
            in_flight_max: IN_FLIGHT_MAX,
            correlation: correlation.into(),
            ended_by: None,
            tally: Tally::new(IN_FLIGHT_MAX),
        }
    }

    /// How many chunks may be in flight. Default [`IN_FLIGHT_MAX`]. Zero counts as one: with none in
    /// flight there would never be a result.
    #[must_use]
    pub fn in_flight_max(mut self, in_flight_max: usize) -> Self {
        self.in_flight_max = in_flight_max.max(1);
        self.tally.set_limit(self.in_flight_max);
        self
    }

    /// Adds its numbers to `counts`, those it has already included.
    #[must_use]
    pub fn counts(mut self, counts: Arc<ProcessorCounts>) -> Self {
        self.tally.count_in(counts);
        self
    }
}

impl<I: Chunks, W, F: Future> Processor<I, W, F> {
    /// This processor's own numbers now.
    pub fn stats(&self) -> ProcessorStats {
        self.tally.stats()
    }

    /// The id that its errors carry.
    pub fn correlation(&self) -> &Arc<str> {
        &self.correlation
    }

    /// Drops the input and all that is in flight.
    fn abandon(&mut self) {
        self.chunks = None;
        self.in_flight = FuturesOrdered::new();
        self.places.clear();
        self.tally.lost_in_flight();
    }

    fn fail(&mut self, cause: ProcessCause<I::SourceError>) -> ProcessError<I::SourceError> {
        let error = ProcessError { correlation: self.correlation.clone(), cause };
        self.tally.failed(error.reason());
        error
    }
}

impl<I, W, F, R> Stream for Processor<I, W, F>
where
    I: Chunks + Unpin,
    W: FnMut(Chunk) -> F,
    F: Future<Output = Result<R, WorkError>>,
{
    type Item = Result<R, ProcessError<I::SourceError>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let unwinding = Unwinding { processor: self.get_mut() };
        let polled = unwinding.processor.poll_result(cx);
        std::mem::forget(unwinding); // it returned; nothing to clean up
        polled
    }
}

impl<I, W, F, R> Processor<I, W, F>
where
    I: Chunks + Unpin,
    W: FnMut(Chunk) -> F,
    F: Future<Output = Result<R, WorkError>>,
{
    /// Puts one more chunk into work, then looks for the result that is in turn; again until one is there
    /// or there is nothing more to begin. So work that is done at once never has more than one chunk in
    /// flight, and work that waits has as many as it may.
    fn poll_result(&mut self, cx: &mut Context<'_>) -> Poll<Option<<Self as Stream>::Item>> {
        loop {
            let begun = self.begin_one(cx);
            match Pin::new(&mut self.in_flight).poll_next(cx) {
                Poll::Ready(Some(done)) => return Poll::Ready(Some(self.finish_one(done))),
                Poll::Ready(None) if self.chunks.is_none() => {
                    return Poll::Ready(self.ended_by.take().map(|cause| Err(self.fail(cause))));
                }
                Poll::Ready(None) | Poll::Pending if !begun => return Poll::Pending,
                Poll::Ready(None) | Poll::Pending => {}
            }
        }
    }

    /// Whether something changed: a chunk went into work, or the input ended.
    fn begin_one(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(chunks) = &mut self.chunks else { return false };
        if self.in_flight.len() >= self.in_flight_max {
            Pin::new(chunks).poll_keep_alive(cx);
            return false;
        }
        match Pin::new(chunks).poll_next(cx) {
            Poll::Pending => return false,
            Poll::Ready(Some(Ok(chunk))) => {
                self.places.push_back(Place { seq: chunk.seq, offset_bytes: chunk.offset_bytes });
                self.tally.began(chunk.length_bytes());
                self.in_flight.push_back((self.work)(chunk));
            }
            Poll::Ready(Some(Err(error))) => {
                self.chunks = None;
                self.ended_by = Some(ProcessCause::Chunk(error));
            }
            Poll::Ready(None) => self.chunks = None,
        }
        true
    }

    fn finish_one(&mut self, done: Result<R, WorkError>) -> <Self as Stream>::Item {
        let Place { seq, offset_bytes } =
            self.places.pop_front().unwrap_or(Place { seq: 0, offset_bytes: 0 });
        match done {
            Ok(result) => {
                self.tally.delivered();
                Ok(result)
            }
            Err(error) => {
                self.abandon();
                self.ended_by = None;
                Err(self.fail(ProcessCause::Work { seq, offset_bytes, error }))
            }
        }
    }
}

/// Stands by while a poll runs. If it unwinds, the buffers go back before the panic arrives anywhere, and
/// the stream will not pretend to be whole: a future that panicked is gone, and its place in the order too.
struct Unwinding<'poll, I: Chunks, W, F: Future> {
    processor: &'poll mut Processor<I, W, F>,
}

impl<I: Chunks, W, F: Future> Drop for Unwinding<'_, I, W, F> {
    fn drop(&mut self) {
        self.processor.abandon();
        self.processor.ended_by = Some(ProcessCause::Panicked);
    }
}
