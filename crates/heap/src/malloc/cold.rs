//! What happens when a block is, was or may become a sample: the cold half of [`Malloc`].
//!
//! The order matters, as in `hooks`: a sample is noted after its block was allocated, and forgotten before it is freed.
//! Each of the functions that samples takes its registers itself, so that no frame of ours but its caller's is in
//! the stack. They have C's calling convention because their callers have it, and can then jump here.

use std::alloc::Layout;
use std::ptr::NonNull;

use super::{ALIGN, Inner, Malloc};
use crate::engine::{Engine, engine};
use crate::hooks::roomy;
use crate::os::{Errno, PAGE_BYTES};
use crate::range::{LARGE_BYTES, Slot};
use crate::sample::{self, Sample};
use crate::sampler;
use crate::spans::{Span, Spans};
use crate::thread::{self, Thread};
use crate::unwind::Registers;

/// A block that is no sample, and larger than this, stays none when it grows: to become one it would have to be copied
/// while the old one is still there.
const COPIED_MAX: usize = 16 << 20;

/// Where a sample is.
enum Place<'a> {
    Slot(Slot<'a>),
    Span(&'a Spans, Span),
}

/// What is asked for.
#[derive(Clone, Copy)]
struct Wanted {
    size: usize,
    align: usize,
    zeroed: bool,
}

impl<'a> Place<'a> {
    /// A place for a block, if there is one; counted if not.
    fn take(engine: &'a Engine, thread: &Thread, wanted: Wanted) -> Option<Self> {
        let layout = Layout::from_size_align(wanted.size, wanted.align).ok()?;
        let place = if wanted.size < LARGE_BYTES && wanted.align <= PAGE_BYTES {
            let slot = engine.slot(thread, layout)?;
            if wanted.zeroed {
                // SAFETY: the slot is ours and at least as large as the layout.
                unsafe { slot.block.write_bytes(0, wanted.size) };
            }
            Self::Slot(slot)
        } else {
            let spans = engine.spans.as_ref()?;
            let Some(span) = spans.take(wanted.size, wanted.align) else {
                engine.count_dropped_large();
                return None;
            };
            if wanted.zeroed {
                // SAFETY: the span is ours; only what was used before may not be zero.
                unsafe { span.block.write_bytes(0, span.dirty.min(wanted.size)) };
            }
            Self::Span(spans, span)
        };
        Some(place)
    }

    /// The place of a block that is a sample.
    fn find(engine: &'a Engine, block: *mut u8) -> Option<(Self, Sample)> {
        if engine.range.holds(block) {
            let slot = engine.range.slot(NonNull::new(block)?);
            let sample = slot.sample.get()?;
            return Some((Self::Slot(slot), sample));
        }
        let spans = engine.spans.as_ref()?;
        let span = spans.find(block)?;
        let sample = spans.sample(&span)?;
        Some((Self::Span(spans, span), sample))
    }

    fn block(&self) -> NonNull<u8> {
        match self {
            Self::Slot(slot) => slot.block,
            Self::Span(_, span) => span.block,
        }
    }

    fn put(&self, sample: &Sample) {
        match self {
            Self::Slot(slot) => slot.sample.put(sample),
            Self::Span(spans, span) => spans.put(span, sample),
        }
    }

    /// How many bytes of a block of this size the program may use.
    fn usable(&self, engine: &Engine, size: usize) -> usize {
        match self {
            Self::Slot(slot) => engine.range.room(slot),
            Self::Span(..) => size.next_multiple_of(PAGE_BYTES),
        }
    }

    fn fits(&self, engine: &Engine, size: usize) -> bool {
        match self {
            Self::Slot(slot) => engine.range.fits(slot, size),
            Self::Span(spans, span) => size >= LARGE_BYTES && spans.fits(span, size),
        }
    }

    /// Forgets the sample, and lets others have the place. `moved` is how many of the block's first bytes are gone.
    fn give_back(&self, engine: &Engine, moved: usize) {
        match self {
            Self::Slot(slot) => {
                slot.sample.clear();
                engine.range.give_back(slot);
            }
            Self::Span(spans, span) => spans.give_back(span, moved),
        }
    }

    /// Moves a block's first bytes to another place. Says how many are gone from this one; `None` if the other was lost.
    fn move_to(&self, to: &Self, bytes: usize) -> Option<usize> {
        if let (Self::Span(spans, from), Self::Span(_, to)) = (self, to) {
            return spans.move_to(from, to, bytes);
        }
        // SAFETY: two different places, both at least this large.
        unsafe { self.block().copy_to_nonoverlapping(to.block(), bytes) };
        Some(0)
    }
}

/// A new sample, if the count ran out with a hit and there is a place for it.
#[inline(always)]
fn sampled(here: Registers, wanted: Wanted) -> Option<*mut u8> {
    thread::with(|thread| {
        let interval = sampler::hit(thread, wanted.size)?;
        let engine = engine()?;
        let _errno = Errno::now();
        engine.go_home();
        let _timed = engine.cost.timed();
        let place = Place::take(engine, thread, wanted)?;
        let weight = sample::weight(wanted.size as u64, interval);
        place.put(&engine.born(thread, here, wanted.size, weight));
        Some(place.block().as_ptr())
    })
}

/// # Safety
/// As malloc(3).
#[cold]
#[inline(never)]
pub(super) unsafe extern "C" fn malloc<I: Inner>(size: usize, heap: &Malloc<I>) -> *mut u8 {
    let here = Registers::here();
    sampled(here, Wanted { size, align: ALIGN, zeroed: false }).unwrap_or_else(|| {
        // SAFETY: the caller's promise is handed on.
        unsafe { heap.inner.malloc(size) }
    })
}

/// # Safety
/// As calloc(3), of one object.
#[cold]
#[inline(never)]
pub(super) unsafe extern "C" fn calloc<I: Inner>(size: usize, heap: &Malloc<I>) -> *mut u8 {
    let here = Registers::here();
    sampled(here, Wanted { size, align: ALIGN, zeroed: true }).unwrap_or_else(|| {
        // SAFETY: the caller's promise is handed on.
        unsafe { heap.inner.calloc(1, size) }
    })
}

/// # Safety
/// As memalign(3).
#[cold]
#[inline(never)]
pub(super) unsafe extern "C" fn memalign<I: Inner>(align: usize, size: usize, heap: &Malloc<I>) -> *mut u8 {
    let here = Registers::here();
    sampled(here, Wanted { size, align: align.max(ALIGN), zeroed: false }).unwrap_or_else(|| {
        // SAFETY: the caller's promise is handed on.
        unsafe { heap.inner.memalign(align, size) }
    })
}

/// A block that is a sample, or null.
#[cold]
#[inline(never)]
pub(super) extern "C" fn only_sampled(size: usize, align: usize) -> *mut u8 {
    let here = Registers::here();
    sampled(here, Wanted { size, align: align.max(ALIGN), zeroed: false }).unwrap_or(std::ptr::null_mut())
}

/// # Safety
/// As free(3).
#[cold]
#[inline(never)]
pub(super) unsafe extern "C" fn free<I: Inner>(block: *mut u8, heap: &Malloc<I>) {
    // SAFETY: the caller's promise is handed on.
    if !unsafe { free_sampled(block) } {
        // Near the range, which is smaller than it might be: as if it were anywhere else.
        // SAFETY: as above.
        unsafe { heap.inner.free(block) }
    }
}

/// Whether an address is one of ours.
pub(super) fn is_sample(block: *mut u8) -> bool {
    engine().is_some_and(|engine| engine.has(block))
}

/// Frees a block of ours; false if it is none.
///
/// # Safety
/// As free(3).
#[inline]
pub(super) unsafe fn free_sampled(block: *mut u8) -> bool {
    let Some(engine) = engine().filter(|engine| engine.has(block)) else { return false };
    let _errno = Errno::now();
    engine.go_home();
    let _timed = engine.cost.timed();
    // What is no sample there was freed before.
    if let Some((place, sample)) = Place::find(engine, block) {
        engine.died(&sample);
        place.give_back(engine, 0);
    }
    true
}

/// # Safety
/// As malloc_usable_size(3).
#[cold]
#[inline(never)]
pub(super) unsafe extern "C" fn usable_size<I: Inner>(block: *mut u8, heap: &Malloc<I>) -> usize {
    let Some(engine) = engine().filter(|engine| engine.has(block)) else {
        // SAFETY: the caller's promise is handed on.
        return unsafe { heap.inner.usable_size(block) };
    };
    Place::find(engine, block).map_or(0, |(place, sample)| place.usable(engine, sample.size as usize))
}

/// Resizes a block that is a sample, and stays one.
///
/// # Safety
/// As realloc(3), of a block.
#[cold]
#[inline(never)]
pub(super) unsafe extern "C" fn realloc<I: Inner>(block: *mut u8, size: usize, heap: &Malloc<I>) -> *mut u8 {
    let Some(engine) = engine().filter(|engine| engine.has(block)) else {
        // Near the range, which is smaller than it might be: as if it were anywhere else.
        // SAFETY: the caller's promise is handed on.
        return unsafe { heap.realloc_unsampled(block, size) };
    };
    if size == 0 {
        // What that is to the allocator behind: most free the block and answer null, some with a new block.
        // SAFETY: as above; and a block that the allocator behind gave out just now.
        return unsafe {
            free(block, heap);
            let empty = heap.inner.malloc(1);
            if empty.is_null() { empty } else { heap.inner.realloc(empty, 0) }
        };
    }
    let errno = Errno::now();
    engine.go_home();
    let _timed = engine.cost.timed();
    // What is no sample there was freed before: there is nothing to resize.
    let Some((place, before)) = Place::find(engine, block) else { return std::ptr::null_mut() };
    let old_size = before.size as usize;
    let after = before.resized(size as u64);
    if place.fits(engine, size) {
        if let Place::Span(spans, span) = &place {
            spans.shrink(span, size);
        }
        engine.resized(&before, &after);
        place.put(&after);
        return block;
    }
    let copied = place.usable(engine, old_size).min(size);
    let to = thread::with(|thread| {
        let wanted = Wanted { size: room_for(old_size, size), align: ALIGN, zeroed: false };
        Place::take(engine, thread, wanted)
    });
    if let Some(to) = to
        && let Some(moved) = place.move_to(&to, copied)
    {
        engine.resized(&before, &after);
        to.put(&after);
        place.give_back(engine, moved);
        return to.block().as_ptr();
    }
    drop(errno);
    // SAFETY: any size may be asked for.
    let to = unsafe { heap.inner.malloc(size) };
    if !to.is_null() {
        // It has no place, so it can be followed no further.
        // SAFETY: two different blocks, both at least this large.
        unsafe { block.copy_to_nonoverlapping(to, copied) };
        engine.died(&before);
        place.give_back(engine, 0);
    }
    to
}

/// The count ran out with the growth of a block that was no sample.
///
/// # Safety
/// As realloc(3), with a size above the old, which is what the block has room for.
#[cold]
#[inline(never)]
pub(super) unsafe extern "C" fn grow<I: Inner>(
    block: *mut u8,
    old_size: usize,
    size: usize,
    heap: &Malloc<I>,
) -> *mut u8 {
    let here = Registers::here();
    // SAFETY: the caller's promise is handed on.
    let plain = || unsafe { heap.inner.realloc(block, size) };
    thread::with(|thread| {
        let added = size - old_size;
        let Some(interval) = sampler::hit(thread, added) else { return plain() };
        let Some(engine) = engine() else { return plain() };
        if old_size > COPIED_MAX {
            engine.count_dropped_large();
            return plain();
        }
        let errno = Errno::now();
        engine.go_home();
        let _timed = engine.cost.timed();
        let wanted = Wanted { size: room_for(old_size, size), align: ALIGN, zeroed: false };
        let Some(place) = Place::take(engine, thread, wanted) else {
            drop(errno);
            return plain();
        };
        // SAFETY: the place is ours and larger than the old block, which the caller gives up.
        unsafe {
            block.copy_to_nonoverlapping(place.block().as_ptr(), old_size);
            heap.inner.free(block);
        }
        let weight = sample::weight_grown(added as u64, size as u64, interval);
        place.put(&engine.born(thread, here, size, weight));
        place.block().as_ptr()
    })
}

/// The size of the place for a block that is resized: a small one that grew will grow again, and is not moved every time.
/// Large ones have room to the next power of two anyway.
fn room_for(old_size: usize, size: usize) -> usize {
    if size < LARGE_BYTES { roomy(old_size, size) } else { size }
}
