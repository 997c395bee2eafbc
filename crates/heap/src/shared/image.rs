//! The tables of another process, or of a file that was saved of them, as a snapshot.
//!
//! Whoever wrote them may have been ended in the middle of a word, or may not be one of us at all: every number is
//! checked against the memory that is there, and nothing is written.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Write};
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::time::Duration;

use plimsoll_core::Bytes;
use plimsoll_core::heap::{
    Amount, HeapSnapshot, MADE_AT_RUN_TIME, Module, NAMED, ProfilerStatus, StackProfile, UnwindMethod,
};

use super::header::{Counts, Header, MAGIC, Part, VERSION};
use super::named::{self, Named};
use crate::cells::{Cells, Zeroed};
use crate::os::{self, PAGE_BYTES};
use crate::sample::SampleCell;
use crate::stacks::{self, StackCell, StackCopy, Used, cohorts};
use crate::sync::{Acquire, AtomicU32, Relaxed};
use crate::unwind::ModuleRecords;

/// The first bytes of a saved image.
pub const SAVED_MAGIC: &[u8; 16] = b"PLIMSOLL-IMAGE/1";
/// An image is not made larger than this, whatever it says.
const BYTES_MAX: u64 = 1 << 30;
/// How much a live sample takes besides its block, in the process's own memory.
pub const RECORD_BYTES: u64 = size_of::<SampleCell>() as u64;

/// The heap of another process, as it shows it. See the head of this file.
pub struct Image {
    memory: Memory,
    header: Cells<Header>,
    counts: Cells<Counts>,
    used: Cells<Used>,
    cells: Cells<StackCell>,
    kept: Cells<StackCell>,
    packed: Cells<AtomicU32>,
    named: Named,
    modules: ModuleRecords,
}

// SAFETY: what is read are atomics, and the memory lives as long as this.
unsafe impl Send for Image {}

/// Where the tables are.
enum Memory {
    Mapped { start: NonNull<u8>, bytes: usize },
    Read(Vec<u64>),
}

/// Why something is no image.
#[derive(Debug)]
#[non_exhaustive]
pub enum ImageError {
    /// The kernel does not map it.
    Map(io::Error),
    /// It could be cut while it is read.
    NotSealed,
    /// It does not begin as an image does.
    NotAnImage,
    /// It was written by another release of Plimsoll.
    Version {
        /// The version that it has.
        found: u64,
        /// The one that can be read.
        known: u64,
    },
    /// It says that it has what it has not.
    Damaged(&'static str),
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Map(error) => write!(f, "the tables of the process cannot be mapped: {error}"),
            Self::NotSealed => f.write_str("the tables are in a file that may be cut at any moment"),
            Self::NotAnImage => f.write_str("this is no image of a heap"),
            Self::Version { found, known } => write!(
                f,
                "the image has version {found}, and this release of plimsoll reads version {known}: use the release \
                 that recorded it"
            ),
            Self::Damaged(what) => write!(f, "the image is damaged: {what}"),
        }
    }
}

impl std::error::Error for ImageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Map(error) => Some(error),
            Self::NotSealed | Self::NotAnImage | Self::Version { .. } | Self::Damaged(_) => None,
        }
    }
}

/// Whose heap it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Its id, as it knows it itself.
    pub pid: i32,
    /// Who started it, or, of a forked child, whom it was forked from.
    pub parent_pid: i32,
    /// It was forked, and runs its parent's program: what that held at the time is in its heap too.
    pub is_fork: bool,
    /// The path of the program.
    pub program: String,
    /// Its arguments, the first of which is what it was called.
    pub command: Vec<String>,
    /// When sampling began, in milliseconds since 1970.
    pub started_unix_ms: u64,
}

impl Image {
    /// Maps the file that a process handed over. Reads nothing of it but its head.
    ///
    /// # Errors
    /// If it cannot be mapped, may be cut, or is no image that this release reads.
    pub fn map(file: &OwnedFd) -> Result<Self, ImageError> {
        // SAFETY: two calls on a descriptor, the second of which writes to the struct that it is given.
        let (seals, length) = unsafe {
            let seals = libc::fcntl(file.as_raw_fd(), libc::F_GET_SEALS);
            let mut status = std::mem::zeroed::<libc::stat>();
            if libc::fstat(file.as_raw_fd(), &raw mut status) < 0 {
                return Err(ImageError::Map(io::Error::last_os_error()));
            }
            (seals, status.st_size.unsigned_abs())
        };
        // A process that cut it would end us.
        if seals < 0 || seals & libc::F_SEAL_SHRINK == 0 {
            return Err(ImageError::NotSealed);
        }
        if !(PAGE_BYTES as u64..=BYTES_MAX).contains(&length) {
            return Err(ImageError::NotAnImage);
        }
        let bytes = length as usize;
        // SAFETY: a new mapping that cannot be written to; the seal keeps it as long as it is now.
        let start = unsafe {
            libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0)
        };
        match NonNull::new(start.cast::<u8>()).filter(|_| start != libc::MAP_FAILED) {
            Some(start) => Self::open(Memory::Mapped { start, bytes }),
            None => Err(ImageError::Map(io::Error::last_os_error())),
        }
    }

    /// Whether these are the first bytes of a saved image.
    pub fn is_saved(bytes: &[u8]) -> bool {
        bytes.starts_with(SAVED_MAGIC)
    }

    /// Reads what [`Image::save`] wrote. Takes about 80 MiB of address space, and as much memory as the image has.
    ///
    /// # Errors
    /// If it is something else, of another release, or cut.
    pub fn read(saved: &[u8]) -> Result<Self, ImageError> {
        let rest = saved.strip_prefix(SAVED_MAGIC).ok_or(ImageError::NotAnImage)?;
        let word = |at: usize| -> Result<u64, ImageError> {
            let bytes =
                rest.get(at..).and_then(<[u8]>::first_chunk).ok_or(ImageError::Damaged("it was cut"))?;
            Ok(u64::from_le_bytes(*bytes))
        };
        let bytes = word(0)?;
        if !(PAGE_BYTES as u64..=BYTES_MAX).contains(&bytes) {
            return Err(ImageError::Damaged("its size cannot be"));
        }
        let mut memory = vec![0_u64; (bytes as usize).div_ceil(size_of::<u64>())];
        let mut at = 8;
        // The end is a part without bytes: so one that was cut is found out.
        loop {
            let (place, length) = (word(at)? as usize, word(at + 8)? as usize);
            at += 16;
            if length == 0 {
                break;
            }
            let words = length.div_ceil(size_of::<u64>());
            let part = rest.get(at..at.saturating_add(words.saturating_mul(size_of::<u64>())));
            let to = memory.get_mut(place / size_of::<u64>()..).and_then(|to| to.get_mut(..words));
            let (Some(part), Some(to)) = (part, to) else { return Err(ImageError::Damaged("it was cut")) };
            let (eights, _) = part.as_chunks::<8>();
            to.iter_mut().zip(eights).for_each(|(to, &eight)| *to = u64::from_le_bytes(eight));
            at += part.len();
        }
        Self::open(Memory::Read(memory))
    }

    fn open(memory: Memory) -> Result<Self, ImageError> {
        let (start, bytes) = memory.start();
        let whole = Tables { start, bytes: bytes as u64 };
        let header: Cells<Header> = whole.at(0, 1)?;
        let head = &header[0];
        if head.magic.load(Acquire) != MAGIC {
            return Err(ImageError::NotAnImage);
        }
        let found = head.version.load(Relaxed);
        if found != VERSION {
            return Err(ImageError::Version { found, known: VERSION });
        }
        Ok(Self {
            counts: whole.single(&head.counts)?,
            used: whole.single(&head.used)?,
            cells: whole.table(&head.cells)?,
            kept: whole.table(&head.kept)?,
            packed: whole.table(&head.packed)?,
            named: Named {
                records: whole.table(&head.named)?,
                text: whole.table(&head.named_text)?,
                used: whole.single(&head.named_used)?,
            },
            modules: ModuleRecords::over(whole.table(&head.modules)?),
            memory,
            header,
        })
    }

    /// Whose heap it is.
    pub fn process(&self) -> Process {
        let header = &self.header[0];
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let command = header.command();
        let command = command.strip_suffix(&[0]).unwrap_or(&command);
        Process {
            pid: header.pid.load(Relaxed) as i32,
            parent_pid: header.parent_pid.load(Relaxed) as i32,
            is_fork: header.is_fork.load(Relaxed) != 0,
            program: text(&header.program()),
            command: command.split(|&byte| byte == 0).map(text).collect(),
            started_unix_ms: header.started_unix_ms.load(Relaxed),
        }
    }

    /// What the profiler in the process has to say of itself; empty if all is well.
    pub fn note(&self) -> String {
        String::from_utf8_lossy(&self.header[0].note()).into_owned()
    }

    /// How many samples were taken. Rises only, so it tells whether anything was allocated since.
    pub fn samples(&self) -> u64 {
        self.counts[0].samples.load(Relaxed)
    }

    /// How many samples live at this moment. One word.
    pub fn live_samples(&self) -> u64 {
        self.counts[0].live_samples.load(Relaxed)
    }

    /// Where the blocks that are samples are in the process's own address space, with the records of the small ones
    /// between them.
    pub fn block_addresses(&self) -> Range<u64> {
        let blocks = &self.header[0].blocks;
        let start = blocks.at.load(Relaxed);
        start..start.saturating_add(blocks.length.load(Relaxed))
    }

    /// What lives at this moment, without where it comes from. Reads two words of each stack.
    pub fn live(&self) -> Bytes {
        let cells = self.cells[..self.opened()].iter();
        Bytes::new(cells.map(StackCell::live_bytes).fold(0, u64::saturating_add))
    }

    /// What is allocated, by stack, at this moment, or when the process ended or the image was saved.
    pub fn snapshot(&self) -> HeapSnapshot {
        let (now_ns, now_unix_ms) = match self.header[0].saved_ns.load(Relaxed) {
            0 => (os::coarse_ns(), unix_ms()),
            saved => (saved, self.header[0].saved_unix_ms.load(Relaxed)),
        };
        self.snapshot_of(&self.cells[..self.opened()], now_ns, now_unix_ms)
    }

    /// The heap at its largest, if it was then larger than it is now by a third at least: what a program held before it
    /// took down what it had.
    pub fn peak(&self) -> Option<HeapSnapshot> {
        let (header, counts) = (&self.header[0], &self.counts[0]);
        let kept = (counts.kept_cells.load(Acquire) as usize).min(self.kept.len());
        // Who was ended while it kept them left them half of one moment and half of another.
        if kept == 0 || counts.keeping.load(Acquire) != 0 {
            return None;
        }
        let cells = &self.kept[..kept];
        let live = cells.iter().map(StackCell::live_bytes).fold(0, u64::saturating_add);
        if live / 4 * 3 <= self.live().as_u64() {
            return None;
        }
        let kept_ns = counts.kept_ns.load(Relaxed);
        let after_start_ms = kept_ns.saturating_sub(header.started_ns.load(Relaxed)) / 1_000_000;
        let taken_unix_ms = header.started_unix_ms.load(Relaxed).saturating_add(after_start_ms);
        Some(self.snapshot_of(cells, kept_ns, taken_unix_ms))
    }

    fn snapshot_of(&self, cells: &[StackCell], now_ns: u64, taken_unix_ms: u64) -> HeapSnapshot {
        let (header, counts) = (&self.header[0], &self.counts[0]);
        let epoch_ns = header.epoch_ns.load(Relaxed).max(1);
        let since_start_ns = now_ns.saturating_sub(header.started_ns.load(Relaxed));
        let now = cohorts::epoch(since_start_ns, epoch_ns);
        let interval = f64::from_bits(counts.interval.load(Relaxed)) as u64;
        let mut snapshot = HeapSnapshot {
            taken_unix_ms,
            since_start: Duration::from_nanos(since_start_ns),
            epoch: Duration::from_nanos(epoch_ns),
            interval: Bytes::new(interval),
            modules: self.modules.read(),
            named: self.named.read(),
            ..HeapSnapshot::default()
        };
        let copies: Vec<StackCopy> = cells.iter().map(|cell| cell.look(now)).collect();
        for (id, copy) in copies.iter().enumerate() {
            if copy.allocated() != Amount::default() {
                let first = snapshot.addresses.len();
                stacks::addresses(&self.packed, copy, &mut snapshot.addresses);
                snapshot.stacks.push(profile(id, copy, first..snapshot.addresses.len()));
            }
        }
        snapshot.status = self.status(&copies, snapshot.since_start);
        add_code_made_at_run_time(&mut snapshot);
        snapshot
    }

    fn status(&self, copies: &[StackCopy], since_start: Duration) -> ProfilerStatus {
        let (header, counts) = (&self.header[0], &self.counts[0]);
        let samples = counts.samples.load(Relaxed);
        ProfilerStatus {
            running: counts.interval.load(Relaxed) != 0,
            interval_bytes: f64::from_bits(counts.interval.load(Relaxed)) as u64,
            adaptive: counts.adaptive.load(Relaxed) != 0,
            cost_ppm: counts.cost_ppm.load(Relaxed) as u32,
            samples,
            samples_per_s: samples as f64 / since_start.as_secs_f64().max(0.001),
            live_samples: copies.iter().map(StackCopy::live_samples).sum(),
            // The other stack is none.
            stacks: copies.len().saturating_sub(1) as u64,
            dropped_large: counts.dropped_large.load(Relaxed),
            dropped_small: counts.dropped_small.load(Relaxed),
            dropped_stacks: self.used[0].dropped.load(Relaxed),
            dropped_names: self.modules.left_out() + counts.named_left_off.load(Relaxed),
            truncated: counts.truncated.load(Relaxed),
            unwind_method: match counts.method.load(Relaxed) {
                1 => UnwindMethod::FramePointers,
                2 => UnwindMethod::CallFrameInformation,
                _ => UnwindMethod::None,
            },
            own_bytes: self.used_parts().iter().map(|&(_, bytes)| bytes as u64).sum(),
            range_bytes: header.range_bytes.load(Relaxed),
            range_wanted_bytes: header.range_wanted_bytes.load(Relaxed),
        }
    }

    /// Writes a copy that [`Image::read`] takes: what is in use of each table, some 500 bytes for each stack.
    ///
    /// # Errors
    /// What the writer says.
    pub fn save(&self, to: &mut dyn Write) -> io::Result<()> {
        let (start, bytes) = self.memory.start();
        to.write_all(SAVED_MAGIC)?;
        to.write_all(&(bytes as u64).to_le_bytes())?;
        let mut page = Vec::with_capacity(1 << 16);
        for (at, length) in self.used_parts() {
            if length == 0 {
                continue;
            }
            to.write_all(&(at as u64).to_le_bytes())?;
            to.write_all(&(length as u64).to_le_bytes())?;
            let saved = [
                (std::mem::offset_of!(Header, saved_ns), os::coarse_ns()),
                (std::mem::offset_of!(Header, saved_unix_ms), unix_ms()),
            ];
            let is_saved_already = self.header[0].saved_ns.load(Relaxed) != 0;
            for offset in (at..at + length).step_by(size_of::<u64>()) {
                // SAFETY: within the memory, by `used_parts`; words of atomics, aligned since every table is.
                let word = unsafe { start.byte_add(offset).cast::<std::sync::atomic::AtomicU64>().as_ref() };
                let mut word = word.load(Relaxed);
                if let Some(&(_, now)) = saved.iter().find(|&&(at, _)| at == offset && !is_saved_already) {
                    word = now;
                }
                page.extend_from_slice(&word.to_le_bytes());
                if page.len() >= 1 << 16 {
                    to.write_all(&page)?;
                    page.clear();
                }
            }
            to.write_all(&page)?;
            page.clear();
        }
        to.write_all(&[0; 16])
    }

    /// Where what is in use of each table begins, and how long it is, in whole words.
    fn used_parts(&self) -> Vec<(usize, usize)> {
        let (start, bytes) = self.memory.start();
        let part = |addresses: Range<usize>, used: usize| {
            let at = addresses.start - start.addr().get();
            let used = used.min(addresses.len()).next_multiple_of(size_of::<u64>());
            (at, used.min(bytes - at) / size_of::<u64>() * size_of::<u64>())
        };
        let all = |addresses: Range<usize>| part(addresses.clone(), addresses.len());
        let (used, named) = (&self.used[0], &self.named);
        let tables = [
            all(self.header.addresses()),
            all(self.counts.addresses()),
            all(self.used.addresses()),
            part(self.cells.addresses(), self.opened() * size_of::<StackCell>()),
            part(
                self.kept.addresses(),
                (self.counts[0].kept_cells.load(Acquire) as usize).saturating_mul(size_of::<StackCell>()),
            ),
            part(self.packed.addresses(), used.packed_words.load(Acquire) as usize * size_of::<AtomicU32>()),
            all(named.used.addresses()),
            part(
                named.records.addresses(),
                named.used[0].records.load(Acquire) as usize * size_of::<named::Record>(),
            ),
            part(named.text.addresses(), named.used[0].words.load(Acquire) as usize * size_of::<AtomicU32>()),
        ];
        tables.into_iter().chain(self.modules.used().map(all)).collect()
    }

    fn opened(&self) -> usize {
        (self.used[0].opened.load(Acquire) as usize).min(self.cells.len())
    }
}

/// What is in no module that was ever there was made at run time. It gets modules too, so that it has a name.
fn add_code_made_at_run_time(snapshot: &mut HeapSnapshot) {
    /// Such code lies together; in pieces of this size it is seldom in more than some hundred.
    const PIECE_BITS: u32 = 20;
    let mut known: Vec<(u64, u64)> =
        snapshot.modules.iter().map(|module| (module.addresses.start, module.addresses.end)).collect();
    known.sort_unstable();
    let is_known = |address: u64| {
        let after = known.partition_point(|&(start, _)| start <= address);
        after.checked_sub(1).is_some_and(|before| address < known[before].1)
    };
    let code = snapshot.addresses.iter().map(|address| address.wrapping_sub(1));
    let unknown = code.filter(|&address| address < NAMED && !is_known(address));
    let pieces: BTreeSet<u64> = unknown.map(|address| address >> PIECE_BITS).collect();
    for piece in pieces {
        let (mut start, mut end) = (piece << PIECE_BITS, (piece + 1) << PIECE_BITS);
        // A module may begin or end within.
        for &(known_start, known_end) in &known {
            if known_start <= start && known_end > start {
                start = known_end;
            }
            if known_start > start && known_start < end {
                end = known_start;
            }
        }
        snapshot.modules.push(Module {
            path: MADE_AT_RUN_TIME.to_owned(),
            build_id: String::new(),
            addresses: start..end,
            file_offset: 0,
            bias: start,
        });
    }
}

fn profile(id: usize, copy: &StackCopy, addresses: Range<usize>) -> StackProfile {
    StackProfile {
        id: id as u32,
        addresses,
        truncated: copy.is_truncated(),
        allocated: copy.allocated(),
        freed: copy.freed(),
        generations: copy.generations(),
        growth: copy.growth(),
    }
}

fn unix_ms() -> u64 {
    use std::time::{SystemTime, UNIX_EPOCH};
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image").field("process", &self.process()).finish_non_exhaustive()
    }
}

impl Memory {
    fn start(&self) -> (NonNull<u8>, usize) {
        match self {
            Self::Mapped { start, bytes } => (*start, *bytes),
            Self::Read(words) => (NonNull::from(words.as_slice()).cast(), size_of_val(words.as_slice())),
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Self::Mapped { start, bytes } = self {
            // SAFETY: mapped by `Image::map`, whole; the tables in it go with the image.
            unsafe { os::unmap(start.as_ptr(), *bytes) };
        }
    }
}

/// Finds tables in memory that says where they are.
struct Tables {
    start: NonNull<u8>,
    bytes: u64,
}

impl Tables {
    fn table<T: Zeroed>(&self, part: &Part) -> Result<Cells<T>, ImageError> {
        self.at(part.at.load(Relaxed), part.length.load(Relaxed))
    }

    /// A table of one entry.
    fn single<T: Zeroed>(&self, part: &Part) -> Result<Cells<T>, ImageError> {
        self.at(part.at.load(Relaxed), 1)
    }

    fn at<T: Zeroed>(&self, at: u64, length: u64) -> Result<Cells<T>, ImageError> {
        const OUTSIDE: ImageError = ImageError::Damaged("a table lies outside of it");
        let end = length.checked_mul(size_of::<T>() as u64).and_then(|bytes| bytes.checked_add(at));
        if end.is_none_or(|end| end > self.bytes) || !at.is_multiple_of(64) {
            return Err(OUTSIDE);
        }
        // SAFETY: within the memory, by the check; aligned, since that begins on a page or a word and no cell is aligned
        // to more than a word; whatever bytes are there are atomics.
        Ok(unsafe {
            let start = self.start.byte_add(at as usize).cast::<T>();
            Cells::at(NonNull::slice_from_raw_parts(start, length as usize))
        })
    }
}
