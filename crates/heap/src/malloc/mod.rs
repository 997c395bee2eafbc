//! The sampling allocator as C calls it, for a library that stands in front of another `malloc`.
//!
//! [`Malloc`] is to C what [`Heap`](crate::Heap) is to Rust: the same count, the same range, the same tables. Two things
//! differ. C does not say how large a block is when it frees it, so large samples have addresses of their own too (see
//! `spans`), and `free` finds out with one subtraction and one comparison whether a block is a sample. And the
//! tables lie in memory that another process reads (see `shared`), since a program that was not written for us
//! has no place to ask for a snapshot.
//!
//! Invariants: what is not sampled is the inner allocator's, with its answer, its errors and its `errno`. Nothing here
//! allocates, waits or panics. There is no thread, no open file and no signal handler of ours in the program.

mod cold;
mod start;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::range::LARGE_BYTES;
use crate::shared::home;
use crate::spans::{REGION_BITS_MAX, REGIONS};
use crate::thread;

pub use crate::shared::named::Name;
pub use home::{HandOver, Interpreter, WithNames};
pub use start::{Settings, StartError, address_of, modules_changed, set_interpreter, set_note, start};

/// The most frames of a stack that are kept.
pub const DEPTH_MAX: usize = crate::stacks::DEPTH_MAX;

/// How far sampled blocks are from one another at most, as a power of two.
const SPAN_BITS: u32 = REGION_BITS_MAX + REGIONS.ilog2();
/// Before there is a range, no address is less than its length above its start: user space ends far below.
const NOWHERE: usize = 1 << 63;
/// What every block is aligned to, as C's standard types need it.
const ALIGN: usize = 16;

/// How far an allocation counts. One above the most that there can be will be refused; counted as it is it would be
/// less than nothing, and its thread without samples until all of it was made up for.
#[inline(always)]
const fn counted(size: usize) -> usize {
    size & isize::MAX.cast_unsigned()
}

/// The allocator behind, as C knows it.
///
/// # Safety
/// The functions are those of one allocator, as malloc(3), posix_memalign(3) and malloc_usable_size(3) describe them.
#[allow(clippy::missing_safety_doc, reason = "C's manual pages say it, for all of them")]
pub unsafe trait Inner: Sync {
    /// `malloc`.
    unsafe fn malloc(&self, size: usize) -> *mut u8;
    /// `calloc`.
    unsafe fn calloc(&self, count: usize, size: usize) -> *mut u8;
    /// `realloc`.
    unsafe fn realloc(&self, block: *mut u8, size: usize) -> *mut u8;
    /// `memalign`.
    unsafe fn memalign(&self, align: usize, size: usize) -> *mut u8;
    /// `free`.
    unsafe fn free(&self, block: *mut u8);
    /// `malloc_usable_size`.
    unsafe fn usable_size(&self, block: *mut u8) -> usize;
}

/// C's allocator, with samples taken of what goes through it. See the head of this module.
#[derive(Debug)]
pub struct Malloc<I> {
    inner: I,
    /// Where the addresses of sampled blocks begin.
    range_start: AtomicUsize,
}

#[allow(clippy::missing_safety_doc, reason = "C's manual pages say it, for all of them")]
impl<I: Inner> Malloc<I> {
    /// In front of `inner`. Nothing is sampled until [`start`].
    pub const fn new(inner: I) -> Self {
        Self { inner, range_start: AtomicUsize::new(NOWHERE) }
    }

    /// The allocator behind.
    pub const fn inner(&self) -> &I {
        &self.inner
    }

    #[inline(always)]
    fn may_be_ours(&self, block: *mut u8) -> bool {
        block.addr().wrapping_sub(self.range_start.load(Relaxed)) >> SPAN_BITS == 0
    }

    /// malloc(3).
    #[inline(always)]
    pub unsafe fn malloc(&self, size: usize) -> *mut u8 {
        if thread::with(|thread| thread.counts_out(counted(size))) {
            // SAFETY: the caller's promise is handed on.
            return unsafe { cold::malloc(size, self) };
        }
        // SAFETY: as above.
        unsafe { self.inner.malloc(size) }
    }

    /// calloc(3).
    #[inline(always)]
    pub unsafe fn calloc(&self, count: usize, size: usize) -> *mut u8 {
        if let Some(bytes) = count.checked_mul(size)
            && thread::with(|thread| thread.counts_out(counted(bytes)))
        {
            // SAFETY: the caller's promise is handed on.
            return unsafe { cold::calloc(bytes, self) };
        }
        // SAFETY: as above. It is also what refuses more than there can be.
        unsafe { self.inner.calloc(count, size) }
    }

    /// memalign(3), with an alignment that is a power of two.
    #[inline(always)]
    pub unsafe fn memalign(&self, align: usize, size: usize) -> *mut u8 {
        if thread::with(|thread| thread.counts_out(counted(size))) {
            // SAFETY: the caller's promise is handed on.
            return unsafe { cold::memalign(align, size, self) };
        }
        // SAFETY: as above.
        unsafe { self.inner.memalign(align, size) }
    }

    /// free(3).
    #[inline(always)]
    pub unsafe fn free(&self, block: *mut u8) {
        if self.may_be_ours(block) {
            // SAFETY: the caller's promise is handed on.
            return unsafe { cold::free(block, self) };
        }
        // SAFETY: as above.
        unsafe { self.inner.free(block) }
    }

    /// realloc(3).
    #[inline(always)]
    pub unsafe fn realloc(&self, block: *mut u8, size: usize) -> *mut u8 {
        if block.is_null() {
            // SAFETY: the caller's promise is handed on.
            return unsafe { self.malloc(size) };
        }
        if self.may_be_ours(block) {
            // SAFETY: as above.
            return unsafe { cold::realloc(block, size, self) };
        }
        // SAFETY: as above.
        unsafe { self.realloc_unsampled(block, size) }
    }

    /// realloc(3) of a block that is no sample. What it gains may make it one.
    #[inline(always)]
    unsafe fn realloc_unsampled(&self, block: *mut u8, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise is handed on.
        let old_size = unsafe { self.inner.usable_size(block) };
        if size > old_size && thread::with(|thread| thread.counts_out(counted(size - old_size))) {
            // SAFETY: as above, with what the block has room for.
            return unsafe { cold::grow(block, old_size, size, self) };
        }
        // SAFETY: as above.
        unsafe { self.inner.realloc(block, size) }
    }

    /// Counts an allocation that another function of the inner allocator is about to make. If it is to be a sample, here is
    /// its block; else null, and the other function is to be asked.
    #[inline(always)]
    pub fn sampled(&self, size: usize, align: usize) -> *mut u8 {
        if thread::with(|thread| thread.counts_out(counted(size))) {
            cold::only_sampled(size, align)
        } else {
            std::ptr::null_mut()
        }
    }

    /// Whether a block is a sample.
    pub fn is_sample(&self, block: *mut u8) -> bool {
        self.may_be_ours(block) && cold::is_sample(block)
    }

    /// Frees a block if it is a sample; if not, says so and leaves it.
    #[inline(always)]
    pub unsafe fn free_sampled(&self, block: *mut u8) -> bool {
        // SAFETY: the caller's promise is handed on.
        self.may_be_ours(block) && unsafe { cold::free_sampled(block) }
    }

    /// malloc_usable_size(3).
    #[inline(always)]
    pub unsafe fn usable_size(&self, block: *mut u8) -> usize {
        if self.may_be_ours(block) {
            // SAFETY: the caller's promise is handed on.
            return unsafe { cold::usable_size(block, self) };
        }
        // SAFETY: as above.
        unsafe { self.inner.usable_size(block) }
    }
}

const _: () = assert!(LARGE_BYTES.is_multiple_of(crate::os::PAGE_BYTES));
