//! Windows of one size that overlap: for work that must see what stands on both sides of a cut.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes as Piece;
use futures_util::Stream;

use super::chunk::{Chunk, Chunks};
use super::error::{ChunkError, WindowError};
use super::reader::{Decide, Decision, Reader};
use crate::pool::{Owner, Pool};

/// A stream of windows over a stream of pieces, each in a pool buffer of its own.
///
/// A window of `size` bytes begins every `size - overlap` bytes. The last may be shorter, but always has
/// bytes that none before it had: an input that ends with a full window ends there.
///
/// *When full, memory, errors, cancel safety:* as [`Chunker`](super::Chunker), where `window_bytes` is
/// `size`. *Cost:* each byte is copied once, and once more for each window it is in.
pub struct Window<S, E> {
    reader: Reader<S, E>,
    overlapping: Overlapping,
}

// Nothing in it is pinned in place: the source has a box of its own.
impl<S, E> Unpin for Window<S, E> {}

impl<S, E> Window<S, E>
where
    S: Stream<Item = Result<Piece, E>>,
{
    /// Windows of `size_bytes`, of which each repeats the last `overlap_bytes` of the one before.
    ///
    /// # Errors
    /// [`WindowError`] unless `overlap_bytes < size_bytes`.
    pub fn new(
        source: S,
        size_bytes: usize,
        overlap_bytes: usize,
        pool: &Pool,
    ) -> Result<Window<S, E>, WindowError> {
        if overlap_bytes >= size_bytes {
            return Err(WindowError { size_bytes, overlap_bytes });
        }
        let reader = Reader::new(source, size_bytes, pool.clone());
        Ok(Window { reader, overlapping: Overlapping { size_bytes, overlap_bytes, seen_bytes: 0 } })
    }

    /// How long it waits for a buffer. Default [`ACQUIRE_TIMEOUT`](super::ACQUIRE_TIMEOUT). Zero is a try.
    #[must_use]
    pub fn acquire_timeout(mut self, acquire_timeout: Duration) -> Self {
        self.reader.acquire_timeout = acquire_timeout;
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

impl<S, E> Stream for Window<S, E>
where
    S: Stream<Item = Result<Piece, E>>,
{
    type Item = Result<Chunk, ChunkError<E>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Window { reader, overlapping } = &mut *self;
        reader.poll_chunk(overlapping, cx)
    }
}

impl<S, E> Chunks for Window<S, E>
where
    S: Stream<Item = Result<Piece, E>>,
{
    type SourceError = E;

    fn poll_keep_alive(mut self: Pin<&mut Self>, cx: &mut Context<'_>) {
        self.reader.poll_keep_alive(cx);
    }
}

/// The rule: full windows, each a step on; at the end what is left, if any of it is new.
struct Overlapping {
    size_bytes: usize,
    overlap_bytes: usize,
    // How many bytes at the front of what is shown stood in the window before: the overlap, but for the
    // first window.
    seen_bytes: usize,
}

impl Decide for Overlapping {
    fn decide(&mut self, shown: &[u8], at_end: bool) -> Decision {
        if shown.len() >= self.size_bytes {
            self.seen_bytes = self.overlap_bytes;
            return Decision::Cut { length: self.size_bytes, step: self.size_bytes - self.overlap_bytes };
        }
        match at_end {
            false => Decision::More,
            true if shown.len() > self.seen_bytes => Decision::Cut { length: shown.len(), step: shown.len() },
            true => Decision::Leave,
        }
    }

    fn flush(&mut self, _shown: &[u8]) -> Decision {
        Decision::More
    }
}
