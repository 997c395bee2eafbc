//! What the allocator does when a block is, was or may become a sample: the cold half of the wrapper.
//!
//! The order matters. A sample is noted after its block was allocated and forgotten before it is freed: in between,
//! another thread could be given the same address. What a block was is read from its own record, so a free on
//! another thread, in a forked child or in a signal handler is as good as any.
//!
//! Arguments come in the order in which the allocator's own functions have them, the heap last: so the way here moves no
//! register.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;

use crate::engine::engine;
use crate::range::LARGE_BYTES;
use crate::unwind::Registers;
use crate::wrapper::Heap;
use crate::{sample, sampler, thread};

/// The thread's count ran out with this allocation: samples it if that was a hit.
///
/// # Safety
/// As [`GlobalAlloc::alloc`] and `alloc_zeroed`.
#[cold]
#[inline(never)]
pub(crate) unsafe fn alloc<A: GlobalAlloc>(layout: Layout, zeroed: bool, heap: &Heap<A>) -> *mut u8 {
    // Taken here, so that none of our own functions is in the stack.
    let here = Registers::here();
    // SAFETY: the caller's promise is handed on.
    let plain = || unsafe { if zeroed { heap.inner.alloc_zeroed(layout) } else { heap.inner.alloc(layout) } };
    thread::with(|thread| {
        let Some(interval) = sampler::hit(thread, layout.size()) else { return plain() };
        let Some(engine) = engine() else { return plain() };
        heap.learn(engine.range.start());
        let weight = sample::weight(layout.size() as u64, interval);
        if layout.size() < LARGE_BYTES {
            let _timed = engine.cost.timed();
            let Some(slot) = engine.slot(thread, layout) else { return plain() };
            if zeroed {
                // SAFETY: the slot is ours and at least as large as the layout.
                unsafe { slot.block.write_bytes(0, layout.size()) };
            }
            slot.sample.put(&engine.born(thread, here, layout.size(), weight));
            slot.block.as_ptr()
        } else {
            let block = plain();
            if !block.is_null() {
                let _timed = engine.cost.timed();
                let sample = engine.born(thread, here, layout.size(), weight);
                engine.insert(block, &sample);
            }
            block
        }
    })
}

/// Frees a block whose address may be of the range.
///
/// # Safety
/// As [`GlobalAlloc::dealloc`].
#[cold]
#[inline(never)]
pub(crate) unsafe fn dealloc_small<A: GlobalAlloc>(block: *mut u8, layout: Layout, heap: &Heap<A>) {
    match (engine(), NonNull::new(block)) {
        (Some(engine), Some(ours)) if engine.range.holds(block) => {
            let _timed = engine.cost.timed();
            engine.end_slot(&engine.range.slot(ours));
        }
        // Near the range, which is smaller than it might be: as if it were anywhere else.
        // SAFETY: the caller's promise is handed on.
        _ if layout.size() >= LARGE_BYTES => unsafe { dealloc_large(block, layout, heap) },
        // SAFETY: the caller's promise is handed on.
        _ => unsafe { heap.inner.dealloc(block, layout) },
    }
}

/// Frees a block that is too large for the range.
///
/// # Safety
/// As [`GlobalAlloc::dealloc`].
#[cold]
#[inline(never)]
pub(crate) unsafe fn dealloc_large<A: GlobalAlloc>(block: *mut u8, layout: Layout, heap: &Heap<A>) {
    if let Some(engine) = engine()
        && let Some(sample) = engine.large.remove(block.addr())
    {
        let _timed = engine.cost.timed();
        engine.died(&sample);
    }
    // SAFETY: the caller's promise is handed on.
    unsafe { heap.inner.dealloc(block, layout) }
}

/// Resizes a block whose address may be of the range.
///
/// # Safety
/// As [`GlobalAlloc::realloc`].
#[cold]
#[inline(never)]
pub(crate) unsafe fn realloc_small<A: GlobalAlloc>(
    block: *mut u8,
    layout: Layout,
    new_size: usize,
    heap: &Heap<A>,
) -> *mut u8 {
    let (Some(engine), Some(ours)) =
        (engine().filter(|engine| engine.range.holds(block)), NonNull::new(block))
    else {
        // Near the range, which is smaller than it might be: as if it were anywhere else.
        if layout.size() >= LARGE_BYTES {
            // SAFETY: the caller's promise is handed on.
            return unsafe { realloc_large(block, layout, new_size, heap) };
        }
        // SAFETY: the caller's promise is handed on.
        return unsafe { realloc_unsampled(block, layout, new_size, heap) };
    };
    thread::with(|thread| {
        let _timed = engine.cost.timed();
        let slot = engine.range.slot(ours);
        let Some(before) = slot.sample.get() else { return std::ptr::null_mut() };
        let after = before.resized(new_size as u64);
        if engine.range.fits(&slot, new_size) {
            engine.resized(&before, &after);
            slot.sample.put(&after);
            return block;
        }
        // SAFETY: the new size is not zero and rounds up to at most `isize::MAX`, by the caller's promise.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        let copied = layout.size().min(new_size);
        let to = if new_size < LARGE_BYTES {
            engine.slot(thread, sized(new_layout, roomy(layout.size(), new_size)))
        } else {
            None
        };
        match to {
            Some(to) => {
                // SAFETY: both slots are ours, different, and at least this large.
                unsafe { ours.copy_to_nonoverlapping(to.block, copied) };
                engine.resized(&before, &after);
                to.sample.put(&after);
                slot.sample.clear();
                engine.range.give_back(&slot);
                to.block.as_ptr()
            }
            None => {
                // SAFETY: a valid layout that is not empty.
                let to = unsafe { heap.inner.alloc(new_layout) };
                if to.is_null() {
                    return to;
                }
                // SAFETY: two different blocks, both at least this large.
                unsafe { block.copy_to_nonoverlapping(to, copied) };
                if new_size < LARGE_BYTES {
                    // It had no slot, so it can be followed no further.
                    engine.died(&before);
                } else {
                    engine.resized(&before, &after);
                    engine.insert(to, &after);
                }
                slot.sample.clear();
                engine.range.give_back(&slot);
                to
            }
        }
    })
}

/// The size of a slot for a block that is resized: one that grew will grow again, and is not moved every time.
pub(crate) fn roomy(old_size: usize, new_size: usize) -> usize {
    if new_size > old_size { new_size.next_power_of_two().min(LARGE_BYTES - 1) } else { new_size }
}

/// The layout with another size.
fn sized(layout: Layout, size: usize) -> Layout {
    Layout::from_size_align(size, layout.align()).unwrap_or(layout)
}

/// Resizes a block that is too large for the range.
///
/// # Safety
/// As [`GlobalAlloc::realloc`].
#[cold]
#[inline(never)]
pub(crate) unsafe fn realloc_large<A: GlobalAlloc>(
    block: *mut u8,
    layout: Layout,
    new_size: usize,
    heap: &Heap<A>,
) -> *mut u8 {
    let sampled = engine().and_then(|engine| Some((engine, engine.large.remove(block.addr())?)));
    let Some((engine, before)) = sampled else {
        // SAFETY: the caller's promise is handed on.
        return unsafe { realloc_unsampled(block, layout, new_size, heap) };
    };
    thread::with(|thread| {
        let after = before.resized(new_size as u64);
        if new_size < LARGE_BYTES {
            // SAFETY: the new size is not zero and less than the old, which was a valid layout.
            let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
            heap.learn(engine.range.start());
            if let Some(to) = engine.slot(thread, new_layout) {
                // SAFETY: the slot is ours and at least this large; the block is larger.
                unsafe { block.copy_to_nonoverlapping(to.block.as_ptr(), new_size) };
                engine.resized(&before, &after);
                to.sample.put(&after);
                // SAFETY: the caller gives the block up.
                unsafe { heap.inner.dealloc(block, layout) };
                return to.block.as_ptr();
            }
            engine.died(&before);
            // SAFETY: the caller's promise is handed on.
            let to = unsafe { heap.inner.realloc(block, layout, new_size) };
            return to;
        }
        // SAFETY: the caller's promise is handed on.
        let to = unsafe { heap.inner.realloc(block, layout, new_size) };
        if to.is_null() {
            // The old block is still there, and still a sample.
            engine.insert(block, &before);
        } else {
            let _timed = engine.cost.timed();
            engine.resized(&before, &after);
            engine.insert(to, &after);
        }
        to
    })
}

/// Resizes a block that is no sample. What it gains may make it one.
///
/// # Safety
/// As [`GlobalAlloc::realloc`].
#[inline(always)]
pub(crate) unsafe fn realloc_unsampled<A: GlobalAlloc>(
    block: *mut u8,
    layout: Layout,
    new_size: usize,
    heap: &Heap<A>,
) -> *mut u8 {
    let added = new_size.saturating_sub(layout.size());
    if added > 0 && thread::with(|thread| thread.counts_out(added)) {
        // SAFETY: the caller's promise is handed on.
        return unsafe { grow(block, layout, new_size, heap) };
    }
    // SAFETY: the caller's promise is handed on.
    unsafe { heap.inner.realloc(block, layout, new_size) }
}

/// The thread's count ran out with the growth of a block that was no sample.
///
/// # Safety
/// As [`GlobalAlloc::realloc`], with a new size above the old.
#[cold]
#[inline(never)]
unsafe fn grow<A: GlobalAlloc>(block: *mut u8, layout: Layout, new_size: usize, heap: &Heap<A>) -> *mut u8 {
    let here = Registers::here();
    // SAFETY: the caller's promise is handed on.
    let plain = || unsafe { heap.inner.realloc(block, layout, new_size) };
    thread::with(|thread| {
        let added = new_size - layout.size();
        let Some(interval) = sampler::hit(thread, added) else { return plain() };
        let Some(engine) = engine() else { return plain() };
        let weight = sample::weight_grown(added as u64, new_size as u64, interval);
        if new_size >= LARGE_BYTES {
            let to = plain();
            if !to.is_null() {
                let _timed = engine.cost.timed();
                let sample = engine.born(thread, here, new_size, weight);
                engine.insert(to, &sample);
            }
            return to;
        }
        // SAFETY: the new size is not zero and small.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        let _timed = engine.cost.timed();
        heap.learn(engine.range.start());
        let roomy = sized(new_layout, roomy(layout.size(), new_size));
        let Some(slot) = engine.slot(thread, roomy) else { return plain() };
        // SAFETY: the slot is ours and larger than the old block, which the caller gives up.
        unsafe {
            block.copy_to_nonoverlapping(slot.block.as_ptr(), layout.size());
            heap.inner.dealloc(block, layout);
        }
        slot.sample.put(&engine.born(thread, here, new_size, weight));
        slot.block.as_ptr()
    })
}
