//! What an ELF file says of itself: its sections, its build id, and which other files belong to it. Only what
//! a process of Linux maps is read, 64 bits and little-endian; everything else is refused by name.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

use gimli::{Error, Reader};

use super::{Slice, Source, Trouble, Work};

/// Sections that are asked for, under the name that they are asked by.
const NAMES: [&str; 14] = [
    ".symtab",
    ".dynsym",
    ".note.gnu.build-id",
    ".gnu_debuglink",
    ".gnu_debugaltlink",
    ".debug_abbrev",
    ".debug_addr",
    ".debug_info",
    ".debug_line",
    ".debug_line_str",
    ".debug_str",
    ".debug_str_offsets",
    ".debug_ranges",
    ".debug_rnglists",
];
/// The longest name in [`NAMES`], with its zero and the `z` of `.zdebug`.
const NAME_MAX: usize = 24;
const SECTION_HEADER: u64 = 64;
const PROGRAM_HEADER: u64 = 56;
/// How many program headers are looked at; linkers write a dozen.
const PROGRAM_HEADERS_MAX: u16 = 256;
/// How long a note may be that is read for a build id.
const NOTE_MAX: u64 = 64 << 10;
/// How long a build id may be; linkers write 20 bytes, some 8 to 32.
const BUILD_ID_MAX: u64 = 64;

const TYPE_NO_BITS: u32 = 8;
const FLAG_COMPRESSED: u64 = 0x800;
const FLAG_EXECUTABLE: u64 = 0x4;
/// How many sections with code are known apart; linkers write half a dozen.
const CODE_MAX: usize = 64;
const SEGMENT_NOTE: u32 = 4;
const NOTE_BUILD_ID: u32 = 3;

/// How the bytes of a section are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    /// A header of ELF says how.
    Header,
    /// `.zdebug_…`: the letters `ZLIB` and the size come first.
    Zdebug,
}

#[derive(Clone, Debug)]
pub(super) struct Section {
    name: &'static str,
    pub(super) packing: Packing,
    pub(super) offset: u64,
    pub(super) size: u64,
    link: u32,
    index: u64,
}

/// Why a file was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Missing,
    Unreadable(String),
    TooLarge(u64),
    Malformed(String),
}

/// One ELF file, opened.
#[derive(Debug)]
pub(crate) struct Elf {
    pub(crate) path: PathBuf,
    pub(super) source: Rc<Source>,
    sections: Vec<Section>,
    /// String tables by the number of their section, for the symbol tables that name them.
    strings: Vec<Section>,
    /// The addresses of each section with code.
    code: Vec<Range<u64>>,
    /// The build id in hexadecimal; empty if there is none.
    pub(crate) build_id: String,
    /// When it was written, if the file's system knows.
    pub(crate) modified: Option<SystemTime>,
}

/// What an error of the parser means for the file as a whole.
pub(super) fn refused(work: &Work, error: Error) -> Refused {
    match work.trouble(error) {
        Trouble::Io(said) => Refused::Unreadable(said),
        Trouble::Malformed(said) => Refused::Malformed(said),
        Trouble::Exhausted => Refused::Malformed("more work than is granted".to_owned()),
    }
}

impl Elf {
    /// Opens a file of at most `size_max` bytes. Allocates its window of pages and its section table.
    pub(crate) fn open(path: &Path, size_max: u64, work: &Rc<Work>) -> Result<Self, Refused> {
        let unreadable = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Refused::Missing,
            _ => Refused::Unreadable(error.to_string()),
        };
        // Asked before it is opened: opening a pipe would wait for somebody who writes.
        if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(Refused::Unreadable("it is not a file".to_owned()));
        }
        let file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        let length = metadata.len();
        if length > size_max {
            return Err(Refused::TooLarge(length));
        }
        let source = Rc::new(Source::new(file, length, Rc::clone(work)));
        let mut elf = Self::parse(path, source).map_err(|error| refused(work, error))??;
        elf.modified = metadata.modified().ok();
        Ok(elf)
    }

    fn parse(path: &Path, source: Rc<Source>) -> Result<Result<Self, Refused>, Error> {
        let all = Slice::of_file(&source, 0, u64::MAX);
        let mut identity = [0; 16];
        if all.clone().read_slice(&mut identity).is_err() || !identity.starts_with(b"\x7fELF") {
            return Ok(Err(Refused::Malformed("not an ELF file".to_owned())));
        }
        if identity[4..6] != [2, 1] {
            return Ok(Err(Refused::Malformed("not of 64 bits, little-endian".to_owned())));
        }
        let mut elf = Self {
            path: path.to_owned(),
            source,
            sections: Vec::new(),
            strings: Vec::new(),
            code: Vec::new(),
            build_id: String::new(),
            modified: None,
        };
        elf.read_sections(&all)?;
        elf.build_id = elf.read_build_id(&all)?;
        Ok(Ok(elf))
    }

    fn read_sections(&mut self, all: &Slice) -> Result<(), Error> {
        let table = all.part(0, 64).part(40, 8).read_u64_at()?;
        if table == 0 {
            return Ok(());
        }
        let mut end = all.part(58, 6);
        let (size, count, names) = (end.read_u16()?, end.read_u16()?, end.read_u16()?);
        if u64::from(size) != SECTION_HEADER {
            return Err(Error::UnsupportedOffset);
        }
        let first = Header::read(all, table, 0)?;
        // Numbers that do not fit into the file's header stand in the first section's.
        let count = if count == 0 { first.size } else { u64::from(count) };
        let names = if names == 0xffff { u64::from(first.link) } else { u64::from(names) };
        let names = Header::read(all, table, names)?;
        let names = all.part(names.offset, names.size);
        for index in 1..count {
            let header = Header::read(all, table, index)?;
            // A debug file has no code, but says where it was.
            if header.flags & FLAG_EXECUTABLE != 0 && self.code.len() < CODE_MAX {
                self.code.push(header.address..header.address.saturating_add(header.size));
            }
            if header.kind == TYPE_NO_BITS {
                continue;
            }
            let name = names.part(u64::from(header.name), NAME_MAX as u64).zero_terminated(NAME_MAX)?;
            let (name, zdebug) = match name.strip_prefix(".zdebug") {
                Some(rest) => (format!(".debug{rest}"), true),
                None => (name, false),
            };
            let section = |name| Section {
                name,
                packing: match () {
                    () if header.flags & FLAG_COMPRESSED != 0 => Packing::Header,
                    () if zdebug => Packing::Zdebug,
                    () => Packing::Plain,
                },
                offset: header.offset,
                size: header.size,
                link: header.link,
                index,
            };
            if let Some(known) = NAMES.iter().find(|known| **known == name)
                && !self.sections.iter().any(|section| section.name == *known)
            {
                self.sections.push(section(known));
            } else if (name == ".strtab" || name == ".dynstr") && self.strings.len() < 2 {
                self.strings.push(section("strings"));
            }
        }
        Ok(())
    }

    fn read_build_id(&self, all: &Slice) -> Result<String, Error> {
        if let Some(section) = self.section(".note.gnu.build-id") {
            return build_id_of_notes(&all.part(section.offset, section.size.min(NOTE_MAX)));
        }
        // A file without section headers still has its notes where the loader finds them.
        let table = all.part(32, 8).read_u64_at()?;
        let mut sizes = all.part(54, 4);
        let (size, count) = (sizes.read_u16()?, sizes.read_u16()?);
        if u64::from(size) != PROGRAM_HEADER {
            return Ok(String::new());
        }
        for index in 0..count.min(PROGRAM_HEADERS_MAX) {
            let mut header =
                all.part(table.saturating_add(u64::from(index) * PROGRAM_HEADER), PROGRAM_HEADER);
            if header.read_u32()? == SEGMENT_NOTE {
                header.skip(4)?;
                let offset = header.read_u64()?;
                header.skip(16)?;
                let size = header.read_u64()?;
                let id = build_id_of_notes(&all.part(offset, size.min(NOTE_MAX)))?;
                if !id.is_empty() {
                    return Ok(id);
                }
            }
        }
        Ok(String::new())
    }

    pub(super) fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.section(name).is_some_and(|section| section.size > 0)
    }

    /// Whether two addresses are in the same section with code.
    pub(super) fn same_code(&self, one: u64, other: u64) -> bool {
        self.code.iter().any(|section| section.contains(&one) && section.contains(&other))
    }

    /// A symbol table and its strings, if it is there and not packed.
    pub(super) fn symbols(&self, name: &str) -> Option<(Slice, Slice)> {
        let plain = |section: &&Section| section.packing == Packing::Plain;
        let table = self.section(name).filter(plain)?;
        let strings = self.strings.iter().filter(plain).find(|one| one.index == u64::from(table.link))?;
        Some((self.slice(table), self.slice(strings)))
    }

    /// The bytes of a section as they stand in the file.
    pub(super) fn slice(&self, section: &Section) -> Slice {
        Slice::of_file(&self.source, section.offset, section.size)
    }

    /// The whole file, for a checksum.
    pub(crate) fn whole(&self) -> Slice {
        Slice::of_file(&self.source, 0, u64::MAX)
    }

    /// The name of a separate debug file and the checksum that it must have.
    pub(crate) fn debug_link(&self) -> Option<(String, u32)> {
        let section = self.section(".gnu_debuglink")?;
        let slice = self.slice(section);
        let name = slice.zero_terminated(4_096).ok().filter(|name| !name.is_empty())?;
        let sum = (name.len() as u64 + 1).next_multiple_of(4);
        Some((name, slice.part(sum, 4).read_u32().ok()?))
    }

    /// The name of a supplementary file (`dwz`) and the build id that it must have.
    pub(crate) fn supplementary_link(&self) -> Option<(String, String)> {
        let slice = self.slice(self.section(".gnu_debugaltlink")?);
        let name = slice.zero_terminated(4_096).ok().filter(|name| !name.is_empty())?;
        let id = slice.part(name.len() as u64 + 1, BUILD_ID_MAX);
        Some((name, hexadecimal(&id).ok()?))
    }
}

impl Slice {
    fn read_u64_at(&self) -> Result<u64, Error> {
        self.clone().read_u64()
    }
}

struct Header {
    name: u32,
    kind: u32,
    flags: u64,
    address: u64,
    offset: u64,
    size: u64,
    link: u32,
}

impl Header {
    fn read(all: &Slice, table: u64, index: u64) -> Result<Self, Error> {
        let at = table.saturating_add(index.saturating_mul(SECTION_HEADER));
        let mut header = all.part(at, SECTION_HEADER);
        let (name, kind, flags) = (header.read_u32()?, header.read_u32()?, header.read_u64()?);
        let (address, offset, size) = (header.read_u64()?, header.read_u64()?, header.read_u64()?);
        Ok(Self { name, kind, flags, address, offset, size, link: header.read_u32()? })
    }
}

fn hexadecimal(slice: &Slice) -> Result<String, Error> {
    Ok(slice.to_slice()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The build id among some notes; empty if there is none.
fn build_id_of_notes(notes: &Slice) -> Result<String, Error> {
    let mut rest = notes.clone();
    while rest.len() >= 12 {
        let (name_size, size, kind) = (rest.read_u32()?, rest.read_u32()?, rest.read_u32()?);
        let name = rest.part(0, u64::from(name_size));
        let description = rest.part(u64::from(name_size).next_multiple_of(4), u64::from(size));
        if kind == NOTE_BUILD_ID && name_size == 4 && name.zero_terminated(4)? == "GNU" {
            return hexadecimal(&description.part(0, BUILD_ID_MAX));
        }
        let length = u64::from(name_size).next_multiple_of(4) + u64::from(size).next_multiple_of(4);
        rest = rest.part(length, u64::MAX);
    }
    Ok(String::new())
}
