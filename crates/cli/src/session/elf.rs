//! Whether the dynamic loader of this machine's C library will start a program, read from the program's own header.
//!
//! A library can be put in front of `malloc` only by that loader. A program that has none of it (linked statically),
//! or another one (musl, another processor), runs as if nothing had been asked, and a profile of nothing is the
//! answer that helps least. So it is found out before.
//!
//! The file is a stranger's: each read is checked, and what is read is bounded.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The header, in bytes; smaller in files of 32 bits, of which only the first bytes are looked at.
const HEADER: usize = 64;
/// One entry of the program header table.
const ENTRY: usize = 56;
/// How many entries are looked at. The kernel takes 64 KiB of them.
const ENTRIES_MAX: usize = 1_170;
/// How long the path of a loader may be; the kernel's own limit.
const LOADER_MAX: usize = 4_096;

const INTERP: u32 = 3;
const EXECUTABLE: u16 = 2;
const SHARED: u16 = 3;

#[cfg(target_arch = "x86_64")]
const THIS_MACHINE: u16 = 62;
#[cfg(target_arch = "aarch64")]
const THIS_MACHINE: u16 = 183;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const THIS_MACHINE: u16 = 0;

/// What an ELF file is to the dynamic loader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Binary {
    /// It is started by this loader.
    Dynamic(Vec<u8>),
    /// It names no loader.
    Static,
    /// It is of 32 bits.
    Bits32,
    /// It is for another processor, by its number in the ELF standard.
    Machine(u16),
    /// It is no program, or its header contradicts itself.
    Malformed,
}

/// Reads the header; nothing if the file does not begin as ELF does.
pub(crate) fn read(file: &File) -> io::Result<Option<Binary>> {
    let mut header = [0; HEADER];
    let length = fill(file, &mut header, 0)?;
    if !header.starts_with(b"\x7fELF") {
        return Ok(None);
    }
    if header[4] == 1 {
        return Ok(Some(Binary::Bits32));
    }
    // Both machines that are known here are little-endian, so a big-endian file is of another one.
    if header[5] != 1 {
        return Ok(Some(Binary::Machine(u16::from_be_bytes([header[18], header[19]]))));
    }
    if length < HEADER || header[4] != 2 {
        return Ok(Some(Binary::Malformed));
    }
    let short = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    if short(18) != THIS_MACHINE {
        return Ok(Some(Binary::Machine(short(18))));
    }
    if !matches!(short(16), EXECUTABLE | SHARED) || usize::from(short(54)) != ENTRY {
        return Ok(Some(Binary::Malformed));
    }
    let table = u64_at(&header, 32);
    for index in 0..usize::from(short(56)).min(ENTRIES_MAX) {
        let mut entry = [0; ENTRY];
        let Some(at) = table.checked_add((index * ENTRY) as u64) else { return Ok(Some(Binary::Malformed)) };
        if fill(file, &mut entry, at)? < ENTRY {
            return Ok(Some(Binary::Malformed));
        }
        if u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]) == INTERP {
            return loader(file, u64_at(&entry, 8), u64_at(&entry, 32)).map(Some);
        }
    }
    Ok(Some(Binary::Static))
}

fn loader(file: &File, at: u64, length: u64) -> io::Result<Binary> {
    let mut path = vec![0; usize::try_from(length).unwrap_or(usize::MAX).min(LOADER_MAX)];
    let read = fill(file, &mut path, at)?;
    path.truncate(read);
    match path.iter().position(|&byte| byte == 0) {
        Some(end) if end > 0 => {
            path.truncate(end);
            Ok(Binary::Dynamic(path))
        }
        _ => Ok(Binary::Malformed),
    }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

/// Reads until `bytes` are full or the file ends. An offset that no file has is an end.
fn fill(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], at.saturating_add(filled as u64)) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => break,
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read_bytes(name: &str, bytes: &[u8]) -> Option<Binary> {
        let path = std::env::temp_dir().join(format!("plimsoll-elf-{}-{name}", std::process::id()));
        File::create(&path).and_then(|mut file| file.write_all(bytes)).expect("a file of the test");
        let file = File::open(&path).expect("it was just written");
        std::fs::remove_file(&path).expect("it is ours");
        read(&file).expect("it can be read")
    }

    fn header(machine: u16, entries: u16) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[16..18].copy_from_slice(&SHARED.to_le_bytes());
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[32..40].copy_from_slice(&(HEADER as u64).to_le_bytes());
        bytes[54..56].copy_from_slice(&(ENTRY as u16).to_le_bytes());
        bytes[56..58].copy_from_slice(&entries.to_le_bytes());
        bytes
    }

    #[test]
    fn this_test_is_dynamic() {
        let file = File::open("/proc/self/exe").expect("a process has a file");
        let binary = read(&file).expect("it can be read");
        assert!(matches!(binary, Some(Binary::Dynamic(loader)) if loader.starts_with(b"/lib")));
    }

    #[test]
    fn what_is_no_program_of_this_machine_is_named() {
        assert_eq!(read_bytes("text", b"#!/bin/sh\n"), None);
        assert_eq!(read_bytes("empty", b""), None);
        assert_eq!(read_bytes("32", b"\x7fELF\x01\x01"), Some(Binary::Bits32));
        assert_eq!(read_bytes("other", &header(243, 0)), Some(Binary::Machine(243)));
        assert_eq!(read_bytes("static", &header(THIS_MACHINE, 0)), Some(Binary::Static));
        assert_eq!(read_bytes("cut", &header(THIS_MACHINE, 0)[..40]), Some(Binary::Malformed));
    }

    #[test]
    fn a_header_that_leads_nowhere_is_malformed() {
        assert_eq!(read_bytes("table", &header(THIS_MACHINE, 3)), Some(Binary::Malformed));
        let mut bytes = header(THIS_MACHINE, 1);
        bytes[32..40].fill(0xff);
        assert_eq!(read_bytes("offset", &bytes), Some(Binary::Malformed));
        let mut bytes = header(THIS_MACHINE, 1);
        bytes.extend([0; ENTRY]);
        bytes[HEADER..HEADER + 4].copy_from_slice(&INTERP.to_le_bytes());
        bytes[HEADER + 8..HEADER + ENTRY].fill(0xff);
        assert_eq!(read_bytes("loader", &bytes), Some(Binary::Malformed));
    }
}
