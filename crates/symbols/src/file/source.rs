//! One file in a bounded window of pages: what keeps a debug file of a gigabyte from becoming a gigabyte of
//! this process. Pages that were not used lately make room for others.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use gimli::{Error, ReaderOffsetId};

use super::Work;
use crate::limits::{PAGE, WINDOW};

/// What a page costs beside its use: a call to the system, worth that many bytes of parsing.
const PAGE_WORK: u64 = 256;
/// No page has this number, as no file is that long.
const NOTHING: u64 = u64::MAX;

struct Pages {
    /// All pages, one after the other. Allocated at once, so that it leaves as one piece.
    data: Vec<u8>,
    /// Which page of the file is in which place.
    numbers: Vec<u64>,
    /// The same the other way round; at most one entry for each place.
    places: HashMap<u64, usize>,
    /// Whether a place was used since the hand passed it.
    used: Vec<bool>,
    hand: usize,
    /// The place of the last read: most reads are where the last one was.
    last: usize,
}

/// One open file.
pub(crate) struct Source {
    file: File,
    length: u64,
    work: Rc<Work>,
    pages: RefCell<Pages>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("length", &self.length).finish_non_exhaustive()
    }
}

impl Source {
    /// The first `length` bytes of `file`. Allocates at most the window.
    pub(crate) fn new(file: File, length: u64, work: Rc<Work>) -> Self {
        let wanted = usize::try_from(length).unwrap_or(usize::MAX).div_ceil(PAGE);
        let places = wanted.clamp(1, WINDOW / PAGE);
        let pages = Pages {
            data: vec![0; places * PAGE],
            numbers: vec![NOTHING; places],
            places: HashMap::with_capacity(places),
            used: vec![false; places],
            hand: 0,
            last: 0,
        };
        Self { file, length, work, pages: RefCell::new(pages) }
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn work(&self) -> &Rc<Work> {
        &self.work
    }

    /// Fills `into` from position `at`.
    ///
    /// # Errors
    /// When that is beyond the end, when the system would not read, and when the work is done.
    #[inline]
    pub(crate) fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Error> {
        let mut at = at;
        let mut rest = into;
        while !rest.is_empty() {
            let taken = self.with_page(at, |page| {
                let taken = page.len().min(rest.len());
                rest[..taken].copy_from_slice(&page[..taken]);
                taken
            })?;
            self.work.spend(taken as u64)?;
            at += taken as u64;
            rest = &mut rest[taken..];
        }
        Ok(())
    }

    /// Hands `look` what of the page at `at` is there, from `at` on: never nothing.
    #[inline]
    pub(crate) fn with_page<T>(&self, at: u64, look: impl FnOnce(&[u8]) -> T) -> Result<T, Error> {
        if at >= self.length {
            return Err(Error::UnexpectedEof(ReaderOffsetId(at)));
        }
        let number = at / PAGE as u64;
        let mut pages = self.pages.borrow_mut();
        if pages.numbers[pages.last] != number {
            pages.last = self.bring(&mut pages, number)?;
        }
        let begin = pages.last * PAGE;
        let end = begin + (self.length - number * PAGE as u64).min(PAGE as u64) as usize;
        Ok(look(&pages.data[begin + (at % PAGE as u64) as usize..end]))
    }

    /// Brings a page in and says where it is.
    fn bring(&self, pages: &mut Pages, number: u64) -> Result<usize, Error> {
        if let Some(&place) = pages.places.get(&number) {
            pages.used[place] = true;
            return Ok(place);
        }
        self.work.spend(PAGE_WORK)?;
        let place = loop {
            let place = pages.hand;
            pages.hand = (pages.hand + 1) % pages.numbers.len();
            if !std::mem::take(&mut pages.used[place]) {
                break place;
            }
        };
        let old = std::mem::replace(&mut pages.numbers[place], NOTHING);
        pages.places.remove(&old);
        let from = number * PAGE as u64;
        let length = (self.length - from).min(PAGE as u64) as usize;
        let into = &mut pages.data[place * PAGE..place * PAGE + length];
        // A file that was cut short since it was opened ends here, with an error and not with a signal.
        self.file.read_exact_at(into, from).map_err(|error| self.work.refuse_io(&error))?;
        pages.numbers[place] = number;
        pages.places.insert(number, place);
        pages.used[place] = true;
        Ok(place)
    }
}
