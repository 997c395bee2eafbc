//! The allocator behind: whichever the program would have had without us.
//!
//! It is looked up by name, in the libraries after this one, at the first call: that comes before any constructor of ours.
//! Each function is called through a pointer that first leads to a function which looks all of them up. So nothing is
//! tested later.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::ffi::{CStr, c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};

use plimsoll_heap::malloc::Inner;

type Malloc = unsafe extern "C" fn(usize) -> *mut u8;
type Calloc = unsafe extern "C" fn(usize, usize) -> *mut u8;
type Realloc = unsafe extern "C" fn(*mut u8, usize) -> *mut u8;
type Memalign = unsafe extern "C" fn(usize, usize) -> *mut u8;
type PosixMemalign = unsafe extern "C" fn(*mut *mut c_void, usize, usize) -> c_int;
type Free = unsafe extern "C" fn(*mut u8);
type UsableSize = unsafe extern "C" fn(*mut u8) -> usize;

static MALLOC: AtomicPtr<()> = AtomicPtr::new(first::malloc as *mut ());
static CALLOC: AtomicPtr<()> = AtomicPtr::new(first::calloc as *mut ());
static REALLOC: AtomicPtr<()> = AtomicPtr::new(first::realloc as *mut ());
static MEMALIGN: AtomicPtr<()> = AtomicPtr::new(first::memalign as *mut ());
static FREE: AtomicPtr<()> = AtomicPtr::new(first::free as *mut ());
static USABLE_SIZE: AtomicPtr<()> = AtomicPtr::new(first::usable_size as *mut ());

/// What `MEMALIGN` is made of where the next allocator has no such function.
static POSIX_MEMALIGN: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());
/// The `malloc_usable_size` that the program would have called, whosever it is.
static USABLE_SIZE_OF_PROGRAM: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());
/// The functions behind those that first look whether a block is of the [`Nursery`].
static PLAIN_FREE: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());
static PLAIN_REALLOC: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());
static PLAIN_USABLE_SIZE: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());

/// The next allocator.
#[derive(Debug)]
pub(crate) struct Next;

/// Calls the function that a static points to.
macro_rules! call {
    ($pointer:ident as $type:ty, $($argument:expr),*) => {{
        // SAFETY: the static holds a function of this type from the beginning on.
        let function = unsafe { std::mem::transmute::<*mut (), $type>($pointer.load(Relaxed)) };
        // SAFETY: the caller's promise is handed on.
        unsafe { function($($argument),*) }
    }};
}

// SAFETY: functions of one allocator: the first that the loader finds behind this library has them all.
unsafe impl Inner for Next {
    #[inline(always)]
    unsafe fn malloc(&self, size: usize) -> *mut u8 {
        call!(MALLOC as Malloc, size)
    }

    #[inline(always)]
    unsafe fn calloc(&self, count: usize, size: usize) -> *mut u8 {
        call!(CALLOC as Calloc, count, size)
    }

    #[inline(always)]
    unsafe fn realloc(&self, block: *mut u8, size: usize) -> *mut u8 {
        call!(REALLOC as Realloc, block, size)
    }

    #[inline(always)]
    unsafe fn memalign(&self, align: usize, size: usize) -> *mut u8 {
        call!(MEMALIGN as Memalign, align, size)
    }

    #[inline(always)]
    unsafe fn free(&self, block: *mut u8) {
        call!(FREE as Free, block)
    }

    #[inline(always)]
    unsafe fn usable_size(&self, block: *mut u8) -> usize {
        call!(USABLE_SIZE as UsableSize, block)
    }
}

/// Our own allocations: not the program's, and no samples.
struct Own;

#[global_allocator]
static OWN: Own = Own;

// SAFETY: the next allocator's functions, which align to 16 bytes, or to what they are told.
unsafe impl GlobalAlloc for Own {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: any size and power of two may be asked for.
        unsafe {
            if layout.align() <= 16 {
                Next.malloc(layout.size())
            } else {
                Next.memalign(layout.align(), layout.size())
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: it came from `alloc`.
        unsafe { Next.free(block) }
    }
}

/// Looks the functions up. What the lookup itself allocates comes from the [`Nursery`].
fn look_up() {
    let pointers = [&MALLOC, &CALLOC, &REALLOC, &MEMALIGN, &FREE, &USABLE_SIZE];
    let nursery: [*mut (); 6] = [
        nursery::malloc as *mut (),
        nursery::calloc as *mut (),
        nursery::realloc as *mut (),
        nursery::memalign as *mut (),
        nursery::free as *mut (),
        nursery::usable_size as *mut (),
    ];
    pointers.iter().zip(nursery).for_each(|(pointer, function)| pointer.store(function, Relaxed));
    let names = [c"malloc", c"calloc", c"realloc", c"memalign", c"free", c"malloc_usable_size"];
    let mut found = names.map(next);
    USABLE_SIZE_OF_PROGRAM.store(found[5], Relaxed);
    // An allocator that lacks one of the rarer functions leaves those to libc, which knows nothing of its blocks.
    let allocator = object(found[0]);
    if object(found[3]) != allocator {
        let posix_memalign = next(c"posix_memalign");
        let is_its_own = object(posix_memalign) == allocator;
        POSIX_MEMALIGN.store(if is_its_own { posix_memalign } else { std::ptr::null_mut() }, Relaxed);
        found[3] = by_posix_memalign as *mut ();
    }
    if object(found[5]) != allocator {
        found[5] = unknown_size as *mut ();
    }
    if NURSERY.used() > 0 {
        PLAIN_REALLOC.store(found[2], Relaxed);
        PLAIN_FREE.store(found[4], Relaxed);
        PLAIN_USABLE_SIZE.store(found[5], Relaxed);
        found[2] = nursery::realloc as *mut ();
        found[4] = nursery::free as *mut ();
        found[5] = nursery::usable_size as *mut ();
    }
    pointers.iter().zip(found).for_each(|(pointer, function)| pointer.store(function, Relaxed));
}

/// The function of that name in the libraries behind this one.
pub(crate) fn next(name: &CStr) -> *mut () {
    // SAFETY: a lookup by a name that ends with a zero.
    unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) }.cast()
}

/// The library that a function is in.
pub(crate) fn object(function: *mut ()) -> Option<usize> {
    let mut info = MaybeUninit::<libc::Dl_info>::uninit();
    // SAFETY: the call takes any address, and says whether it wrote to the struct.
    unsafe {
        let found = !function.is_null() && libc::dladdr(function as *const c_void, info.as_mut_ptr()) != 0;
        found.then(|| info.assume_init().dli_fbase.addr())
    }
}

/// What the program would be told without us: see [`USABLE_SIZE_OF_PROGRAM`].
pub(crate) fn usable_size_as_before(block: *mut u8) -> usize {
    if USABLE_SIZE.load(Relaxed) == first::usable_size as *mut () {
        look_up();
    }
    let function = USABLE_SIZE_OF_PROGRAM.load(Relaxed);
    if function.is_null() || NURSERY.holds(block) {
        // SAFETY: the caller's block is one of the allocator's, or null.
        return unsafe { Next.usable_size(block) };
    }
    call!(USABLE_SIZE_OF_PROGRAM as UsableSize, block)
}

/// Of an allocator that does not say how large its blocks are: none of them ever seems to grow.
unsafe extern "C" fn unknown_size(_: *mut u8) -> usize {
    usize::MAX
}

unsafe extern "C" fn by_posix_memalign(align: usize, size: usize) -> *mut u8 {
    let mut block = std::ptr::null_mut();
    let function = POSIX_MEMALIGN.load(Relaxed);
    if function.is_null() {
        return std::ptr::null_mut();
    }
    // SAFETY: looked up by its name; it writes to the place that it is given.
    unsafe {
        let function = std::mem::transmute::<*mut (), PosixMemalign>(function);
        function(&raw mut block, align.max(size_of::<usize>()), size);
    }
    block.cast()
}

/// What the pointers lead to before the first call.
mod first {
    use super::*;

    pub(super) unsafe extern "C" fn malloc(size: usize) -> *mut u8 {
        look_up();
        // SAFETY: for all of these, the caller's promise is handed on.
        unsafe { Next.malloc(size) }
    }

    pub(super) unsafe extern "C" fn calloc(count: usize, size: usize) -> *mut u8 {
        look_up();
        // SAFETY: as above.
        unsafe { Next.calloc(count, size) }
    }

    pub(super) unsafe extern "C" fn realloc(block: *mut u8, size: usize) -> *mut u8 {
        look_up();
        // SAFETY: as above.
        unsafe { Next.realloc(block, size) }
    }

    pub(super) unsafe extern "C" fn memalign(align: usize, size: usize) -> *mut u8 {
        look_up();
        // SAFETY: as above.
        unsafe { Next.memalign(align, size) }
    }

    pub(super) unsafe extern "C" fn free(block: *mut u8) {
        look_up();
        // SAFETY: as above.
        unsafe { Next.free(block) }
    }

    pub(super) unsafe extern "C" fn usable_size(block: *mut u8) -> usize {
        look_up();
        // SAFETY: as above.
        unsafe { Next.usable_size(block) }
    }
}

/// Memory for what the lookup allocates. glibc from 2.34 on allocates nothing there; others may.
struct Nursery {
    bytes: UnsafeCell<[u128; 1 << 12]>,
    used: AtomicUsize,
}

// SAFETY: handed out in parts, each once.
unsafe impl Sync for Nursery {}

static NURSERY: Nursery = Nursery { bytes: UnsafeCell::new([0; 1 << 12]), used: AtomicUsize::new(0) };

impl Nursery {
    fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    fn holds(&self, block: *mut u8) -> bool {
        block.addr().wrapping_sub(self.bytes.get().addr()) < size_of_val(&self.bytes)
    }

    /// A block, with its size in the word before it.
    fn take(&self, align: usize, size: usize) -> *mut u8 {
        let room = align.max(16);
        let Some(bytes) = size.checked_add(2 * room) else { return std::ptr::null_mut() };
        let at = self.used.fetch_add(bytes.next_multiple_of(16), Relaxed);
        if at.checked_add(bytes).is_none_or(|end| end > size_of_val(&self.bytes)) {
            return std::ptr::null_mut();
        }
        let start = self.bytes.get().cast::<u8>().wrapping_add(at + 16);
        let block = start.wrapping_add(start.align_offset(room));
        // SAFETY: inside the array, by the check, and in nobody else's part.
        unsafe { block.cast::<usize>().sub(1).write(size) };
        block
    }
}

/// The allocator while the next one is being looked up; and after that, if it gave out anything, what stands before the
/// next one's functions for ever.
mod nursery {
    use super::*;

    pub(super) unsafe extern "C" fn malloc(size: usize) -> *mut u8 {
        NURSERY.take(16, size)
    }

    pub(super) unsafe extern "C" fn calloc(count: usize, size: usize) -> *mut u8 {
        count.checked_mul(size).map_or(std::ptr::null_mut(), |bytes| NURSERY.take(16, bytes))
    }

    pub(super) unsafe extern "C" fn memalign(align: usize, size: usize) -> *mut u8 {
        NURSERY.take(align, size)
    }

    pub(super) unsafe extern "C" fn realloc(block: *mut u8, size: usize) -> *mut u8 {
        if !NURSERY.holds(block) && !PLAIN_REALLOC.load(Relaxed).is_null() {
            return call!(PLAIN_REALLOC as Realloc, block, size);
        }
        // SAFETY: any size may be asked for.
        let to = unsafe { Next.malloc(size) };
        if !to.is_null() && NURSERY.holds(block) {
            // SAFETY: the word before the block is its size; both blocks are at least so long.
            unsafe { block.copy_to_nonoverlapping(to, block.cast::<usize>().sub(1).read().min(size)) };
        }
        to
    }

    pub(super) unsafe extern "C" fn free(block: *mut u8) {
        if !NURSERY.holds(block) && !PLAIN_FREE.load(Relaxed).is_null() {
            call!(PLAIN_FREE as Free, block)
        }
    }

    pub(super) unsafe extern "C" fn usable_size(block: *mut u8) -> usize {
        if NURSERY.holds(block) {
            // SAFETY: the word before the block is its size.
            return unsafe { block.cast::<usize>().sub(1).read() };
        }
        if PLAIN_USABLE_SIZE.load(Relaxed).is_null() {
            return 0;
        }
        call!(PLAIN_USABLE_SIZE as UsableSize, block)
    }
}
