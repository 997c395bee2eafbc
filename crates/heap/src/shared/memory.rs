//! Memory that another process can map: an unnamed file of the kernel's, which lives as long as anybody has it.
//!
//! It is not a file in `/dev/shm` or `/tmp`: those have a size limit, and a program that wrote to a page for which
//! there is no room would be killed. This one counts like any memory of the process.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::cells::Zeroed;
use crate::os::{self, OutOfAddressSpace, PAGE_BYTES};

/// A mapping that is shared, and cut into tables from its beginning. It is never unmapped: tables point into it.
pub(crate) struct SharedMemory {
    start: NonNull<u8>,
    bytes: usize,
    taken: AtomicUsize,
}

// SAFETY: what lies in it are atomics.
unsafe impl Send for SharedMemory {}
// SAFETY: as above.
unsafe impl Sync for SharedMemory {}

impl SharedMemory {
    /// Makes one, with the file that it is. The mapping stays when that is closed.
    ///
    /// # Errors
    /// If the kernel refuses: no address space, no such files, a limit for the size of files.
    pub(crate) fn create(bytes: usize) -> io::Result<(Self, OwnedFd)> {
        let bytes = bytes.next_multiple_of(PAGE_BYTES);
        Self::over(bytes, file(bytes)?)
    }

    /// Maps a file of so many bytes.
    pub(crate) fn over(bytes: usize, file: OwnedFd) -> io::Result<(Self, OwnedFd)> {
        let start = map(std::ptr::null_mut(), bytes, &file)?;
        Ok((Self { start, bytes, taken: AtomicUsize::new(0) }, file))
    }

    /// Cuts off a table, on pages of its own.
    pub(crate) fn take<T: Zeroed>(&self, length: usize) -> Result<NonNull<[T]>, OutOfAddressSpace> {
        let bytes = length.saturating_mul(size_of::<T>()).next_multiple_of(PAGE_BYTES);
        let next = |taken: usize| taken.checked_add(bytes).filter(|&end| end <= self.bytes);
        let at = self.taken.fetch_update(Relaxed, Relaxed, next).map_err(|_| OutOfAddressSpace {
            asked_bytes: bytes,
            source: io::Error::other("the memory that is shared was reserved too small"),
        })?;
        // SAFETY: within the mapping, by the check above.
        let start = unsafe { self.start.byte_add(at) };
        Ok(NonNull::slice_from_raw_parts(start.cast(), length))
    }

    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn addresses(&self) -> std::ops::Range<usize> {
        let start = self.start.addr().get();
        start..start + self.bytes
    }

    /// Puts another file in the place of the mapping, in one step: who reads or writes meanwhile has the one or the
    /// other.
    ///
    /// # Errors
    /// If the kernel refuses; the mapping is then as before.
    pub(crate) fn replace_by(&self, file: &OwnedFd) -> io::Result<()> {
        map(self.start.as_ptr(), self.bytes, file).map(|_| ())
    }
}

/// A file of zeros that cannot be cut: who maps it can read all of it for ever.
///
/// # Errors
/// What the kernel says.
pub(crate) fn file(bytes: usize) -> io::Result<OwnedFd> {
    if os::file_size_limit().is_some_and(|limit| limit < bytes as u64) {
        // To go on would end the process by a signal.
        return Err(io::Error::other("the limit for the size of files (`ulimit -f`) is too small"));
    }
    // SAFETY: the name ends with a zero; the answer is a descriptor of ours or an error.
    let file = unsafe {
        let descriptor =
            libc::memfd_create(c"plimsoll".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING);
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(descriptor)
    };
    let length = libc::off_t::try_from(bytes).map_err(io::Error::other)?;
    // SAFETY: two calls on a descriptor of ours.
    let failed = unsafe {
        libc::ftruncate(file.as_raw_fd(), length) < 0
            || libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, libc::F_SEAL_SHRINK | libc::F_SEAL_GROW) < 0
    };
    if failed { Err(io::Error::last_os_error()) } else { Ok(file) }
}

/// Maps all of a file, writable; at a given place in exchange for what is there, or anywhere.
fn map(at: *mut u8, bytes: usize, file: &OwnedFd) -> io::Result<NonNull<u8>> {
    let fixed = if at.is_null() { 0 } else { libc::MAP_FIXED };
    // SAFETY: anywhere, or in exchange for a mapping of the same length that is ours.
    let start = unsafe {
        libc::mmap(
            at.cast(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_NORESERVE | fixed,
            file.as_raw_fd(),
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(start.cast()).ok_or_else(|| io::Error::other("the kernel answered with the null address"))
}
