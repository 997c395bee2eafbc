//! Functions that jemalloc has besides C's, to free, measure and resize a block.
//!
//! A program that is linked to it may call them with what it got from `malloc`, and that may be a sample, which jemalloc
//! knows nothing of. What is none goes on to jemalloc. Where that is not behind us, they do by C's means what they are
//! documented to do; a program that looks for jemalloc by its names does not find it, for the others are missing.

use std::ffi::{CStr, c_int, c_void};
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use crate::exports::HEAP;
use crate::next::next;

macro_rules! jemalloc {
    ($($(#[$doc:meta])* $name:ident $text:literal ($block:ident $(, $argument:ident: $type:ty)*) -> $result:ty, $by_c:expr;)*) => {$(
        $(#[$doc])*
        #[unsafe(no_mangle)]
        pub(crate) unsafe extern "C" fn $name($block: *mut c_void $(, $argument: $type)*) -> $result {
            type Function = unsafe extern "C" fn(*mut c_void $(, $type)*) -> $result;
            static NEXT: Lookup = Lookup::new($text);
            // SAFETY: the program's promise is handed on; a function of that name has this type.
            unsafe {
                match std::mem::transmute::<*mut (), Option<Function>>(NEXT.get()) {
                    Some(function) if !HEAP.is_sample($block.cast()) => function($block $(, $argument)*),
                    _ => $by_c,
                }
            }
        }
    )*};
}

jemalloc! {
    /// Frees a block.
    dallocx c"dallocx" (block, _flags: c_int) -> (), HEAP.free(block.cast());
    /// Frees a block of a known size.
    sdallocx c"sdallocx" (block, _size: usize, _flags: c_int) -> (), HEAP.free(block.cast());
    /// How many bytes a block has.
    sallocx c"sallocx" (block, _flags: c_int) -> usize, HEAP.usable_size(block.cast());
    /// Resizes a block.
    rallocx c"rallocx" (block, size: usize, flags: c_int) -> *mut c_void, resized(block, size, flags);
    /// Resizes a block where it is, if that can be, and says how many bytes it then has: that it stays as it was is an
    /// answer too.
    xallocx c"xallocx" (block, _size: usize, _extra: usize, _flags: c_int) -> usize, HEAP.usable_size(block.cast());
}

/// A sample with another size. What flags ask for, an alignment or zeros, only jemalloc knows: with any the block
/// becomes one of jemalloc's, and no sample.
///
/// # Safety
/// The block is the program's, and given up.
unsafe fn resized(block: *mut c_void, size: usize, flags: c_int) -> *mut c_void {
    type Mallocx = unsafe extern "C" fn(usize, c_int) -> *mut c_void;
    static MALLOCX: Lookup = Lookup::new(c"mallocx");
    // SAFETY: a function of that name has this type; both blocks are at least as long as what is copied.
    unsafe {
        match std::mem::transmute::<*mut (), Option<Mallocx>>(MALLOCX.get()) {
            Some(mallocx) if flags != 0 => {
                let to = mallocx(size, flags);
                if !to.is_null() {
                    to.copy_from_nonoverlapping(block, HEAP.usable_size(block.cast()).min(size));
                    HEAP.free(block.cast());
                }
                to
            }
            _ => HEAP.realloc(block.cast(), size).cast(),
        }
    }
}

/// A function of the next allocator, looked up once.
struct Lookup {
    name: &'static CStr,
    /// Null before the lookup; [`MISSING`] if there is none.
    found: AtomicPtr<()>,
}

/// No function is at this address.
const MISSING: *mut () = std::ptr::without_provenance_mut(1);

impl Lookup {
    const fn new(name: &'static CStr) -> Self {
        Self { name, found: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// The function, or null.
    fn get(&self) -> *mut () {
        let mut found = self.found.load(Relaxed);
        if found.is_null() {
            found = next(self.name);
            if found.is_null() {
                found = MISSING;
            }
            self.found.store(found, Relaxed);
        }
        if found == MISSING { std::ptr::null_mut() } else { found }
    }
}
