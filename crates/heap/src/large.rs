//! Sampled blocks of 32 KiB and more, by address.
//!
//! They stay where the inner allocator put them, so that growing them in place goes on working. That one is
//! freed is known by its `Layout`; whether it was sampled is looked up here. Such frees are rare, but there may
//! be thousands of threads: the table takes no lock.
//!
//! An address has two buckets of eight places in each table, and is in one of those or not at all: looking
//! something up that is not there, the usual case, reads two cache lines for each table, however full that is and
//! whatever was deleted before. When both buckets are full, the next, four times larger, table is opened; when
//! all are, the caller counts one dropped. Tables are never closed.
//!
//! The key is written last and removed first, by the thread that owns the block. Nobody else asks for that
//! address meanwhile, which is why no two threads ever want the same key.

use std::ops::Range;

use crate::cells::{Cells, Zeroed};
use crate::os::OutOfAddressSpace;
use crate::sample::{Sample, SampleCell};
use crate::sync::{AcqRel, Acquire, AtomicU64, AtomicUsize, Relaxed, Release};

/// Places of a bucket: the keys are one cache line.
const BUCKET: usize = 8;
/// A place that somebody is just filling. Not an address: those of large blocks are multiples of eight.
const BUSY: u64 = 1;

#[derive(Default)]
struct Keys([AtomicU64; BUCKET]);

// SAFETY: an array of atomics.
unsafe impl Zeroed for Keys {}

#[derive(Default)]
struct Entry {
    sample: SampleCell,
    size: AtomicU64,
}

// SAFETY: a struct of atomics.
unsafe impl Zeroed for Entry {}

struct Table {
    keys: Cells<Keys>,
    entries: Cells<Entry>,
}

/// See the head of this file.
pub(crate) struct Large {
    tables: Vec<Table>,
    open: AtomicUsize,
    /// How many samples are in it.
    held: AtomicUsize,
}

impl Large {
    /// Places of the first table of the usual four; each further one has four times as many.
    pub(crate) const FIRST: usize = 1 << 11;
    /// How many tables there are.
    pub(crate) const TABLES: usize = 4;

    pub(crate) fn reserve(first: usize, tables: usize) -> Result<Self, OutOfAddressSpace> {
        let table = |nth: usize| {
            let buckets = (first << (2 * nth)) / BUCKET;
            Ok(Table { keys: Cells::reserve(buckets)?, entries: Cells::reserve(buckets * BUCKET)? })
        };
        let tables = (0..tables).map(table).collect::<Result<_, _>>()?;
        Ok(Self { tables, open: AtomicUsize::new(1), held: AtomicUsize::new(0) })
    }

    /// How many of its places are taken, from 0 to 1.
    pub(crate) fn used(&self) -> f64 {
        let places: usize = self.tables.iter().map(|table| table.entries.len()).sum();
        self.held.load(Relaxed) as f64 / places as f64
    }

    /// Notes a sample. False, and nothing noted, if there is no place.
    pub(crate) fn insert(&self, address: usize, sample: &Sample) -> bool {
        let key = address as u64;
        loop {
            let open = self.open.load(Acquire);
            for table in &self.tables[..open] {
                for bucket in table.buckets(key) {
                    for place in 0..BUCKET {
                        let slot = &table.keys[bucket].0[place];
                        if slot.load(Relaxed) == 0 && slot.compare_exchange(0, BUSY, AcqRel, Relaxed).is_ok()
                        {
                            let entry = &table.entries[bucket * BUCKET + place];
                            entry.size.store(sample.size, Relaxed);
                            entry.sample.put(sample);
                            slot.store(key, Release);
                            self.held.fetch_add(1, Relaxed);
                            return true;
                        }
                    }
                }
            }
            if open == self.tables.len() {
                return false;
            }
            // Whoever else opened it meanwhile opened the same.
            let _ = self.open.compare_exchange(open, open + 1, AcqRel, Relaxed);
        }
    }

    /// Forgets the sample at an address, if there is one.
    pub(crate) fn remove(&self, address: usize) -> Option<Sample> {
        let key = address as u64;
        for table in &self.tables[..self.open.load(Acquire)] {
            for bucket in table.buckets(key) {
                for place in 0..BUCKET {
                    let slot = &table.keys[bucket].0[place];
                    if slot.load(Relaxed) == key {
                        let entry = &table.entries[bucket * BUCKET + place];
                        let sample = entry
                            .sample
                            .get()
                            .map(|sample| Sample { size: entry.size.load(Relaxed), ..sample });
                        entry.sample.clear();
                        slot.store(0, Release);
                        self.held.fetch_sub(1, Relaxed);
                        return sample;
                    }
                }
            }
        }
        None
    }

    /// Every sample there is, as seen in passing.
    pub(crate) fn visit(&self, mut see: impl FnMut(usize, Sample)) {
        for table in &self.tables[..self.open.load(Acquire)] {
            for (bucket, keys) in table.keys.iter().enumerate() {
                for (place, slot) in keys.0.iter().enumerate() {
                    let key = slot.load(Acquire);
                    if key == 0 || key == BUSY {
                        continue;
                    }
                    let entry = &table.entries[bucket * BUCKET + place];
                    if let Some(sample) = entry.sample.get() {
                        see(key as usize, Sample { size: entry.size.load(Relaxed), ..sample });
                    }
                }
            }
        }
    }

    /// Where its tables are.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = Range<usize>> {
        self.tables.iter().flat_map(|table| [table.keys.addresses(), table.entries.addresses()])
    }
}

impl Table {
    /// The two buckets of a key, in the order in which they are tried.
    fn buckets(&self, key: u64) -> [usize; 2] {
        // Two multiplications by odd constants (those of splitmix64) spread addresses that differ by pages only.
        let hash = (key >> 4).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let other = (hash ^ (hash >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let buckets = self.keys.len() as u64;
        // The upper halves, scaled to the number of buckets without a division.
        [((hash >> 32) * buckets) >> 32, ((other >> 32) * buckets) >> 32].map(|bucket| bucket as usize)
    }
}

#[cfg(all(test, loom))]
mod models;

#[cfg(all(test, not(loom)))]
mod miri_tests {
    use super::*;

    fn sample(size: u64) -> Sample {
        Sample { stack: 3, born: 1, weight: 1.5, label: 0, grown: 2, size }
    }

    #[test]
    fn what_went_in_comes_out_once() {
        let (first, blocks) = if cfg!(miri) { (16, 250) } else { (64, 1000) };
        let large = Large::reserve(first, 2).expect("a few KiB");
        let mut inside = Vec::new();
        for nth in 0..blocks {
            let address = 0x7f00_0000_0000 + nth * 36_864;
            if large.insert(address, &sample(nth as u64)) {
                inside.push((address, nth as u64));
            }
        }
        // A table and one four times as large, of which two buckets each were tried: nearly all places are taken.
        let places = first * 5;
        assert!(inside.len() > places * 7 / 8 && inside.len() <= places, "{}", inside.len());
        let mut seen = 0;
        large.visit(|_, _| seen += 1);
        assert_eq!(seen, inside.len());
        for &(address, size) in &inside {
            assert_eq!(large.remove(address), Some(sample(size)));
            assert_eq!(large.remove(address), None);
        }
        large.visit(|address, _| panic!("{address:x} is left"));
        // A table that was full and emptied is as good as new.
        assert!(inside.iter().all(|&(address, size)| large.insert(address, &sample(size))));
    }

    #[test]
    fn threads_find_what_is_theirs_and_nothing_else() {
        let large = Large::reserve(16, 3).expect("a few KiB");
        let rounds = if cfg!(miri) { 40 } else { 20_000 };
        std::thread::scope(|scope| {
            for thread in 0..4_usize {
                let large = &large;
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(thread as u64);
                    let mut held: Vec<usize> = Vec::new();
                    for nth in 0..rounds {
                        let address = 0x7f00_0000_0000 + (nth * 4 + thread) * 36_864;
                        if held.len() < 20 && large.insert(address, &sample(address as u64)) {
                            held.push(address);
                        } else if !held.is_empty() {
                            let address = held.swap_remove(random.usize(0..held.len()));
                            assert_eq!(large.remove(address), Some(sample(address as u64)));
                            assert_eq!(large.remove(address), None);
                        }
                    }
                    held.iter().for_each(|&address| assert!(large.remove(address).is_some()));
                });
            }
            large.visit(|address, seen| assert!(address >= 0x7f00_0000_0000 && seen.stack == 3));
        });
        large.visit(|address, _| panic!("{address:x} is left"));
    }

    #[test]
    fn one_bucket_holds_what_a_bucket_holds() {
        let large = Large::reserve(BUCKET, 1).expect("a few bytes");
        let addresses: Vec<usize> = (1..=BUCKET + 1).map(|nth| nth * 36_864).collect();
        let inside = addresses.iter().filter(|&&address| large.insert(address, &sample(1))).count();
        assert_eq!(inside, BUCKET);
        assert_eq!(large.remove(addresses[0]), Some(sample(1)));
        assert!(large.insert(addresses[BUCKET], &sample(2)), "the place is free again");
    }
}
