//! The place in a program where something was taken.

use std::fmt;
use std::panic::Location;

/// A line of source that asked for something: what `#[track_caller]` knows, at the price of one pointer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site(&'static Location<'static>);

impl Site {
    /// The line that called the function that calls this.
    #[track_caller]
    pub fn caller() -> Site {
        Site(Location::caller())
    }

    /// The source file, as the compiler was given it.
    pub fn file(self) -> &'static str {
        self.0.file()
    }

    /// The line, counted from 1.
    pub fn line(self) -> u32 {
        self.0.line()
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file(), self.line())
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
