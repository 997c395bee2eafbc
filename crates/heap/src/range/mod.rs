//! A range of addresses of our own, from which sampled small blocks are served.
//!
//! Every `dealloc` of the program must find out whether its block was sampled, and nearly none was. If the sampled
//! ones lie in one range, the answer is a subtraction and a comparison: no lookup, no cache line, no false alarm,
//! and it stays the same with a hundred thousand samples alive.
//!
//! The range is cut into chunks of 256 KiB. A chunk belongs to one size of slots and one *shard*; it begins with
//! its head, then come the records of its slots, then the slots. Threads are spread over shards so that they
//! rarely meet; a slot goes back to the shard that it came from. Memory is committed chunk by chunk, and becomes
//! resident page by page.
//!
//! What is full: a chunk is never given to another size. If the range has none left, the sample is not taken
//! and counted as dropped.

mod bin;
mod classes;

use std::ptr::NonNull;

pub(crate) use bin::{Bin, Links};
use classes::{ALIGN_MAX, CLASSES, slot_bytes};
pub(crate) use classes::{LARGE_BYTES, class_of};

use crate::cells::Cells;
use crate::os::{self, OutOfAddressSpace, Reservation};
use crate::sample::{Sample, SampleCell};
use crate::sync::{AcqRel, Acquire, AtomicU32, AtomicUsize, Relaxed, Release};

/// How much address space the range may take at most: the wrapper's test has this as a constant.
pub(crate) const SPAN_BYTES: usize = 1 << SPAN_BITS;
/// See [`SPAN_BYTES`].
pub(crate) const SPAN_BITS: u32 = 34;
/// The least that is worth having.
const SMALLEST_BYTES: usize = 16 << 20;
/// What a process under `ulimit -v` can spare: this part of its address space.
const SPARE: u64 = 16;

const CHUNK_BITS: u32 = 18;
const CHUNK_BYTES: usize = 1 << CHUNK_BITS;
/// A slot's number is where its *record* is in the range, in these units: it fits 32 bits, and the record of a
/// free slot is found without a division.
const UNIT_BITS: u32 = 3;
const _: () = assert!(SPAN_BITS - UNIT_BITS <= 32 && size_of::<SampleCell>().is_multiple_of(1 << UNIT_BITS));
const SHARDS_MAX: usize = 16;

/// The head of a chunk: written when the chunk is opened, before anybody is told of it.
#[repr(C, align(64))]
struct Head {
    slot_bytes: AtomicU32,
    /// Where the first slot is, from the chunk's start.
    first: AtomicU32,
    slots: AtomicU32,
    /// Two to the 32nd over the slot size, rounded up: exact for slot starts within a chunk.
    reciprocal: AtomicU32,
    /// Which bin it belongs to.
    bin: AtomicU32,
}

/// Where a chunk that was opened in vain keeps the number of the next: in the table of chunks.
struct Spares<'a>(&'a [AtomicU32]);

impl Links for Spares<'_> {
    fn link(&self, number: u32) -> &AtomicU32 {
        &self.0[number as usize]
    }
}

/// In the table of chunks: this one may be looked into. Larger than any link.
const READY: u32 = u32::MAX;

/// See the head of this file.
pub(crate) struct Range {
    start: NonNull<u8>,
    /// What `start` lies in, if it is this range's alone.
    _reservation: Option<Reservation>,
    bytes: usize,
    wanted_bytes: usize,
    shards: usize,
    bins: Cells<Bin>,
    /// How many chunks were opened, from the start of the range.
    opened: AtomicUsize,
    /// For each chunk, by its number plus one: whether it is ready, or the next in `spare`.
    chunks: Cells<AtomicU32>,
    /// Chunks that two threads opened for one bin at the same moment; one of them was not needed.
    spare: Bin,
}

// SAFETY: the memory is shared through atomics and by handing slots to one owner at a time.
unsafe impl Send for Range {}
// SAFETY: as above.
unsafe impl Sync for Range {}

/// A slot: where the program's block is, and the record of it.
pub(crate) struct Slot<'a> {
    pub(crate) block: NonNull<u8>,
    pub(crate) sample: &'a SampleCell,
    chunk: u32,
    nth: u32,
}

impl Range {
    /// Reserves address space: [`SPAN_BYTES`] or, where that is not to be had, as much as there is.
    pub(crate) fn reserve(wanted_bytes: usize) -> Result<Self, OutOfAddressSpace> {
        let mut bytes = wanted_bytes.next_power_of_two().clamp(SMALLEST_BYTES, SPAN_BYTES);
        if let Some(limit) = os::address_space_limit() {
            let spare = usize::try_from(limit / SPARE).unwrap_or(usize::MAX);
            while bytes > SMALLEST_BYTES && bytes > spare {
                bytes /= 2;
            }
        }
        // Chunks find their head by their address, so the range begins at a multiple of their size.
        let reservation = loop {
            match os::reserve(bytes + CHUNK_BYTES) {
                Ok(reservation) => break reservation,
                Err(_) if bytes > SMALLEST_BYTES => bytes /= 2,
                Err(error) => return Err(error),
            }
        };
        let start = reservation.start();
        // SAFETY: it is one chunk longer than what is used of it.
        let start = unsafe { start.byte_add(start.align_offset(CHUNK_BYTES)) };
        Ok(Self { _reservation: Some(reservation), ..Self::at(start, bytes, wanted_bytes)? })
    }

    /// A range at an address that others reserved for it: a multiple of [`CHUNK_BYTES`], and `bytes` a power of two.
    pub(crate) fn at(
        start: NonNull<u8>,
        bytes: usize,
        wanted_bytes: usize,
    ) -> Result<Self, OutOfAddressSpace> {
        // Slots are taken here and there, and their neighbours are not to become resident with them.
        os::no_huge_pages(start, bytes);
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        // Each shard may leave a started chunk of every size: a small range can't afford many.
        let shards_max = SHARDS_MAX.min(bytes / CHUNK_BYTES / CLASSES).max(1);
        Ok(Self {
            start,
            _reservation: None,
            bytes,
            wanted_bytes,
            shards: processors.next_power_of_two().min(1 << shards_max.ilog2()),
            bins: Cells::reserve(SHARDS_MAX * CLASSES)?,
            opened: AtomicUsize::new(0),
            chunks: Cells::reserve(bytes / CHUNK_BYTES + 1)?,
            spare: Bin::default(),
        })
    }

    /// Where it begins: what the wrapper subtracts.
    pub(crate) fn start(&self) -> usize {
        self.start.addr().get()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn wanted_bytes(&self) -> usize {
        self.wanted_bytes
    }

    /// How much of it was given to a size of slots, from 0 to 1.
    pub(crate) fn used(&self) -> f64 {
        self.opened() as f64 / (self.bytes / CHUNK_BYTES) as f64
    }

    /// Whether an address lies in what was really reserved.
    pub(crate) fn holds(&self, block: *mut u8) -> bool {
        block.addr().wrapping_sub(self.start()) < self.bytes
    }

    /// Takes a slot of a class for a thread of a shard. The record is yet to be written.
    pub(crate) fn take(&self, class: usize, shard: usize) -> Option<Slot<'_>> {
        let own = shard & (self.shards - 1);
        if let Some(slot) = self.take_from(own, class, true) {
            return Some(slot);
        }
        // No fresh chunk is to be had any more: others may still have free slots.
        (1..self.shards).find_map(|other| self.take_from(own ^ other, class, false))
    }

    fn take_from(&self, shard: usize, class: usize, may_open: bool) -> Option<Slot<'_>> {
        let number = shard * CLASSES + class;
        let bin = &self.bins[number];
        if let Some(number) = bin.pop(self) {
            return Some(self.slot_of(number));
        }
        loop {
            match bin.cut(|chunk| self.head(chunk).slots.load(Relaxed)) {
                Ok((chunk, nth)) => return Some(self.slot_at(chunk, nth)),
                Err(_) if !may_open => return None,
                Err(used_up) => {
                    let chunk = self.open_chunk(class, number)?;
                    if bin.renew(used_up, chunk) {
                        self.chunks[chunk as usize + 1].store(READY, Release);
                        return Some(self.slot_at(chunk, 0));
                    }
                    self.spare.push(chunk + 1, &Spares(&self.chunks));
                }
            }
        }
    }

    /// The slot of a block that was served from here.
    pub(crate) fn slot(&self, block: NonNull<u8>) -> Slot<'_> {
        let offset = block.addr().get() - self.start();
        let chunk = (offset >> CHUNK_BITS) as u32;
        let head = self.head(chunk);
        let in_chunk = (offset & (CHUNK_BYTES - 1)) as u32 - head.first.load(Relaxed);
        let nth = ((u64::from(in_chunk) * u64::from(head.reciprocal.load(Relaxed))) >> 32) as u32;
        Slot { block, sample: self.record_at(chunk, nth), chunk, nth }
    }

    /// How many bytes a slot has.
    pub(crate) fn room(&self, slot: &Slot<'_>) -> usize {
        self.head(slot.chunk).slot_bytes.load(Relaxed) as usize
    }

    /// Whether a resized block may stay in its slot: it fits, and does not leave most of it empty.
    pub(crate) fn fits(&self, slot: &Slot<'_>, size: usize) -> bool {
        let room = self.room(slot);
        size <= room && size >= room / 4
    }

    /// Gives a slot back. Its record has been cleared, its block is nobody's.
    pub(crate) fn give_back(&self, slot: &Slot<'_>) {
        let bin = self.head(slot.chunk).bin.load(Relaxed) as usize;
        let record = ((slot.chunk as usize) << CHUNK_BITS) + record_offset(slot.nth);
        self.bins[bin].push((record >> UNIT_BITS) as u32, self);
    }

    /// Every sample there is, as seen in passing.
    pub(crate) fn visit(&self, mut see: impl FnMut(usize, Sample)) {
        for chunk in 0..self.opened() as u32 {
            // One that is being opened is not to be touched yet.
            if self.chunks[chunk as usize + 1].load(Acquire) != READY {
                continue;
            }
            for nth in 0..self.head(chunk).slots.load(Relaxed) {
                if let Some(sample) = self.record_at(chunk, nth).get() {
                    see(self.block_at(chunk, nth).addr().get(), sample);
                }
            }
        }
    }

    /// How many of the bytes that the program asked for, of blocks in the range, are resident.
    pub(crate) fn resident_bytes_of_blocks(&self) -> u64 {
        let mut pages = [0; CHUNK_BYTES / os::PAGE_BYTES];
        let (mut known, mut sum) = (usize::MAX, 0);
        self.visit(|block, sample| {
            let chunk = (block - self.start()) >> CHUNK_BITS;
            let start = self.start() + (chunk << CHUNK_BITS);
            if chunk != known {
                os::resident_pages(start, &mut pages);
                known = chunk;
            }
            // Blocks do not reach over their chunk.
            let end = (block + sample.size as usize).min(start + CHUNK_BYTES);
            let mut at = block;
            while at < end {
                let page_end = ((at | (os::PAGE_BYTES - 1)) + 1).min(end);
                if pages[(at - start) / os::PAGE_BYTES] & 1 == 1 {
                    sum += (page_end - at) as u64;
                }
                at = page_end;
            }
        });
        sum
    }

    /// Where it and the tables beside it are.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        let range = self.start()..self.start() + self.bytes;
        [range, self.bins.addresses(), self.chunks.addresses()].into_iter()
    }

    fn opened(&self) -> usize {
        self.opened.load(Acquire)
    }

    /// Opens a chunk for a bin. A system call.
    #[cold]
    fn open_chunk(&self, class: usize, bin: usize) -> Option<u32> {
        let chunk =
            self.spare.pop(&Spares(&self.chunks)).map(|number| number - 1).or_else(|| self.commit_chunk())?;
        let slot_bytes = slot_bytes(class);
        let align = 1 << slot_bytes.trailing_zeros().min(ALIGN_MAX.trailing_zeros());
        let first =
            |slots: usize| (size_of::<Head>() + slots * size_of::<SampleCell>()).next_multiple_of(align);
        let mut slots = (CHUNK_BYTES - size_of::<Head>()) / (slot_bytes + size_of::<SampleCell>());
        while first(slots) + slots * slot_bytes > CHUNK_BYTES {
            slots -= 1;
        }
        let head = self.head(chunk);
        head.slot_bytes.store(slot_bytes as u32, Relaxed);
        head.first.store(first(slots) as u32, Relaxed);
        head.slots.store(slots as u32, Relaxed);
        head.reciprocal.store((1_u64 << 32).div_ceil(slot_bytes as u64) as u32, Relaxed);
        head.bin.store(bin as u32, Relaxed);
        Some(chunk)
    }

    fn commit_chunk(&self) -> Option<u32> {
        let chunks = self.bytes / CHUNK_BYTES;
        let next = |opened: usize| (opened < chunks).then_some(opened + 1);
        let chunk = self.opened.fetch_update(AcqRel, Acquire, next).ok()?;
        let start = self.start.as_ptr().wrapping_add(chunk << CHUNK_BITS);
        if os::make_writable(start, CHUNK_BYTES) {
            return Some(chunk as u32);
        }
        // No memory at this moment. Unless another one was opened behind it, the chunk is not lost.
        let _ = self.opened.compare_exchange(chunk + 1, chunk, AcqRel, Relaxed);
        None
    }

    fn head(&self, chunk: u32) -> &Head {
        // SAFETY: only chunks that were made writable are asked for; heads are atomics in zeroed memory, which
        // is never given back.
        unsafe { self.start.byte_add((chunk as usize) << CHUNK_BITS).cast::<Head>().as_ref() }
    }

    fn record_at(&self, chunk: u32, nth: u32) -> &SampleCell {
        let offset = ((chunk as usize) << CHUNK_BITS) + record_offset(nth);
        // SAFETY: as above; records are atomics too and lie between the head and the first slot.
        unsafe { self.start.byte_add(offset).cast::<SampleCell>().as_ref() }
    }

    fn block_at(&self, chunk: u32, nth: u32) -> NonNull<u8> {
        let head = self.head(chunk);
        let offset = head.first.load(Relaxed) + nth * head.slot_bytes.load(Relaxed);
        // SAFETY: the slot lies within its chunk, which lies within the range.
        unsafe { self.start.byte_add(((chunk as usize) << CHUNK_BITS) + offset as usize) }
    }

    fn slot_at(&self, chunk: u32, nth: u32) -> Slot<'_> {
        Slot { block: self.block_at(chunk, nth), sample: self.record_at(chunk, nth), chunk, nth }
    }

    fn slot_of(&self, number: u32) -> Slot<'_> {
        let record = (number as usize) << UNIT_BITS;
        let in_chunk = (record & (CHUNK_BYTES - 1)) - size_of::<Head>();
        self.slot_at((record >> CHUNK_BITS) as u32, (in_chunk / size_of::<SampleCell>()) as u32)
    }
}

fn record_offset(nth: u32) -> usize {
    size_of::<Head>() + nth as usize * size_of::<SampleCell>()
}

impl Links for Range {
    fn link(&self, number: u32) -> &AtomicU32 {
        // SAFETY: numbers are made in `give_back`, of records in chunks that are writable for ever.
        unsafe { self.start.byte_add((number as usize) << UNIT_BITS).cast::<SampleCell>().as_ref() }.link()
    }
}

#[cfg(all(test, not(loom)))]
mod miri_tests;
#[cfg(all(test, loom))]
mod models;
