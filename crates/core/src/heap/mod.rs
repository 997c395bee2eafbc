//! The heap as a value: what a profiler hands to those who judge, draw or store it.
//!
//! A snapshot is plain data. Who takes it (the allocator wrapper, the preload library, a file that was read
//! back) and who reads it (formats, diffs, the verdict) do not know one another; they know these types.
//!
//! Words: a *sample* is one allocation that the profiler follows. It stands for more than itself; what it
//! stands for, in objects and bytes, is its *weight*, and every amount here is a sum of weights and so an
//! estimate, unless it says `samples`. A *stack* is a call path that allocated, leaf first. *Live* is what
//! was allocated and not yet freed.

mod memory;
mod names;
mod status;

use std::ops::Range;
use std::time::Duration;

use crate::Bytes;

pub use memory::{MemoryPart, ProcessMemory};
pub use names::{CodeFrame, Names};
pub use status::{ProfilerStatus, UnwindMethod};

/// How many generations a stack's live samples are told apart by: see [`Generation`].
pub const GENERATIONS: usize = 10;

/// Addresses above this are none of code, for no process has any up there: this plus one plus `n` is the `n`th of
/// [`HeapSnapshot::named`].
pub const NAMED: u64 = 1 << 63;

/// The path of a [`Module`] that is no file: code that the program made while it ran, as engines of JavaScript and Java do.
pub const MADE_AT_RUN_TIME: &str = "[jit]";

/// Objects and bytes, estimated from samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many objects.
    pub objects: u64,
    /// How many bytes, as asked for by the program; what the allocator rounds up is not in it.
    pub bytes: u64,
}

impl Amount {
    /// What is left of `self` when `other` is taken away; nothing is less than zero.
    pub const fn minus(self, other: Self) -> Self {
        Self {
            objects: self.objects.saturating_sub(other.objects),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

/// The samples of one stack that are about equally old.
///
/// Time is cut into epochs (10 s unless set). Generation 0 are the samples born in this epoch or the few
/// before it; every further generation is twice as old as the one before, and the last has no upper end.
/// The bounds are those of whole blocks of epochs, and a death is counted in the generation in which the
/// sample was when it died. So, between two snapshots, *exactly*: what entered a generation or an older one
/// is the growth of the live counts plus the deaths there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Generation {
    /// Samples that live.
    pub live_samples: u64,
    /// The bytes that these stand for.
    pub live_bytes: u64,
    /// Samples that died while they were in this generation, since the start.
    pub died_samples: u64,
}

/// What `realloc` made of a stack's samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    /// How often a sample was made larger, since the start.
    pub grown: u64,
    /// By how many bytes, weights included, since the start.
    pub grown_bytes: u64,
    /// The most often that any one sample of this stack was made larger.
    pub longest_chain: u32,
}

/// One call path and what it allocated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackProfile {
    /// The stack's number in the process that it comes from; the same in all snapshots of a run.
    pub id: u32,
    /// Where its addresses are in [`HeapSnapshot::addresses`].
    pub addresses: Range<usize>,
    /// The stack was deeper than could be followed.
    pub truncated: bool,
    /// Everything that was allocated since the start.
    pub allocated: Amount,
    /// What of it was freed.
    pub freed: Amount,
    /// The samples by age, youngest first.
    pub generations: [Generation; GENERATIONS],
    /// What grew in place or by moving.
    pub growth: Growth,
}

impl StackProfile {
    /// What was allocated and not freed.
    pub const fn live(&self) -> Amount {
        self.allocated.minus(self.freed)
    }

    /// How many samples `live` is estimated from. Its relative standard error is about one over the root
    /// of this.
    pub fn live_samples(&self) -> u64 {
        self.generations.iter().map(|generation| generation.live_samples).sum()
    }
}

/// A file that was mapped with code when the snapshot was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Where the file is; the program itself by its absolute path.
    pub path: String,
    /// The linker's build id, in hexadecimal; empty if it has none.
    pub build_id: String,
    /// The addresses of its executable part.
    pub addresses: Range<u64>,
    /// Where in the file the executable part begins.
    pub file_offset: u64,
    /// What is to be added to an address of the file (as its symbols have it) to get one of the process.
    pub bias: u64,
}

/// The profiled heap of one process at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeapSnapshot {
    /// When, in milliseconds since 1970.
    pub taken_unix_ms: u64,
    /// For how long it had been sampled by then.
    pub since_start: Duration,
    /// How long an epoch is, and so how old a generation: see [`Generation`].
    pub epoch: Duration,
    /// One sample in this many bytes, on average, at this moment. Amounts are already scaled.
    pub interval: Bytes,
    /// The addresses of all stacks, one after the other: return addresses, leaf first. The call is in the
    /// instruction before.
    pub addresses: Vec<u64>,
    /// The stacks, by id.
    pub stacks: Vec<StackProfile>,
    /// What was mapped.
    pub modules: Vec<Module>,
    /// The places that were named in the process itself, for an interpreter's functions have no address: see [`NAMED`].
    pub named: Vec<CodeFrame>,
    /// What the process's resident memory consists of, if it was asked for.
    pub memory: Option<ProcessMemory>,
    /// How the profiler itself does.
    pub status: ProfilerStatus,
}

impl HeapSnapshot {
    /// The return addresses of a stack of this snapshot, leaf first.
    pub fn addresses_of(&self, stack: &StackProfile) -> &[u64] {
        self.addresses.get(stack.addresses.clone()).unwrap_or_default()
    }

    /// What lives in all stacks together.
    pub fn live(&self) -> Amount {
        self.stacks.iter().map(StackProfile::live).fold(Amount::default(), |sum, one| Amount {
            objects: sum.objects.saturating_add(one.objects),
            bytes: sum.bytes.saturating_add(one.bytes),
        })
    }
}

/// Somebody who can take a snapshot. What floor 2 and 3 are handed, so that they need not know the heap.
pub trait SnapshotSource: Send + Sync {
    /// Takes one, with the process's memory. Takes milliseconds: not for an executor's thread.
    fn snapshot(&self) -> HeapSnapshot;
}
