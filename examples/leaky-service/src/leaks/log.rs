//! Leak 2, *a list that only grows*: an audit log that is kept in memory "for now". It is one single block, which
//! `realloc` doubles again and again: one object, and the largest of all.
//!
//! Mended by a ring of fixed length that overwrites its oldest lines, or by writing lines out and forgetting them.

use std::sync::{Mutex, PoisonError};

use super::LEAK_BYTES;

/// One line of the log.
#[derive(Clone, Copy)]
struct Line([u8; 256]);

/// How many lines are written each time.
const LINES: usize = LEAK_BYTES / size_of::<Line>();

/// The log. Nothing ever shortens it: that is the leak.
#[derive(Default)]
pub(crate) struct Log {
    lines: Mutex<Vec<Line>>,
}

impl Log {
    /// Writes what happened; says how many bytes that were.
    #[inline(never)]
    pub(crate) fn append_lines(&self) -> usize {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = 0;
        for _ in 0..LINES {
            let line = Line([b'.'; 256]);
            bytes += line.0.len();
            lines.push(line); // LEAK
        }
        bytes
    }
}
