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
    rallocx c"rallocx" (block, size: usize, _flags: c_int) -> *mut c_void, HEAP.realloc(block.cast(), size).cast();
    /// Resizes a block where it is, if that can be, and says how many bytes it then has: that it stays as it was is an
    /// answer too.
    xallocx c"xallocx" (block, _size: usize, _extra: usize, _flags: c_int) -> usize, HEAP.usable_size(block.cast());
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
