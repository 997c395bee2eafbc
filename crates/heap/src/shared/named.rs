//! Places in a program that have a name and no address: the functions of an interpreter.
//!
//! Their names are in the interpreter's own objects, which may be gone when a profile is read; so a place is written
//! down when it is first met. It then has a number, and stands in stacks as the address [`NAMED`] + 1 + number.
//! Nothing is ever removed. What is full is counted, and such a place has no number.

use std::sync::Arc;

use plimsoll_core::heap::{CodeFrame, NAMED};

use crate::cells::{Cells, Place, Zeroed};
use crate::os::OutOfAddressSpace;
use crate::sync::{AcqRel, Acquire, AtomicU32, AtomicU64, Relaxed, Release};

/// How many places are kept: a large Python service has some thousands that allocate.
pub(crate) const PLACES: usize = 1 << 15;
/// Bytes for their names, those of a file once for each place.
pub(crate) const TEXT_WORDS: usize = 1 << 20;
/// How many places of the index are tried for one of a hash.
const PROBES: usize = 64;

/// One place.
#[derive(Default)]
#[repr(C)]
pub(crate) struct Record {
    /// Where its text begins, in words: the function, then the file.
    at: AtomicU32,
    function_bytes: AtomicU32,
    file_bytes: AtomicU32,
    line: AtomicU32,
    /// Not zero once the others are there.
    complete: AtomicU32,
}

// SAFETY: a struct of atomics.
unsafe impl Zeroed for Record {}

/// How much is in use.
#[derive(Default)]
#[repr(C)]
pub(crate) struct Used {
    pub(crate) records: AtomicU32,
    pub(crate) words: AtomicU32,
}

// SAFETY: as above.
unsafe impl Zeroed for Used {}

/// The tables that others see.
pub(crate) struct Named {
    pub(crate) records: Cells<Record>,
    pub(crate) text: Cells<AtomicU32>,
    pub(crate) used: Cells<Used>,
}

/// Finds the number of a place again. Only the process itself needs it.
pub(crate) struct Numbers {
    /// The upper half of a place's identity, and its number plus one.
    index: Cells<AtomicU64>,
}

/// What a place is called.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    /// The function, as people write it.
    pub function: &'a str,
    /// The file that it is in; empty if it has none.
    pub file: &'a str,
    /// The line in it, from 1; 0 if it is not known.
    pub line: u32,
}

impl Named {
    pub(crate) fn reserve(place: Place<'_>) -> Result<Self, OutOfAddressSpace> {
        Self::with_room(PLACES, TEXT_WORDS, place)
    }

    fn with_room(places: usize, text_words: usize, place: Place<'_>) -> Result<Self, OutOfAddressSpace> {
        Ok(Self {
            records: Cells::reserve_in(place, places)?,
            text: Cells::reserve_in(place, text_words)?,
            used: Cells::reserve_in(place, 1)?,
        })
    }

    /// Writes a place down. `None` if there is no room.
    fn add(&self, name: Name<'_>) -> Option<u32> {
        let used = &self.used[0];
        let (function, file) = (name.function.as_bytes(), name.file.as_bytes());
        let words = (function.len() + file.len()).div_ceil(4) as u32;
        let text = |at: u32| at.checked_add(words).filter(|&end| end as usize <= self.text.len());
        let at = used.words.fetch_update(Relaxed, Relaxed, text).ok()?;
        let next = |records: u32| ((records as usize) < self.records.len()).then_some(records + 1);
        let number = used.records.fetch_update(Relaxed, Relaxed, next).ok()?;
        let mut bytes = function.iter().chain(file).copied();
        for word in &self.text[at as usize..(at + words) as usize] {
            let four: [u8; 4] = std::array::from_fn(|_| bytes.next().unwrap_or_default());
            word.store(u32::from_le_bytes(four), Relaxed);
        }
        let record = &self.records[number as usize];
        record.at.store(at, Relaxed);
        record.function_bytes.store(function.len() as u32, Relaxed);
        record.file_bytes.store(file.len() as u32, Relaxed);
        record.line.store(name.line, Relaxed);
        record.complete.store(1, Release);
        Some(number)
    }

    /// All places, by number. Whatever is in the tables, this is what they have room for at most.
    pub(crate) fn read(&self) -> Vec<CodeFrame> {
        let records = (self.used[0].records.load(Acquire) as usize).min(self.records.len());
        self.records[..records].iter().map(|record| self.frame(record).unwrap_or_else(unknown)).collect()
    }

    fn frame(&self, record: &Record) -> Option<CodeFrame> {
        if record.complete.load(Acquire) == 0 {
            return None;
        }
        let at = record.at.load(Relaxed) as usize;
        let (function_bytes, file_bytes) =
            (record.function_bytes.load(Relaxed) as usize, record.file_bytes.load(Relaxed) as usize);
        let words = self.text.get(at..)?.get(..(function_bytes.checked_add(file_bytes)?).div_ceil(4))?;
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.load(Relaxed).to_le_bytes()).collect();
        bytes.truncate(function_bytes + file_bytes);
        let file = bytes.split_off(function_bytes);
        let text = |bytes: &[u8]| -> Arc<str> { String::from_utf8_lossy(bytes).into() };
        Some(CodeFrame {
            function: text(&bytes),
            file: (!file.is_empty()).then(|| text(&file)),
            line: Some(record.line.load(Relaxed)).filter(|&line| line > 0),
        })
    }
}

/// A place that was just being written when the process ended.
fn unknown() -> CodeFrame {
    CodeFrame { function: "[unknown]".into(), file: None, line: None }
}

impl Numbers {
    pub(crate) fn reserve() -> Result<Self, OutOfAddressSpace> {
        Self::with_room(PLACES)
    }

    /// An index for so many places, half full when they are all taken.
    fn with_room(places: usize) -> Result<Self, OutOfAddressSpace> {
        Ok(Self { index: Cells::reserve(places * 2)? })
    }

    /// The address by which a place stands in stacks. `identity` is a hash of what it is known by; `describe` is asked
    /// when it is new. Allocates nothing and waits for nobody, if `describe` does not.
    pub(crate) fn address<'a>(
        &self,
        named: &Named,
        identity: u64,
        describe: impl FnOnce() -> Option<Name<'a>>,
    ) -> Option<u64> {
        let key = identity >> 32 << 32;
        let mut at = identity as usize % self.index.len();
        let mut fresh = None;
        let mut describe = Some(describe);
        for _ in 0..PROBES {
            let place = self.index[at].load(Acquire);
            if place != 0 && place & !u64::from(u32::MAX) == key {
                return Some(NAMED + (place & u64::from(u32::MAX)));
            }
            if place != 0 {
                at = (at + 1) % self.index.len();
                continue;
            }
            let number = match fresh {
                Some(number) => number,
                None => named.add(describe.take()?()?)?,
            };
            fresh = Some(number);
            let address = u64::from(number) + 1;
            if self.index[at].compare_exchange(0, key | address, AcqRel, Acquire).is_ok() {
                return Some(NAMED + address);
            }
        }
        // So many neighbours of a hash: it stays without an index, with the number that it has now.
        fresh.map(|number| NAMED + 1 + u64::from(number))
    }
}

#[cfg(all(test, loom))]
mod models {
    //! The race of two threads that meet the same place for the first time.

    use std::sync::Arc;

    use loom::thread;

    use super::*;

    #[test]
    fn who_meets_a_place_at_the_same_moment_agrees_on_its_number() {
        crate::sync::model(|| {
            let tables = Arc::new((
                Named::with_room(2, 8, None).expect("loom's memory is the machine's"),
                Numbers::with_room(2).expect("loom's memory is the machine's"),
            ));
            let name = |line| Name { function: "f", file: "g", line };
            let theirs = tables.clone();
            let other = thread::spawn(move || {
                let (named, numbers) = &*theirs;
                numbers.address(named, 7 << 32, || Some(name(1)))
            });
            let (named, numbers) = &*tables;
            let ours = numbers.address(named, 7 << 32, || Some(name(1))).expect("there is room");
            let theirs = other.join().expect("it does not panic").expect("there is room");
            assert_eq!(ours, theirs);
            let frames = named.read();
            assert_eq!(frames[(ours - NAMED - 1) as usize].line, Some(1), "what has a number is complete");
        });
    }
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests {
    use super::super::memory::SharedMemory;
    use super::*;

    #[test]
    fn a_place_is_written_down_once_and_read_as_it_was() {
        let (memory, _file) = SharedMemory::create(64 << 20).expect("64 MiB of addresses");
        let named = Named::reserve(Some(&memory)).expect("they fit");
        let numbers = Numbers::reserve().expect("they fit");
        let name = Name { function: "handle.<locals>.größe", file: "/srv/app.py", line: 12 };
        let first = numbers.address(&named, 7 << 32, || Some(name)).expect("there is room");
        let again = numbers.address(&named, 7 << 32, || unreachable!("it is known")).expect("it is known");
        let other = Name { function: "main", file: "", line: 0 };
        let second = numbers.address(&named, 9 << 32, || Some(other)).expect("there is room");
        assert_eq!((first, again, second), (NAMED + 1, NAMED + 1, NAMED + 2));
        assert_eq!(numbers.address(&named, 10 << 32, || None), None);
        let frames = named.read();
        assert_eq!(&*frames[0].function, "handle.<locals>.größe");
        assert_eq!((frames[0].file.as_deref(), frames[0].line), (Some("/srv/app.py"), Some(12)));
        assert_eq!((&*frames[1].function, &frames[1].file, frames[1].line), ("main", &None, None));
    }

    #[test]
    fn damaged_tables_are_read_without_harm() {
        let (memory, _file) = SharedMemory::create(64 << 20).expect("64 MiB of addresses");
        let named = Named::reserve(Some(&memory)).expect("they fit");
        let numbers = Numbers::reserve().expect("they fit");
        let name = Name { function: "f", file: "g", line: 1 };
        numbers.address(&named, 1 << 32, || Some(name)).expect("there is room");
        named.used[0].records.store(u32::MAX, Relaxed);
        named.records[0].at.store(u32::MAX, Relaxed);
        assert_eq!(named.read().len(), PLACES);
        named.records[0].at.store(0, Relaxed);
        named.records[0].file_bytes.store(u32::MAX, Relaxed);
        assert_eq!(&*named.read()[0].function, "[unknown]");
    }
}
