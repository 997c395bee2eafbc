//! The native function that runs Python code: which return addresses are its own.
//!
//! Its symbol says where it begins and how long it is. Compilers move what seldom runs out of it, into a part of its own
//! in a far place that only local symbols name, and those are stripped; in a distribution's interpreter it has
//! fourteen kilobytes and many calls. Call frame information still has it: the part's entry follows the function's own,
//! and unlike any function's it begins in the middle of a frame.

use std::ffi::{c_int, c_void};
use std::ops::Range;

/// Instructions of call frame information that set up a frame; a part of a function begins with one of these, a
/// function with a step forward, as its first instruction finds the frame as every call leaves it.
mod instruction {
    pub(super) const DEF_CFA: u8 = 0x0c;
    pub(super) const DEF_CFA_OFFSET: u8 = 0x0e;
    /// With a register in the lower six bits.
    pub(super) const OFFSET: u8 = 0x80;
}

/// Pointers as four signed bytes from their own place: what every compiler writes on x86-64.
const RELATIVE: u8 = 0x1b;
/// The search table: pairs of such numbers from the start of the table's segment, sorted.
const TABLE_RELATIVE: u8 = 0x3b;
const COUNT_UNSIGNED: u8 = 0x03;

/// The addresses of `_PyEval_EvalFrameDefault`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evaluation {
    body: Part,
    /// What seldom runs, if it lies elsewhere and was found.
    cold: Part,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Part {
    start: u64,
    end: u64,
}

impl Part {
    fn returns_to(self, address: u64) -> bool {
        self.start < address && address <= self.end
    }
}

impl Evaluation {
    /// The function at an address. Asks the loader; away from allocations.
    pub(super) fn find(function: *mut c_void) -> Self {
        let start = function as u64;
        let described = described(start);
        let bytes = symbol_bytes(function).unwrap_or(0);
        let body = match described {
            Some((body, _)) if body.end > start.saturating_add(bytes) => body,
            _ => Part { start, end: start.saturating_add(bytes) },
        };
        Self { body, cold: described.map(|(_, cold)| cold).unwrap_or_default() }
    }

    pub(super) fn returns_to(&self, address: u64) -> bool {
        self.body.returns_to(address) || self.cold.returns_to(address)
    }
}

/// The length that the symbol says.
fn symbol_bytes(function: *mut c_void) -> Option<u64> {
    const WITH_SYMBOL: c_int = 1;
    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::uninit();
    let mut symbol: *mut c_void = std::ptr::null_mut();
    // SAFETY: the loader writes what it finds to both places, the second because of the flag.
    let found = unsafe { libc::dladdr1(function, info.as_mut_ptr(), &raw mut symbol, WITH_SYMBOL) };
    if found == 0 || symbol.is_null() {
        return None;
    }
    // SAFETY: the loader answered, so it filled `info`, and the symbol is an entry of the object's table.
    let (info, symbol) = unsafe { (info.assume_init(), symbol.cast::<libc::Elf64_Sym>().read()) };
    (info.dli_saddr == function).then_some(symbol.st_size)
}

/// The function and its cold part, as call frame information has them.
fn described(function: u64) -> Option<(Part, Part)> {
    struct Search {
        function: u64,
        found: Option<(Part, Part)>,
    }
    unsafe extern "C" fn one(info: *mut libc::dl_phdr_info, _: libc::size_t, search: *mut c_void) -> c_int {
        // SAFETY: the loader hands on the pointer that was given below, and nobody else has it; `info` is valid
        // during the call, and so are the program headers.
        let (search, info, headers) = unsafe {
            let (search, info) = (&mut *search.cast::<Search>(), &*info);
            if info.dlpi_phdr.is_null() {
                return 0;
            }
            (search, info, std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)))
        };
        let addresses = |header: &libc::Elf64_Phdr| {
            let start = info.dlpi_addr.wrapping_add(header.p_vaddr);
            start..start.saturating_add(header.p_memsz.min(header.p_filesz))
        };
        let of_kind = |kind| headers.iter().filter(move |header| header.p_type == kind).map(addresses);
        if !of_kind(libc::PT_LOAD).any(|range| range.contains(&search.function)) {
            return 0;
        }
        let Some(index) = of_kind(libc::PT_GNU_EH_FRAME).next() else { return 1 };
        let readable = |header: &&libc::Elf64_Phdr| {
            header.p_type == libc::PT_LOAD
                && header.p_flags & libc::PF_R != 0
                && header.p_flags & libc::PF_W == 0
        };
        // Index and entries lie in one segment, which nobody writes to.
        let segment =
            headers.iter().filter(readable).map(addresses).find(|range| range.contains(&index.start));
        if let Some(range) = segment {
            let start = std::ptr::with_exposed_provenance(range.start as usize);
            // SAFETY: the loader mapped this segment readable and not writable, and the interpreter is never unloaded.
            let bytes = unsafe { std::slice::from_raw_parts(start, (range.end - range.start) as usize) };
            search.found = Segment { range, bytes }.function(index.start, search.function);
        }
        1
    }
    let mut search = Search { function, found: None };
    // SAFETY: the callback casts the pointer back to what it was.
    unsafe { libc::dl_iterate_phdr(Some(one), (&raw mut search).cast()) };
    search.found
}

/// A loaded part of an object: its addresses, and what is there.
struct Segment<'a> {
    range: Range<u64>,
    bytes: &'a [u8],
}

impl Segment<'_> {
    fn read<const N: usize>(&self, address: u64) -> Option<[u8; N]> {
        let at = usize::try_from(address.checked_sub(self.range.start)?).ok()?;
        self.bytes.get(at..)?.first_chunk().copied()
    }

    fn number(&self, address: u64) -> Option<u32> {
        self.read(address).map(u32::from_le_bytes)
    }

    fn signed(&self, address: u64) -> Option<i64> {
        self.read(address).map(i32::from_le_bytes).map(i64::from)
    }

    /// The function that begins at `function`, and its cold part if it has one, by the index at `index`.
    fn function(&self, index: u64, function: u64) -> Option<(Part, Part)> {
        let [_, RELATIVE, COUNT_UNSIGNED, TABLE_RELATIVE] = self.read(index)? else { return None };
        let (mut low, mut high) = (0, u64::from(self.number(index + 8)?));
        while low < high {
            let middle = low + (high - low) / 2;
            let pair = index + 12 + 8 * middle;
            let start = index.wrapping_add_signed(self.signed(pair)?);
            if start == function {
                let entry = index.wrapping_add_signed(self.signed(pair + 4)?);
                let body = self.entry(entry)?;
                let cold = self.entry(body.next).filter(|next| next.begins_in_a_frame);
                return Some((body.part, cold.map(|cold| cold.part).unwrap_or_default()));
            }
            if start < function { low = middle + 1 } else { high = middle }
        }
        None
    }

    /// One entry of `.eh_frame`, if it is a function's and written as compilers write C's.
    fn entry(&self, entry: u64) -> Option<Entry> {
        let bytes = u64::from(self.number(entry)?);
        let common = u64::from(self.number(entry + 4)?);
        // Not the end, not the long form, and not what is common to several.
        if bytes == 0 || bytes == u64::from(u32::MAX) || common == 0 {
            return None;
        }
        let common = (entry + 4).checked_sub(common)?;
        // After length and id come the version and what the augmentation is: its length, and how pointers are written.
        let [1, b'z', b'R', 0] = self.read(common + 8)? else { return None };
        // One byte each for the factors and the return address, then the augmentation's length and bytes.
        let [_, _, _, 1, RELATIVE] = self.read(common + 12)? else { return None };
        let start = (entry + 8).wrapping_add_signed(self.signed(entry + 8)?);
        let length = u64::from(self.number(entry + 12)?);
        let [0, first] = self.read(entry + 16)? else { return None };
        let begins_in_a_frame = matches!(first, instruction::DEF_CFA | instruction::DEF_CFA_OFFSET)
            || first & 0xc0 == instruction::OFFSET;
        let part = Part { start, end: start.checked_add(length)? };
        Some(Entry { part, begins_in_a_frame, next: entry + 4 + bytes })
    }
}

struct Entry {
    part: Part,
    begins_in_a_frame: bool,
    next: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = 0x10_0000;

    /// A segment with an index, one common entry, and the entries given as start, length and first instruction.
    fn segment(entries: &[(u64, u32, u8)]) -> Vec<u8> {
        let mut frames = Vec::new();
        let frames_at = 0x200;
        frames.extend(20_u32.to_le_bytes());
        frames.extend([0, 0, 0, 0, 1, b'z', b'R', 0, 1, 0x78, 16, 1, RELATIVE, 0x0c, 7, 8, 0x90, 1, 0, 0]);
        let mut table = Vec::new();
        for &(start, length, first) in entries {
            let entry = BASE + frames_at + frames.len() as u64;
            table.push((start.wrapping_sub(BASE) as u32, (entry - BASE) as u32));
            frames.extend(20_u32.to_le_bytes());
            frames.extend((frames.len() as u32).to_le_bytes());
            frames.extend((start.wrapping_sub(entry + 8) as u32).to_le_bytes());
            frames.extend(length.to_le_bytes());
            frames.extend([0, first, 0, 0, 0, 0, 0, 0]);
        }
        frames.extend([0; 4]);
        table.sort_by_key(|(start, _)| start.cast_signed());
        let mut bytes = vec![1, RELATIVE, COUNT_UNSIGNED, TABLE_RELATIVE, 0, 0, 0, 0];
        bytes.extend((table.len() as u32).to_le_bytes());
        table.iter().for_each(|(start, entry)| {
            bytes.extend(start.to_le_bytes());
            bytes.extend(entry.to_le_bytes());
        });
        bytes.resize(frames_at as usize, 0);
        bytes.extend(frames);
        bytes
    }

    fn function(bytes: &[u8], at: u64) -> Option<(Part, Part)> {
        Segment { range: BASE..BASE + bytes.len() as u64, bytes }.function(BASE, at)
    }

    #[test]
    fn a_part_that_begins_in_a_frame_is_the_function_before() {
        let entries = [
            (0x5000, 0x100, 0x42),
            (0x7000, 0x200, 0x42),
            (0x1000, 0x50, instruction::DEF_CFA_OFFSET),
            (0x7200, 0x300, 0x41),
            (0x7600, 0x80, 0x00),
        ];
        let bytes = segment(&entries);
        let body = Part { start: 0x7000, end: 0x7200 };
        let cold = Part { start: 0x1000, end: 0x1050 };
        assert_eq!(function(&bytes, 0x7000), Some((body, cold)));
        assert_eq!(
            function(&bytes, 0x5000).map(|(_, cold)| cold),
            Some(Part::default()),
            "the next is a function"
        );
        assert_eq!(function(&bytes, 0x7600).map(|(_, cold)| cold), Some(Part::default()), "the end");
        assert_eq!(function(&bytes, 0x7001), None);
        let evaluation = Evaluation { body, cold };
        for (address, is) in
            [(0x7000, false), (0x7001, true), (0x7200, true), (0x7201, false), (0x1050, true)]
        {
            assert_eq!(evaluation.returns_to(address), is);
        }
    }

    #[test]
    fn what_is_cut_or_changed_is_no_function() {
        let bytes = segment(&[(0x7000, 0x200, 0x42), (0x1000, 0x50, instruction::DEF_CFA)]);
        for length in 0..bytes.len() {
            function(&bytes[..length], 0x7000);
        }
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] = value;
                function(&bytes, 0x7000);
            }
        }
    }
}
