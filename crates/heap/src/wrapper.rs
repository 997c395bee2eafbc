//! The allocator that a program installs. What is in this file runs for every allocation.

use std::alloc::{GlobalAlloc, Layout, System};

use crate::engine;
use crate::range::LARGE_BYTES;
use crate::thread;

/// A global allocator that samples what goes through it, around any other.
///
/// Nothing is sampled until [`Profiler::start`](crate::Profiler::start). An allocation that is not sampled costs a
/// subtraction and a branch, a free a subtraction and two branches; both then are the inner allocator's. Growing in
/// place (`realloc`) and fresh zero pages (`alloc_zeroed`) are the inner allocator's too.
///
/// ```
/// use plimsoll_heap::Heap;
///
/// #[global_allocator]
/// static HEAP: Heap = Heap::system();
/// ```
#[derive(Debug)]
pub struct Heap<A = System> {
    inner: A,
}

impl Heap {
    /// Around the system's allocator.
    pub const fn system() -> Self {
        Self { inner: System }
    }
}

impl<A> Heap<A> {
    /// Around `inner`.
    pub const fn wrap(inner: A) -> Self {
        Self { inner }
    }
}

// SAFETY: every block comes from the inner allocator, with its guarantees, or from a slot of the range that is free,
// large enough and aligned (see `range`); a block goes back to where it came from, which its address and size tell.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Heap<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if thread::with(|thread| thread.counts_out(layout.size())) {
            // SAFETY: the caller's promise is handed on.
            return unsafe { engine::alloc(layout, false, &self.inner) };
        }
        // SAFETY: as above.
        unsafe { self.inner.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if thread::with(|thread| thread.counts_out(layout.size())) {
            // SAFETY: the caller's promise is handed on.
            return unsafe { engine::alloc(layout, true, &self.inner) };
        }
        // SAFETY: as above.
        unsafe { self.inner.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if engine::may_be_ours(block) {
            // SAFETY: the caller's promise is handed on.
            return unsafe { engine::dealloc_small(block, layout, &self.inner) };
        }
        if layout.size() >= LARGE_BYTES {
            // SAFETY: as above.
            return unsafe { engine::dealloc_large(block, layout, &self.inner) };
        }
        // SAFETY: as above.
        unsafe { self.inner.dealloc(block, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if engine::may_be_ours(block) {
            // SAFETY: the caller's promise is handed on.
            return unsafe { engine::realloc_small(block, layout, new_size, &self.inner) };
        }
        if layout.size() >= LARGE_BYTES {
            // SAFETY: as above.
            return unsafe { engine::realloc_large(block, layout, new_size, &self.inner) };
        }
        // SAFETY: as above.
        unsafe { engine::realloc_unsampled(block, layout, new_size, &self.inner) }
    }
}
