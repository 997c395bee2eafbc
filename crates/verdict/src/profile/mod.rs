//! The named profile: a heap that can be understood without the process that it comes from.
//!
//! The shape is that of pprof: tables that refer to one another by index, so that a name is there once however
//! many stacks go through it.
//!
//! ```text
//! Stack ──► Location ──► Line ──► Function       who allocated
//!               └──────► Mapping                 in which file of code
//! ```
//!
//! A `Profile` is made from a snapshot, or from parts that are checked: an index that leads nowhere is found
//! there, and nothing that reads a profile has to expect one.

mod check;
mod frames;
mod new;

use std::sync::Arc;

use plimsoll_core::Bytes;
use plimsoll_core::heap::{Amount, GENERATIONS, Generation, Growth};
use serde::{Deserialize, Serialize, Serializer};

use crate::metric::{Metric, WriteError};

pub use check::BadProfile;
pub use frames::{Frame, Frames};

/// The named profile of one heap at one moment. Owns all that it refers to.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    parts: Parts,
}

/// What a profile consists of, before it is checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parts {
    /// When and how it was taken.
    pub header: Header,
    /// Files of code.
    pub mappings: Vec<Mapping>,
    /// Functions, by name and file.
    pub functions: Vec<Function>,
    /// Places in the code.
    pub locations: Vec<Location>,
    /// Call paths and what they allocated.
    pub stacks: Vec<Stack>,
}

/// When and how a profile was taken.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Header {
    /// Who made it, in one line; empty if it does not say.
    pub origin: String,
    /// When, in milliseconds since 1970; 0 if it does not say.
    pub taken_unix_ms: u64,
    /// For how long the heap had been sampled by then, in milliseconds.
    pub since_start_ms: u64,
    /// How long an epoch is, in milliseconds, and so how old a generation; 0 if there are no generations.
    pub epoch_ms: u64,
    /// One sample in this many bytes, on average; 0 if it does not say. Amounts are already scaled.
    pub interval: Bytes,
    /// What its source measured, in the order of [`Metric::ALL`]. Live objects that were not measured are 0;
    /// allocated amounts that were not measured are given as the live ones.
    pub metrics: Vec<Metric>,
    /// How the profiler did, if it says.
    pub status: Option<Status>,
    /// What the process's resident memory consisted of, if it says.
    pub memory: Option<Memory>,
}

/// The profiler's own numbers: what [`plimsoll_core::heap::ProfilerStatus`] says, in words that a file can hold.
/// Its fields, and those of [`Memory`], are named in files as here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Whether it was sampling.
    pub running: bool,
    /// One sample in this many bytes, on average.
    pub interval_bytes: u64,
    /// Whether the interval was adjusted to what sampling costs.
    pub adaptive: bool,
    /// What sampling cost of the process's CPU time, in parts of a million.
    pub cost_ppm: u32,
    /// Samples taken since the start.
    pub samples: u64,
    /// Samples taken for each second since the start; finite, and written as 0 if it is not.
    #[serde(serialize_with = "finite")]
    pub samples_per_s: f64,
    /// Samples that lived.
    pub live_samples: u64,
    /// Different stacks.
    pub stacks: u64,
    /// Not followed because the table of large blocks was full.
    pub dropped_large: u64,
    /// Not followed because the range of small blocks was full.
    pub dropped_small: u64,
    /// Not followed because the table of stacks was full.
    pub dropped_stacks: u64,
    /// Files of code and named places that were left out because their table was full.
    #[serde(default)]
    pub dropped_names: u64,
    /// Samples whose stack could not be followed to its end.
    pub truncated: u64,
    /// How stacks were followed: `none`, `frame_pointers`, `eh_frame`, or what a later version knows.
    pub unwind_method: String,
    /// What the profiler itself had resident, in bytes.
    pub own_bytes: u64,
    /// How much address space was reserved for sampled small blocks, in bytes.
    pub range_bytes: u64,
    /// How much of it was wanted, in bytes.
    pub range_wanted_bytes: u64,
}

/// JSON has no word for what is not finite, and a file with `null` there could not be read again.
fn finite<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(if number.is_finite() { *number } else { 0.0 })
}

/// Resident memory of the process, in parts that add up to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// All of it, in bytes.
    pub resident_bytes: u64,
    /// The parts.
    pub parts: Vec<MemoryPart>,
}

/// The part of resident memory that nobody explained.
pub const UNEXPLAINED: &str = "other_anonymous";

impl Memory {
    /// The bytes that parts with a name of their own explain: all but [`UNEXPLAINED`].
    pub fn explained_bytes(&self) -> u64 {
        let named = self.parts.iter().filter(|part| part.name != UNEXPLAINED);
        named.fold(0, |sum: u64, part| sum.saturating_add(part.resident_bytes)).min(self.resident_bytes)
    }
}

/// One named part of the resident memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPart {
    /// What it is.
    pub name: String,
    /// How much of it was resident, in bytes.
    pub resident_bytes: u64,
}

/// A file that was mapped with code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Where the file was.
    pub path: Arc<str>,
    /// The linker's build id, in hexadecimal; empty if it has none.
    pub build_id: Arc<str>,
    /// The first address of its code.
    pub start: u64,
    /// The address after the last of its code.
    pub end: u64,
    /// Where in the file its code begins, in bytes.
    pub file_offset: u64,
    /// What was added to an address of the file to get one of the process; it wraps around.
    pub bias: u64,
}

/// A function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its readable name.
    pub name: Arc<str>,
    /// Its source file, as the compiler wrote it.
    pub file: Option<Arc<str>>,
}

/// A place in the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// An address within the calling instruction (the return address less one); 0 if it was not kept.
    pub address: u64,
    /// The index of its mapping.
    pub mapping: Option<u32>,
    /// The functions there, the innermost inlined one first; none if nobody knows.
    pub lines: Vec<Line>,
}

/// A function at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The index of the function.
    pub function: u32,
    /// The line in its file, from 1.
    pub line: Option<u32>,
}

/// One call path and what it allocated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stack {
    /// Its number in the process that it comes from, or in the file.
    pub id: u32,
    /// The indices of its locations, leaf first.
    pub locations: Vec<u32>,
    /// It was deeper than could be followed.
    pub truncated: bool,
    /// Everything that was allocated since the start.
    pub allocated: Amount,
    /// What of it was freed.
    pub freed: Amount,
    /// The samples by age, youngest first; all zero if the file has none.
    pub generations: [Generation; GENERATIONS],
    /// What `realloc` made larger.
    pub growth: Growth,
}

impl Stack {
    /// What was allocated and not freed.
    pub const fn live(&self) -> Amount {
        self.allocated.minus(self.freed)
    }

    /// How many samples `live` is estimated from; 0 if the file does not say.
    pub fn live_samples(&self) -> u64 {
        self.generations.iter().fold(0, |sum: u64, generation| sum.saturating_add(generation.live_samples))
    }
}

impl Profile {
    /// When and how it was taken.
    pub fn header(&self) -> &Header {
        &self.parts.header
    }

    /// Files of code.
    pub fn mappings(&self) -> &[Mapping] {
        &self.parts.mappings
    }

    /// Functions, by name and file.
    pub fn functions(&self) -> &[Function] {
        &self.parts.functions
    }

    /// Places in the code.
    pub fn locations(&self) -> &[Location] {
        &self.parts.locations
    }

    /// Call paths and what they allocated.
    pub fn stacks(&self) -> &[Stack] {
        &self.parts.stacks
    }

    /// The parts, to be changed and checked again with [`Profile::from_parts`].
    pub fn into_parts(self) -> Parts {
        self.parts
    }

    /// The same, made by `origin`: one line that says who took it.
    pub fn with_origin(mut self, origin: impl Into<String>) -> Profile {
        self.parts.header.origin = origin.into();
        self
    }

    /// What lives in all stacks together.
    pub fn live(&self) -> Amount {
        sum(self.stacks().iter().map(Stack::live))
    }

    /// What was allocated in all stacks together since the start.
    pub fn allocated(&self) -> Amount {
        sum(self.stacks().iter().map(|stack| stack.allocated))
    }

    /// How many samples [`Profile::live`] is estimated from; 0 if the file does not say.
    pub fn live_samples(&self) -> u64 {
        self.stacks().iter().fold(0, |sum: u64, stack| sum.saturating_add(stack.live_samples()))
    }

    /// Whether its source measured `metric`.
    pub fn measures(&self, metric: Metric) -> bool {
        self.header().metrics.contains(&metric)
    }

    /// Nothing, if it has `metric`.
    ///
    /// # Errors
    /// [`WriteError::NotMeasured`], which says what it has.
    pub fn require(&self, metric: Metric) -> Result<(), WriteError> {
        if self.measures(metric) {
            return Ok(());
        }
        Err(WriteError::NotMeasured { asked: metric, measured: self.header().metrics.clone() })
    }
}

fn sum(amounts: impl Iterator<Item = Amount>) -> Amount {
    // The check of the parts holds the sums under 2^63.
    amounts.fold(Amount::default(), |sum, one| Amount {
        objects: sum.objects.saturating_add(one.objects),
        bytes: sum.bytes.saturating_add(one.bytes),
    })
}
