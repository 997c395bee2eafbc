//! Sampled blocks of 32 KiB and more for programs that do not say a block's size when they free it.
//!
//! Rust does, so there a large block stays where the allocator put it, and is looked up by its address. C does not, and
//! to look up every pointer that is freed would cost every program. So large sampled blocks have addresses of their own
//! too, right behind the range of small ones: whether a block is a sample stays one subtraction and one comparison.
//!
//! Each power of two has a *region* of the address space, cut into *spans* of that size. A block takes the smallest span
//! that it fits into; what it does not touch of it is address space and no memory. So it can grow to the end of its span
//! in place, and from there its pages are moved, not copied, to a span of the next size.
//!
//! What a freed block has touched is given back to the kernel much as glibc's allocator does it (mallopt(3),
//! `M_MMAP_THRESHOLD`): at once when the block is larger than any that was freed before, up to 32 MiB, and else kept for
//! the next, up to twice that size in all, or 8 MiB. So page faults and resident memory are about what they would be
//! without a sample.
//!
//! What is full: if a region has no span left, the sample is not taken, and counted as dropped.

use std::ptr::NonNull;

use crate::cells::{Cells, Zeroed};
use crate::os::{self, Move, OutOfAddressSpace, PAGE_BYTES};
use crate::range::{Bin, LARGE_BYTES, Links};
use crate::sample::{Sample, SampleCell};
use crate::sync::{AcqRel, Acquire, AtomicU32, AtomicU64, AtomicUsize, Relaxed};

/// The smallest spans: 32 KiB.
const SMALLEST_BITS: u32 = LARGE_BYTES.ilog2();
/// How many regions there are. The first, number 0, is the range of small blocks.
pub(crate) const REGIONS: usize = 32;
/// A region of full size: 256 GiB.
pub(crate) const REGION_BITS_MAX: u32 = 38;
/// The smallest that are worth having: blocks of up to 16 MiB.
pub(crate) const REGION_BITS_MIN: u32 = 24;
/// Spans are made writable in steps of at least this: neighbours are then one mapping to the kernel.
const STEP_BYTES: usize = 1 << 20;
/// As glibc begins: larger blocks are given back at once.
const KEPT_FIRST: usize = 128 << 10;
/// As glibc: larger blocks are always given back at once.
const KEPT_MAX: usize = 32 << 20;
/// So much may be kept in any case: a buffer that grows leaves a span of each size behind it, every time.
const KEPT_SUM_MIN: usize = 8 << 20;
/// A block that became smaller keeps what it has no use for, up to this part of it.
const SPARE_PART: usize = 4;
/// From here on pages are moved. Below, copying is cheaper than the two mappings more that the kernel then has.
const MOVED_BYTES: usize = 1 << 20;
/// Pages of 2 MiB in a region of smaller spans would make memory resident that nobody touched.
const HUGE_PAGE_BITS: u32 = 22;

/// What is known of a span: the sample of the block in it, or, while it is free, the link to the next free one.
#[derive(Default)]
#[repr(C)]
struct Record {
    sample: SampleCell,
    /// The block's size.
    size: AtomicU64,
    /// How many of the span's first bytes may not be zero, and are resident: what the largest block had that was here
    /// since its pages were last given back.
    dirty: AtomicU64,
}

// SAFETY: a struct of atomics.
unsafe impl Zeroed for Record {}

/// The spans of one size.
struct Region {
    start: NonNull<u8>,
    span_bits: u32,
    free: Bin,
    /// How many spans were ever taken, from the start of the region.
    cut: AtomicUsize,
    /// How many are writable.
    writable: AtomicUsize,
    records: Cells<Record>,
}

/// See the head of this file.
pub(crate) struct Spans {
    /// Where the regions begin, the one of the small blocks among them.
    start: usize,
    region_bits: u32,
    /// By size, the smallest first.
    regions: Vec<Region>,
    /// Bytes that free spans have resident.
    kept_bytes: AtomicUsize,
    /// Blocks of at least this size are given back at once.
    given_back_from: AtomicUsize,
}

// SAFETY: the memory is shared through atomics and by handing spans to one owner at a time.
unsafe impl Send for Spans {}
// SAFETY: as above.
unsafe impl Sync for Spans {}

/// A span: where the program's block is.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) block: NonNull<u8>,
    region: u8,
    nth: u32,
    /// How many of its first bytes may not be zero.
    pub(crate) dirty: usize,
}

/// Numbers of free spans are one more than their place.
struct Free<'a>(&'a Cells<Record>);

impl Links for Free<'_> {
    fn link(&self, number: u32) -> &AtomicU32 {
        self.0[number as usize - 1].sample.link()
    }
}

impl Spans {
    /// Spans in the regions after the first of an address range of `REGIONS << region_bits` bytes.
    ///
    /// # Safety
    /// The range is reserved for this, and nobody else uses what lies behind its first region.
    pub(crate) unsafe fn reserve(start: NonNull<u8>, region_bits: u32) -> Result<Self, OutOfAddressSpace> {
        let mut regions = Vec::new();
        for number in 1..REGIONS {
            let span_bits = SMALLEST_BITS + number as u32 - 1;
            if span_bits > region_bits {
                break;
            }
            // SAFETY: the range has `REGIONS` of these.
            let start = unsafe { start.byte_add(number << region_bits) };
            if span_bits < HUGE_PAGE_BITS {
                os::no_huge_pages(start, 1 << region_bits);
            }
            regions.push(Region {
                start,
                span_bits,
                free: Bin::default(),
                cut: AtomicUsize::new(0),
                writable: AtomicUsize::new(0),
                records: Cells::reserve_asleep(1 << (region_bits - span_bits))?,
            });
        }
        Ok(Self {
            start: start.addr().get(),
            region_bits,
            regions,
            kept_bytes: AtomicUsize::new(0),
            given_back_from: AtomicUsize::new(KEPT_FIRST),
        })
    }

    /// Takes a span for a block of so many bytes, aligned to `align`.
    pub(crate) fn take(&self, size: usize, align: usize) -> Option<Span> {
        let bytes = size.max(align).max(LARGE_BYTES).checked_next_power_of_two()?;
        let number = (bytes.ilog2() - SMALLEST_BITS) as usize;
        let region = self.regions.get(number)?;
        let nth = match region.free.pop(&Free(&region.records)) {
            Some(free) => free - 1,
            None => region.cut()?,
        };
        let dirty = region.records[nth as usize].dirty.load(Relaxed) as usize;
        self.kept_bytes.fetch_sub(dirty, Relaxed);
        Some(Span { block: region.block(nth), region: number as u8, nth, dirty })
    }

    /// The span that an address is in, if it is one that was taken.
    pub(crate) fn find(&self, block: *mut u8) -> Option<Span> {
        let offset = block.addr().checked_sub(self.start)?;
        let number = (offset >> self.region_bits).checked_sub(1)?;
        let region = self.regions.get(number)?;
        let nth = (offset & ((1 << self.region_bits) - 1)) >> region.span_bits;
        if nth >= region.cut.load(Acquire) {
            return None;
        }
        let nth = nth as u32;
        Some(Span { block: region.block(nth), region: number as u8, nth, dirty: 0 })
    }

    /// The sample that a span holds.
    pub(crate) fn sample(&self, span: &Span) -> Option<Sample> {
        let record = self.record(span);
        Some(Sample { size: record.size.load(Relaxed), ..record.sample.get()? })
    }

    /// Notes the sample of the block in a span.
    pub(crate) fn put(&self, span: &Span, sample: &Sample) {
        let record = self.record(span);
        record.size.store(sample.size, Relaxed);
        record.dirty.fetch_max(sample.size.next_multiple_of(PAGE_BYTES as u64), Relaxed);
        record.sample.put(sample);
    }

    /// How large the block in it may become.
    pub(crate) fn room(&self, span: &Span) -> usize {
        1 << self.regions[usize::from(span.region)].span_bits
    }

    /// Whether a resized block may stay in its span: it fits, and the next smaller would not do.
    pub(crate) fn fits(&self, span: &Span, size: usize) -> bool {
        let room = self.room(span);
        size <= room && size > room / 4
    }

    /// The block in a span became smaller: what it no longer has goes back to the kernel, unless that is little.
    pub(crate) fn shrink(&self, span: &Span, to: usize) {
        let to = to.next_multiple_of(PAGE_BYTES);
        if self.record(span).dirty.load(Relaxed) as usize > to + to / SPARE_PART {
            self.forget_from(span, to);
        }
    }

    /// Gives the pages of a span from an offset on back to the kernel.
    fn forget_from(&self, span: &Span, from: usize) {
        let record = self.record(span);
        let dirty = record.dirty.load(Relaxed) as usize;
        if from < dirty {
            record.dirty.store(from as u64, Relaxed);
            // SAFETY: pages of the span behind what its block has.
            unsafe { os::forget_pages(span.block.as_ptr().wrapping_add(from), dirty - from) };
        }
    }

    /// Gives a span back. `moved` says how many of its first bytes are gone, because their pages were moved.
    pub(crate) fn give_back(&self, span: &Span, moved: usize) {
        let region = &self.regions[usize::from(span.region)];
        let record = self.record(span);
        record.sample.clear();
        let dirty = record.dirty.load(Relaxed) as usize;
        if moved > 0 || !self.keeps(dirty) {
            record.dirty.store(0, Relaxed);
            // SAFETY: pages of the span, which nobody uses.
            unsafe { os::renew_pages(span.block.as_ptr(), dirty.max(moved)) };
            if region.span_bits < HUGE_PAGE_BITS {
                os::no_huge_pages(span.block, dirty.max(moved));
            }
        }
        region.free.push(span.nth + 1, &Free(&region.records));
    }

    /// Whether so many bytes of a freed block stay resident.
    fn keeps(&self, bytes: usize) -> bool {
        let given_back_from = self.given_back_from.load(Relaxed);
        let kept = bytes < given_back_from && {
            let next = |kept: usize| {
                (kept + bytes <= (2 * given_back_from).max(KEPT_SUM_MIN)).then_some(kept + bytes)
            };
            self.kept_bytes.fetch_update(Relaxed, Relaxed, next).is_ok()
        };
        if !kept && bytes <= KEPT_MAX {
            self.given_back_from.fetch_max(bytes + 1, Relaxed);
        }
        kept
    }

    /// Moves the first bytes of a block to a span of another size. Says how many are gone from the old one, because
    /// their pages were moved. `None` if the new span was lost: nothing is moved, and it is never to be used.
    pub(crate) fn move_to(&self, from: &Span, to: &Span, bytes: usize) -> Option<usize> {
        if bytes >= MOVED_BYTES && to.dirty == 0 {
            let whole = bytes.next_multiple_of(PAGE_BYTES);
            // SAFETY: two different spans, both at least this long; nobody else uses either.
            match unsafe { os::move_pages(from.block.as_ptr(), to.block.as_ptr(), whole) } {
                Move::Done => return Some(whole),
                Move::Refused => {}
                Move::Lost => return None,
            }
        }
        // SAFETY: as above.
        unsafe { from.block.copy_to_nonoverlapping(to.block, bytes) };
        Some(0)
    }

    /// Every sample there is, as seen in passing.
    pub(crate) fn visit(&self, mut see: impl FnMut(usize, Sample)) {
        for region in &self.regions {
            let cut = region.cut.load(Acquire).min(region.records.len());
            for (nth, record) in region.records[..cut].iter().enumerate() {
                if let Some(sample) = record.sample.get() {
                    let size = record.size.load(Relaxed);
                    see(region.block(nth as u32).addr().get(), Sample { size, ..sample });
                }
            }
        }
    }

    /// How much of the fullest region was ever taken, from 0 to 1, of those for blocks of less than so many bytes.
    pub(crate) fn used(&self, below_bytes: usize) -> f64 {
        let regions = self.regions.iter().filter(|region| 1 << region.span_bits < below_bytes);
        regions
            .map(|region| region.cut.load(Relaxed) as f64 / region.records.len() as f64)
            .fold(0.0, f64::max)
    }

    /// Where the last region ends.
    pub(crate) fn end(&self) -> usize {
        self.start + ((self.regions.len() + 1) << self.region_bits)
    }

    fn record(&self, span: &Span) -> &Record {
        &self.regions[usize::from(span.region)].records[span.nth as usize]
    }
}

impl Region {
    fn block(&self, nth: u32) -> NonNull<u8> {
        // SAFETY: numbers of spans are less than the region has.
        unsafe { self.start.byte_add((nth as usize) << self.span_bits) }
    }

    /// A span that was never taken.
    #[cold]
    fn cut(&self) -> Option<u32> {
        let next = |cut: usize| (cut < self.records.len()).then_some(cut + 1);
        // Writable first: once it is cut it may be looked for.
        loop {
            let cut = self.cut.load(Acquire);
            if cut >= self.records.len() {
                return None;
            }
            let writable = self.writable.load(Acquire);
            if cut < writable {
                let nth =
                    self.cut.fetch_update(AcqRel, Acquire, |cut| next(cut).filter(|&cut| cut <= writable));
                match nth {
                    Ok(nth) => return Some(nth as u32),
                    Err(_) => continue,
                }
            }
            let step = (STEP_BYTES >> self.span_bits).clamp(1, self.records.len() - writable);
            let at = self.block(writable as u32);
            if !self.records.wake(writable, writable + step)
                || !os::make_writable(at.as_ptr(), step << self.span_bits)
            {
                return None;
            }
            // Whoever else did the same made the same spans writable.
            let _ = self.writable.compare_exchange(writable, writable + step, AcqRel, Relaxed);
        }
    }
}

#[cfg(all(test, loom))]
mod models;

#[cfg(all(test, not(any(loom, miri))))]
mod tests {
    use super::*;

    const BITS: u32 = REGION_BITS_MIN;

    fn spans() -> (Spans, os::Reservation) {
        let reservation = os::reserve((REGIONS + 1) << BITS).expect("528 MiB of addresses");
        let start = reservation.start();
        // SAFETY: one region longer than what is used; reserved just now, and for this.
        let spans = unsafe { Spans::reserve(start.byte_add(start.align_offset(1 << BITS)), BITS) };
        (spans.expect("address space"), reservation)
    }

    fn sample(size: usize) -> Sample {
        Sample { stack: 3, born: 1, weight: 2.0, label: 0, grown: 0, size: size as u64 }
    }

    /// A span with the sample of a block in it.
    fn taken(spans: &Spans, size: usize) -> Span {
        let span = spans.take(size, 16).expect("there is one");
        spans.put(&span, &sample(size));
        span
    }

    fn fill(span: &Span, bytes: usize, with: u8) {
        // SAFETY: the span is ours and at least this long.
        unsafe { span.block.write_bytes(with, bytes) };
    }

    fn bytes<'a>(span: &Span, bytes: usize) -> &'a [u8] {
        // SAFETY: as above; the tests write while nobody reads.
        unsafe { std::slice::from_raw_parts(span.block.as_ptr(), bytes) }
    }

    #[test]
    fn blocks_have_spans_of_their_own_that_are_found_again() {
        let (spans, _reservation) = spans();
        let mut taken = Vec::new();
        for size in [32 << 10, (32 << 10) + 1, 100_000, 1 << 20, 5 << 20, 16 << 20] {
            let span = spans.take(size, 16).expect("there is one");
            assert!(spans.room(&span) >= size && spans.fits(&span, size) && span.dirty == 0);
            assert!(span.block.addr().get().is_multiple_of(spans.room(&span).min(1 << 24)));
            fill(&span, size, size as u8);
            spans.put(&span, &sample(size));
            taken.push((size, span));
        }
        assert!(spans.take((16 << 20) + 1, 16).is_none(), "larger than any region");
        for (size, span) in taken {
            let inside = span.block.as_ptr().wrapping_add(size - 1);
            let found = spans.find(inside).expect("it was taken");
            assert_eq!(spans.sample(&found).map(|sample| sample.size), Some(size as u64));
            assert!(bytes(&span, size).iter().all(|&byte| byte == size as u8));
            spans.give_back(&found, 0);
            assert_eq!(spans.sample(&found), None);
        }
        spans.visit(|address, _| panic!("{address:x} is left"));
        assert!(spans.find(std::ptr::without_provenance_mut(8)).is_none());
        assert!(spans.find(std::ptr::without_provenance_mut(usize::MAX)).is_none());
    }

    #[test]
    fn what_is_kept_says_how_much_of_it_may_not_be_zero() {
        let (spans, _reservation) = spans();
        let size = 100 << 10;
        let first = taken(&spans, size);
        fill(&first, size, 7);
        spans.give_back(&first, 0);
        // A smaller block in between leaves behind it what the larger one had there.
        let small = taken(&spans, 70 << 10);
        assert_eq!(small.block, first.block);
        spans.give_back(&small, 0);
        let again = taken(&spans, size);
        assert_eq!((again.block, again.dirty), (first.block, size.next_multiple_of(PAGE_BYTES)));
        spans.shrink(&again, 60 << 10);
        assert!(bytes(&again, size)[60 << 10..].iter().all(|&byte| byte == 0));
        spans.give_back(&again, 0);
        assert_eq!(taken(&spans, size).dirty, 60 << 10);
        // Larger than any before: given back at once, and zero when it is taken again.
        let large = taken(&spans, 4 << 20);
        fill(&large, 4 << 20, 7);
        spans.give_back(&large, 0);
        assert_eq!(os::resident_bytes(large.block.addr().get(), 4 << 20), 0);
        let again = taken(&spans, 4 << 20);
        assert_eq!(again.dirty, 0);
        assert!(bytes(&again, 4 << 20).iter().all(|&byte| byte == 0));
        // And kept from then on.
        spans.give_back(&again, 0);
        assert_eq!(taken(&spans, 4 << 20).dirty, 4 << 20);
    }

    #[test]
    fn growing_blocks_take_their_pages_along() {
        let (spans, _reservation) = spans();
        for size in [64 << 10, 1 << 20, 2 << 20] {
            let small = taken(&spans, size);
            fill(&small, size, 9);
            let large = taken(&spans, 2 * size + 1);
            let moved = spans.move_to(&small, &large, size).expect("nobody else maps anything here");
            assert_eq!(moved, if size >= MOVED_BYTES { size } else { 0 });
            assert!(bytes(&large, size).iter().all(|&byte| byte == 9));
            assert!(bytes(&large, 2 * size)[size..].iter().all(|&byte| byte == 0));
            if moved > 0 {
                assert!(bytes(&small, size).iter().all(|&byte| byte == 0), "its pages are gone");
            }
            spans.give_back(&small, moved);
            // And again, out of a span whose pages came from elsewhere, with some of its own behind them.
            fill(&large, 2 * size, 8);
            spans.put(&large, &sample(2 * size));
            let larger = taken(&spans, 4 * size + 1);
            let moved = spans.move_to(&large, &larger, 2 * size).expect("nobody else maps anything here");
            assert!(bytes(&larger, 2 * size).iter().all(|&byte| byte == 8));
            spans.give_back(&large, moved);
        }
    }

    #[test]
    fn what_a_program_did_to_pages_that_go_back_is_undone() {
        let (spans, _reservation) = spans();
        let span = taken(&spans, 4 << 20);
        fill(&span, 4 << 20, 1);
        // SAFETY: pages of the span.
        let failed = unsafe { libc::mprotect(span.block.as_ptr().cast(), 4 << 20, libc::PROT_READ) };
        assert_eq!(failed, 0);
        spans.give_back(&span, 0);
        let again = taken(&spans, 4 << 20);
        assert_eq!(again.block, span.block);
        fill(&again, 4 << 20, 2);
        spans.give_back(&again, 0);
    }

    #[test]
    fn threads_never_get_the_same_span() {
        let (spans, _reservation) = spans();
        std::thread::scope(|scope| {
            for thread in 1..=4_u8 {
                let spans = &spans;
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(u64::from(thread));
                    let mut held = Vec::new();
                    for _ in 0..3000 {
                        if held.len() < 20 && random.bool() {
                            let size = random.usize(LARGE_BYTES..200 << 10);
                            let Some(span) = spans.take(size, 16) else { continue };
                            fill(&span, size, thread);
                            held.push((span, size));
                        } else if !held.is_empty() {
                            let (span, size) = held.swap_remove(random.usize(0..held.len()));
                            assert!(bytes(&span, size).iter().all(|&byte| byte == thread));
                            spans.give_back(&span, 0);
                        }
                    }
                });
            }
        });
    }
}
