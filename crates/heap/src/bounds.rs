//! Where a thread's stack begins and ends, without asking libc: what libc does to answer may allocate, and may
//! wait for a lock that the allocating thread holds.
//!
//! glibc keeps the stack of every thread that it started in the thread's control block, which the thread register
//! points to. The place in it is not documented and differs between versions; so it is found out once, at the
//! start, in the block of a thread whose stack is known.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::thread::Thread;
use crate::unwind::is_readable;

/// Where in the control block the stack's lowest address and size are, in bytes. Zero while unknown.
static STACK_AT: AtomicUsize = AtomicUsize::new(0);
/// How far the main thread's stack may grow. Further down there may be somebody else's memory, with holes in it.
static MAIN_BYTES: AtomicUsize = AtomicUsize::new(MAIN_MIN_BYTES);
/// The kernel maps nothing else as near as this to the main thread's stack.
const MAIN_MIN_BYTES: usize = 8 << 20;
/// It is not followed further than this; its size has no limit at times.
const MAIN_MAX_BYTES: usize = 1 << 30;
/// How much of a stack that is none of the thread's own is looked at.
const OTHER_MAX_BYTES: usize = 256 << 10;
const PAGE: usize = crate::os::PAGE_BYTES;

/// The part of the stack above `sp` that can be read: up to the stack's end if this is a stack of the thread's own,
/// to the end of the page if it is another (of a coroutine, of a signal handler). [`more`] may find more of that one.
pub(crate) fn above(thread: &Thread, sp: usize) -> Range<usize> {
    let known = thread.stack();
    if known.contains(&sp) {
        return sp..known.end;
    }
    match own_stack(sp) {
        Some(stack) => {
            thread.set_stack(&stack);
            note(&stack);
            sp..stack.end
        }
        None => sp..(sp | (PAGE - 1)) + 1,
    }
}

/// A longer part of a stack that is none of the thread's own: as much again, if it can be read. Each page of it costs a
/// system call, so this is for stacks that went beyond the part. Nobody knows where such a stack ends; what lies behind
/// it is read only if a frame says that it is there.
#[cold]
pub(crate) fn more(thread: &Thread, part: &Range<usize>) -> Option<Range<usize>> {
    if thread.stack().contains(&part.start) || part.len() >= OTHER_MAX_BYTES {
        return None;
    }
    let wanted = part.end.checked_add(part.len().next_multiple_of(PAGE))?;
    let end = (part.end..wanted).step_by(PAGE).find(|&page| !is_readable(page)).unwrap_or(wanted);
    (end > part.end).then_some(part.start..end)
}

/// The stacks that were seen, for those who ask what memory is for. A thread that ended leaves its entry; one that hashes
/// to the same place takes it.
static SEEN: [(AtomicUsize, AtomicUsize); 1024] =
    [const { (AtomicUsize::new(0), AtomicUsize::new(0)) }; 1024];

fn note(stack: &Range<usize>) {
    // Stacks end at different pages.
    let (low, end) = &SEEN[(stack.end / PAGE) % SEEN.len()];
    low.store(stack.start, Relaxed);
    end.store(stack.end, Relaxed);
}

/// The stack that a stack pointer belongs to, if a thread of it was ever sampled.
pub(crate) fn stack_of(sp: usize) -> Option<Range<usize>> {
    SEEN.iter().map(|(low, end)| low.load(Relaxed)..end.load(Relaxed)).find(|stack| stack.contains(&sp))
}

#[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu", not(miri)))]
fn own_stack(sp: usize) -> Option<Range<usize>> {
    let block = control_block();
    let at = STACK_AT.load(Relaxed);
    if at != 0 {
        // SAFETY: both words lie in the control block, where `learn` found them.
        let (low, size) = unsafe {
            let words = std::ptr::with_exposed_provenance::<usize>(block + at);
            (words.read(), words.add(1).read())
        };
        if low != 0 {
            // The block itself stands at the stack's end, unless the program brought the stack.
            let end = low + size;
            let stack = low..if (low..end).contains(&block) { block } else { end };
            return stack.contains(&sp).then_some(stack);
        }
    }
    let end = main_stack_end();
    (sp < end && end - sp < MAIN_BYTES.load(Relaxed)).then_some(sp..end)
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu", not(miri))))]
fn own_stack(_: usize) -> Option<Range<usize>> {
    None
}

/// The address of this thread's control block.
#[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu", not(miri)))]
fn control_block() -> usize {
    let block: usize;
    // SAFETY: the x86-64 ABI for thread-local storage has the block's own address in its first word.
    unsafe { std::arch::asm!("mov {}, fs:0", out(reg) block, options(nostack, readonly, preserves_flags)) };
    block
}

/// Finds out where a thread's control block has its stack, from this thread's. May allocate, so not for the allocation
/// path; starts no thread, because libc's allocator is faster while there is only one.
#[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu", not(miri)))]
pub(crate) fn learn() {
    /// Enough for every glibc so far; the block is larger.
    const SEARCHED_BYTES: usize = 2048;
    MAIN_BYTES.store(main_stack_limit(), Relaxed);
    let block = control_block();
    let stack = stack_of_this_thread();
    let is_there = |at: &usize| {
        let words = std::ptr::with_exposed_provenance::<usize>(block + at);
        // SAFETY: glibc's control block has more than this many bytes.
        let (first, second) = unsafe { (words.read(), words.add(1).read()) };
        match stack {
            Some((low, size, guard)) => {
                // The block's numbers include the guard page, libc's answer may not.
                [(low - guard, size + guard), (low, size)].contains(&(first, second))
            }
            // Of the main thread's stack glibc knows only the end: it has no lowest address, and that as its size.
            None => (first, second) == (0, main_stack_end()),
        }
    };
    if let Some(at) = (8..SEARCHED_BYTES).step_by(8).find(is_there) {
        STACK_AT.store(at, Relaxed);
    }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu", not(miri))))]
pub(crate) fn learn() {}

#[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu", not(miri)))]
fn main_stack_end() -> usize {
    unsafe extern "C" {
        /// The end of the main thread's stack, set by the dynamic loader.
        static __libc_stack_end: *const u8;
    }
    // SAFETY: a word that the loader wrote before the program began.
    unsafe { __libc_stack_end }.addr()
}

/// How large the main thread's stack may become: the limit, which the kernel keeps free below it from the start of the
/// program on. It is asked for once, early. A program that raises it later has stacks beyond it cut.
#[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu", not(miri)))]
fn main_stack_limit() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call writes to the struct that it is given.
    if unsafe { libc::getrlimit(libc::RLIMIT_STACK, &raw mut limit) } != 0 {
        return MAIN_MIN_BYTES;
    }
    usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX).clamp(MAIN_MIN_BYTES, MAIN_MAX_BYTES)
}

/// The lowest address, the size and the guard's size of this thread's stack, as libc says; `None` for the main thread.
#[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu", not(miri)))]
fn stack_of_this_thread() -> Option<(usize, usize, usize)> {
    // SAFETY: two calls that only answer.
    if unsafe { libc::gettid() == libc::getpid() } {
        return None;
    }
    let mut attributes = std::mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
    let (mut low, mut size, mut guard) = (std::ptr::null_mut(), 0, 0);
    // SAFETY: the attributes are initialised by the first call before the others read them, and destroyed once.
    unsafe {
        if libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) != 0 {
            return None;
        }
        libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut low, &raw mut size);
        libc::pthread_attr_getguardsize(attributes.as_ptr(), &raw mut guard);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
    }
    Some((low.addr(), size, guard))
}
