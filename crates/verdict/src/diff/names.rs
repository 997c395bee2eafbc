//! What makes a place of one profile the same as a place of another: numbers for names, the same in both.

use std::collections::BTreeMap;

use super::{DiffFrame, Level};
use crate::library::file_name;
use crate::profile::{Frames, Profile, Stack};

/// The numbers of an entry's names, leaf first.
pub(super) type Key = Vec<u32>;

/// The frames of both profiles, and the number of each one's name.
pub(super) struct Keys<'a> {
    frames: [Frames<'a>; 2],
    /// By profile and frame.
    name_of: [Vec<u32>; 2],
}

impl<'a> Keys<'a> {
    pub(super) fn new(before: &'a Profile, after: &'a Profile) -> Keys<'a> {
        let frames = [before.frames(), after.frames()];
        let mut numbers: BTreeMap<(String, String), u32> = BTreeMap::new();
        let name_of = frames.each_ref().map(|frames| {
            let number = |at: usize| {
                let frame = frames.get(at);
                let file = frame.file.map(file_name).unwrap_or_default();
                let count = numbers.len() as u32;
                *numbers.entry((frame.function.to_string(), file.to_owned())).or_insert(count)
            };
            (0..frames.len()).map(number).collect()
        });
        Keys { frames, name_of }
    }

    /// The key of a stack.
    pub(super) fn of(&mut self, which: usize, stack: &Stack, level: Level) -> Key {
        let names = &self.name_of[which];
        match level {
            Level::Stack => self.frames[which].numbers(stack).map(|frame| names[frame]).collect(),
            Level::Own | Level::Leaf => {
                self.at(which, stack, level).map(|frame| names[frame]).into_iter().collect()
            }
        }
    }

    /// The frame that is named for a stack.
    pub(super) fn at(&self, which: usize, stack: &Stack, level: Level) -> Option<usize> {
        match level {
            Level::Stack | Level::Own => self.frames[which].own_number(stack),
            Level::Leaf => self.frames[which].leaf_number(stack),
        }
    }

    pub(super) fn frame(&self, which: usize, frame: Option<usize>) -> DiffFrame {
        match frame.map(|frame| self.frames[which].get(frame)) {
            Some(frame) => DiffFrame {
                function: frame.function.to_string(),
                file: frame.file.map(str::to_owned),
                line: frame.line,
            },
            None => DiffFrame { function: crate::collapsed::UNKNOWN.to_owned(), file: None, line: None },
        }
    }

    pub(super) fn frames(&self, which: usize, stack: &Stack) -> Vec<DiffFrame> {
        self.frames[which].numbers(stack).map(|frame| self.frame(which, Some(frame))).collect()
    }
}
