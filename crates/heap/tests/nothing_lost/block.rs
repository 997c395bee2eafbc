//! A block whose contents are known: a byte that is wrong was written by somebody who owned the same memory, or lost on
//! the way through `realloc`.

use std::alloc::{GlobalAlloc, Layout};

use crate::HEAP;

/// Bytes that are looked at from the start of a block; behind them, one in [`STRIDE`] and the last.
const HEAD: usize = 64;
const STRIDE: usize = 509;

/// A block that somebody owns.
pub(crate) struct Block {
    at: *mut u8,
    layout: Layout,
    seed: u32,
}

// SAFETY: it owns its memory.
unsafe impl Send for Block {}

/// Small ones mostly; one in twenty above or below 32 KiB, where blocks change between the profiler's range and the
/// inner allocator.
pub(crate) fn random_size(random: &mut fastrand::Rng) -> usize {
    match random.u32(0..100) {
        0..70 => random.usize(1..512),
        70..92 => random.usize(1..8192),
        92..98 => random.usize(16 << 10..64 << 10),
        _ => random.usize(1..256 << 10),
    }
}

fn marks(size: usize) -> impl Iterator<Item = usize> {
    (0..size.min(HEAD)).chain((HEAD..size).step_by(STRIDE)).chain(size.checked_sub(1))
}

impl Block {
    /// Allocates, at times zeroed and then checked to be.
    pub(crate) fn new(random: &mut fastrand::Rng, size: usize) -> Self {
        let align = if random.u32(0..16) == 0 { 1 << random.u32(0..13) } else { 8 };
        let layout = Layout::from_size_align(size, align).expect("small");
        let zeroed = random.u32(0..4) == 0;
        // SAFETY: the layout has a size.
        let at = unsafe { if zeroed { HEAP.alloc_zeroed(layout) } else { HEAP.alloc(layout) } };
        assert!(!at.is_null() && at.addr().is_multiple_of(align), "{at:?} for {layout:?}");
        if zeroed {
            // SAFETY: marks are within the block.
            marks(size).for_each(|mark| assert_eq!(unsafe { at.add(mark).read() }, 0, "{layout:?}"));
        }
        let mut block = Self { at, layout, seed: random.u32(..) };
        block.fill();
        block
    }

    fn byte(&self, mark: usize) -> u8 {
        (u64::from(self.seed).wrapping_add(mark as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
    }

    fn fill(&mut self) {
        for mark in marks(self.layout.size()) {
            // SAFETY: marks are within the block.
            unsafe { self.at.add(mark).write(self.byte(mark)) };
        }
    }

    /// Looks at the marks of a block of `size` bytes that are below `end`.
    fn check_marks(&self, size: usize, end: usize) {
        for mark in marks(size).filter(|&mark| mark < end) {
            // SAFETY: the callers' `end` is within the block.
            let byte = unsafe { self.at.add(mark).read() };
            assert_eq!(byte, self.byte(mark), "at {mark} of {:?}, {:?}", self.layout, self.at);
        }
    }

    /// One in two.
    pub(crate) fn is_odd(&self) -> bool {
        self.seed & 1 == 1
    }

    pub(crate) fn check(&self) {
        self.check_marks(self.layout.size(), self.layout.size());
    }

    pub(crate) fn resize(&mut self, size: usize) {
        self.check();
        let old = self.layout.size();
        // SAFETY: the block is ours, of this layout; the new size is not zero.
        self.at = unsafe { HEAP.realloc(self.at, self.layout, size) };
        self.layout = Layout::from_size_align(size, self.layout.align()).expect("small");
        assert!(!self.at.is_null() && self.at.addr().is_multiple_of(self.layout.align()));
        self.check_marks(old, old.min(size));
        self.fill();
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.check();
        }
        // SAFETY: the block is ours, of this layout, and given up.
        unsafe { HEAP.dealloc(self.at, self.layout) };
    }
}
