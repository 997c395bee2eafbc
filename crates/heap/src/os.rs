//! What the tables need of the kernel: address space, pages, time. No call here allocates or takes a lock of libc.

use std::io;
use std::ptr::NonNull;

/// The kernel would not give the address space that was asked for.
#[derive(Debug)]
pub struct OutOfAddressSpace {
    /// How much was asked for.
    pub asked_bytes: usize,
    /// What the kernel said.
    pub source: io::Error,
}

impl std::fmt::Display for OutOfAddressSpace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "no {} bytes of address space for the profiler's tables: {}; raise `ulimit -v`",
            self.asked_bytes, self.source
        )
    }
}

impl std::error::Error for OutOfAddressSpace {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// The size of a page; Linux on x86-64 knows no other for ordinary memory.
pub(crate) const PAGE_BYTES: usize = 4096;

/// Zeroed, private, writable memory that is resident only where it was touched.
#[cfg(not(loom))]
pub(crate) fn map_zeroed(bytes: usize) -> Result<NonNull<u8>, OutOfAddressSpace> {
    let start = map(bytes, libc::PROT_READ | libc::PROT_WRITE)?;
    // A table that is touched here and there would otherwise become resident in pages of 2 MiB.
    no_huge_pages(start, bytes);
    Ok(start)
}

/// Address space without memory behind it, until it is dropped: any access faults until [`make_writable`].
pub(crate) struct Reservation {
    start: NonNull<u8>,
    bytes: usize,
}

impl Reservation {
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }
}

/// Reserves address space.
#[cfg(not(any(loom, miri)))]
pub(crate) fn reserve(bytes: usize) -> Result<Reservation, OutOfAddressSpace> {
    Ok(Reservation { start: map(bytes, libc::PROT_NONE)?, bytes })
}

#[cfg(not(loom))]
fn map(bytes: usize, protection: libc::c_int) -> Result<NonNull<u8>, OutOfAddressSpace> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: an anonymous mapping at an address of the kernel's choice touches nothing that exists.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(OutOfAddressSpace { asked_bytes: bytes, source: io::Error::last_os_error() });
    }
    NonNull::new(start.cast()).ok_or_else(|| OutOfAddressSpace {
        asked_bytes: bytes,
        source: io::Error::other("the kernel answered with the null address"),
    })
}

/// Gives a mapping back.
///
/// # Safety
/// It is one of this file, whole, and nobody uses it.
#[cfg(not(loom))]
pub(crate) unsafe fn unmap(start: *mut u8, bytes: usize) {
    // SAFETY: the caller's promise.
    unsafe { libc::munmap(start.cast(), bytes) };
}

impl Drop for Reservation {
    fn drop(&mut self) {
        #[cfg(not(any(loom, miri)))]
        // SAFETY: it was mapped by `reserve`, and whoever has addresses in it has the reservation too.
        unsafe {
            unmap(self.start.as_ptr(), self.bytes);
        }
        #[cfg(any(loom, miri))]
        // SAFETY: it was allocated by `reserve`, with this layout.
        unsafe {
            let layout = std::alloc::Layout::from_size_align_unchecked(self.bytes, 1 << 18);
            std::alloc::dealloc(self.start.as_ptr(), layout);
        }
    }
}

/// Makes a part of a [`reserve`]d range usable. False if the kernel refuses.
#[cfg(not(any(loom, miri)))]
pub(crate) fn make_writable(start: *mut u8, bytes: usize) -> bool {
    // SAFETY: the callers pass parts of their own reservation.
    unsafe { libc::mprotect(start.cast(), bytes, libc::PROT_READ | libc::PROT_WRITE) == 0 }
}

/// Keeps the kernel from making a part of our own mappings resident in pages of 2 MiB.
#[cfg(not(any(loom, miri)))]
pub(crate) fn no_huge_pages(start: NonNull<u8>, bytes: usize) {
    // SAFETY: advice on a mapping of ours; refusing it changes nothing.
    unsafe { libc::madvise(start.as_ptr().cast(), bytes, libc::MADV_NOHUGEPAGE) };
}

/// The models' memory is the ordinary allocator's.
#[cfg(any(loom, miri))]
pub(crate) fn no_huge_pages(_: NonNull<u8>, _: usize) {}

/// Makes pages of ours as if they had never been touched: zero, not resident, and without what the program may have
/// done to them (protection, advice, locks). If the kernel refuses, they are only zero.
///
/// # Safety
/// Whole pages of our own, and nobody needs what is in them.
#[cfg(not(loom))]
pub(crate) unsafe fn renew_pages(start: *mut u8, bytes: usize) {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED;
    // SAFETY: the caller's promise.
    let renewed =
        unsafe { libc::mmap(start.cast(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    if renewed == libc::MAP_FAILED {
        // SAFETY: as above.
        unsafe { forget_pages(start, bytes) };
    }
}

/// Lets the kernel use pages of ours with all that is in them: they are zero when they are touched again.
///
/// # Safety
/// Whole pages of our own, and nobody needs what is in them.
#[cfg(not(loom))]
pub(crate) unsafe fn forget_pages(start: *mut u8, bytes: usize) {
    // SAFETY: the caller's promise. If it is refused, which it is for locked memory, they are not zero.
    if unsafe { libc::madvise(start.cast(), bytes, libc::MADV_DONTNEED) } != 0 {
        // SAFETY: as above.
        unsafe { start.write_bytes(0, bytes) };
    }
}

/// What became of pages that were to be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// They are at the new place, and the old one is as if it had never been touched.
    Done,
    /// They are where they were, and so is the new place.
    Refused,
    /// They are where they were; the new place is somebody else's now, and must not be touched again.
    Lost,
}

/// Moves the pages of one part of our memory to another.
///
/// In two steps: away, to where the kernel likes, and from there to their place. The first fails before it has changed
/// anything where the kernel cannot move so (before Linux 5.7, and before 6.17 over several mappings). The second could
/// only fail for want of memory, but then the kernel may have unmapped the place, and another thread be given it.
///
/// # Safety
/// Whole pages of our own, both parts writable, apart from each other, and nobody uses either.
#[cfg(not(loom))]
pub(crate) unsafe fn move_pages(from: *mut u8, to: *mut u8, bytes: usize) -> Move {
    // SAFETY: the caller's promise; what is at the address in between is ours alone.
    unsafe {
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_DONTUNMAP;
        let between = libc::mremap(from.cast(), bytes, bytes, flags);
        if between == libc::MAP_FAILED {
            return Move::Refused;
        }
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        let moved = libc::mremap(between, bytes, bytes, flags, to.cast::<libc::c_void>());
        if moved != libc::MAP_FAILED {
            return Move::Done;
        }
        from.copy_from_nonoverlapping(between.cast::<u8>(), bytes);
        libc::munmap(between, bytes);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
        let restored = libc::mmap(to.cast(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        if restored == to.cast() { Move::Refused } else { Move::Lost }
    }
}

/// The models' memory is the ordinary allocator's: its pages stay.
#[cfg(loom)]
pub(crate) unsafe fn forget_pages(_: *mut u8, _: usize) {}

#[cfg(loom)]
pub(crate) unsafe fn renew_pages(_: *mut u8, _: usize) {}

#[cfg(loom)]
pub(crate) unsafe fn move_pages(_: *mut u8, _: *mut u8, _: usize) -> Move {
    Move::Refused
}

/// Puts a mapping of ours in the place of another of the same length. False if the kernel refuses.
///
/// # Safety
/// Both are ours and whole; what is in the second is not needed.
#[cfg(not(loom))]
pub(crate) unsafe fn move_mapping(from: NonNull<u8>, to: NonNull<u8>, bytes: usize) -> bool {
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    // SAFETY: the caller's promise.
    let moved = unsafe {
        libc::mremap(from.as_ptr().cast(), bytes, bytes, flags, to.as_ptr().cast::<libc::c_void>())
    };
    moved != libc::MAP_FAILED
}

/// `errno` as it is now, and again when this is dropped: who calls `free` may be about to read it.
pub(crate) struct Errno(libc::c_int);

impl Errno {
    #[inline(always)]
    pub(crate) fn now() -> Self {
        // SAFETY: the place is this thread's own.
        Self(unsafe { *libc::__errno_location() })
    }
}

impl Drop for Errno {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { *libc::__errno_location() = self.0 };
    }
}

/// No signal is delivered to this thread until this is dropped.
pub(crate) struct SignalsBlocked(libc::sigset_t);

impl SignalsBlocked {
    pub(crate) fn all() -> Self {
        // SAFETY: both calls write to sets that they are given; all zero bytes are one.
        unsafe {
            let (mut all, mut before) = (std::mem::zeroed(), std::mem::zeroed());
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
            Self(before)
        }
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        // SAFETY: the set was written by the call above.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut()) };
    }
}

/// How large a file may become, if that is limited.
#[cfg(not(loom))]
pub(crate) fn file_size_limit() -> Option<u64> {
    limit(libc::RLIMIT_FSIZE)
}

/// Miri knows no address space without memory: the range is ordinary memory there.
#[cfg(any(loom, miri))]
pub(crate) fn reserve(bytes: usize) -> Result<Reservation, OutOfAddressSpace> {
    let layout = std::alloc::Layout::from_size_align(bytes, 1 << 18)
        .map_err(|_| OutOfAddressSpace { asked_bytes: bytes, source: io::Error::other("too large") })?;
    // SAFETY: the layout has a size.
    let start = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) })
        .ok_or_else(|| OutOfAddressSpace { asked_bytes: bytes, source: io::Error::other("no memory") })?;
    Ok(Reservation { start, bytes })
}

#[cfg(any(loom, miri))]
pub(crate) fn make_writable(_: *mut u8, _: usize) -> bool {
    true
}

/// How much address space the process may have, if that is limited.
#[cfg(not(any(loom, miri)))]
pub(crate) fn address_space_limit() -> Option<u64> {
    limit(libc::RLIMIT_AS)
}

#[cfg(not(loom))]
fn limit(resource: libc::__rlimit_resource_t) -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call writes to the struct that it is given.
    let failed = unsafe { libc::getrlimit(resource, &raw mut limit) } != 0;
    (!failed && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

#[cfg(any(loom, miri))]
pub(crate) fn address_space_limit() -> Option<u64> {
    Some(1 << 28)
}

/// Which pages of a part of our own mappings are resident: the lowest bit of each byte. None if the kernel won't say.
#[cfg(not(any(loom, miri)))]
pub(crate) fn resident_pages(start: usize, pages: &mut [u8]) {
    // SAFETY: the slice has a byte for each page; the call reads no memory of the range itself.
    let failed = unsafe {
        libc::mincore(
            std::ptr::with_exposed_provenance_mut(start),
            pages.len() * PAGE_BYTES,
            pages.as_mut_ptr(),
        )
    } != 0;
    if failed {
        pages.fill(0);
    }
}

#[cfg(any(loom, miri))]
pub(crate) fn resident_pages(_: usize, pages: &mut [u8]) {
    pages.fill(1);
}

/// How many bytes of a part of our own mappings are resident.
pub(crate) fn resident_bytes(start: usize, bytes: usize) -> u64 {
    // The buffer is small, so that asking does not change the answer.
    let mut buffer = [0_u8; 4096];
    let (mut at, end) = (start & !(PAGE_BYTES - 1), start + bytes);
    let mut resident_pages = 0;
    while at < end {
        let pages = (end - at).div_ceil(PAGE_BYTES).min(buffer.len());
        self::resident_pages(at, &mut buffer[..pages]);
        resident_pages += buffer[..pages].iter().filter(|&&page| page & 1 == 1).count();
        at += pages * PAGE_BYTES;
    }
    (resident_pages * PAGE_BYTES) as u64
}

/// Has `child` called in every forked child, before `fork` returns in it.
pub(crate) fn after_fork_in_child(child: extern "C" fn()) {
    #[cfg(not(any(loom, miri)))]
    // SAFETY: the function is called in the child's only thread; it takes no lock and allocates nothing.
    unsafe {
        libc::pthread_atfork(None, None, Some(child));
    }
    #[cfg(any(loom, miri))]
    let _ = child;
}

fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes to the struct that it is given.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// Time since boot, to a few milliseconds; cheaper than the exact one.
pub(crate) fn coarse_ns() -> u64 {
    #[cfg(not(miri))]
    let clock = libc::CLOCK_MONOTONIC_COARSE;
    #[cfg(miri)]
    let clock = libc::CLOCK_MONOTONIC;
    clock_ns(clock)
}

/// The CPU time that all threads of the process have used. A system call.
#[cfg(not(miri))]
pub(crate) fn process_cpu_ns() -> u64 {
    clock_ns(libc::CLOCK_PROCESS_CPUTIME_ID)
}

#[cfg(miri)]
pub(crate) fn process_cpu_ns() -> u64 {
    coarse_ns()
}

/// The processor's time stamp: what a piece of code costs, without a call. It counts at a fixed rate on every
/// machine of the last fifteen years.
pub(crate) fn cycles() -> u64 {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: the instruction has no effect but its result.
    return unsafe { core::arch::x86_64::_rdtsc() };
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    coarse_ns()
}
