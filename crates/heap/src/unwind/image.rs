//! A file as the loader mapped it: where its code, its unwind table and its build id are, by its program headers.

use std::ops::Range;

use super::table::{CanGo, Table};

/// See the head of this file.
#[derive(Clone, Copy)]
pub(super) struct Image<'a> {
    bias: u64,
    headers: &'a [libc::Elf64_Phdr],
}

/// An executable segment.
#[derive(Clone, Debug)]
pub(super) struct Code {
    pub(super) addresses: Range<u64>,
    pub(super) file_offset: u64,
}

impl<'a> Image<'a> {
    /// # Safety
    /// The headers are those of a file that is mapped with this bias, and it stays mapped as long as they are there.
    pub(super) unsafe fn new(bias: u64, headers: &'a [libc::Elf64_Phdr]) -> Self {
        Self { bias, headers }
    }

    pub(super) fn bias(&self) -> u64 {
        self.bias
    }

    fn headers_of(&self, kind: u32) -> impl Iterator<Item = &'a libc::Elf64_Phdr> + use<'a> {
        self.headers.iter().filter(move |header| header.p_type == kind)
    }

    fn addresses(&self, header: &libc::Elf64_Phdr) -> Range<u64> {
        let start = self.bias.wrapping_add(header.p_vaddr);
        start..start.saturating_add(header.p_memsz)
    }

    pub(super) fn code(&self) -> impl Iterator<Item = Code> + use<'a> {
        let image = *self;
        self.headers_of(libc::PT_LOAD)
            .filter(|header| header.p_flags & libc::PF_X != 0)
            .map(move |header| Code { addresses: image.addresses(header), file_offset: header.p_offset })
    }

    /// Whether the address is in a part that was loaded from the file.
    pub(super) fn contains(&self, address: u64) -> bool {
        self.headers_of(libc::PT_LOAD).any(|header| self.addresses(header).contains(&address))
    }

    /// Where the file's first byte was loaded, if it was.
    pub(super) fn first_byte(&self) -> Option<u64> {
        let header = self.headers_of(libc::PT_LOAD).find(|header| header.p_offset == 0)?;
        Some(self.addresses(header).start)
    }

    /// What was loaded from the file from `address` on, to the end of its segment. Parts that are written to are left
    /// out: nothing that is read here lies in one.
    pub(super) fn loaded(&self, address: u64) -> Option<&'a [u8]> {
        let constant = |header: &&libc::Elf64_Phdr| {
            header.p_flags & libc::PF_R != 0
                && header.p_flags & libc::PF_W == 0
                && self.addresses(header).contains(&address)
        };
        let header = self.headers_of(libc::PT_LOAD).find(constant)?;
        let start = self.addresses(header).start;
        let length = header.p_filesz.checked_sub(address - start)?;
        let start = std::ptr::with_exposed_provenance(usize::try_from(address).ok()?);
        // SAFETY: the loader mapped this part of a segment readable and not writable, and it stays, by the promise
        // that was given to `new`.
        Some(unsafe { std::slice::from_raw_parts(start, usize::try_from(length).ok()?) })
    }

    /// Where `.eh_frame_hdr` is.
    pub(super) fn table_address(&self) -> Option<u64> {
        Some(self.addresses(self.headers_of(libc::PT_GNU_EH_FRAME).next()?).start)
    }

    /// Where `.eh_frame_hdr` leads.
    pub(super) fn table(&self, can_go: CanGo) -> Option<Table> {
        Table::read(self.table_address()?, can_go, |address| self.loaded(address))
    }

    pub(super) fn build_id(&self) -> Option<&'a [u8]> {
        self.headers_of(libc::PT_NOTE).find_map(|header| {
            let notes = self.loaded(self.addresses(header).start)?;
            let length = usize::try_from(header.p_memsz).ok()?.min(notes.len());
            build_id(&notes[..length], if header.p_align == 8 { 8 } else { 4 })
        })
    }
}

/// The linker's build id among the notes of a segment.
fn build_id(notes: &[u8], align: usize) -> Option<&[u8]> {
    const BUILD_ID: u32 = 3;
    let mut rest = notes;
    loop {
        let (head, _) = rest.split_first_chunk::<12>()?;
        let field = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (name_bytes, id_bytes) = (field(0) as usize, field(4) as usize);
        let id_at = (12 + name_bytes).next_multiple_of(align);
        let name = rest.get(12..12 + name_bytes)?;
        let id = rest.get(id_at..id_at + id_bytes)?;
        if field(8) == BUILD_ID && name == b"GNU\0" {
            return Some(id);
        }
        rest = rest.get((id_at + id_bytes).next_multiple_of(align)..)?;
    }
}
