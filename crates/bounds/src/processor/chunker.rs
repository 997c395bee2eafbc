//! The stream of chunks that a cutter makes of a stream of pieces.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes as Piece;
use futures_util::Stream;

use super::chunk::{Chunk, Chunks};
use super::cutter::Cutter;
use super::error::ChunkError;
use super::reader::{Decide, Decision, Reader};
use crate::pool::{Owner, Pool};

/// Cuts a stream of pieces into chunks, each copied into a pool buffer of its own size.
///
/// *Order and loss:* the chunks are the whole input, in order, without gap or overlap. After a source error
/// all that the cutter cuts of the bytes before it comes first, then the error, then the end.
///
/// *When full:* the source is polled only while the window has less than [`Cutter::window_bytes`] to show.
/// When the pool has no buffer, waits in its line for at most the acquire timeout.
///
/// *Memory:* `2 × window_bytes` from the pool while there are bytes that are not cut yet, and at most one
/// piece, which is kept whole until its last byte fits. The chunks are their receiver's.
///
/// *Cancel safety:* `next()` may be dropped at any time and called again; nothing is lost. Dropping the
/// chunker gives back all it holds.
///
/// *Cost:* each byte is copied twice, and moved once more at most.
///
/// Needs a tokio runtime with its timer on.
pub struct Chunker<S, E, C> {
    reader: Reader<S, E>,
    cutter: ByCutter<C>,
}

// Nothing in it is pinned in place: the source has a box of its own.
impl<S, E, C> Unpin for Chunker<S, E, C> {}

impl<S, E, C> Chunker<S, E, C>
where
    S: Stream<Item = Result<Piece, E>>,
    C: Cutter,
{
    /// A chunker that takes its buffers from `pool`. Takes none before the first byte comes. A window of 0
    /// bytes is the stream's first item, as an error; one that is more than half of what the pool allows
    /// for a buffer is that when the first byte comes.
    pub fn new(source: S, cutter: C, pool: &Pool) -> Chunker<S, E, C> {
        let reader = Reader::new(source, cutter.window_bytes(), pool.clone());
        Chunker { reader, cutter: ByCutter(cutter) }
    }

    /// How long it waits for a buffer. Default [`ACQUIRE_TIMEOUT`](super::ACQUIRE_TIMEOUT). Zero is a try.
    #[must_use]
    pub fn acquire_timeout(mut self, acquire_timeout: Duration) -> Self {
        self.reader.acquire_timeout = acquire_timeout;
        self
    }

    /// Asks the cutter to [flush](Cutter::flush) when bytes have waited for this long, counted from the
    /// last cut, the last flush, or the first byte in an empty window, so that a byte waits at most twice
    /// as long where the cutter lets it go. Default: never. Zero flushes whenever the source pauses.
    ///
    /// For live input. The chunks then depend on when the bytes arrived.
    #[must_use]
    pub fn flush_after(mut self, flush_after: Duration) -> Self {
        self.reader.flush_after = Some(flush_after);
        self
    }

    /// On whose behalf the buffers are held. Default: the label
    /// [`OWNER_LABEL`](super::OWNER_LABEL), without a thing that must live.
    #[must_use]
    pub fn owner(mut self, owner: Owner) -> Self {
        self.reader.owner = owner;
        self
    }
}

impl<S, E, C> Stream for Chunker<S, E, C>
where
    S: Stream<Item = Result<Piece, E>>,
    C: Cutter,
{
    type Item = Result<Chunk, ChunkError<E>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Chunker { reader, cutter } = &mut *self;
        reader.poll_chunk(cutter, cx)
    }
}

impl<S, E, C> Chunks for Chunker<S, E, C>
where
    S: Stream<Item = Result<Piece, E>>,
    C: Cutter,
{
    type SourceError = E;

    fn poll_keep_alive(mut self: Pin<&mut Self>, cx: &mut Context<'_>) {
        self.reader.poll_keep_alive(cx);
    }
}

/// A cutter's answers, as the reader takes them: the next chunk begins where this one ended.
struct ByCutter<C>(C);

impl<C: Cutter> Decide for ByCutter<C> {
    fn decide(&mut self, shown: &[u8], at_end: bool) -> Decision {
        decision(self.0.cut(shown, at_end))
    }

    fn flush(&mut self, shown: &[u8]) -> Decision {
        decision(self.0.flush(shown))
    }
}

fn decision(answer: Option<usize>) -> Decision {
    answer.map_or(Decision::More, |length| Decision::Cut { length, step: length })
}
