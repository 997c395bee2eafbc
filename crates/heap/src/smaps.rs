//! The kernel's list of a process's mappings, as `/proc/PID/smaps` has it: what each is, and what is resident of it.

use std::io::{self, BufRead};
use std::ops::Range;

/// What a mapping is, by its name and by whether it is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of a file, private ones too; and what the kernel brings itself.
    File,
    /// Shared with other processes, and in no file that has a place: memfd, `/dev/shm`, System V's.
    SharedMemory,
    /// The main thread's stack.
    Stack,
    /// All else: heaps, threads' stacks, what was mapped without a file.
    Anonymous,
}

/// One mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Where it is.
    pub addresses: Range<u64>,
    /// What it is.
    pub kind: Kind,
    /// Its file's path or what the kernel calls it, up to the first space. Empty for most that are anonymous.
    pub name: String,
    /// Nobody may read, write or run it: a guard, or addresses that are kept for later.
    pub is_closed: bool,
    /// Its owner has asked for it to be kept from pages of 2 MiB.
    pub has_small_pages: bool,
    /// Its owner has asked for no memory to be set aside for it.
    pub is_unreserved: bool,
    /// What is resident. Pages that were only read, and so have no memory of their own, do not count.
    pub resident_bytes: u64,
}

/// The mappings of the list, in its order, which is that of their addresses.
///
/// # Errors
/// What the reader says.
pub fn read(list: impl BufRead) -> io::Result<Vec<Mapping>> {
    // Paths may be any bytes.
    let mut mappings: Vec<Mapping> = Vec::new();
    for line in list.split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        let mut words = line.split_ascii_whitespace();
        let Some(first) = words.next() else { continue };
        if let Some(mapping) = head(first, &mut words) {
            mappings.push(mapping);
            continue;
        }
        let Some(mapping) = mappings.last_mut() else { continue };
        match first {
            "Rss:" => {
                if let Some(Ok(kib)) = words.next().map(str::parse::<u64>) {
                    mapping.resident_bytes = kib.saturating_mul(1024);
                }
            }
            "VmFlags:" => {
                for flag in words {
                    mapping.has_small_pages |= flag == "nh";
                    mapping.is_unreserved |= flag == "nr";
                }
            }
            _ => {}
        }
    }
    Ok(mappings)
}

/// The line that begins a mapping: addresses, permissions, offset, device, inode, name.
fn head<'a>(first: &str, words: &mut impl Iterator<Item = &'a str>) -> Option<Mapping> {
    let (start, end) = first.split_once('-')?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    let addresses = address(start)?..address(end)?;
    let permissions = words.next().unwrap_or_default();
    let name = words.nth(3).unwrap_or_default();
    let is_shared = permissions.ends_with('s');
    let kind = match name {
        "[stack]" => Kind::Stack,
        "" | "[heap]" if !is_shared => Kind::Anonymous,
        name if name.starts_with("[anon:") => Kind::Anonymous,
        name if is_memory(name) => Kind::SharedMemory,
        _ => Kind::File,
    };
    Some(Mapping {
        addresses,
        kind,
        name: name.to_owned(),
        is_closed: permissions.starts_with("---"),
        has_small_pages: false,
        is_unreserved: false,
        resident_bytes: 0,
    })
}

/// Whether a file of this name is nothing but memory.
fn is_memory(name: &str) -> bool {
    // What is shared with children and has no name is one of `/dev/zero` to the kernel.
    ["/memfd:", "/dev/shm/", "/SYSV", "/dev/zero", "[anon_shmem"].iter().any(|start| name.starts_with(start))
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
VmFlags: rd wr mr mw me ac nr nh
7f10-7f20 ---p 00000000 00:00 0
7f20-7f30 rw-s 00000000 00:01 7                          /memfd:x (deleted)
Rss:                 16 kB
VmFlags: rd wr sh
7f30-7f40 rw-s 00000000 00:01 8                          /dev/zero (deleted)
7f40-7f50 rw-p 00000000 00:00 0                          [anon:arena of x]
7f50-7f60 rw-p 00000000 00:00 0                          [heap]
7ffc-7ffd rw-p 00000000 00:00 0                          [stack]
Rss:                  4 kB
7ffe-7fff r-xp 00000000 00:00 0                          [vdso]
";
        let mappings = read(list.as_bytes()).expect("text");
        let resident: Vec<u64> = mappings.iter().map(|mapping| mapping.resident_bytes / 1024).collect();
        assert_eq!(resident, [12, 8, 0, 16, 0, 0, 0, 4, 0]);
        let kinds: Vec<Kind> = mappings.iter().map(|mapping| mapping.kind).collect();
        use Kind::{Anonymous, File, SharedMemory, Stack};
        let anonymous = Anonymous;
        let expected =
            [File, anonymous, anonymous, SharedMemory, SharedMemory, anonymous, anonymous, Stack, File];
        assert_eq!(kinds, expected);
        assert_eq!(
            (mappings[0].addresses.clone(), mappings[0].name.as_str()),
            (0x55d0..0x55d8, "/usr/bin/x")
        );
        let closed: Vec<bool> = mappings.iter().map(|mapping| mapping.is_closed).collect();
        assert!(closed.iter().enumerate().all(|(nth, &closed)| closed == (nth == 2)));
        assert!(mappings.iter().enumerate().all(|(nth, mapping)| mapping.has_small_pages == (nth == 1)));
        assert!(mappings.iter().enumerate().all(|(nth, mapping)| mapping.is_unreserved == (nth == 1)));
    }

    #[test]
    fn what_is_no_list_has_no_mappings() {
        for text in ["", "\n\n", "Rss: 4 kB", "no-list at all", "7f00-zz rw-p", "7f00 rw-p 0 0 0"] {
            assert_eq!(read(text.as_bytes()).expect("text"), [], "{text:?}");
        }
        let odd =
            read("10-20\nRss: x kB\n30-40 rw-p\nRss: 99999999999999999999 kB".as_bytes()).expect("text");
        assert_eq!(odd.iter().map(|mapping| mapping.resident_bytes).collect::<Vec<_>>(), [0, 0]);
    }
}
