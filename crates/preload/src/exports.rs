//! C's allocator, under its own names: what the program calls in place of the next one's.
//!
//! Each is what its manual page says, errors and `errno` included. Those that glibc has and C has not are here because a
//! program that gets a block from one of them may free it by any other.

use std::ffi::{c_int, c_void};

use plimsoll_heap::malloc::{Inner, Malloc, modules_changed};

use crate::next::{Next, next, usable_size_as_before};

/// The program's heap.
pub(crate) static HEAP: Malloc<Next> = Malloc::new(Next);

const PAGE_BYTES: usize = 4096;

fn fail(error: c_int) -> *mut c_void {
    // SAFETY: the place is this thread's own.
    unsafe { *libc::__errno_location() = error };
    std::ptr::null_mut()
}

/// malloc(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
    // SAFETY: for all of these, the program's promise is handed on.
    unsafe { HEAP.malloc(size) }.cast()
}

/// free(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn free(block: *mut c_void) {
    // SAFETY: as above.
    unsafe { HEAP.free(block.cast()) }
}

/// calloc(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    // SAFETY: as above.
    unsafe { HEAP.calloc(count, size) }.cast()
}

/// realloc(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: as above.
    unsafe { HEAP.realloc(block.cast(), size) }.cast()
}

/// reallocarray(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn reallocarray(block: *mut c_void, count: usize, size: usize) -> *mut c_void {
    match count.checked_mul(size) {
        // SAFETY: as above.
        Some(bytes) => unsafe { HEAP.realloc(block.cast(), bytes) }.cast(),
        None => fail(libc::ENOMEM),
    }
}

/// memalign(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn memalign(align: usize, size: usize) -> *mut c_void {
    if !align.is_power_of_two() {
        // What the next one does with it is its own affair: glibc rounds up, others refuse.
        // SAFETY: as above.
        return unsafe { Next.memalign(align, size) }.cast();
    }
    // SAFETY: as above.
    unsafe { HEAP.memalign(align, size) }.cast()
}

/// aligned_alloc(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    type AlignedAlloc = unsafe extern "C" fn(usize, usize) -> *mut c_void;
    if !align.is_power_of_two() {
        // The next one's own affair too, and another than that of its `memalign`.
        let function = next(c"aligned_alloc");
        // SAFETY: a function of that name has this type.
        if let Some(function) = unsafe { std::mem::transmute::<*mut (), Option<AlignedAlloc>>(function) } {
            // SAFETY: as above.
            return unsafe { function(align, size) };
        }
    }
    // SAFETY: as above.
    unsafe { memalign(align, size) }
}

/// posix_memalign(3). Leaves `errno` alone.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn posix_memalign(place: *mut *mut c_void, align: usize, size: usize) -> c_int {
    if !align.is_power_of_two() || !align.is_multiple_of(size_of::<*mut c_void>()) {
        return libc::EINVAL;
    }
    // SAFETY: the program gives a place to write to; `errno` is this thread's own.
    unsafe {
        let errno = *libc::__errno_location();
        let block = HEAP.memalign(align, size);
        *libc::__errno_location() = errno;
        if block.is_null() {
            return libc::ENOMEM;
        }
        place.write(block.cast());
    }
    0
}

/// valloc(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn valloc(size: usize) -> *mut c_void {
    // SAFETY: as above.
    unsafe { HEAP.memalign(PAGE_BYTES, size) }.cast()
}

/// pvalloc(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pvalloc(size: usize) -> *mut c_void {
    match size.checked_next_multiple_of(PAGE_BYTES) {
        // SAFETY: as above.
        Some(bytes) => unsafe { HEAP.memalign(PAGE_BYTES, bytes) }.cast(),
        None => fail(libc::ENOMEM),
    }
}

/// malloc_usable_size(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn malloc_usable_size(block: *mut c_void) -> usize {
    if !HEAP.is_sample(block.cast()) {
        return usable_size_as_before(block.cast());
    }
    // SAFETY: as above.
    unsafe { HEAP.usable_size(block.cast()) }
}

/// C23's `free_sized`. The size is the program's word; the block knows better.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn free_sized(block: *mut c_void, _: usize) {
    // SAFETY: as above.
    unsafe { HEAP.free(block.cast()) }
}

/// C23's `free_aligned_sized`.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn free_aligned_sized(block: *mut c_void, _: usize, _: usize) {
    // SAFETY: as above.
    unsafe { HEAP.free(block.cast()) }
}

/// dlclose(3): what was unloaded must not be looked into any more. Its counterpart `dlopen` is not here, because that
/// searches as its caller would, and the caller would be us; what it loads is found when it first allocates.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn dlclose(library: *mut c_void) -> c_int {
    type Dlclose = unsafe extern "C" fn(*mut c_void) -> c_int;
    // SAFETY: a function of that name has this type; the program's promise is handed on.
    let closed = unsafe {
        match std::mem::transmute::<*mut (), Option<Dlclose>>(next(c"dlclose")) {
            Some(dlclose) => dlclose(library),
            None => return -1,
        }
    };
    modules_changed();
    closed
}
