//! An answer: what the addresses of one snapshot are called, and what was missing. It shares its names with
//! the cache and stays as it is when the cache lets them go.

use std::sync::Arc;

use plimsoll_core::heap::{CodeFrame, Names};

use crate::problem::Problem;

/// What the addresses of one snapshot are called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// By address.
    pub(crate) frames: Vec<(u64, Arc<[CodeFrame]>)>,
    /// What was missing, in the order of the modules' addresses; at most 64.
    pub problems: Vec<Problem>,
    /// How many problems more there were.
    pub problems_left_off: usize,
}

impl Resolved {
    /// How many different addresses it names.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether it names none.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// All addresses in order, with what they are called.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &[CodeFrame])> {
        self.frames.iter().map(|(address, frames)| (*address, &frames[..]))
    }
}

impl Names for Resolved {
    /// The frames of a return address that was asked for; none for others. An address in no module is called
    /// `0x…`, one of which only the module is known `module+0x…`, with the address as the file has it.
    fn at(&self, address: u64) -> &[CodeFrame] {
        match self.frames.binary_search_by_key(&address, |(known, _)| *known) {
            Ok(index) => &self.frames[index].1,
            Err(_) => &[],
        }
    }
}
