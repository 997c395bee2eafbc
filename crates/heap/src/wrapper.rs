//! The allocator that a program installs. What is in this file runs for every allocation.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::hooks;
use crate::range::{LARGE_BYTES, SPAN_BITS};
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
    pub(crate) inner: A,
    /// Where the range of sampled blocks begins, once this allocator has served one from it. It is kept here because the
    /// program's own static is nearer to the allocation path than one of this crate.
    range_start: AtomicUsize,
}

/// Before there is a range, no address is less than a range's length above its start: user space ends far below.
const NOWHERE: usize = 1 << 63;

impl Heap {
    /// Around the system's allocator.
    pub const fn system() -> Self {
        Self::wrap(System)
    }
}

impl<A> Heap<A> {
    /// Around `inner`.
    pub const fn wrap(inner: A) -> Self {
        Self { inner, range_start: AtomicUsize::new(NOWHERE) }
    }

    /// From here on blocks may come from the range that begins there. Whoever frees one got it from a thread that called
    /// this before, so it has heard of it.
    pub(crate) fn learn(&self, range_start: usize) {
        if self.range_start.load(Relaxed) != range_start {
            self.range_start.store(range_start, Relaxed);
        }
    }

    /// Whether an address may be of the range: a subtraction and a comparison.
    #[inline(always)]
    fn may_be_ours(&self, block: *mut u8) -> bool {
        block.addr().wrapping_sub(self.range_start.load(Relaxed)) >> SPAN_BITS == 0
    }
}

// SAFETY: every block comes from the inner allocator, with its guarantees, or from a slot of the range that is free,
// large enough and aligned (see `range`); a block goes back to where it came from, which its address and size tell.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Heap<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if thread::with(|thread| thread.counts_out(layout.size())) {
            // SAFETY: the caller's promise is handed on.
            return unsafe { hooks::alloc(layout, false, self) };
        }
        // SAFETY: as above.
        unsafe { self.inner.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if thread::with(|thread| thread.counts_out(layout.size())) {
            // SAFETY: the caller's promise is handed on.
            return unsafe { hooks::alloc(layout, true, self) };
        }
        // SAFETY: as above.
        unsafe { self.inner.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if self.may_be_ours(block) {
            // SAFETY: the caller's promise is handed on.
            return unsafe { hooks::dealloc_small(block, layout, self) };
        }
        if layout.size() >= LARGE_BYTES {
            // SAFETY: as above.
            return unsafe { hooks::dealloc_large(block, layout, self) };
        }
        // SAFETY: as above.
        unsafe { self.inner.dealloc(block, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if self.may_be_ours(block) {
            // SAFETY: the caller's promise is handed on.
            return unsafe { hooks::realloc_small(block, layout, new_size, self) };
        }
        if layout.size() >= LARGE_BYTES {
            // SAFETY: as above.
            return unsafe { hooks::realloc_large(block, layout, new_size, self) };
        }
        // SAFETY: as above.
        unsafe { hooks::realloc_unsampled(block, layout, new_size, self) }
    }
}
