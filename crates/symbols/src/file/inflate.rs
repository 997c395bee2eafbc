//! Debug sections that were compressed. They cannot be read in pages, so they are unpacked into memory, and a
//! few kilobytes can claim to be gigabytes: what they claim is held against the room that is left first.

use std::io::Read;
use std::rc::Rc;

use gimli::{Error, Reader};

use super::elf::{Packing, refused};
use super::slice::Unpacked;
use super::{Elf, Refused, Slice};

const ZLIB: u32 = 1;
const ZSTD: u32 = 2;

/// What may still be unpacked for one module.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) left: u64,
    /// What was asked for in all, refused ones too; for the report.
    pub(crate) asked: u64,
    pub(crate) refused: bool,
}

impl Room {
    pub(crate) fn new(most: u64) -> Self {
        Self { left: most, asked: 0, refused: false }
    }

    fn take(&mut self, size: u64) -> bool {
        self.asked = self.asked.saturating_add(size);
        match self.left.checked_sub(size) {
            Some(left) => self.left = left,
            None => self.refused = true,
        }
        !self.refused
    }
}

impl Elf {
    /// The bytes of a section, unpacked if need be; empty if there is no such section, or no room for it.
    /// Allocates what it unpacks, and for zstd as much again while it does.
    ///
    /// # Errors
    /// When it cannot be unpacked.
    pub(crate) fn load(&self, name: &str, room: &mut Room) -> Result<Slice, Refused> {
        let nothing = Slice::of_file(&self.source, 0, 0);
        let Some(section) = self.section(name) else { return Ok(nothing) };
        let stored = self.slice(section);
        let packed = match section.packing {
            Packing::Plain => return Ok(stored),
            Packing::Header => header(stored),
            Packing::Zdebug => zdebug(stored),
        };
        let (kind, size, stored) = packed.map_err(|error| refused(self.source.work(), error))?;
        if !room.take(size) {
            return Ok(nothing);
        }
        let size_in_memory = usize::try_from(size).unwrap_or(usize::MAX);
        let mut bytes = Vec::new();
        let read = match kind {
            ZLIB => flate2::read::ZlibDecoder::new(stored).take(size).read_to_end(&mut bytes),
            ZSTD => {
                let decoder =
                    ruzstd::decoding::StreamingDecoder::new_with_max_window_size(stored, size.max(1 << 20))
                        .map_err(|error| Refused::Malformed(format!("{name}: {error}")))?;
                decoder.take(size).read_to_end(&mut bytes)
            }
            other => return Err(Refused::Malformed(format!("{name}: unknown compression {other}"))),
        };
        read.map_err(|error| Refused::Malformed(format!("{name}: {error}")))?;
        if bytes.len() != size_in_memory {
            return Err(Refused::Malformed(format!("{name}: {} bytes instead of {size}", bytes.len())));
        }
        bytes.shrink_to_fit();
        let work = Rc::clone(self.source.work());
        Ok(Slice::of_memory(Rc::new(Unpacked { bytes, work })))
    }
}

/// Kind, size and content of a section with ELF's own header.
fn header(mut stored: Slice) -> Result<(u32, u64, Slice), Error> {
    let kind = stored.read_u32()?;
    stored.skip(4)?;
    let size = stored.read_u64()?;
    stored.skip(8)?;
    Ok((kind, size, stored))
}

/// The same of a `.zdebug_…` section.
fn zdebug(mut stored: Slice) -> Result<(u32, u64, Slice), Error> {
    let kind = if stored.read_u32()? == u32::from_le_bytes(*b"ZLIB") { ZLIB } else { 0 };
    Ok((kind, stored.read_u64()?.swap_bytes(), stored))
}
