//! The bytes of a lease: a fixed capacity, of which only what was written can be read.

use std::fmt;
use std::ops::{Deref, DerefMut};

/// A byte buffer of fixed capacity that starts empty.
///
/// A pool that hands out its memory whole shows each holder the bytes of the one before; one that zeroes it
/// pays more for the zeroing than for the pool. Here the reading part begins empty and grows only by what
/// the holder writes, so neither happens. It never reallocates: what the pool charged is what there is.
pub struct Buffer {
    bytes: Vec<u8>,
    // What was asked for. The vector's own capacity may be larger; that part is never used.
    capacity: usize,
}

impl Buffer {
    pub(super) fn new(mut bytes: Vec<u8>, capacity: usize) -> Buffer {
        debug_assert!(bytes.capacity() >= capacity, "the pool gives what was asked for");
        bytes.clear();
        Buffer { bytes, capacity }
    }

    pub(super) fn into_storage(self) -> Vec<u8> {
        self.bytes
    }

    /// How many bytes it can hold: what was asked for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many bytes can still be written behind those that are there.
    pub fn remaining(&self) -> usize {
        self.capacity - self.bytes.len()
    }

    /// Writes as much of `more` as there is room for behind what is there; returns how much that was.
    pub fn append(&mut self, more: &[u8]) -> usize {
        let taken = more.len().min(self.remaining());
        self.bytes.extend_from_slice(&more[..taken]);
        taken
    }

    /// Makes the readable part `length` long, at most the capacity; what is new is zero.
    pub fn resize(&mut self, length: usize) {
        self.bytes.resize(length.min(self.capacity), 0);
    }

    /// Removes the first `length` bytes, at most all, and moves the rest to the front.
    pub fn consume(&mut self, length: usize) {
        self.bytes.drain(..length.min(self.bytes.len()));
    }

    /// Forgets what was written.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl fmt::Debug for Buffer {
    /// Says how full it is, never what is in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} of {} bytes)", self.bytes.len(), self.capacity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_storage_shows_nothing_of_its_past() {
        let mut first = Buffer::new(Vec::with_capacity(8), 8);
        assert_eq!(first.append(b"secrets!!"), 8);
        let second = Buffer::new(first.into_storage(), 4);
        assert!(second.is_empty());
        assert_eq!((second.capacity(), second.remaining()), (4, 4));
    }

    #[test]
    fn never_grows_past_what_was_asked_for() {
        let mut buffer = Buffer::new(Vec::with_capacity(8), 5);
        assert_eq!(buffer.append(b"abc"), 3);
        assert_eq!(buffer.append(b"defg"), 2);
        assert_eq!(&*buffer, b"abcde");
        buffer.consume(3);
        assert_eq!((&*buffer, buffer.remaining()), (&b"de"[..], 3));
        buffer.resize(100);
        assert_eq!(&*buffer, b"de\0\0\0");
        buffer.consume(100);
        assert!(buffer.is_empty());
    }
}
