//! Which modules were seen, for whoever names addresses from outside the process and perhaps after its end.
//!
//! A table of a fixed size without pointers, so that it can lie in memory that two processes share. Writers are inside
//! `malloc`, on any thread and in any signal handler: they neither wait nor allocate. Entries are only ever added; a
//! module that was unloaded keeps its own, since stacks that were captured before still lead to it.
//!
//! ```text
//! an entry's state:   EMPTY ── claimed, by exchange ──► key | WRITING ── last of all, Release ──► key | DONE
//! ```
//!
//! The key is a hash of what makes a module this one: where it is, its bias and its path. It says where the entry is to
//! be looked for, and whoever finds it claimed has nothing to do. A writer that ends in the middle (a thread that was
//! killed) leaves an entry that nobody reads, and that module without one.
//!
//! The reader believes nothing: the writer may have crashed, or be somebody who wishes the reader ill. What it reads is
//! read once, bounded, and checked.

use std::ops::Range;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use plimsoll_core::heap::Module;

use super::modules::Modules;
use crate::cells::{Cells, Zeroed};
#[cfg(test)]
use crate::os::OutOfAddressSpace;
use crate::sync::AtomicU64;
use crate::thread::mix;

const WORD_BYTES: usize = 8;
/// A longer build id is cut. Linkers write 20 bytes, or 16, or 32.
pub(crate) const BUILD_ID_BYTES_MAX: usize = 32;
/// A longer path is cut, and marked. It makes an entry one kibibyte.
pub(crate) const PATH_BYTES_MAX: usize = 944;

/// One executable segment of a module. Plain words: the first record is the table's head, and has other words in them.
#[repr(C)]
pub(crate) struct ModuleRecord {
    /// See the head of this file. In the table's head: how many entries were begun.
    state: AtomicU64,
    /// In the table's head: how many were left out, because the table was full.
    start: AtomicU64,
    end: AtomicU64,
    file_offset: AtomicU64,
    bias: AtomicU64,
    /// Bytes of the path, of the build id, whether the path was cut, and the entry's number: see [`Sizes`].
    sizes: AtomicU64,
    build_id: [AtomicU64; BUILD_ID_BYTES_MAX / WORD_BYTES],
    path: [AtomicU64; PATH_BYTES_MAX / WORD_BYTES],
}

const _: () = assert!(size_of::<ModuleRecord>() == 1024);

// SAFETY: a struct of atomics and arrays of them.
unsafe impl Zeroed for ModuleRecord {}

impl Default for ModuleRecord {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            state: zero(),
            start: zero(),
            end: zero(),
            file_offset: zero(),
            bias: zero(),
            sizes: zero(),
            build_id: std::array::from_fn(|_| zero()),
            path: std::array::from_fn(|_| zero()),
        }
    }
}

const EMPTY: u64 = 0;
const WRITING: u64 = 1;
const DONE: u64 = 2;
const KEY: u64 = !3;

/// What one word says about an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sizes {
    path: u16,
    build_id: u8,
    path_is_cut: bool,
    number: u32,
}

impl Sizes {
    fn to_word(self) -> u64 {
        u64::from(self.number) << 32
            | u64::from(self.path_is_cut) << 24
            | u64::from(self.build_id) << 16
            | u64::from(self.path)
    }

    fn of_word(word: u64) -> Self {
        Self {
            path: word as u16,
            build_id: (word >> 16) as u8,
            path_is_cut: word >> 24 & 1 == 1,
            number: (word >> 32) as u32,
        }
    }
}

/// What is to be recorded.
#[derive(Clone, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) addresses: Range<u64>,
    pub(crate) file_offset: u64,
    pub(crate) bias: u64,
    pub(crate) build_id: &'a [u8],
    pub(crate) path: &'a [u8],
}

impl Record<'_> {
    fn key(&self) -> u64 {
        let numbers = [self.addresses.start, self.addresses.end, self.bias, self.path.len() as u64];
        let start = numbers.iter().fold(0, |hash, &word| mix(hash ^ word));
        let hash = self.path.chunks(WORD_BYTES).fold(start, |hash, chunk| mix(hash ^ word_of(chunk)));
        // Never empty, and the two lowest bits are the state's.
        hash & KEY | 4
    }
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Added {
    /// It was not there before.
    New,
    /// It is there, or somebody is writing it.
    Known,
    /// There was no room; counted.
    Full,
}

/// See the head of this file.
pub(crate) struct ModuleRecords(Cells<ModuleRecord>);

impl ModuleRecords {
    /// Reserves room for so many segments.
    #[cfg(test)]
    pub(crate) fn reserve(segments_max: usize) -> Result<Self, OutOfAddressSpace> {
        Ok(Self::over(Cells::reserve(segments_max.saturating_add(1))?))
    }

    /// Takes a table that is zeroed or was written by one of these, its head included.
    pub(crate) fn over(cells: Cells<ModuleRecord>) -> Self {
        Self(cells)
    }

    /// Adds an entry, unless it is there. *Allocation behaviour*: none. *When full*: counted, see [`Self::left_out`].
    /// *Signals, threads, fork*: safe at every instruction.
    pub(crate) fn add(&self, record: &Record<'_>) -> Added {
        let Some((head, entries)) = self.0.split_first() else { return Added::Full };
        let key = record.key();
        for entry in places(entries, key) {
            let state = entry.state.load(Acquire);
            let found = match state {
                EMPTY => match entry.state.compare_exchange(EMPTY, key | WRITING, Acquire, Acquire) {
                    Ok(_) => {
                        let number = head.state.fetch_add(1, Relaxed);
                        entry.write(record, number as u32);
                        entry.state.store(key | DONE, Release);
                        return Added::New;
                    }
                    Err(now) => now,
                },
                state => state,
            };
            if found & KEY == key {
                return Added::Known;
            }
        }
        head.start.fetch_add(1, Relaxed);
        Added::Full
    }

    /// Adds all modules of a list.
    pub(crate) fn note(&self, modules: &Modules) {
        for module in modules.each() {
            let mut build_id = [0; BUILD_ID_BYTES_MAX];
            let bytes = from_hexadecimal(&module.build_id, &mut build_id);
            // That there is no room is counted.
            let _: Added = self.add(&Record {
                addresses: module.addresses.clone(),
                file_offset: module.file_offset,
                bias: module.bias,
                build_id: &build_id[..bytes],
                path: module.path.as_bytes(),
            });
        }
    }

    /// How often there was no room for an entry.
    pub(crate) fn left_out(&self) -> u64 {
        self.0.first().map_or(0, |head| head.start.load(Relaxed))
    }

    /// All entries, in the order in which they were begun: where two are of the same addresses, the later one took the
    /// place of the earlier. A path that was cut ends in `…`. Nothing that is in the table can make this panic, read
    /// elsewhere or take more than the table's size again.
    pub(crate) fn read(&self) -> Vec<Module> {
        let entries = self.0.get(1..).unwrap_or_default();
        let mut found: Vec<(u32, Module)> = entries.iter().filter_map(ModuleRecord::read).collect();
        found.sort_by_key(|(number, _)| *number);
        found.into_iter().map(|(_, module)| module).collect()
    }

    /// Where it is.
    pub(crate) fn addresses(&self) -> Range<usize> {
        self.0.addresses()
    }

    /// Where what is in use of it is: the head, and each entry.
    pub(crate) fn used(&self) -> impl Iterator<Item = Range<usize>> {
        let in_use = |(nth, entry): &(usize, &ModuleRecord)| *nth == 0 || entry.state.load(Relaxed) != EMPTY;
        self.0.iter().enumerate().filter(in_use).map(|(_, entry)| {
            let start = (&raw const *entry).addr();
            start..start + size_of::<ModuleRecord>()
        })
    }
}

/// The places where an entry may be, first to last: all of them, from one that the key says.
fn places(entries: &[ModuleRecord], key: u64) -> impl Iterator<Item = &ModuleRecord> {
    let first = (key >> 32) as usize % entries.len().max(1);
    let (before, after) = entries.split_at(first.min(entries.len()));
    after.iter().chain(before)
}

impl ModuleRecord {
    fn write(&self, record: &Record<'_>, number: u32) {
        let cut = |bytes: usize, max: usize| bytes.min(max);
        let build_id = cut(record.build_id.len(), BUILD_ID_BYTES_MAX);
        let path = cut(record.path.len(), PATH_BYTES_MAX);
        self.start.store(record.addresses.start, Relaxed);
        self.end.store(record.addresses.end, Relaxed);
        self.file_offset.store(record.file_offset, Relaxed);
        self.bias.store(record.bias, Relaxed);
        put(&self.build_id, &record.build_id[..build_id]);
        put(&self.path, &record.path[..path]);
        let sizes = Sizes {
            path: path as u16,
            build_id: build_id as u8,
            path_is_cut: path < record.path.len(),
            number,
        };
        self.sizes.store(sizes.to_word(), Relaxed);
    }

    /// The entry and its number, if it is complete and can be one.
    fn read(&self) -> Option<(u32, Module)> {
        /// User space ends there.
        const ADDRESS_MAX: u64 = 1 << 47;
        if self.state.load(Acquire) & !KEY != DONE {
            return None;
        }
        let addresses = self.start.load(Relaxed)..self.end.load(Relaxed);
        let sizes = Sizes::of_word(self.sizes.load(Relaxed));
        let path = get::<PATH_BYTES_MAX>(&self.path);
        let build_id = get::<BUILD_ID_BYTES_MAX>(&self.build_id);
        let path = path.get(..usize::from(sizes.path))?;
        let build_id = build_id.get(..usize::from(sizes.build_id))?;
        if addresses.is_empty() || addresses.end > ADDRESS_MAX {
            return None;
        }
        let mut path = String::from_utf8_lossy(path).into_owned();
        if sizes.path_is_cut {
            path.push('…');
        }
        let module = Module {
            path,
            build_id: super::modules::hexadecimal(build_id),
            addresses,
            file_offset: self.file_offset.load(Relaxed),
            bias: self.bias.load(Relaxed),
        };
        Some((sizes.number, module))
    }
}

/// At most eight bytes as a word.
fn word_of(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

fn put(words: &[AtomicU64], bytes: &[u8]) {
    for (word, chunk) in words.iter().zip(bytes.chunks(WORD_BYTES)) {
        word.store(word_of(chunk), Relaxed);
    }
}

fn get<const BYTES: usize>(words: &[AtomicU64]) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    for (chunk, word) in bytes.chunks_exact_mut(WORD_BYTES).zip(words) {
        chunk.copy_from_slice(&word.load(Relaxed).to_le_bytes());
    }
    bytes
}

/// The bytes that a text of hexadecimal digits stands for, as many as there is room for. Gives how many.
fn from_hexadecimal(text: &str, out: &mut [u8]) -> usize {
    let digit = |digit: u8| char::from(digit).to_digit(16).map(|digit| digit as u8);
    let pairs = text.as_bytes().as_chunks::<2>().0;
    let mut bytes = 0;
    for (place, &[high, low]) in out.iter_mut().zip(pairs) {
        let (Some(high), Some(low)) = (digit(high), digit(low)) else { break };
        *place = high << 4 | low;
        bytes += 1;
    }
    bytes
}

#[cfg(test)]
mod miri_tests {
    use super::*;

    fn record(start: u64, path: &[u8]) -> Record<'_> {
        Record {
            addresses: start..start + 0x1000,
            file_offset: 0x400,
            bias: start - 0x400,
            build_id: &[0xab; 20],
            path,
        }
    }

    fn table(segments_max: usize) -> ModuleRecords {
        ModuleRecords::reserve(segments_max).expect("there is memory")
    }

    #[test]
    fn what_was_added_is_read_once_and_in_order() {
        let records = table(8);
        assert_eq!(records.add(&record(0x3000, b"/lib/c.so")), Added::New);
        assert_eq!(records.add(&record(0x1000, b"")), Added::New);
        assert_eq!(records.add(&record(0x3000, b"/lib/c.so")), Added::Known);
        // Another file at the same place is another module.
        assert_eq!(records.add(&record(0x3000, b"/lib/d.so")), Added::New);
        let read = records.read();
        let paths: Vec<&str> = read.iter().map(|module| &*module.path).collect();
        assert_eq!(paths, ["/lib/c.so", "", "/lib/d.so"]);
        assert_eq!(read[0].addresses, 0x3000..0x4000);
        assert_eq!((read[0].file_offset, read[0].bias), (0x400, 0x2c00));
        assert_eq!(read[0].build_id, "ab".repeat(20));
        assert_eq!(records.left_out(), 0);
    }

    #[test]
    fn what_has_no_room_is_counted_and_a_long_path_is_marked() {
        for segments_max in [0, 1, 3] {
            let records = table(segments_max);
            let starts = (1..=5).map(|nth| nth * 0x1000);
            let new =
                starts.filter(|&start| records.add(&record(start, b"/some/library")) == Added::New).count();
            assert_eq!((new, records.left_out()), (segments_max, 5 - segments_max as u64));
            assert_eq!(records.read().len(), segments_max);
        }
        for (bytes, is_cut) in [(PATH_BYTES_MAX, false), (PATH_BYTES_MAX + 1, true), (5000, true)] {
            let path = vec![b'x'; bytes];
            let records = table(1);
            let long = Record { build_id: &[0x12; 40], ..record(0x1000, &path) };
            assert_eq!(records.add(&long), Added::New);
            let read = records.read().remove(0);
            assert_eq!(read.path.ends_with('…'), is_cut);
            assert_eq!(read.path.trim_end_matches('…').len(), bytes.min(PATH_BYTES_MAX));
            assert_eq!(read.build_id, "12".repeat(BUILD_ID_BYTES_MAX));
        }
    }

    #[test]
    fn threads_add_each_module_once_and_a_reader_sees_whole_ones() {
        const MODULES: u64 = if cfg!(miri) { 6 } else { 100 };
        let records = table(MODULES as usize);
        let path = |nth: u64| format!("/usr/lib/{}/{nth}.so", "d".repeat(nth as usize % 20));
        std::thread::scope(|scope| {
            for from in 0..3 {
                let records = &records;
                scope.spawn(move || {
                    for nth in 0..MODULES {
                        let nth = (nth + from * MODULES / 3) % MODULES + 1;
                        let added = records.add(&record(nth << 20, path(nth).as_bytes()));
                        assert_ne!(added, Added::Full);
                    }
                });
            }
            for _ in 0..5 {
                for module in records.read() {
                    let nth = module.addresses.start >> 20;
                    assert_eq!(module.path, path(nth));
                    assert_eq!(module.bias, module.addresses.start - 0x400);
                }
            }
        });
        let mut starts: Vec<u64> = records.read().iter().map(|module| module.addresses.start >> 20).collect();
        starts.sort_unstable();
        assert_eq!(starts, (1..=MODULES).collect::<Vec<_>>());
    }

    /// Whoever writes the table may write anything into it.
    #[test]
    fn garbage_is_read_without_harm() {
        let mut word = 1;
        for round in 0..if cfg!(miri) { 3 } else { 200 } {
            let records = table(4);
            for cell in records.0.iter() {
                let words = [&cell.state, &cell.start, &cell.end, &cell.file_offset, &cell.bias, &cell.sizes];
                for place in words.into_iter().chain(&cell.build_id).chain(&cell.path) {
                    word = mix(word + 1);
                    place.store(word, Relaxed);
                }
                if round % 2 == 0 {
                    cell.state.store(word & KEY | DONE, Relaxed);
                    cell.end.store(word & (u64::MAX >> 16), Relaxed);
                    cell.sizes.store(word >> 40, Relaxed);
                }
            }
            assert!(records.read().len() <= 4);
            let _: Added = records.add(&record(0x1000, b"/a"));
        }
    }

    #[test]
    fn build_ids_come_back_as_they_were() {
        let mut out = [0; 4];
        assert_eq!(from_hexadecimal("00ff1a", &mut out), 3);
        assert_eq!(out, [0, 0xff, 0x1a, 0]);
        assert_eq!(from_hexadecimal("", &mut out), 0);
        assert_eq!(from_hexadecimal("12zz", &mut out), 1);
        assert_eq!(from_hexadecimal(&"12".repeat(9), &mut out), 4);
    }
}
