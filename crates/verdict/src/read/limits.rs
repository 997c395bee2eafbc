//! What a file may ask for. Each list in a file costs more in memory than in the file, up to hundreds of times;
//! so each has a limit of its own, and it is looked at before the list grows.

use plimsoll_core::Bytes;

use super::ReadError;

/// Limits of reading a file.
///
/// The worst case in memory, beside the given bytes: `decompressed_max` (half as much again while a gzip file is
/// unpacked, three times as much for JSON that is one list of numbers), 600 bytes × `stacks_max`, 8 bytes ×
/// `frames_max`, 200 bytes × `entries_max`. An honest file takes about twice its unpacked size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    /// Bytes of a file once it is unpacked. 512 MiB: the heap of a large service with 100,000 stacks has 50 MiB.
    pub decompressed_max: Bytes,
    /// Stacks. 1,000,000: ten times the stacks that our own profiler can keep.
    pub stacks_max: usize,
    /// Frames of one stack, inlined ones included. 4,096: deeper ones are runaway recursion.
    pub stack_frames_max: usize,
    /// Frames of all stacks together, inlined ones included. 64 Mi: a million stacks of 64 frames.
    pub frames_max: usize,
    /// Entries of each other table: names, mappings, functions, places and the lines of places. 4 Mi.
    pub entries_max: usize,
}

impl Default for ReadLimits {
    fn default() -> Self {
        ReadLimits {
            decompressed_max: Bytes::mib(512),
            stacks_max: 1_000_000,
            stack_frames_max: 4096,
            frames_max: 64 << 20,
            entries_max: 4 << 20,
        }
    }
}

/// What has been made so far of what the limits allow.
pub(crate) struct Counts<'a> {
    limits: &'a ReadLimits,
    stacks: usize,
    frames: usize,
}

impl<'a> Counts<'a> {
    pub(crate) fn new(limits: &'a ReadLimits) -> Self {
        Counts { limits, stacks: 0, frames: 0 }
    }

    /// One more stack, of `frames`.
    pub(crate) fn stack(&mut self, frames: usize) -> Result<(), ReadError> {
        self.stacks += 1;
        self.frames = self.frames.saturating_add(frames);
        within("stacks", self.stacks, self.limits.stacks_max)?;
        within("frames of one stack", frames, self.limits.stack_frames_max)?;
        within("frames of all stacks together", self.frames, self.limits.frames_max)
    }

    /// A table with `count` entries of `what`.
    pub(crate) fn entries(&self, what: &'static str, count: usize) -> Result<(), ReadError> {
        within(what, count, self.limits.entries_max)
    }
}

fn within(what: &'static str, count: usize, max: usize) -> Result<(), ReadError> {
    if count <= max { Ok(()) } else { Err(ReadError::Limit { what, max: max as u64 }) }
}
