//! The names of one answer, each once. A path of a source file stands at thousands of addresses; kept for each
//! of them it would be most of what a report takes.

use std::collections::{HashMap, HashSet};
use std::mem::size_of;
use std::sync::Arc;

use plimsoll_core::heap::CodeFrame;

use crate::demangle::{cut, demangle};
use crate::limits::FILE_NAME_MAX;

/// What a kept name takes beside its bytes: its counts and its place in a table.
pub(crate) const NAME_BYTES: u64 = 48;
/// What a kept list of frames takes beside the frames, tables included.
pub(crate) const FRAMES_BYTES: u64 = 96;

/// What a list of frames takes without its names.
pub(crate) fn frames_bytes(count: usize) -> u64 {
    FRAMES_BYTES + (count * size_of::<CodeFrame>()) as u64
}

/// The names of one answer, within a limit.
pub(crate) struct Text<'a> {
    /// Names that the cache has already; they are shared and not made again.
    known: &'a HashMap<Arc<str>, u32>,
    mine: HashSet<Arc<str>>,
    left: u64,
    full: bool,
}

impl<'a> Text<'a> {
    pub(crate) fn new(known: &'a HashMap<Arc<str>, u32>, most: u64) -> Self {
        Self { known, mine: HashSet::new(), left: most, full: false }
    }

    /// Whether something had no room.
    pub(crate) fn full(&self) -> bool {
        self.full
    }

    /// The readable name of a symbol; nothing if there is no room for it.
    pub(crate) fn function(&mut self, symbol: &str) -> Option<Arc<str>> {
        self.readable(&demangle(symbol))
    }

    /// A function's name that is readable already; nothing if there is no room for it.
    pub(crate) fn readable(&mut self, name: &str) -> Option<Arc<str>> {
        if name.is_empty() { None } else { self.keep(name) }
    }

    /// A file's path; nothing if there is no room for it.
    pub(crate) fn file(&mut self, path: &str) -> Option<Arc<str>> {
        if path.len() <= FILE_NAME_MAX { self.keep(path) } else { self.keep(&cut(path, FILE_NAME_MAX)) }
    }

    /// Takes room for a list of frames; says whether there was some.
    pub(crate) fn take_frames(&mut self, count: usize) -> bool {
        self.take(frames_bytes(count))
    }

    fn keep(&mut self, name: &str) -> Option<Arc<str>> {
        if let Some(name) = self.mine.get(name) {
            return Some(Arc::clone(name));
        }
        if !self.take(NAME_BYTES + name.len() as u64) {
            return None;
        }
        let name = match self.known.get_key_value(name) {
            Some((known, _)) => Arc::clone(known),
            None => Arc::from(name),
        };
        self.mine.insert(Arc::clone(&name));
        Some(name)
    }

    fn take(&mut self, bytes: u64) -> bool {
        match self.left.checked_sub(bytes) {
            Some(left) if !self.full => self.left = left,
            _ => self.full = true,
        }
        !self.full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_once_and_counted_once() {
        let known = HashMap::from([(Arc::from("known"), 1)]);
        let mut text = Text::new(&known, 2 * NAME_BYTES + 9);
        let first = text.function("main").expect("there is room");
        assert!(Arc::ptr_eq(&first, &text.file("main").expect("it is there")));
        let shared = text.function("known").expect("there is room to the byte");
        assert!(Arc::ptr_eq(&shared, known.keys().next().expect("one was put in")));
        assert!(!text.full());
        assert_eq!(text.function("x"), None);
        assert!(text.full() && !text.take_frames(0));
        assert_eq!(text.function("main").as_deref(), Some("main"));
    }
}
