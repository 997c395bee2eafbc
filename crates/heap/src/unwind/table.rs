//! The unwind table of one module, where the linker left it in memory, and the search in it.
//!
//! Section headers are not loaded, so the only way into `.eh_frame` is `.eh_frame_hdr`: a sorted array that
//! every linker writes. It is read where it is. That is the danger here: a module may be unloaded while it is
//! still in our list, and an address left over on a stack may lead to it. So, before the tables of a module
//! that can go are read, the kernel is asked whether their first page can be read (`dlclose` unmaps a module in
//! one piece), and its first bytes are compared with those that were there when the list was made. What is
//! left is a `dlclose` within the microsecond between asking and reading, by another thread, while this
//! thread's stack has an address of the unloaded code where a return address is expected.

use super::bytes::Bytes;
use super::cfi::Function;
use super::guess::follows_call;
use super::readable::is_readable;
use super::rules::Rule;

/// Version, the encodings of the three fields, the address of `.eh_frame`, the number of functions.
const HEADER_BYTES: usize = 12;
/// An entry: where a function begins and where its description is, both relative to the header.
const ENTRY_BYTES: usize = 8;

/// Where a module's unwind table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// `.eh_frame_hdr`, cut to what its count says.
    header: usize,
    header_bytes: usize,
    /// `.eh_frame`, up to the end of what was loaded with it: its own length is not written anywhere.
    frames: usize,
    frames_bytes: usize,
    /// The header's first bytes: by them a module is told from another at the same place.
    first: [u8; HEADER_BYTES],
    can_go: CanGo,
}

/// Whether a module can be unloaded while its table is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CanGo {
    /// What was loaded with the program stays, and so does the module that this code is in.
    No,
    /// What came by `dlopen`. A look-up costs a system call more.
    Yes,
}

impl Table {
    /// Understands a header; `loaded(address)` gives what was loaded from an address on, to the end of its
    /// segment. `None` if there is no table that can be searched.
    pub(super) fn read<'a>(
        header: u64,
        can_go: CanGo,
        loaded: impl Fn(u64) -> Option<&'a [u8]>,
    ) -> Option<Self> {
        let bytes = loaded(header)?;
        let first = *bytes.first_chunk::<HEADER_BYTES>()?;
        let mut fields = Bytes::new(bytes, header);
        let version = fields.u8()?;
        let (frames_encoding, count_encoding, table_encoding) = (fields.u8()?, fields.u8()?, fields.u8()?);
        // The only form that can be searched, and the only one that linkers write: `udata4` for the count,
        // `datarel | sdata4` in the table.
        if version != 1 || count_encoding != 0x03 || table_encoding != 0x3b {
            return None;
        }
        // With another width the count would not be where `HEADER_BYTES` says.
        let frames = match frames_encoding {
            0x1b => fields.pointer(frames_encoding)?,
            _ => return None,
        };
        let count = fields.u32()? as usize;
        let header_bytes = (HEADER_BYTES + count * ENTRY_BYTES).min(bytes.len());
        Some(Self {
            header: usize::try_from(header).ok()?,
            header_bytes,
            frames: usize::try_from(frames).ok()?,
            frames_bytes: loaded(frames)?.len(),
            first,
            can_go,
        })
    }

    /// The rule for an address of this module. Cold: some hundred nanoseconds, and the first touch of a page
    /// of `.eh_frame` makes the kernel bring it from the file. `None` if the module is not there any more.
    pub(super) fn rule(&self, address: u64) -> Option<Rule> {
        if self.can_go == CanGo::Yes && !is_readable(self.header) {
            return None;
        }
        // SAFETY: the dynamic loader mapped these bytes when the list was read, readable, and nobody writes
        // to them; they are still there, either because the module cannot go or by the line above. The end of
        // this module's head says what is left to chance.
        let header = unsafe { bytes(self.header, self.header_bytes) };
        if header.first_chunk() != Some(&self.first) {
            return None;
        }
        // SAFETY: as above.
        let frames = unsafe { bytes(self.frames, self.frames_bytes) };
        let function = |address: u64| {
            search(header, self.header as u64, address)
                .and_then(|description| description.checked_sub(self.frames as u64))
                .and_then(|at| Function::read(Bytes::new(frames, self.frames as u64), at, address))
        };
        if let Some(function) = function(address) {
            return Some(function.rule(address));
        }
        // Between two functions. A return address to the first byte of one, with no call before it, was put there by
        // whoever made the stack, for its first function to return to (`makecontext`).
        let after = address.wrapping_add(1);
        let begins = function(after).is_some_and(|function| function.begins_at(after));
        Some(if begins && !follows_call(after) { Rule::END } else { Rule::UNLISTED })
    }

    /// Every description that the header lists, for the test that compares all of them with another reader.
    #[cfg(all(test, not(miri)))]
    pub(super) fn parts(&self) -> (&'static [u8], u64, &'static [u8], u64) {
        // SAFETY: as in `rule`; the test unloads nothing meanwhile.
        let (header, frames) =
            unsafe { (bytes(self.header, self.header_bytes), bytes(self.frames, self.frames_bytes)) };
        (header, self.header as u64, frames, self.frames as u64)
    }
}

/// # Safety
/// The bytes are mapped, readable and constant while the result is used.
unsafe fn bytes<'a>(address: usize, length: usize) -> &'a [u8] {
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance(address), length) }
}

/// Where the description is of the last function that begins at or before `address`.
fn search(header: &[u8], header_address: u64, address: u64) -> Option<u64> {
    let (entries, _) = header.get(HEADER_BYTES..)?.as_chunks::<ENTRY_BYTES>();
    let wanted = i32::try_from(address.wrapping_sub(header_address).cast_signed()).ok()?;
    let field = |[a, b, c, d]: [u8; 4]| i32::from_le_bytes([a, b, c, d]);
    let begin = |&[a, b, c, d, ..]: &[u8; ENTRY_BYTES]| field([a, b, c, d]);
    let after = entries.partition_point(|entry| begin(entry) <= wanted);
    let &[_, _, _, _, a, b, c, d] = entries.get(after.checked_sub(1)?)?;
    Some(header_address.wrapping_add_signed(i64::from(field([a, b, c, d]))))
}
