//! Arrays of atomics of a fixed length, reserved at the start and touched only where they are used.
//!
//! They live in mappings of their own, outside every allocator: nothing that the allocation path touches may
//! come from the allocator that it serves. A page costs nothing until its first write, so a table may be
//! reserved for the worst case; what is resident is what was used.

use std::ops::{Deref, Range};
use std::ptr::NonNull;

use crate::os::OutOfAddressSpace;
#[cfg(not(loom))]
use crate::shared::memory::SharedMemory;

/// Where tables are put: in memory that is shared, or, without, each in a mapping of its own.
pub(crate) type Place<'a> = Option<&'a SharedMemory>;

/// There is none in models.
#[cfg(loom)]
pub(crate) enum SharedMemory {}

/// A type for which all-zero bytes are a value, and that may be shared between threads.
///
/// # Safety
/// The type consists of atomics (or arrays or structs of them) only, and needs no drop.
pub(crate) unsafe trait Zeroed: Sync + Default + 'static {}

// SAFETY: an atomic integer of zero is all zero bytes.
unsafe impl Zeroed for crate::sync::AtomicU32 {}
// SAFETY: as above.
unsafe impl Zeroed for crate::sync::AtomicU64 {}

/// A table of a fixed length. Those of a profiler that started are never given back: it lives as long as its process.
pub(crate) struct Cells<T: Zeroed> {
    cells: NonNull<[T]>,
    /// Whether the mapping is this table's alone.
    own: bool,
}

// SAFETY: it owns its cells, which may be shared.
unsafe impl<T: Zeroed> Send for Cells<T> {}
// SAFETY: as above.
unsafe impl<T: Zeroed> Sync for Cells<T> {}

impl<T: Zeroed> Deref for Cells<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: the cells are there until this is dropped, and only shared references to them exist.
        unsafe { self.cells.as_ref() }
    }
}

impl<T: Zeroed> Drop for Cells<T> {
    fn drop(&mut self) {
        if !self.own {
            return;
        }
        #[cfg(not(any(loom, miri)))]
        // SAFETY: it was mapped by `reserve` in this length, and nobody can reach it any more.
        unsafe {
            crate::os::unmap(self.cells.cast().as_ptr(), size_of_val(self.cells.as_ref()));
        }
        #[cfg(any(loom, miri))]
        // SAFETY: it came from a box, and nobody can reach it any more.
        unsafe {
            drop(Box::from_raw(self.cells.as_ptr()));
        }
    }
}

impl<T: Zeroed> Cells<T> {
    /// Reserves `length` cells, all zero.
    #[cfg(not(any(loom, miri)))]
    pub(crate) fn reserve(length: usize) -> Result<Self, OutOfAddressSpace> {
        let bytes = length.saturating_mul(size_of::<T>());
        let start = crate::os::map_zeroed(bytes)?;
        // The mapping is `bytes` long, zeroed, and page-aligned (no cell is aligned to more); all-zero bytes are a
        // `T` by the trait's contract.
        Ok(Self { cells: NonNull::slice_from_raw_parts(start.cast::<T>(), length), own: true })
    }

    /// Reserves cells that may not be touched before they are woken: they count against no limit of the process's data.
    #[cfg(not(any(loom, miri)))]
    pub(crate) fn reserve_asleep(length: usize) -> Result<Self, OutOfAddressSpace> {
        let bytes = length.saturating_mul(size_of::<T>());
        let reservation = crate::os::reserve(bytes)?;
        let start = reservation.start();
        // It is unmapped when this is dropped.
        std::mem::forget(reservation);
        crate::os::no_huge_pages(start, bytes);
        Ok(Self { cells: NonNull::slice_from_raw_parts(start.cast::<T>(), length), own: true })
    }

    #[cfg(any(loom, miri))]
    pub(crate) fn reserve_asleep(length: usize) -> Result<Self, OutOfAddressSpace> {
        Self::reserve(length)
    }

    /// Wakes the cells from one to another. False if the kernel refuses. For who does it twice nothing changes.
    #[cfg(not(any(loom, miri)))]
    pub(crate) fn wake(&self, first: usize, end: usize) -> bool {
        let page = crate::os::PAGE_BYTES;
        let offset = first * size_of::<T>() / page * page;
        let bytes = (end * size_of::<T>() - offset).next_multiple_of(page);
        crate::os::make_writable(self.cells.cast::<u8>().as_ptr().wrapping_add(offset), bytes)
    }

    #[cfg(any(loom, miri))]
    pub(crate) fn wake(&self, _: usize, _: usize) -> bool {
        true
    }

    /// The same in memory that another process may look at, if there is such; else in a mapping of its own.
    pub(crate) fn reserve_in(place: Place<'_>, length: usize) -> Result<Self, OutOfAddressSpace> {
        match place {
            None => Self::reserve(length),
            #[cfg(not(loom))]
            // Shared memory begins as zeros, and outlives every table in it.
            Some(shared) => Ok(Self { cells: shared.take(length)?, own: false }),
            #[cfg(loom)]
            Some(shared) => match *shared {},
        }
    }

    /// A table that lies in memory of somebody else.
    ///
    /// # Safety
    /// The cells are there, aligned, and stay as long as this.
    #[cfg(not(loom))]
    pub(crate) unsafe fn at(cells: NonNull<[T]>) -> Self {
        Self { cells, own: false }
    }

    /// Loom's atomics and Miri's memory are made by the ordinary allocator.
    #[cfg(any(loom, miri))]
    pub(crate) fn reserve(length: usize) -> Result<Self, OutOfAddressSpace> {
        let cells: Box<[T]> = (0..length).map(|_| T::default()).collect();
        Ok(Self { cells: NonNull::from(Box::leak(cells)), own: true })
    }

    /// Where it is.
    pub(crate) fn addresses(&self) -> Range<usize> {
        let cells: &[T] = self;
        let start = cells.as_ptr().addr();
        start..start + size_of_val(cells)
    }
}
