//! How the profiler itself does: a silently inactive one is the commonest failure of its kind.

/// How stacks are followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnwindMethod {
    /// Not at all: nothing is sampled, or this machine's stacks are not known.
    #[default]
    None,
    /// By the chain of frame pointers.
    FramePointers,
    /// By the call frame information in `.eh_frame`.
    CallFrameInformation,
}

impl UnwindMethod {
    /// The method's name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::FramePointers => "frame_pointers",
            Self::CallFrameInformation => "eh_frame",
        }
    }
}

/// The profiler's own numbers. Counts are since the start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProfilerStatus {
    /// Whether it samples at this moment.
    pub running: bool,
    /// One sample in this many bytes, on average; 1 is every allocation.
    pub interval_bytes: u64,
    /// Whether the interval is adjusted to what sampling costs.
    pub adaptive: bool,
    /// What sampling costs of the process's CPU time, in parts of a million, at the last look.
    pub cost_ppm: u32,
    /// Samples taken.
    pub samples: u64,
    /// Samples taken for each second since the start.
    pub samples_per_s: f64,
    /// Samples that live.
    pub live_samples: u64,
    /// Different stacks.
    pub stacks: u64,
    /// Not followed because the table of large blocks was full.
    pub dropped_large: u64,
    /// Not followed because the range of small blocks was full, or because they are aligned to more than 4 KiB.
    pub dropped_small: u64,
    /// Not followed because the table of stacks was full.
    pub dropped_stacks: u64,
    /// Files of code, and places that are named in the process, that were left out because their table was full: what
    /// belongs to them has no name.
    pub dropped_names: u64,
    /// Samples whose stack was deeper than is kept, or could not be followed to its end.
    pub truncated: u64,
    /// How stacks are followed.
    pub unwind_method: UnwindMethod,
    /// What the profiler itself has resident, in bytes; the program's own bytes in sampled blocks are not in it.
    pub own_bytes: u64,
    /// How much address space was reserved for sampled small blocks; less than wanted under `ulimit -v`.
    pub range_bytes: u64,
    /// How much of it was wanted.
    pub range_wanted_bytes: u64,
}
