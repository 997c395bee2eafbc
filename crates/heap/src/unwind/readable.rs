//! Whether a word of memory can be read, asked of the kernel and not of the memory: nothing here can fault.

/// Whether the eight bytes around an address, and so its page, are mapped and readable. A system call: some hundred
/// nanoseconds.
///
/// The kernel copies the new signal mask in before it looks at what is to be done with it. With an order that does not
/// exist it ends in one of two errors, and nothing has changed. `mincore` would take pages that are there but may not be
/// read, as guard pages are, for good ones.
///
/// `errno` stays: the caller of `malloc` may be about to read it.
#[cfg(not(miri))]
pub(crate) fn is_readable(address: usize) -> bool {
    const MASK_BYTES: usize = 8;
    const NO_SUCH_ORDER: libc::c_int = -1;
    let mask = std::ptr::with_exposed_provenance::<u8>(address & !(MASK_BYTES - 1));
    let nowhere = std::ptr::null_mut::<u8>();
    // SAFETY: the call reads eight bytes or says that it cannot, and writes nothing; errno's place is this thread's own.
    unsafe {
        let errno = libc::__errno_location();
        let before = *errno;
        libc::syscall(libc::SYS_rt_sigprocmask, NO_SUCH_ORDER, mask, nowhere, MASK_BYTES);
        // Any other error than this one says nothing about the memory: a filter of system calls, say.
        let was_read = *errno == libc::EINVAL;
        *errno = before;
        was_read
    }
}

/// Under Miri nothing is read that was not made by Rust.
#[cfg(miri)]
pub(crate) fn is_readable(_: usize) -> bool {
    false
}
