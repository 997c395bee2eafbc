//! What the process's resident memory consists of, by the kernel's list of mappings.

use std::fs::File;
use std::io::{self, BufReader};
use std::ops::Range;

use plimsoll_core::heap::{MemoryPart, ProcessMemory};

use crate::engine::Engine;
use crate::smaps::{self, Kind, Mapping};
use crate::{bounds, os};

/// The kernel's list of mappings, and which of them are the profiler's.
pub(crate) struct Mappings {
    all: Vec<Mapping>,
    /// One for each of them.
    is_own: Vec<bool>,
}

impl Mappings {
    /// Reads the list, which takes about a microsecond for each mapping.
    pub(crate) fn read(engine: &Engine) -> io::Result<Self> {
        let all = smaps::read(BufReader::new(File::open("/proc/self/smaps")?))?;
        let own = engine.addresses();
        let is_own = |mapping: &Mapping| {
            // Our tables are the only mappings that are kept from huge pages, so they are joined with one another only.
            let overlaps = |own: &Range<usize>| {
                (own.start as u64) < mapping.addresses.end && mapping.addresses.start < own.end as u64
            };
            own.iter().any(overlaps)
        };
        Ok(Self { is_own: all.iter().map(is_own).collect(), all })
    }

    /// What is resident of others' mappings.
    fn sum(&self, kind: Kind) -> u64 {
        let others = self.all.iter().zip(&self.is_own).filter(|&(mapping, own)| mapping.kind == kind && !own);
        others.map(|(mapping, _)| mapping.resident_bytes).sum()
    }

    /// What is resident of the profiler's tables and of its range, the program's bytes in it included.
    pub(crate) fn profiler_bytes(&self) -> u64 {
        let own = self.all.iter().zip(&self.is_own).filter(|&(_, &own)| own);
        own.map(|(mapping, _)| mapping.resident_bytes).sum()
    }
}

/// Splits resident memory into parts. `live_bytes` is what the program holds on the heap, `own_bytes` what the
/// profiler has resident without the program's bytes.
pub(crate) fn parts(mappings: &Mappings, live_bytes: u64, own_bytes: u64) -> ProcessMemory {
    let resident_bytes = mappings.all.iter().map(|mapping| mapping.resident_bytes).sum();
    // The kernel joins neighbours, so a thread's stack is often one mapping with blocks of the heap.
    let other_stacks = resident_stacks(&mappings.all);
    let anonymous = mappings.sum(Kind::Anonymous).saturating_sub(other_stacks)
        + mappings.profiler_bytes().saturating_sub(own_bytes);
    // What was allocated and never touched is not resident.
    let heap = live_bytes.min(anonymous);
    let free = free_in_libc().min(anonymous - heap);
    let part = |name, resident_bytes| MemoryPart { name, resident_bytes };
    ProcessMemory {
        resident_bytes,
        parts: vec![
            part("heap", heap),
            part("allocator_slack", free),
            part("thread_stacks", mappings.sum(Kind::Stack) + other_stacks),
            part("files", mappings.sum(Kind::File) + mappings.sum(Kind::SharedMemory)),
            part("profiler", own_bytes.min(mappings.profiler_bytes())),
            part("other_anonymous", anonymous - heap - free),
        ],
    }
}

/// Bytes that libc's allocator holds free: what slack is, where the inner allocator is libc's. With another, its slack
/// is among the other anonymous memory.
#[cfg(all(target_os = "linux", target_env = "gnu", not(miri)))]
fn free_in_libc() -> u64 {
    type MallInfo2 = unsafe extern "C" fn() -> libc::mallinfo2;
    // Looked up, because a program with a glibc before 2.33 must link too.
    // SAFETY: a lookup by name; a function of that name has this type.
    let info = unsafe {
        let symbol = libc::dlsym(libc::RTLD_DEFAULT, c"mallinfo2".as_ptr());
        std::mem::transmute::<*mut libc::c_void, Option<MallInfo2>>(symbol)
    };
    // SAFETY: the call takes libc's own locks for a moment and returns numbers.
    info.map_or(0, |info| unsafe { info() }.fordblks as u64)
}

#[cfg(not(all(target_os = "linux", target_env = "gnu", not(miri))))]
fn free_in_libc() -> u64 {
    0
}

/// What is resident of the stacks of threads other than the main one, as far as their stack pointers are to be seen:
/// those that wait in the kernel, and this one.
fn resident_stacks(mappings: &[Mapping]) -> u64 {
    let here = 0_u8;
    let mut pointers = vec![(&raw const here).addr()];
    for thread in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        if let Ok(call) = std::fs::read_to_string(thread.path().join("syscall")) {
            // Number, six arguments, stack pointer, program counter.
            let sp = call.split_ascii_whitespace().nth_back(1).and_then(|word| word.strip_prefix("0x"));
            pointers.extend(sp.and_then(|word| usize::from_str_radix(word, 16).ok()));
        }
    }
    let in_main = |sp| mappings.iter().any(|m| m.kind == Kind::Stack && m.addresses.contains(&(sp as u64)));
    let mut stacks: Vec<(usize, usize)> = pointers
        .into_iter()
        .filter(|&sp| !in_main(sp))
        .filter_map(|sp| Some((sp & !(os::PAGE_BYTES - 1), bounds::stack_of(sp)?.end)))
        .collect();
    stacks.sort_unstable();
    stacks.dedup_by_key(|&mut (_, end)| end);
    stacks.iter().map(|&(sp, end)| os::resident_bytes(sp, end - sp)).sum()
}
