//! A chunk of an input, and what a stream of chunks owes to whoever polls it.

use std::pin::Pin;
use std::task::Context;

use futures_util::Stream;

use super::error::ChunkError;
use crate::pool::{Lease, RevocableLease};

/// A part of an input in a pool buffer of its own. Dropping it gives the buffer back.
#[derive(Debug)]
pub struct Chunk {
    /// Its place in the order of chunks, from 0.
    pub seq: u64,
    /// How many bytes of the input stand before it.
    pub offset_bytes: u64,
    /// Its bytes: as many as were asked for, [`Chunk::length_bytes`].
    pub lease: RevocableLease,
}

impl Chunk {
    /// How many bytes it has; at least one. Known also after the lease was revoked.
    pub fn length_bytes(&self) -> u64 {
        self.lease.capacity().as_u64()
    }
}

/// A stream of chunks that ends at its first error. [`Chunker`](super::Chunker) and
/// [`Window`](super::Window) are such streams.
pub trait Chunks: Stream<Item = Result<Chunk, ChunkError<<Self as Chunks>::SourceError>>> {
    /// What the source of the bytes fails with.
    type SourceError;

    /// Called in place of `poll_next` while there is no room for another chunk: touches the buffers that
    /// this stream keeps, when it is time to, and sees to it that the task is woken to do so again. Without
    /// it, a stream that is held back for longer than the pool's leak timeout would lose its window.
    fn poll_keep_alive(self: Pin<&mut Self>, cx: &mut Context<'_>) {
        let _ = cx;
    }
}
