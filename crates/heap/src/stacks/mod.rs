//! The stacks that were seen, each once, with what is counted of it.
//!
//! A stack is known by the hash of its addresses (64 bits: with the most stacks that the table takes, the chance
//! that any two share one is below one in a billion). Finding one is a probe or two in an index; an unknown one
//! gets a cell and its addresses packed. Nothing is ever removed, so readers need no care: a cell that is in the
//! index is complete.
//!
//! When the table is full, samples count in the *other* stack, number 0, which has no addresses, and are counted
//! as dropped stacks: bytes are never lost, only their origin.

mod cell;
pub(crate) mod cohorts;
pub(crate) mod packing;

use std::ops::Range;

use crate::cells::{Cells, Place, Zeroed};
use crate::os::OutOfAddressSpace;
use crate::sync::{AcqRel, Acquire, AtomicU32, AtomicU64, AtomicUsize, Relaxed};

pub(crate) use cell::{StackCell, StackCopy};

/// The stack of everything whose own stack had no place.
pub(crate) const OTHER: u32 = 0;
/// In a cell's packed length: the stack was longer than what is kept of it.
const LONGER: u32 = 1 << 31;
/// The most addresses that are kept of one stack.
pub(crate) const DEPTH_MAX: usize = 64;
/// The most bytes that a stack's packed addresses can take; two thirds of that is what the deepest usually do.
const PACKED_MAX: usize = 512;
/// Cells that are asked for ahead while copying: what a snapshot costs is the way of the cells from memory.
const AHEAD: usize = 6;
/// Cells of the first index; each further one has four times as many. Three quarters of each are used.
const FIRST_INDEX: usize = 1 << 12;

/// An index: for each place, the upper half of a hash and, in the lower half, the number of its cell. Zero is free.
struct Index {
    places: Cells<AtomicU64>,
    used: AtomicUsize,
}

/// How much of the tables is in use. It lies beside them, so that who sees the tables sees it.
#[derive(Default)]
#[repr(C)]
pub(crate) struct Used {
    pub(crate) opened: AtomicU32,
    pub(crate) packed_words: AtomicU32,
    /// How often a sample's stack had no place.
    pub(crate) dropped: AtomicU64,
}

// SAFETY: a struct of atomics.
unsafe impl Zeroed for Used {}

/// See the head of this file.
pub(crate) struct Stacks {
    pub(crate) cells: Cells<StackCell>,
    pub(crate) packed: Cells<AtomicU32>,
    pub(crate) used: Cells<Used>,
    indexes: Vec<Index>,
    open: AtomicUsize,
}

impl Stacks {
    /// Room for `stacks_max` different ones. Reserves about 700 bytes of address space for each.
    pub(crate) fn reserve(stacks_max: usize, place: Place<'_>) -> Result<Self, OutOfAddressSpace> {
        Self::with_index(stacks_max, FIRST_INDEX, place)
    }

    pub(crate) fn with_index(
        stacks_max: usize,
        first_index: usize,
        place: Place<'_>,
    ) -> Result<Self, OutOfAddressSpace> {
        let mut indexes = Vec::new();
        let mut room = 0;
        while room < stacks_max {
            let places = first_index << (2 * indexes.len());
            indexes.push(Index { places: Cells::reserve(places)?, used: AtomicUsize::new(0) });
            room += places / 4 * 3;
        }
        let used = Cells::<Used>::reserve_in(place, 1)?;
        // Number 0 is the other stack.
        used[0].opened.store(1, Relaxed);
        Ok(Self {
            cells: Cells::reserve_in(place, stacks_max + 1)?,
            packed: Cells::reserve_in(place, stacks_max * 64)?,
            used,
            indexes,
            open: AtomicUsize::new(1),
        })
    }

    fn used(&self) -> &Used {
        &self.used[0]
    }

    /// How often a sample's stack had no place.
    pub(crate) fn dropped(&self) -> u64 {
        self.used().dropped.load(Relaxed)
    }

    /// How much of the table is used, from 0 to 1.
    pub(crate) fn used_share(&self) -> f64 {
        let cells = self.opened() as f64 / self.cells.len() as f64;
        let words = f64::from(self.used().packed_words.load(Relaxed)) / self.packed.len() as f64;
        cells.max(words)
    }

    /// The cell of a number that this table gave out.
    pub(crate) fn cell(&self, stack: u32) -> &StackCell {
        &self.cells[stack as usize]
    }

    /// The number of a known stack.
    pub(crate) fn find(&self, hash: u64) -> Option<u32> {
        self.indexes[..self.open.load(Acquire)].iter().rev().find_map(|index| self.find_in(index, hash).ok())
    }

    /// The number of the stack with these addresses, leaf first; `truncated` says that they are not all.
    pub(crate) fn intern(&self, hash: u64, addresses: &[u64], truncated: bool, epoch: u32) -> u32 {
        self.find(hash).unwrap_or_else(|| {
            self.add(hash, addresses, truncated, epoch).unwrap_or_else(|| {
                self.used().dropped.fetch_add(1, Relaxed);
                OTHER
            })
        })
    }

    /// The stack's number, or the free place where the search for it ended (the index's length if none is).
    fn find_in(&self, index: &Index, hash: u64) -> Result<u32, usize> {
        let mask = index.places.len() - 1;
        let mut at = hash as usize & mask;
        for _ in 0..index.places.len() {
            let place = index.places[at].load(Acquire);
            if place == 0 {
                return Err(at);
            }
            let stack = place as u32;
            if place >> 32 == hash >> 32 && self.cell(stack).hash.load(Relaxed) == hash {
                return Ok(stack);
            }
            at = (at + 1) & mask;
        }
        Err(index.places.len())
    }

    #[cold]
    fn add(&self, hash: u64, addresses: &[u64], truncated: bool, epoch: u32) -> Option<u32> {
        let index = self.roomy_index()?;
        let next = |opened: u32| ((opened as usize) < self.cells.len()).then_some(opened + 1);
        let stack = self.used().opened.fetch_update(AcqRel, Acquire, next).ok()?;
        let cell = self.cell(stack);
        let (packed_at, packed_length) = self.pack(addresses, truncated);
        cell.hash.store(hash, Relaxed);
        cell.packed_at.store(packed_at, Relaxed);
        cell.packed_length.store(packed_length, Relaxed);
        cell.open(epoch);
        let entry = hash >> 32 << 32 | u64::from(stack);
        loop {
            // Another thread may have added the same stack meanwhile; our cell then stays unused.
            let at = match self.find_in(index, hash) {
                Ok(known) => return Some(known),
                Err(at) if at == index.places.len() => return None,
                Err(at) => at,
            };
            if index.places[at].compare_exchange(0, entry, AcqRel, Relaxed).is_ok() {
                index.used.fetch_add(1, Relaxed);
                return Some(stack);
            }
        }
    }

    /// The newest index, or a new one when that is three quarters full.
    fn roomy_index(&self) -> Option<&Index> {
        loop {
            let open = self.open.load(Acquire);
            let index = &self.indexes[open - 1];
            if index.used.load(Relaxed) < index.places.len() / 4 * 3 {
                return Some(index);
            }
            if open == self.indexes.len() {
                return None;
            }
            let _ = self.open.compare_exchange(open, open + 1, AcqRel, Relaxed);
        }
    }

    /// Packs addresses into words of the table's own. What no longer fits is cut off, and that is said.
    fn pack(&self, addresses: &[u64], truncated: bool) -> (u32, u32) {
        let mut bytes = [0; PACKED_MAX];
        let (count, length) = packing::pack(addresses, &mut bytes);
        let words = length.div_ceil(4);
        let next = |used: u32| (used as usize + words <= self.packed.len()).then_some(used + words as u32);
        let Ok(at) = self.used().packed_words.fetch_update(Relaxed, Relaxed, next) else {
            return (0, LONGER);
        };
        let at = at as usize;
        for (cell, chunk) in self.packed[at..at + words].iter().zip(bytes.chunks_exact(4)) {
            cell.store(u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]), Relaxed);
        }
        let longer = if truncated || count < addresses.len() { LONGER } else { 0 };
        (at as u32, length as u32 | longer)
    }

    /// In a forked child: whoever was arranging counters in another thread is not there to end it.
    pub(crate) fn after_fork(&self) {
        self.cells[..self.opened()].iter().for_each(StackCell::after_fork);
    }

    /// How many cells are in use, the other stack's among them.
    pub(crate) fn opened(&self) -> usize {
        (self.used().opened.load(Acquire) as usize).min(self.cells.len())
    }

    /// Copies the numbers of the stacks, from number 0 on, as many as `out` is long. This is the part of a snapshot
    /// during which the program counts on: nothing else is done in it.
    pub(crate) fn copy(&self, now: u32, out: &mut [StackCopy]) {
        let cells = &self.cells[..self.opened()];
        for (nth, (cell, copy)) in cells.iter().zip(out).enumerate() {
            if let Some(later) = cells.get(nth + AHEAD) {
                later.prefetch();
            }
            cell.copy(now, copy);
        }
    }

    /// Appends the addresses of a copied stack.
    pub(crate) fn addresses(&self, stack: &StackCopy, out: &mut Vec<u64>) {
        addresses(&self.packed, stack, out);
    }

    /// Where its tables are.
    pub(crate) fn addresses_of_tables(&self) -> impl Iterator<Item = Range<usize>> {
        let indexes = self.indexes.iter().map(|index| index.places.addresses());
        indexes.chain([self.cells.addresses(), self.packed.addresses(), self.used.addresses()])
    }
}

/// Appends the addresses of a stack from a table of packed ones; none if they are not there, and no more than are
/// kept of one stack.
pub(crate) fn addresses(packed: &[AtomicU32], stack: &StackCopy, out: &mut Vec<u64>) {
    let length = (stack.packed_length & !LONGER) as usize;
    let words = packed.get(stack.packed_at as usize..).and_then(|words| words.get(..length.div_ceil(4)));
    let bytes = words.unwrap_or_default().iter().flat_map(|word| word.load(Relaxed).to_le_bytes());
    packing::unpack(bytes.take(length.min(PACKED_MAX)), out);
}

#[cfg(all(test, loom))]
mod models;

#[cfg(all(test, not(loom)))]
mod miri_tests {
    use std::collections::HashMap;

    use super::*;

    /// A stack of its own for each number, with a hash as the engine would have it.
    fn stack(number: u64) -> (u64, Vec<u64>) {
        let hash = crate::thread::mix(number + 1);
        (
            hash,
            (0..hash % 40 + 1)
                .map(|nth| 0x5555_0000_0000 + crate::thread::mix(hash ^ nth) % (1 << 24))
                .collect(),
        )
    }

    fn copies(stacks: &Stacks) -> Vec<StackCopy> {
        let mut copies = vec![StackCopy::blank(); stacks.opened()];
        stacks.copy(0, &mut copies);
        copies
    }

    /// What is kept of a stack, and whether it was cut.
    fn kept(stacks: &Stacks, copies: &[StackCopy], stack: u32) -> (Vec<u64>, bool) {
        let mut addresses = Vec::new();
        stacks.addresses(&copies[stack as usize], &mut addresses);
        (addresses, copies[stack as usize].is_truncated())
    }

    #[test]
    fn stacks_keep_their_numbers_and_addresses_while_indexes_fill_up() {
        let most = if cfg!(miri) { 20 } else { 1000 };
        let stacks = Stacks::with_index(most, 8, None).expect("a few KiB");
        let mut numbers: HashMap<u64, u32> = HashMap::new();
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..most * 4 {
            let (hash, addresses) = stack(random.u64(0..most as u64));
            let number = stacks.intern(hash, &addresses, false, 0);
            assert_ne!(number, OTHER);
            assert_eq!(*numbers.entry(hash).or_insert(number), number);
        }
        assert_eq!(stacks.opened(), numbers.len() + 1);
        let copies = copies(&stacks);
        for which in 0..most as u64 {
            let (hash, expected) = stack(which);
            assert_eq!(stacks.find(hash), numbers.get(&hash).copied());
            if let Some(&number) = numbers.get(&hash) {
                assert_eq!(kept(&stacks, &copies, number), (expected, false));
            }
        }
        assert_eq!(stacks.dropped(), 0);
    }

    #[test]
    fn what_has_no_place_is_counted_in_the_other_stack() {
        for most in [1, 2, 5] {
            let stacks = Stacks::with_index(most, 8, None).expect("a few KiB");
            for which in 0..10 {
                let (hash, addresses) = stack(which);
                let number = stacks.intern(hash, &addresses, true, 0);
                assert_eq!(number == OTHER, which as usize >= most, "{which} of {most}");
            }
            assert_eq!(stacks.dropped(), 10 - most as u64);
            assert_eq!(stacks.opened(), most + 1);
            let (hash, expected) = stack(0);
            let number = stacks.find(hash).expect("it came first");
            assert_eq!(kept(&stacks, &copies(&stacks), number), (expected, true));
        }
    }

    #[test]
    fn addresses_that_have_no_room_are_cut_and_said_to_be() {
        let stacks = Stacks::with_index(4, 8, None).expect("a few KiB");
        // Eight bytes of difference each way: ten bytes an address.
        let far: Vec<u64> =
            (0..DEPTH_MAX as u64).map(|nth| if nth % 2 == 0 { 1 } else { u64::MAX / 2 }).collect();
        let number = stacks.intern(1 << 40, &far, false, 0);
        let (kept, truncated) = kept(&stacks, &copies(&stacks), number);
        assert!(truncated && kept.len() > 40 && far.starts_with(&kept), "{}", kept.len());
    }

    #[test]
    fn threads_agree_on_the_numbers_of_stacks() {
        let (most, rounds) = if cfg!(miri) { (4, 8) } else { (200, 20_000) };
        // Room for the cells that are left unused when threads meet a stack at the same moment.
        let stacks = Stacks::with_index(most * 8, most * 16, None).expect("a few KiB");
        let seen: Vec<HashMap<u64, u32>> = std::thread::scope(|scope| {
            let threads = [1, 2, 3].map(|seed| {
                let stacks = &stacks;
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(seed);
                    let mut seen = HashMap::new();
                    for _ in 0..rounds {
                        let (hash, expected) = stack(random.u64(0..most as u64));
                        let number = stacks.intern(hash, &expected, false, 0);
                        assert_eq!(*seen.entry(hash).or_insert(number), number);
                    }
                    seen
                })
            });
            threads.map(|thread| thread.join().expect("it does not panic")).into()
        });
        let copies = copies(&stacks);
        for which in 0..most as u64 {
            let (hash, expected) = stack(which);
            let numbers: Vec<u32> = seen.iter().filter_map(|seen| seen.get(&hash).copied()).collect();
            assert!(numbers.iter().all(|&number| Some(number) == stacks.find(hash)), "{numbers:?}");
            if let Some(&number) = numbers.first() {
                assert_eq!(kept(&stacks, &copies, number).0, expected);
            }
        }
    }
}
