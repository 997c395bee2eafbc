//! Reading the interpreter's memory: as it is where it cannot go away, through the kernel where it can.

/// What lies below is never mapped: the kernel keeps it free, so that null and small offsets from it fault.
const ADDRESS_MIN: u64 = 0x1_0000;
/// User space ends here on x86-64 with four levels of pages, and the C library asks for no addresses above it.
const ADDRESS_MAX: u64 = 0x7fff_ffff_f000;
/// Bytes that a [`Bytes`] reads at once. Grows: the stack of who iterates.
const CHUNK_BYTES: usize = 128;

/// Whether an address can be an object's: aligned as allocators align, in user space, not null.
pub(super) fn plausible(address: u64) -> bool {
    address.is_multiple_of(8) && in_user_space(address)
}

/// Whether an address can be anything's.
pub(super) fn in_user_space(address: u64) -> bool {
    (ADDRESS_MIN..ADDRESS_MAX).contains(&address)
}

/// How memory may be read.
#[derive(Clone, Copy, Default)]
pub(super) enum Memory {
    /// Not at all.
    #[default]
    None,
    /// It is there. Only for what hangs on the state of this thread while the thread holds the interpreter's lock: the
    /// list of its frames holds references to the code objects, and those to their names. And for the state itself
    /// before the interpreter ends.
    Own(Owned),
    /// It was there a moment ago. The kernel reads it, and says so if it is gone: a call costs half a microsecond.
    Checked {
        /// This process; asked anew for each walk, as a child of a fork has another.
        process: libc::pid_t,
    },
}

/// Only this file makes one, so that every use of [`Memory::OWN`] can be found.
#[derive(Clone, Copy)]
pub(super) struct Owned(());

impl Memory {
    pub(super) const OWN: Self = Self::Own(Owned(()));

    pub(super) fn checked() -> Self {
        // SAFETY: the call takes nothing and cannot fail.
        Self::Checked { process: unsafe { libc::getpid() } }
    }

    /// Copies what is at an address. False if it cannot be there, or is not.
    pub(super) fn copy(self, address: u64, into: &mut [u8]) -> bool {
        if !in_user_space(address) || !in_user_space(address.wrapping_add(into.len() as u64)) {
            return false;
        }
        let from = std::ptr::with_exposed_provenance::<u8>(address as usize);
        match self {
            Self::None => false,
            Self::Own(Owned(())) => {
                // SAFETY: whoever chose `OWN` had an address that the interpreter itself holds on to, see there. The
                // bytes are only changed by this thread.
                unsafe { from.copy_to_nonoverlapping(into.as_mut_ptr(), into.len()) };
                true
            }
            Self::Checked { process } => {
                let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
                let remote = libc::iovec { iov_base: from.cast_mut().cast(), iov_len: into.len() };
                // SAFETY: the location of this thread's `errno` is valid as long as the thread; the call writes
                // only to `into`, and reads this process.
                let read = unsafe {
                    let errno = libc::__errno_location();
                    let before = *errno;
                    let read = libc::process_vm_readv(process, &raw const local, 1, &raw const remote, 1, 0);
                    *errno = before;
                    read
                };
                usize::try_from(read) == Ok(into.len())
            }
        }
    }

    pub(super) fn word(self, address: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.copy(address, &mut bytes).then(|| u64::from_le_bytes(bytes))
    }

    pub(super) fn half(self, address: u64) -> Option<u32> {
        let mut bytes = [0; 4];
        self.copy(address, &mut bytes).then(|| u32::from_le_bytes(bytes))
    }

    /// The bytes from an address on, read by the chunk. Ends early where memory does.
    pub(super) fn bytes(self, address: u64, length: u64) -> Bytes {
        Bytes { memory: self, address, left: length, chunk: [0; CHUNK_BYTES], at: 0, filled: 0 }
    }
}

/// Bytes, one after the other.
pub(super) struct Bytes {
    memory: Memory,
    /// Of what was not read yet, and how much of that there is.
    address: u64,
    left: u64,
    chunk: [u8; CHUNK_BYTES],
    at: usize,
    filled: usize,
}

impl Iterator for Bytes {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        if self.at == self.filled {
            let length = usize::try_from(self.left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
            if length == 0 || !self.memory.copy(self.address, &mut self.chunk[..length]) {
                return None;
            }
            self.address = self.address.wrapping_add(length as u64);
            self.left -= length as u64;
            (self.at, self.filled) = (0, length);
        }
        let byte = *self.chunk.get(self.at)?;
        self.at += 1;
        Some(byte)
    }
}

/// A word of a structure that was copied; 0 outside, which no offset of a checked layout is.
pub(super) fn field(structure: &[u8], at: usize) -> u64 {
    structure.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Half a word of a structure that was copied.
pub(super) fn field_u32(structure: &[u8], at: usize) -> u32 {
    structure.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_reads_what_is_there_and_refuses_what_is_not() {
        let there = [7_u8; 300];
        let address = (&raw const there).expose_provenance() as u64;
        for memory in [Memory::OWN, Memory::checked()] {
            let read: Vec<u8> = memory.bytes(address, 300).collect();
            assert_eq!(read, there);
        }
        let mut into = [0; 8];
        // SAFETY: a page of our own, which nobody else knows; the error number is this thread's.
        let (gone, errno) = unsafe {
            let anonymous = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let page = libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, anonymous, -1, 0);
            assert_ne!(page, libc::MAP_FAILED);
            libc::munmap(page, 4096);
            (page as u64, libc::__errno_location())
        };
        // SAFETY: as above.
        unsafe { *errno = 77 };
        assert!(!Memory::checked().copy(gone, &mut into));
        // SAFETY: as above.
        assert_eq!(unsafe { *errno }, 77, "errno stays as it was");
        assert!(Memory::checked().bytes(gone, 8).next().is_none());
    }

    #[test]
    fn addresses_that_cannot_be_are_never_read() {
        for address in [0, 8, 0xfff8, 0x8000_0000_0000, u64::MAX - 7] {
            assert!(!plausible(address));
            assert!(!Memory::OWN.copy(address, &mut [0; 8]));
        }
        assert!(!plausible(0x10_0004), "not aligned");
        assert!(plausible(0x10_0008));
    }
}
