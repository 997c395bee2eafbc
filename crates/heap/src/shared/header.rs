//! The first page of shared memory: whose heap it is, where each table lies, and what is counted beside them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::cells::Zeroed;

/// The first eight bytes.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"PLIMSOLL");
/// Rises with every change to what lies in shared memory, the cells of stacks included: it is read by the same release
/// of Plimsoll that wrote it, or not at all.
pub(crate) const VERSION: u64 = 2;

/// Words for the path of the program.
const PROGRAM_WORDS: usize = 128;
/// Words for its arguments, each ended by a zero byte.
const COMMAND_WORDS: usize = 256;

/// Words for what the profiler has to say of itself.
const NOTE_WORDS: usize = 32;

/// Where a table begins, from the start of the memory, and how many entries it has.
#[derive(Default)]
#[repr(C)]
pub(crate) struct Part {
    pub(crate) at: AtomicU64,
    pub(crate) length: AtomicU64,
}

/// What is counted beside the tables.
#[derive(Default)]
#[repr(C)]
pub(crate) struct Counts {
    /// The interval of sampling, as the bits of a floating-point number; zero if it is off.
    pub(crate) interval: AtomicU64,
    pub(crate) adaptive: AtomicU64,
    pub(crate) cost_ppm: AtomicU64,
    /// [`plimsoll_core::heap::UnwindMethod`], as `capture` numbers it.
    pub(crate) method: AtomicU64,
    /// Samples that were taken.
    pub(crate) samples: AtomicU64,
    /// Those that were not freed.
    pub(crate) live_samples: AtomicU64,
    pub(crate) dropped_large: AtomicU64,
    pub(crate) dropped_small: AtomicU64,
    pub(crate) truncated: AtomicU64,
    /// Bytes that live, their most so far, and what that was when cells were last kept: see `peak`.
    pub(crate) live_bytes: AtomicU64,
    pub(crate) peak_bytes: AtomicU64,
    pub(crate) kept_peak_bytes: AtomicU64,
    /// 1 while cells are being kept.
    pub(crate) keeping: AtomicU64,
    /// How many cells were kept, and when, by the clock that runs since boot.
    pub(crate) kept_cells: AtomicU64,
    pub(crate) kept_ns: AtomicU64,
    pub(crate) named_left_off: AtomicU64,
}

// SAFETY: a struct of atomics.
unsafe impl Zeroed for Counts {}

/// See the head of this file.
#[derive(Default)]
#[repr(C)]
pub(crate) struct Header {
    /// Written last.
    pub(crate) magic: AtomicU64,
    pub(crate) version: AtomicU64,
    /// Of the whole memory.
    pub(crate) bytes: AtomicU64,
    pub(crate) pid: AtomicU64,
    pub(crate) parent_pid: AtomicU64,
    /// 1 for a forked child that runs its parent's program.
    pub(crate) is_fork: AtomicU64,
    pub(crate) started_unix_ms: AtomicU64,
    /// By the clock that runs since boot.
    pub(crate) started_ns: AtomicU64,
    /// When a copy was saved, by the same clock; zero while the process may still run.
    pub(crate) saved_ns: AtomicU64,
    pub(crate) saved_unix_ms: AtomicU64,
    pub(crate) epoch_ns: AtomicU64,
    pub(crate) range_bytes: AtomicU64,
    pub(crate) range_wanted_bytes: AtomicU64,
    /// Where sampled blocks are: an address in the process itself, and bytes.
    pub(crate) blocks: Part,
    pub(crate) counts: Part,
    pub(crate) used: Part,
    pub(crate) cells: Part,
    pub(crate) kept: Part,
    pub(crate) packed: Part,
    pub(crate) modules: Part,
    pub(crate) named: Part,
    pub(crate) named_text: Part,
    pub(crate) named_used: Part,
    program: Words<PROGRAM_WORDS>,
    command: Words<COMMAND_WORDS>,
    note: Words<NOTE_WORDS>,
}

// SAFETY: a struct of atomics.
unsafe impl Zeroed for Header {}

const _: () = assert!(size_of::<Header>() <= crate::os::PAGE_BYTES);

impl Header {
    pub(crate) fn set_program(&self, path: &[u8]) {
        self.program.store(path);
    }

    pub(crate) fn set_command(&self, arguments: &[u8]) {
        self.command.store(arguments);
    }

    pub(crate) fn set_note(&self, note: &[u8]) {
        self.note.store(note);
    }

    pub(crate) fn note(&self) -> Vec<u8> {
        self.note.load()
    }

    pub(crate) fn program(&self) -> Vec<u8> {
        self.program.load()
    }

    pub(crate) fn command(&self) -> Vec<u8> {
        self.command.load()
    }
}

/// Some bytes, and how many.
#[repr(C)]
struct Words<const N: usize> {
    length: AtomicU64,
    words: [AtomicU64; N],
}

impl<const N: usize> Default for Words<N> {
    fn default() -> Self {
        Self { length: AtomicU64::new(0), words: [const { AtomicU64::new(0) }; N] }
    }
}

impl<const N: usize> Words<N> {
    /// Stores as many of the bytes as there is room for.
    fn store(&self, bytes: &[u8]) {
        let bytes = &bytes[..bytes.len().min(N * 8)];
        for (word, chunk) in self.words.iter().zip(bytes.chunks(8)) {
            let mut eight = [0; 8];
            eight[..chunk.len()].copy_from_slice(chunk);
            word.store(u64::from_le_bytes(eight), Relaxed);
        }
        self.length.store(bytes.len() as u64, Relaxed);
    }

    fn load(&self) -> Vec<u8> {
        let length = (self.length.load(Relaxed) as usize).min(N * 8);
        let bytes = self.words.iter().flat_map(|word| word.load(Relaxed).to_le_bytes());
        bytes.take(length).collect()
    }
}
