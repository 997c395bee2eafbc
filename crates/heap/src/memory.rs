//! What the process's resident memory consists of, by the kernel's list of mappings.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::ops::Range;

use plimsoll_core::heap::{MemoryPart, ProcessMemory};

use crate::engine::Engine;
use crate::{bounds, os};

/// What a mapping is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Stack,
    Profiler,
    Anonymous,
}

/// One line of the kernel's list, with what is resident of it.
struct Mapping {
    addresses: Range<usize>,
    kind: Kind,
    resident_bytes: u64,
}

/// The kernel's list of mappings.
pub(crate) struct Mappings(Vec<Mapping>);

impl Mappings {
    /// Reads the list, which takes about a microsecond for each mapping. Pages that were only read, and so have no
    /// memory of their own, do not count as resident in it.
    pub(crate) fn read(engine: &Engine) -> io::Result<Self> {
        let mut mappings = read(BufReader::new(File::open("/proc/self/smaps")?))?;
        let own = engine.addresses();
        for mapping in &mut mappings {
            // Our tables are the only mappings that are kept from huge pages, so they are joined with one another only.
            let overlaps =
                |own: &Range<usize>| own.start < mapping.addresses.end && mapping.addresses.start < own.end;
            if own.iter().any(overlaps) {
                mapping.kind = Kind::Profiler;
            }
        }
        Ok(Self(mappings))
    }

    fn sum(&self, kind: Kind) -> u64 {
        self.0.iter().filter(|mapping| mapping.kind == kind).map(|mapping| mapping.resident_bytes).sum()
    }

    /// What is resident of the profiler's tables and of its range, the program's bytes in it included.
    pub(crate) fn profiler_bytes(&self) -> u64 {
        self.sum(Kind::Profiler)
    }
}

/// Splits resident memory into parts. `live_bytes` is what the program holds on the heap, `own_bytes` what the
/// profiler has resident without the program's bytes.
pub(crate) fn parts(mappings: &Mappings, live_bytes: u64, own_bytes: u64) -> ProcessMemory {
    let resident_bytes = mappings.0.iter().map(|mapping| mapping.resident_bytes).sum();
    // The kernel joins neighbours, so a thread's stack is often one mapping with blocks of the heap.
    let other_stacks = resident_stacks(&mappings.0);
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
            part("files", mappings.sum(Kind::File)),
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

/// The mappings of the kernel's list, in its order.
fn read(list: impl BufRead) -> io::Result<Vec<Mapping>> {
    // Paths may be any bytes.
    let mut mappings: Vec<Mapping> = Vec::new();
    for line in list.split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        let mut words = line.split_ascii_whitespace();
        let Some(first) = words.next() else { continue };
        if let Some((start, end)) = first.split_once('-')
            && let (Ok(start), Ok(end)) = (usize::from_str_radix(start, 16), usize::from_str_radix(end, 16))
        {
            // After the addresses: permissions, offset, device, inode, name.
            let name = words.nth(4).unwrap_or_default();
            let kind = match name {
                "[stack]" => Kind::Stack,
                "" | "[heap]" => Kind::Anonymous,
                name if name.starts_with("[anon") => Kind::Anonymous,
                _ => Kind::File,
            };
            mappings.push(Mapping { addresses: start..end, kind, resident_bytes: 0 });
        } else if first == "Rss:"
            && let (Some(mapping), Some(Ok(kib))) = (mappings.last_mut(), words.next().map(str::parse::<u64>))
        {
            mapping.resident_bytes = kib * 1024;
        }
    }
    Ok(mappings)
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
    let in_main = |sp| mappings.iter().any(|m| m.kind == Kind::Stack && m.addresses.contains(&sp));
    let mut stacks: Vec<(usize, usize)> = pointers
        .into_iter()
        .filter(|&sp| !in_main(sp))
        .filter_map(|sp| Some((sp & !(os::PAGE_BYTES - 1), bounds::stack_of(sp)?.end)))
        .collect();
    stacks.sort_unstable();
    stacks.dedup_by_key(|&mut (_, end)| end);
    stacks.iter().map(|&(sp, end)| os::resident_bytes(sp, end - sp)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_told_apart_by_name() {
        let list = "\
55d0-55d8 r-xp 00000000 08:01 12 /usr/bin/x y
Rss:                 12 kB
7f00-7f10 rw-p 00000000 00:00 0
Size: 4 kB
Rss:                  8 kB
7ffc-7ffd rw-p 00000000 00:00 0                          [stack]
Rss:                  4 kB
";
        let mappings = read(list.as_bytes()).expect("text");
        assert_eq!(mappings.iter().map(|m| m.resident_bytes).collect::<Vec<_>>(), [12_288, 8192, 4096]);
        assert!(mappings.iter().map(|m| m.kind).eq([Kind::File, Kind::Anonymous, Kind::Stack]));
    }
}
