//! A part of a file, as the DWARF parser wants to see it. The parser's own readers need the whole section in
//! memory; this one asks the pages, and counts.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::rc::Rc;

use gimli::{Error, LittleEndian, Reader, ReaderOffsetId, Result};

use super::{Source, Work};

/// Bytes that are in memory because they were compressed in the file.
pub(super) struct Unpacked {
    pub(super) bytes: Vec<u8>,
    pub(super) work: Rc<Work>,
}

#[derive(Clone)]
enum Data {
    Paged(Rc<Source>),
    Memory(Rc<Unpacked>),
}

/// A part of a file or of an unpacked section. A clone is a second view of the same.
#[derive(Clone)]
pub(crate) struct Slice {
    data: Data,
    at: u64,
    end: u64,
}

impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slice({:#x}..{:#x})", self.at, self.end)
    }
}

impl Slice {
    /// The bytes `at..at + length` of a file, or what of it is inside the file.
    pub(crate) fn of_file(source: &Rc<Source>, at: u64, length: u64) -> Self {
        let at = at.min(source.length());
        let end = at.saturating_add(length).min(source.length());
        Self { data: Data::Paged(Rc::clone(source)), at, end }
    }

    pub(super) fn of_memory(unpacked: Rc<Unpacked>) -> Self {
        let end = unpacked.bytes.len() as u64;
        Self { data: Data::Memory(unpacked), at: 0, end }
    }

    pub(crate) fn work(&self) -> &Work {
        match &self.data {
            Data::Paged(source) => source.work(),
            Data::Memory(unpacked) => &unpacked.work,
        }
    }

    /// The part from `offset` on, at most `length` long.
    pub(crate) fn part(&self, offset: u64, length: u64) -> Self {
        let at = self.at.saturating_add(offset).min(self.end);
        Self { data: self.data.clone(), at, end: at.saturating_add(length).min(self.end) }
    }

    /// What is here, as text; at most `most` bytes of it. Allocates that much.
    pub(crate) fn text(&self, most: usize) -> Result<String> {
        let part = self.part(0, most as u64);
        Ok(String::from_utf8_lossy(&part.to_slice()?).into_owned())
    }

    /// What is here up to a zero byte, as text; at most `most` bytes of it. Allocates that much.
    pub(crate) fn zero_terminated(&self, most: usize) -> Result<String> {
        let mut part = self.part(0, most as u64);
        if let Ok(length) = part.find(0) {
            part.truncate(length)?;
        }
        part.text(most)
    }

    /// Hands `look` the bytes at the beginning that are in memory together: never none.
    fn with_bytes<T>(&self, look: impl FnOnce(&[u8]) -> T) -> Result<T> {
        let left = self.end - self.at;
        if left == 0 {
            return Err(Error::UnexpectedEof(self.offset_id()));
        }
        let cut = |bytes: &[u8]| bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        match &self.data {
            Data::Paged(source) => source.with_page(self.at, |page| look(&page[..cut(page)])),
            Data::Memory(unpacked) => {
                let bytes = &unpacked.bytes[self.at as usize..];
                Ok(look(&bytes[..cut(bytes)]))
            }
        }
    }
}

impl Reader for Slice {
    type Endian = LittleEndian;
    type Offset = u64;

    fn endian(&self) -> LittleEndian {
        LittleEndian
    }

    #[inline]
    fn len(&self) -> u64 {
        self.end - self.at
    }

    fn empty(&mut self) {
        self.at = self.end;
    }

    fn truncate(&mut self, len: u64) -> Result<()> {
        if self.len() < len {
            return Err(Error::UnexpectedEof(self.offset_id()));
        }
        self.end = self.at + len;
        Ok(())
    }

    fn offset_from(&self, base: &Self) -> u64 {
        self.at.saturating_sub(base.at)
    }

    fn offset_id(&self) -> ReaderOffsetId {
        ReaderOffsetId(self.at)
    }

    fn lookup_offset_id(&self, id: ReaderOffsetId) -> Option<u64> {
        (self.at..=self.end).contains(&id.0).then(|| id.0 - self.at)
    }

    fn find(&self, byte: u8) -> Result<u64> {
        let mut rest = self.clone();
        loop {
            // At the end of what is here this is the error of the end, as it should be.
            let (found, looked) =
                rest.with_bytes(|bytes| (bytes.iter().position(|&one| one == byte), bytes.len() as u64))?;
            let passed = found.map_or(looked, |found| found as u64);
            self.work().spend(1 + passed)?;
            rest.at += passed;
            if found.is_some() {
                return Ok(rest.at - self.at);
            }
        }
    }

    #[inline]
    fn skip(&mut self, len: u64) -> Result<()> {
        // Counted although nothing is read: what is skipped may still become an entry in some table.
        self.work().spend(1)?;
        if self.len() < len {
            return Err(Error::UnexpectedEof(self.offset_id()));
        }
        self.at += len;
        Ok(())
    }

    #[inline]
    fn split(&mut self, len: u64) -> Result<Self> {
        let mut first = self.clone();
        self.skip(len)?;
        first.end = self.at;
        Ok(first)
    }

    fn to_slice(&self) -> Result<Cow<'_, [u8]>> {
        // Grows as it reads, so that a length that was made up costs work before it costs memory.
        let mut all = Vec::new();
        let mut rest = self.clone();
        while rest.at < rest.end {
            let taken = rest.with_bytes(|bytes| {
                all.extend_from_slice(bytes);
                bytes.len() as u64
            })?;
            self.work().spend(taken)?;
            rest.at += taken;
        }
        Ok(Cow::Owned(all))
    }

    fn to_string(&self) -> Result<Cow<'_, str>> {
        let all = self.to_slice()?.into_owned();
        String::from_utf8(all).map(Cow::Owned).map_err(|_| Error::BadUtf8)
    }

    fn to_string_lossy(&self) -> Result<Cow<'_, str>> {
        Ok(Cow::Owned(String::from_utf8_lossy(&self.to_slice()?).into_owned()))
    }

    #[inline]
    fn read_slice(&mut self, buf: &mut [u8]) -> Result<()> {
        let length = buf.len() as u64;
        if self.len() < length {
            return Err(Error::UnexpectedEof(self.offset_id()));
        }
        match &self.data {
            Data::Paged(source) => source.read(self.at, buf)?,
            Data::Memory(unpacked) => {
                unpacked.work.spend(length)?;
                let at = self.at as usize;
                buf.copy_from_slice(&unpacked.bytes[at..at + buf.len()]);
            }
        }
        self.at += length;
        Ok(())
    }
}

/// For the unpackers and the checksum: reads what is here, in order.
impl io::Read for Slice {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at == self.end || buf.is_empty() {
            return Ok(0);
        }
        let taken = self
            .with_bytes(|bytes| {
                let taken = bytes.len().min(buf.len());
                buf[..taken].copy_from_slice(&bytes[..taken]);
                taken
            })
            .and_then(|taken| self.work().spend(taken as u64).map(|()| taken))
            .map_err(io::Error::other)?;
        self.at += taken as u64;
        Ok(taken)
    }
}
