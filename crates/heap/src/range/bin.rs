//! The free slots of one size: a stack without locks, and a chunk from which fresh ones are cut.
//!
//! The stack's head carries a tag that rises with every change, so that a slot which was taken and given back
//! between our look and our exchange is noticed (the ABA problem). The links lie in the slots' own records,
//! never in the program's memory.

use crate::sync::{AcqRel, Acquire, AtomicU32, AtomicU64, Relaxed, Release};

/// No slot: slot numbers start at 1, since the first unit of the range is a chunk's head.
pub(crate) const NONE: u32 = 0;

/// Where the records of slots are.
pub(crate) trait Links {
    /// Where a free slot keeps the number of the next.
    fn link(&self, slot: u32) -> &AtomicU32;
}

/// See the head of this file.
#[derive(Default)]
pub(crate) struct Bin {
    /// The number of the first free slot; the tag in the upper half.
    free: AtomicU64,
    /// The number of the chunk that fresh slots are cut from, plus one, in the upper half; how many were cut in the lower.
    pub(crate) cutting: AtomicU64,
}

// SAFETY: a struct of atomics.
unsafe impl crate::cells::Zeroed for Bin {}

impl Bin {
    pub(crate) fn pop(&self, links: &impl Links) -> Option<u32> {
        let mut head = self.free.load(Acquire);
        loop {
            let slot = head as u32;
            if slot == NONE {
                return None;
            }
            // The slot may be taken, and its link overwritten, while we look: then the tag differs below.
            let next = links.link(slot).load(Relaxed);
            match self.free.compare_exchange_weak(head, tagged(head, next), AcqRel, Acquire) {
                Ok(_) => return Some(slot),
                Err(now) => head = now,
            }
        }
    }

    pub(crate) fn push(&self, slot: u32, links: &impl Links) {
        let mut head = self.free.load(Relaxed);
        loop {
            links.link(slot).store(head as u32, Relaxed);
            match self.free.compare_exchange_weak(head, tagged(head, slot), Release, Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Cuts a fresh slot: the chunk's number and the slot's place in it.
    pub(crate) fn cut(&self, slots_of: impl Fn(u32) -> u32) -> Result<(u32, u32), u64> {
        let mut now = self.cutting.load(Acquire);
        loop {
            let Some(chunk) = ((now >> 32) as u32).checked_sub(1) else { return Err(now) };
            if now as u32 >= slots_of(chunk) {
                return Err(now);
            }
            match self.cutting.compare_exchange_weak(now, now + 1, AcqRel, Acquire) {
                Ok(_) => return Ok((chunk, now as u32)),
                Err(other) => now = other,
            }
        }
    }

    /// Puts a new chunk in the place of a used-up one, with its first slot taken. False if somebody else was faster.
    pub(crate) fn renew(&self, used_up: u64, chunk: u32) -> bool {
        self.cutting.compare_exchange(used_up, (u64::from(chunk) + 1) << 32 | 1, AcqRel, Relaxed).is_ok()
    }
}

/// A head that points to `slot`, with the tag after that of `head`.
fn tagged(head: u64, slot: u32) -> u64 {
    ((head >> 32).wrapping_add(1) << 32) | u64::from(slot)
}
