//! What the resident memory of another process consists of: the kernel's list of its mappings, and what the profiler in
//! it has told.
//!
//! What cannot be told apart from outside is left where it is: what `malloc` holds free is other anonymous memory.
//!
//! Threads' stacks have no name. Where one is shows the thread's stack pointer, which the kernel tells of a thread
//! that waits; the others are found by the guard that glibc puts before them, as many as there are such threads. The
//! kernel joins neighbours, so behind a stack there may be somebody else's memory in the same mapping: a stack is
//! at most as long as the process's limit says. A stack that has no guard of its own (from Linux 6.13 on glibc marks pages
//! instead) is what is resident from the stack pointer on without a hole.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use plimsoll_core::Bytes;
use plimsoll_core::heap::{MemoryPart, ProcessMemory};
use plimsoll_heap::image::{Image, RECORD_BYTES};
use plimsoll_heap::smaps::{self, Kind, Mapping};
use rustix::param::page_size;

use crate::keeper::process::{self, ProcessError, Why};

/// What the tables' file is called by the kernel.
const TABLES: &str = "/memfd:plimsoll";
/// A guard is a page, or some where a program asks for more. What is longer is kept for later growth.
const GUARD_BYTES_MAX: u64 = 64 << 10;
/// An arena of glibc's begins at a multiple of this, behind what another one keeps for its growth.
const ARENA_BYTES: u64 = 64 << 20;
/// How large glibc makes a stack where there is no limit.
const STACK_BYTES: u64 = 2 << 20;
/// No stack is taken for longer than this, whatever the limit says.
const STACK_BYTES_MAX: u64 = 64 << 20;
/// In an entry of `pagemap`: the page is in memory.
const PRESENT: u64 = 1 << 63;

/// What the profiler in a process tells of its heap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Profiled {
    /// What lives, by its estimate.
    pub(crate) live: Bytes,
    pub(crate) live_samples: u64,
    /// Where blocks that are samples are.
    pub(crate) block_addresses: Range<u64>,
}

impl Profiled {
    /// As its tables say at this moment.
    pub(crate) fn of(image: &Image) -> Profiled {
        let live_samples = image.live_samples();
        Profiled { live: image.live(), live_samples, block_addresses: image.block_addresses() }
    }
}

/// Splits the resident memory of a process into parts that add up to it. Takes about a microsecond for each mapping and a
/// few for each thread. Without a profiler in it, all of its heap is other anonymous memory.
pub(crate) fn parts(pid: i32, profiled: Option<&Profiled>) -> Result<ProcessMemory, ProcessError> {
    let failed = |error| ProcessError::new(pid, error);
    let list = File::open(format!("/proc/{pid}/smaps")).map_err(failed)?;
    let mappings = smaps::read(BufReader::with_capacity(1 << 16, list)).map_err(failed)?;
    // One that has ended and was not waited for has none.
    if mappings.is_empty() {
        return Err(ProcessError { pid, why: Why::Gone });
    }
    let stacks = Stacks {
        bytes_max: stack_bytes_max(&process::text(pid, "limits")?),
        threads: threads(pid),
        // Whoever may read the list may read this; without it a stack is all that is resident in its mapping.
        pages: File::open(format!("/proc/{pid}/pagemap")).ok(),
    };
    Ok(split(&mappings, profiled, &stacks))
}

fn split(mappings: &[Mapping], profiled: Option<&Profiled>, stacks: &Stacks) -> ProcessMemory {
    let sum = |which: &dyn Fn(&Mapping) -> bool| -> u64 {
        mappings.iter().filter(|mapping| which(mapping)).map(|mapping| mapping.resident_bytes).sum()
    };
    let blocks = profiled.map_or(0..0, |profiled| profiled.block_addresses.clone());
    let is_block = |mapping: &Mapping| overlap(&mapping.addresses, &blocks);
    let is_table = |mapping: &Mapping| {
        profiled.is_some()
            && match mapping.kind {
                // Hardly anybody else asks for both. Where the kernel knows one of them not (it has no large pages, or
                // sets memory aside for everything), tables are among the other anonymous memory.
                Kind::Anonymous => mapping.has_small_pages && mapping.is_unreserved && !is_block(mapping),
                Kind::SharedMemory => mapping.name == TABLES,
                Kind::File | Kind::Stack => false,
            }
    };
    let others = |kind: Kind| sum(&|mapping| mapping.kind == kind && !is_table(mapping));
    let candidates: Vec<Mapping> = mappings.iter().filter(|mapping| !is_block(mapping)).cloned().collect();
    let anonymous = others(Kind::Anonymous);
    let threads = stacks.resident_bytes(&candidates).min(anonymous);
    let records = profiled.map_or(0, |profiled| profiled.live_samples.saturating_mul(RECORD_BYTES));
    let records = records.min(sum(&is_block)).min(anonymous - threads);
    let rest = anonymous - threads - records;
    // What was allocated and never touched is not resident.
    let heap = profiled.map_or(0, |profiled| profiled.live.as_u64()).min(rest);
    let part = |name, resident_bytes| MemoryPart { name, resident_bytes };
    ProcessMemory {
        resident_bytes: sum(&|_| true),
        parts: vec![
            part("heap", heap),
            part("thread_stacks", others(Kind::Stack) + threads),
            part("files", others(Kind::File)),
            part("profiler", sum(&is_table) + records),
            part("shared_memory", others(Kind::SharedMemory)),
            part("other_anonymous", rest - heap),
        ],
    }
}

fn overlap(one: &Range<u64>, other: &Range<u64>) -> bool {
    one.start < other.end && other.start < one.end
}

/// What is known of the stacks of a process's threads. See the head of this file.
struct Stacks {
    bytes_max: u64,
    /// The stack pointer of each thread but the main one; `None` of one that runs, or that we may not ask about.
    threads: Vec<Option<u64>>,
    pages: Option<File>,
}

impl Stacks {
    /// What is resident of them.
    fn resident_bytes(&self, mappings: &[Mapping]) -> u64 {
        let mut resident_bytes = 0;
        // By the mapping that they are in: those with a guard are one stack each.
        let mut without_guard: BTreeMap<u64, u64> = BTreeMap::new();
        let mut seen = vec![false; mappings.len()];
        let mut unseen = self.threads.iter().filter(|pointer| pointer.is_none()).count();
        for pointer in self.threads.iter().flatten() {
            let after = mappings.partition_point(|mapping| mapping.addresses.start <= *pointer);
            let Some(nth) = after.checked_sub(1) else { continue };
            let mapping = &mappings[nth];
            if mapping.kind != Kind::Anonymous || !mapping.addresses.contains(pointer) {
                continue;
            }
            if !has_guard(mappings, nth) {
                let stack = self.without_hole(*pointer, mapping);
                // Of two in one piece the one that is deeper.
                let start = without_guard.entry(stack.end).or_insert(stack.start);
                *start = stack.start.min(*start);
            } else if !std::mem::replace(&mut seen[nth], true) {
                resident_bytes += self.first_bytes(mapping);
            }
        }
        for nth in 0..mappings.len() {
            if unseen > 0 && !seen[nth] && has_guard(mappings, nth) {
                unseen -= 1;
                resident_bytes += self.first_bytes(&mappings[nth]);
            }
        }
        resident_bytes + without_guard.iter().map(|(end, start)| end - start).sum::<u64>()
    }

    /// What is resident of a stack at the start of a mapping.
    fn first_bytes(&self, mapping: &Mapping) -> u64 {
        let Range { start, end } = mapping.addresses;
        if end - start <= self.bytes_max {
            return mapping.resident_bytes;
        }
        let present = self.present(start..start + self.bytes_max);
        // Some pages are there and no memory of the process's own: they were only read.
        present
            .map_or(self.bytes_max, |pages| pages.iter().filter(|&&is| is).count() as u64 * page_bytes())
            .min(mapping.resident_bytes)
    }

    /// From a stack pointer to the first page that is not resident.
    fn without_hole(&self, pointer: u64, mapping: &Mapping) -> Range<u64> {
        let start = pointer - pointer % page_bytes();
        let end = mapping.addresses.end.min(start.saturating_add(self.bytes_max));
        let pages = self.present(start..end).unwrap_or_default();
        let resident = pages.iter().take_while(|&&is| is).count() as u64;
        start..start + resident * page_bytes()
    }

    /// Which pages of a part of the process's memory are resident. `None` if the kernel does not say.
    fn present(&self, addresses: Range<u64>) -> Option<Vec<bool>> {
        let pages = (addresses.end - addresses.start).div_ceil(page_bytes());
        let mut entries = vec![0; usize::try_from(pages).ok()? * size_of::<u64>()];
        let at = addresses.start / page_bytes() * size_of::<u64>() as u64;
        self.pages.as_ref()?.read_exact_at(&mut entries, at).ok()?;
        let (entries, _) = entries.as_chunks::<8>();
        Some(entries.iter().map(|&entry| u64::from_ne_bytes(entry) & PRESENT != 0).collect())
    }
}

fn page_bytes() -> u64 {
    page_size() as u64
}

/// Whether a mapping is memory right behind a guard, as a thread's stack is.
fn has_guard(mappings: &[Mapping], nth: usize) -> bool {
    let (Some(before), mapping) = (nth.checked_sub(1).map(|before| &mappings[before]), &mappings[nth]) else {
        return false;
    };
    let guard_bytes = before.addresses.end - before.addresses.start;
    mapping.kind == Kind::Anonymous
        && !mapping.is_closed
        && !mapping.addresses.start.is_multiple_of(ARENA_BYTES)
        && before.is_closed
        && before.kind == Kind::Anonymous
        && before.addresses.end == mapping.addresses.start
        && guard_bytes <= GUARD_BYTES_MAX
}

/// How large glibc makes a thread's stack if nobody says: what the main thread's may become.
fn stack_bytes_max(limits: &str) -> u64 {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max stack size"));
    let soft = line.and_then(|line| line.split_ascii_whitespace().next());
    let bytes = soft.and_then(|word| word.parse().ok()).unwrap_or(STACK_BYTES);
    bytes.clamp(STACK_BYTES, STACK_BYTES_MAX)
}

/// The stack pointers of a process's threads but the main one, whose stack has a name.
fn threads(pid: i32) -> Vec<Option<u64>> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let others = tasks.flatten().filter(|task| task.file_name() != pid.to_string().as_str());
    let call =
        |path: std::path::PathBuf| -> io::Result<String> { std::fs::read_to_string(path.join("syscall")) };
    others.map(|task| call(task.path()).ok().as_deref().and_then(stack_pointer)).collect()
}

/// Of a thread that waits: number, six arguments, stack pointer, program counter. Of one that runs a word.
fn stack_pointer(call: &str) -> Option<u64> {
    let word = call.split_ascii_whitespace().nth_back(1)?.strip_prefix("0x")?;
    u64::from_str_radix(word, 16).ok()
}

#[cfg(test)]
mod tests;
