//! What the process's resident memory consists of, by the kernel's list of mappings.

use std::io;

use plimsoll_core::heap::{MemoryPart, ProcessMemory};

use crate::engine::Engine;

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
    start: u64,
    end: u64,
    kind: Kind,
    resident_bytes: u64,
}

/// Splits resident memory into parts. `live_bytes` is what the program holds on the heap, `own_bytes` what the
/// profiler has resident without the program's bytes.
///
/// Reads a file of the kernel's that takes about a microsecond for each mapping; allocates a few KiB.
pub(crate) fn parts(engine: &Engine, live_bytes: u64, own_bytes: u64) -> io::Result<ProcessMemory> {
    let list = std::fs::read_to_string("/proc/self/smaps")?;
    let stacks = stack_pointers();
    let range = engine.range.start() as u64..(engine.range.start() + engine.range.bytes()) as u64;
    let mut mappings = read(&list);
    for mapping in &mut mappings {
        if mapping.kind == Kind::Anonymous {
            if range.contains(&mapping.start) {
                mapping.kind = Kind::Profiler;
            } else if stacks.iter().any(|sp| (mapping.start..mapping.end).contains(sp)) {
                mapping.kind = Kind::Stack;
            }
        }
    }
    let sum = |kind: Kind| mappings.iter().filter(|m| m.kind == kind).map(|m| m.resident_bytes).sum::<u64>();
    let resident_bytes = mappings.iter().map(|mapping| mapping.resident_bytes).sum();
    // The profiler's tables are ordinary anonymous mappings, and the program's sampled bytes lie in its range.
    let anonymous = (sum(Kind::Anonymous) + sum(Kind::Profiler)).saturating_sub(own_bytes);
    // What was allocated and never touched is not resident.
    let heap = live_bytes.min(anonymous);
    let free = free_in_libc().min(anonymous - heap);
    let part = |name, resident_bytes| MemoryPart { name, resident_bytes };
    Ok(ProcessMemory {
        resident_bytes,
        parts: vec![
            part("heap", heap),
            part("allocator_slack", free),
            part("thread_stacks", sum(Kind::Stack)),
            part("files", sum(Kind::File)),
            part("profiler", own_bytes.min(resident_bytes)),
            part("other_anonymous", anonymous - heap - free),
        ],
    })
}

/// Bytes that libc's allocator holds free: what slack is, where the inner allocator is libc's. With another, its slack
/// is among the other anonymous memory.
#[cfg(all(target_os = "linux", target_env = "gnu", not(miri)))]
fn free_in_libc() -> u64 {
    // SAFETY: the call takes libc's own locks for a moment and returns numbers.
    unsafe { libc::mallinfo2() }.fordblks as u64
}

#[cfg(not(all(target_os = "linux", target_env = "gnu", not(miri))))]
fn free_in_libc() -> u64 {
    0
}

/// The mappings of the kernel's list, in its order.
fn read(list: &str) -> Vec<Mapping> {
    let mut mappings: Vec<Mapping> = Vec::new();
    for line in list.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(first) = words.next() else { continue };
        if let Some((start, end)) = first.split_once('-')
            && let (Ok(start), Ok(end)) = (u64::from_str_radix(start, 16), u64::from_str_radix(end, 16))
        {
            // After the addresses: permissions, offset, device, inode, name.
            let name = words.nth(4).unwrap_or_default();
            let kind = match name {
                "[stack]" => Kind::Stack,
                "" | "[heap]" => Kind::Anonymous,
                name if name.starts_with("[anon") => Kind::Anonymous,
                _ => Kind::File,
            };
            mappings.push(Mapping { start, end, kind, resident_bytes: 0 });
        } else if first == "Rss:"
            && let (Some(mapping), Some(Ok(kib))) = (mappings.last_mut(), words.next().map(str::parse::<u64>))
        {
            mapping.resident_bytes = kib * 1024;
        }
    }
    mappings
}

/// Where the stacks of the other threads are: their stack pointers, as far as they wait in the kernel. Those that run at
/// this moment have none to be seen; theirs are counted with the rest.
fn stack_pointers() -> Vec<u64> {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    let here = 0_u8;
    let mut pointers = vec![(&raw const here).addr() as u64];
    for thread in threads.flatten() {
        if let Ok(call) = std::fs::read_to_string(thread.path().join("syscall")) {
            // Number, six arguments, stack pointer, program counter.
            let sp = call.split_ascii_whitespace().nth_back(1).and_then(|word| word.strip_prefix("0x"));
            pointers.extend(sp.and_then(|word| u64::from_str_radix(word, 16).ok()));
        }
    }
    pointers
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
        let mappings = read(list);
        assert_eq!(mappings.iter().map(|m| m.resident_bytes).collect::<Vec<_>>(), [12_288, 8192, 4096]);
        assert!(mappings.iter().map(|m| m.kind).eq([Kind::File, Kind::Anonymous, Kind::Stack]));
    }
}
