//! Reading numbers out of another module's tables without ever reading past them.
//!
//! Unwind tables come from whatever was loaded into the process. A wrong length in one of them must end in
//! "no rule", not in a fault inside `malloc`: every read is checked, and none panics.

/// A part of a loaded module's memory, and the address at which it lies: addresses in the tables are relative
/// to the place where they are written.
#[derive(Clone, Copy)]
pub(super) struct Bytes<'a> {
    rest: &'a [u8],
    address: u64,
}

impl<'a> Bytes<'a> {
    pub(super) fn new(bytes: &'a [u8], address: u64) -> Self {
        Self { rest: bytes, address }
    }

    /// What is left to read.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Where the next byte lies in the process.
    pub(super) fn address(&self) -> u64 {
        self.address
    }

    /// The next `length` bytes as a part of its own.
    pub(super) fn split(&mut self, length: u64) -> Option<Self> {
        let (part, rest) = self.rest.split_at_checked(usize::try_from(length).ok()?)?;
        let part = Self { rest: part, address: self.address };
        *self = Self { rest, address: self.address + length };
        Some(part)
    }

    pub(super) fn skip(&mut self, length: u64) -> Option<()> {
        self.split(length).map(|_| ())
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (part, rest) = self.rest.split_first_chunk::<N>()?;
        *self = Self { rest, address: self.address + N as u64 };
        Some(*part)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// An unsigned LEB128. Bits beyond the 64th are dropped; the numbers that matter are small.
    pub(super) fn unsigned(&mut self) -> Option<u64> {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = self.u8()?;
            if shift < 64 {
                value |= u64::from(byte & 0x7f) << shift;
            }
            shift += 7;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
    }

    /// A signed LEB128.
    pub(super) fn signed(&mut self) -> Option<i64> {
        let (mut value, mut shift) = (0_i64, 0);
        loop {
            let byte = self.u8()?;
            if shift < 64 {
                value |= i64::from(byte & 0x7f) << shift;
            }
            shift += 7;
            if byte & 0x80 == 0 {
                let negative = byte & 0x40 != 0 && shift < 64;
                return Some(if negative { value | (-1 << shift) } else { value });
            }
        }
    }

    /// A pointer as `.eh_frame` writes it: `encoding` says how wide it is and what it is relative to.
    pub(super) fn pointer(&mut self, encoding: u8) -> Option<u64> {
        let here = self.address;
        let value = self.number(encoding)?;
        match encoding & 0x70 {
            ABSOLUTE => Some(value),
            RELATIVE => Some(here.wrapping_add(value)),
            _ => None,
        }
    }

    /// The number in a pointer, relative to nothing: how lengths are written.
    pub(super) fn number(&mut self, encoding: u8) -> Option<u64> {
        match encoding & 0x0f {
            0x00 | 0x04 | 0x0c => self.u64(),
            0x01 => self.unsigned(),
            0x02 => self.u16().map(u64::from),
            0x03 => self.u32().map(u64::from),
            0x09 => self.signed().map(i64::cast_unsigned),
            0x0a => self.array().map(|bytes| i64::from(i16::from_le_bytes(bytes)).cast_unsigned()),
            0x0b => self.i32().map(|value| i64::from(value).cast_unsigned()),
            _ => None,
        }
    }
}

/// `DW_EH_PE_absptr`.
const ABSOLUTE: u8 = 0x00;
/// `DW_EH_PE_pcrel`: relative to where the pointer is written.
const RELATIVE: u8 = 0x10;
