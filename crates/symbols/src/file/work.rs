//! The count of work. A file of a megabyte can be written so that following it takes hours (tables that are
//! read again for each entry, entries that take no bytes); every read is counted, and the count has an end.

use std::cell::{Cell, RefCell};

use gimli::Error;

/// Why a lookup ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// All work that was granted is done.
    Exhausted,
    /// The system would not read.
    Io(String),
    /// The bytes make no sense.
    Malformed(String),
}

/// What may still be read for one module, and what went wrong in reading.
#[derive(Debug)]
pub(crate) struct Work {
    left: Cell<u64>,
    // The parsers' errors carry no text, so what the system said waits here.
    io: RefCell<Option<String>>,
}

impl Work {
    pub(crate) fn new(most: u64) -> Self {
        Self { left: Cell::new(most), io: RefCell::new(None) }
    }

    /// Counts `amount`, or refuses when that is more than is left; then nothing is left.
    #[inline]
    pub(crate) fn spend(&self, amount: u64) -> Result<(), Error> {
        match self.left.get().checked_sub(amount) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => {
                self.left.set(0);
                Err(Error::Io)
            }
        }
    }

    /// Lets `step` spend at most `most`. What it builds in memory is bounded by that, as each thing it builds
    /// was read from somewhere.
    pub(crate) fn within<T>(&self, most: u64, step: impl FnOnce() -> T) -> T {
        let before = self.left.get();
        let granted = before.min(most);
        self.left.set(granted);
        let done = step();
        self.left.set(before - (granted - self.left.get()));
        done
    }

    /// Remembers what the system said; the error is for the parser to hand through.
    pub(crate) fn refuse_io(&self, error: &std::io::Error) -> Error {
        *self.io.borrow_mut() = Some(error.to_string());
        Error::Io
    }

    pub(crate) fn exhausted(&self) -> bool {
        self.left.get() == 0
    }

    /// What an error of a parser means.
    pub(crate) fn trouble(&self, error: Error) -> Trouble {
        if let Some(said) = self.io.borrow_mut().take() {
            return Trouble::Io(said);
        }
        match error {
            _ if self.exhausted() => Trouble::Exhausted,
            // Only `spend` makes this one without words, inside a `within`.
            Error::Io => Trouble::Malformed("a table is larger than any compiler writes".to_owned()),
            other => Trouble::Malformed(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_spends_its_own_share_and_no_more() {
        let work = Work::new(100);
        assert_eq!(work.within(10, || (work.spend(10), work.spend(1))), (Ok(()), Err(Error::Io)));
        assert!(!work.exhausted());
        assert_eq!(
            work.trouble(Error::Io),
            Trouble::Malformed("a table is larger than any compiler writes".to_owned())
        );
        assert_eq!(work.spend(90), Ok(()));
        assert!(work.exhausted());
        assert_eq!(work.within(10, || work.spend(1)), Err(Error::Io));
        assert_eq!(work.trouble(Error::Io), Trouble::Exhausted);
    }

    #[test]
    fn no_work_at_all_reads_nothing() {
        let work = Work::new(0);
        assert_eq!(work.spend(0), Ok(()));
        assert_eq!(work.spend(1), Err(Error::Io));
    }
}
