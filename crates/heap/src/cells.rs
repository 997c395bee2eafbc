//! Arrays of atomics of a fixed length, reserved at the start and touched only where they are used.
//!
//! They live in mappings of their own, outside every allocator: nothing that the allocation path touches may
//! come from the allocator that it serves. A page costs nothing until its first write, so a table may be
//! reserved for the worst case; what is resident is what was used.

use std::ops::{Deref, Range};

use crate::os::OutOfAddressSpace;

/// A type for which all-zero bytes are a value, and that may be shared between threads.
///
/// # Safety
/// The type consists of atomics (or arrays or structs of them) only, and needs no drop.
pub(crate) unsafe trait Zeroed: Sync + Default + 'static {}

// SAFETY: an atomic integer of zero is all zero bytes.
unsafe impl Zeroed for crate::sync::AtomicU32 {}
// SAFETY: as above.
unsafe impl Zeroed for crate::sync::AtomicU64 {}

/// A table of a fixed length that is never given back: profilers live as long as their process.
pub(crate) struct Cells<T: Zeroed>(&'static [T]);

impl<T: Zeroed> Clone for Cells<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Zeroed> Copy for Cells<T> {}

impl<T: Zeroed> Deref for Cells<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.0
    }
}

impl<T: Zeroed> Cells<T> {
    /// Reserves `length` cells, all zero.
    #[cfg(not(any(loom, miri)))]
    pub(crate) fn reserve(length: usize) -> Result<Self, OutOfAddressSpace> {
        let bytes = length.saturating_mul(size_of::<T>());
        let start = crate::os::map_zeroed(bytes)?;
        // SAFETY: the mapping is `bytes` long, zeroed, page-aligned (no cell is aligned to more), never
        // unmapped, and all-zero bytes are a `T` by the trait's contract.
        Ok(Self(unsafe { std::slice::from_raw_parts(start.cast::<T>(), length) }))
    }

    /// Loom's atomics and Miri's memory are made by the ordinary allocator.
    #[cfg(any(loom, miri))]
    pub(crate) fn reserve(length: usize) -> Result<Self, OutOfAddressSpace> {
        Ok(Self(Vec::leak((0..length).map(|_| T::default()).collect())))
    }

    /// Where it is.
    pub(crate) fn addresses(&self) -> Range<usize> {
        let start = self.0.as_ptr().addr();
        start..start + size_of_val(self.0)
    }
}
