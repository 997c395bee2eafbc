//! A profile's frames, each with what it is called and whose it is, worked out once for each place.

use std::borrow::Cow;
use std::ops::Range;

use super::{Location, Profile, Stack};
use crate::library::{self, Owner};

/// One function at one place, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The function's name; of an unnamed address `module+0x…` (an address of the file, for `addr2line`).
    pub function: Cow<'a, str>,
    /// Its source file, as the compiler wrote it.
    pub file: Option<&'a str>,
    /// The line in it, from 1.
    pub line: Option<u32>,
    /// Whose code it is.
    pub owner: Owner,
}

/// The frames of all places of a profile. Allocates about 60 bytes for each, and the names of unnamed ones.
#[derive(Debug)]
pub struct Frames<'a> {
    frames: Vec<Frame<'a>>,
    of_location: Vec<Range<usize>>,
}

impl Profile {
    /// Its frames.
    pub fn frames(&self) -> Frames<'_> {
        let mut frames = Frames { frames: Vec::new(), of_location: Vec::new() };
        for location in self.locations() {
            let begin = frames.frames.len();
            let path = location.mapping.map_or("", |index| &self.mappings()[index as usize].path);
            if location.lines.is_empty() {
                frames.frames.push(self.unnamed(location, path));
            }
            for line in &location.lines {
                let function = &self.functions()[line.function as usize];
                let file = function.file.as_deref();
                frames.frames.push(Frame {
                    function: Cow::Borrowed(&function.name),
                    file,
                    line: line.line,
                    owner: library::owner(&function.name, file, path),
                });
            }
            frames.of_location.push(begin..frames.frames.len());
        }
        frames
    }

    fn unnamed(&self, location: &Location, path: &str) -> Frame<'static> {
        let function = match location.mapping {
            Some(index) => {
                let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
                let bias = self.mappings()[index as usize].bias;
                format!("{name}+{:#x}", location.address.wrapping_sub(bias))
            }
            None => format!("{:#x}", location.address),
        };
        let owner = library::owner_of_unnamed(path);
        Frame { function: Cow::Owned(function), file: None, line: None, owner }
    }
}

impl Frame<'_> {
    fn is_python(&self) -> bool {
        self.file.is_some_and(library::is_python)
    }
}

impl<'a> Frames<'a> {
    /// The frames of a stack of this profile, leaf first, inlined ones before those that they are in.
    pub fn of<'s>(&'s self, stack: &'s Stack) -> impl DoubleEndedIterator<Item = &'s Frame<'a>> {
        self.numbers(stack).map(|number| &self.frames[number])
    }

    /// The frame that is to be named for `stack`: the first that is not of the allocator, the standard library
    /// or a dependency; else the first of a dependency; else the leaf.
    ///
    /// Where there is a function of Python, only those count, and if all of them are of libraries it is the first:
    /// the interpreter's own functions say nothing. Code that was compiled at run time and has no name is the last
    /// resort.
    pub fn own(&self, stack: &Stack) -> Option<&Frame<'a>> {
        self.own_number(stack).map(|number| &self.frames[number])
    }

    /// The function that asked the allocator: the first frame that is not of the allocator itself.
    pub fn leaf(&self, stack: &Stack) -> Option<&Frame<'a>> {
        self.leaf_number(stack).map(|number| &self.frames[number])
    }

    /// How many frames there are.
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(crate) fn get(&self, number: usize) -> &Frame<'a> {
        &self.frames[number]
    }

    /// The numbers of a stack's frames, leaf first.
    pub(crate) fn numbers<'s>(&'s self, stack: &'s Stack) -> impl DoubleEndedIterator<Item = usize> + 's {
        stack.locations.iter().flat_map(|&location| self.of_location[location as usize].clone())
    }

    pub(crate) fn own_number(&self, stack: &Stack) -> Option<usize> {
        let python = |&number: &usize| self.frames[number].is_python();
        let mixed = self.is_mixed(stack);
        let first = |owner| self.numbers(stack).find(|&number| self.owner_in(number, mixed) == owner);
        if mixed {
            return first(Owner::Program).or_else(|| self.numbers(stack).find(python));
        }
        let named = |&number: &usize| {
            let frame = &self.frames[number];
            frame.owner != Owner::Allocator && !library::is_jit(&frame.function)
        };
        first(Owner::Program)
            .or_else(|| first(Owner::Dependency))
            .or_else(|| self.numbers(stack).find(named))
            .or_else(|| self.leaf_number(stack))
    }

    /// Whether there is Python in the stack, among the functions of its interpreter.
    pub(crate) fn is_mixed(&self, stack: &Stack) -> bool {
        self.numbers(stack).any(|number| self.frames[number].is_python())
    }

    /// Whose code a frame is in a stack that is `mixed` or not. Beside Python the interpreter's own functions are not
    /// the program's, though the interpreter is the program that runs.
    pub(crate) fn owner_in(&self, number: usize, mixed: bool) -> Owner {
        let frame = &self.frames[number];
        match frame.owner {
            Owner::Program if mixed && !frame.is_python() => Owner::Dependency,
            owner => owner,
        }
    }

    pub(crate) fn leaf_number(&self, stack: &Stack) -> Option<usize> {
        let outside = self.numbers(stack).find(|&number| self.frames[number].owner != Owner::Allocator);
        outside.or_else(|| self.numbers(stack).next())
    }
}
